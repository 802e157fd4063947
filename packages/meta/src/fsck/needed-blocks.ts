/** Which blocks bodies name and which of them the store has: one bit each for both, for the uploads of one window. */
import { isHole, type Body, type UploadId } from '@nokv/types';
import type { UploadWindow } from './upload-window.js';

export interface NeededBlock {
  readonly upload: UploadId;
  readonly index: number;
}

/** Blocks beyond what their extent counts, or of uploads without a row: damage, and rare. */
const ODD_MAX = 100_000;

export class NeededBlocks {
  readonly #window: UploadWindow;
  /** Where the bits of each upload begin. */
  readonly #starts: Float64Array;
  readonly #needed: Uint8Array;
  readonly #present: Uint8Array;
  readonly #odd = new Map<string, NeededBlock>();
  /** Stored bytes of the pieces that were added, by upload; what several bodies name counts as often. */
  readonly #bytes: Float64Array;

  constructor(window: UploadWindow) {
    this.#window = window;
    this.#starts = new Float64Array(window.size + 1);
    for (let slot = 0; slot < window.size; slot++) this.#starts[slot + 1] = (this.#starts[slot] as number) + window.blocks(slot);
    this.#bytes = new Float64Array(window.size);
    const bytes = Math.ceil((this.#starts[window.size] as number) / 8);
    this.#needed = new Uint8Array(bytes);
    this.#present = new Uint8Array(bytes);
  }

  add(body: Body): void {
    if (body.kind === 'inline') return;
    for (const extent of body.manifest.extents) {
      if (isHole(extent)) continue;
      const { upload, index } = extent;
      const slot = this.#slot(upload);
      if (slot >= 0) this.#bytes[slot] = (this.#bytes[slot] as number) + extent.length;
      const bit = this.#bit(upload, index);
      if (bit >= 0) set(this.#needed, bit);
      else if (this.#isInWindow(upload) && this.#odd.size < ODD_MAX) this.#odd.set(`${upload}/${index}`, { upload, index });
    }
  }

  found(upload: UploadId, index: number): void {
    const bit = this.#bit(upload, index);
    if (bit >= 0) set(this.#present, bit);
    else this.#odd.delete(`${upload}/${index}`);
  }

  /** At most what pieces of the upload take that were added. */
  namedBytes(upload: UploadId): number {
    const slot = this.#slot(upload);
    return slot < 0 ? 0 : (this.#bytes[slot] as number);
  }

  /** Certain that nothing that was added names it. */
  isUnneeded(upload: UploadId, index: number): boolean {
    const bit = this.#bit(upload, index);
    if (bit >= 0) return ((this.#needed[Math.floor(bit / 8)] as number) & (1 << (bit & 7))) === 0;
    return this.#odd.size < ODD_MAX && !this.#odd.has(`${upload}/${index}`);
  }

  *missing(): Generator<NeededBlock> {
    let slot = 0;
    for (let byte = 0; byte < this.#needed.length; byte++) {
      const lacking = (this.#needed[byte] as number) & ~(this.#present[byte] as number);
      for (let bit = byte * 8; lacking !== 0 && bit < byte * 8 + 8; bit++) {
        if ((lacking & (1 << (bit & 7))) === 0) continue;
        while ((this.#starts[slot + 1] as number) <= bit) slot += 1;
        yield { upload: this.#window.id(slot), index: bit - (this.#starts[slot] as number) };
      }
    }
    yield* this.#odd.values();
  }

  #isInWindow(upload: UploadId): boolean {
    return this.#window.holds(Buffer.from(upload, 'hex'), 0);
  }

  #slot(upload: UploadId): number {
    return this.#window.find(Buffer.from(upload, 'hex'), 0);
  }

  #bit(upload: UploadId, index: number): number {
    const slot = this.#slot(upload);
    return slot < 0 || index >= this.#window.blocks(slot) ? -1 : (this.#starts[slot] as number) + index;
  }
}

function set(bits: Uint8Array, bit: number): void {
  const byte = Math.floor(bit / 8);
  bits[byte] = (bits[byte] as number) | (1 << (bit & 7));
}
