/** Block-sized buffers that are used again: fresh ones cost more in page faults than the copy into them. */
export class BufferPool {
  readonly #free: Uint8Array[] = [];

  constructor(
    readonly bufferBytes: number,
    readonly keptMax: number,
  ) {}

  /** Contents are undefined. */
  take(bytes: number): Uint8Array {
    if (bytes !== this.bufferBytes) return Buffer.allocUnsafeSlow(bytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bytes);
  }

  give(buffer: Uint8Array): void {
    if (buffer.length === this.bufferBytes && this.#free.length < this.keptMax) this.#free.push(buffer);
  }
}
