/**
 * Decides what happens next. Whatever could happen now is a choice; one seed picks one choice after another, and between two
 * picks everything runs until nothing moves by itself. Promises of the ports resolve only because a choice was picked, so the
 * order of everything follows from the seed. Each step leaves a line; equal seeds leave equal lines.
 */
import { createHash } from 'node:crypto';
import { deferred } from './deferred.js';
import type { SeededRandom } from './seeded-random.js';

export interface Choice {
  readonly name: string;
  readonly weight: number;
  readonly run: () => void;
}

export class Scheduler {
  readonly trace: string[] = [];
  readonly #random: SeededRandom;
  readonly #sources: (() => readonly Choice[])[] = [];
  readonly #parked: { readonly name: string; readonly weight: number; readonly resume: () => void }[] = [];

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Asked before each step for what could happen. */
  addSource(source: () => readonly Choice[]): void {
    this.#sources.push(source);
  }

  /** Resolves when it is this one's turn. */
  turn(name: string, weight = 10): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#parked.push({ name, weight, resume: resolve });
    return promise;
  }

  note(line: string): void {
    this.trace.push(line);
  }

  /** Lets one thing happen; false when nothing could. */
  async step(): Promise<boolean> {
    const choices: Choice[] = [];
    this.#parked.forEach(({ name, weight, resume }, i) => {
      choices.push({
        name,
        weight,
        run: () => {
          this.#parked.splice(i, 1);
          resume();
        },
      });
    });
    for (const source of this.#sources) choices.push(...source());
    if (choices.length === 0) {
      await settled();
      return false;
    }
    const chosen = this.#random.weighted(choices);
    this.note(`${this.trace.length} ${chosen.name}`);
    chosen.run();
    await settled();
    return true;
  }

  get digest(): string {
    return createHash('sha256').update(this.trace.join('\n')).digest('hex').slice(0, 16);
  }
}

/** Everything that moves by itself has come to rest: the engine goes on in microtasks and turns of the event loop alone. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
