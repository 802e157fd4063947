/**
 * Keeps fetches in flight ahead of a sequential reader. The window begins small and doubles with every chunk that the reader had to
 * wait for, so that it grows as far as the store's latency asks for and no further.
 */
import { isHole, plainLength, type Piece } from '@nokv/types';
import type { BodyPart } from './body-parts.js';

/** Where read-ahead begins. */
export const READ_AHEAD_BYTES_FIRST = 256 * 1024;
/** Pieces may be small: never more than this many gets at once for one reader. */
const AHEAD_PIECES_MAX = 64;

export interface Ahead {
  readonly part: BodyPart;
  /** Empty for holes. */
  readonly bytes: Promise<Uint8Array>;
}

interface Queued extends Ahead {
  readonly cost: number;
  isSettled: boolean;
}

export class ReadAhead {
  readonly #parts: Iterator<BodyPart>;
  readonly #bytesMax: number;
  readonly #fetch: (part: BodyPart) => Promise<Uint8Array>;
  readonly #queue: Queued[] = [];
  #window = READ_AHEAD_BYTES_FIRST;
  #queued = 0;
  #ended = false;

  constructor(parts: Iterable<BodyPart>, bytesMax: number, fetch: (part: BodyPart) => Promise<Uint8Array>) {
    this.#parts = parts[Symbol.iterator]();
    this.#bytesMax = bytesMax;
    this.#fetch = fetch;
  }

  /** The next part, in order; undefined at the end. */
  next(): Ahead | undefined {
    this.#fill();
    const first = this.#queue.shift();
    if (first === undefined) return undefined;
    const { cost } = first;
    this.#queued -= cost;
    // A chunk larger than the window leaves nothing behind it in flight: the window follows the chunks.
    if (!first.isSettled) this.#window = Math.min(Math.max(this.#window, cost) * 2, this.#bytesMax);
    this.#fill();
    return first;
  }

  #fill(): void {
    while (!this.#ended && (this.#queue.length === 0 || this.#queued < this.#window) && this.#queue.length < AHEAD_PIECES_MAX) {
      const next = this.#parts.next();
      if (next.done === true) {
        this.#ended = true;
        return;
      }
      const part = next.value;
      const bytes = isHole(part.extent) ? Promise.resolve(new Uint8Array(0)) : this.#fetch(part);
      const queued: Queued = { part, bytes, cost: this.#costOf(part), isSettled: isHole(part.extent) };
      const settle = (): void => void (queued.isSettled = true);
      bytes.then(settle, settle); // A failure is thrown when the reader comes to it.
      this.#queue.push(queued);
      this.#queued += queued.cost;
    }
  }

  /** Memory that a part takes while it waits: its whole piece, once for all slices of it that wait. */
  #costOf({ extent }: BodyPart): number {
    if (isHole(extent)) return 0;
    const length = plainLength(extent);
    if (extent.take === length) return length;
    return this.#queue.some(({ part }) => !isHole(part.extent) && isSamePiece(part.extent, extent)) ? 0 : length;
  }
}

function isSamePiece(a: Piece, b: Piece): boolean {
  return a.upload === b.upload && a.index === b.index && a.offset === b.offset && a.length === b.length;
}
