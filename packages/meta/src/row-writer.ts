/**
 * Builds keys and values in slabs of memory: one small view per row instead of one allocation per row, and few
 * distinct array buffers for the native store to learn the addresses of.
 *
 * Rows that were ended are never written again; a slab lives as long as any row in it. Not for use across a
 * `begin` of the same writer.
 */
import type { Timespec } from '@nokv/types';

const SLAB_BYTES = 128 * 1024;
/** A row that may be larger has memory of its own, so that small rows after it do not keep it alive. */
const SHARED_ROW_BYTES_MAX = SLAB_BYTES / 4;
const TWO_32 = 4_294_967_296;

export class RowWriter {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** Of the slab: asking a buffer for it is a call into the runtime. */
  #memory: ArrayBuffer = this.#slab.buffer as ArrayBuffer;
  /** The slab belongs to the last row alone. */
  #isOwn = false;
  #start = 0;
  #at = 0;

  /** Begins a row of at most `bytesMax` bytes. */
  begin(bytesMax: number): this {
    if (bytesMax > SHARED_ROW_BYTES_MAX) {
      this.#take(bytesMax);
      this.#at = 0;
      this.#isOwn = true;
    } else if (this.#isOwn || this.#at + bytesMax > SLAB_BYTES) {
      this.#take(SLAB_BYTES);
      this.#at = 0;
      this.#isOwn = false;
    }
    this.#start = this.#at;
    return this;
  }

  #take(bytes: number): void {
    this.#slab = Buffer.allocUnsafeSlow(bytes);
    this.#memory = this.#slab.buffer as ArrayBuffer;
  }

  u8(value: number): this {
    this.#slab[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    const slab = this.#slab;
    slab[this.#at++] = value >>> 8;
    slab[this.#at++] = value;
    return this;
  }

  u32(value: number): this {
    const slab = this.#slab;
    const at = this.#at;
    slab[at] = value >>> 24;
    slab[at + 1] = value >>> 16;
    slab[at + 2] = value >>> 8;
    slab[at + 3] = value;
    this.#at = at + 4;
    return this;
  }

  /** A safe integer, big-endian; negative ones in two's complement. */
  u64(value: number): this {
    return this.u32(Math.floor(value / TWO_32)).u32(value >>> 0);
  }

  time(time: Timespec): this {
    return this.u64(time.sec).u32(time.nsec);
  }

  bytes(bytes: Uint8Array): this {
    const length = bytes.length;
    if (length > 32) {
      this.#slab.set(bytes, this.#at);
    } else {
      const slab = this.#slab;
      const at = this.#at;
      for (let i = 0; i < length; i++) slab[at + i] = bytes[i] as number;
    }
    this.#at += length;
    return this;
  }

  /** Characters of one byte each. */
  latin1(text: string): this {
    const slab = this.#slab;
    const at = this.#at;
    // Ids are short: a call of the runtime costs more than the loop.
    for (let i = 0; i < text.length; i++) slab[at + i] = text.charCodeAt(i);
    this.#at = at + text.length;
    return this;
  }

  /** 32 lower-case hex characters as 16 bytes; see {@link isPackable}. */
  hex16(id: string): this {
    const slab = this.#slab;
    const at = this.#at;
    for (let i = 0; i < 16; i++) slab[at + i] = (hexDigit(id.charCodeAt(2 * i)) << 4) | hexDigit(id.charCodeAt(2 * i + 1));
    this.#at = at + 16;
    return this;
  }

  end(): Buffer {
    return Buffer.from(this.#memory, this.#start, this.#at - this.#start);
  }
}

function hexDigit(code: number): number {
  return code < 0x40 ? code - 0x30 : code - 0x57;
}

/** Whether a text is 32 lower-case hex characters, as ids are that this project draws. */
export function isPackable(id: string): boolean {
  if (id.length !== 32) return false;
  for (let i = 0; i < 32; i++) {
    const code = id.charCodeAt(i);
    if (code < 0x30 || code > 0x66 || (code > 0x39 && code < 0x61)) return false;
  }
  return true;
}

declare global {
  interface Buffer {
    /** Node's own, not in its published types: `toString` and `write` without their dispatch. */
    latin1Slice(start: number, end: number): string;
    hexSlice(start: number, end: number): string;
  }
}

/** A copy that the caller owns; also of buffers whose `length` was narrowed by the store. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  if (copy.length > 32) copy.set(bytes.subarray(start, end));
  else for (let i = 0; i < copy.length; i++) copy[i] = bytes[start + i] as number;
  return copy;
}
