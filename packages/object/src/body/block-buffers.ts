/** A fixed number of block buffers over shared memory, used again and again. */

export class BlockBuffers {
  readonly #blockBytes: number;
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];
  #left: number;
  #firstBytes: number;

  /** @param firstBytes size of the first buffer, which is not used again when it is smaller than a block. */
  constructor(countMax: number, firstBytes: number, blockBytes: number) {
    this.#left = countMax;
    this.#firstBytes = firstBytes;
    this.#blockBytes = blockBytes;
  }

  take(): Promise<Uint8Array> | Uint8Array {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#left > 0) {
      this.#left -= 1;
      const bytes = this.#firstBytes;
      this.#firstBytes = this.#blockBytes;
      return new Uint8Array(new SharedArrayBuffer(bytes));
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(buffer: Uint8Array): void {
    const usable = buffer.length === this.#blockBytes ? buffer : new Uint8Array(new SharedArrayBuffer(this.#blockBytes));
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(usable);
    else if (usable === buffer) this.#free.push(buffer);
    else this.#left += 1;
  }
}
