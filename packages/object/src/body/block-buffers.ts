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
      return newBuffer(bytes);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(buffer: Uint8Array): void {
    const isWhole = buffer.length === this.#blockBytes;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(isWhole ? buffer : newBuffer(this.#blockBytes));
    else if (isWhole) this.#free.push(buffer);
    else this.#left += 1;
  }
}

function newBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes));
}
