/** Random draws that follow from a seed and from nothing else: every choice of a simulation comes from here. */
import type { Random } from '@nokv/types';

export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    // Seeds that lie side by side must not give streams that do.
    this.#state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ (seed >>> 3);
  }

  /** Uniform in [0, 1): mulberry32, by Tommy Ettinger (public domain). */
  float(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** A whole number from 0, less than `end`. */
  below(end: number): number {
    return Math.floor(this.float() * end);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** An item with a probability in proportion to its weight. */
  weighted<T extends { readonly weight: number }>(items: readonly T[]): T {
    let left = this.float() * items.reduce((sum, { weight }) => sum + weight, 0);
    for (const item of items) {
      left -= item.weight;
      if (left < 0) return item;
    }
    return items.at(-1) as T;
  }

  /** Another stream, which does not move when this one does. */
  fork(): SeededRandom {
    return new SeededRandom(this.below(2 ** 31));
  }
}
