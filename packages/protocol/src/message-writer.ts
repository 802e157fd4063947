/**
 * Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) and frames into one growing slab.
 *
 * Frames written one after the other lie one after the other, so that everything queued in a tick leaves in one write
 * without a copy. Bytes that `take` hands out are never written again, unless `rewind` says that nobody needs them. Every value has one encoding, the shortest.
 */
import { NokvError } from '@nokv/types';
import type { FrameType } from './frame.js';
import { FRAME_HEADER_BYTES } from './frame.js';

/** A connection that says little keeps little: slabs double up to here as they fill. */
const SLAB_BYTES_FIRST = 4096;
const SLAB_BYTES_USUAL = 64 * 1024;
const TWO_32 = 2 ** 32;

export class MessageWriter {
  #slab: Buffer;
  /** Where the bytes begin that were not taken yet. */
  #start = 0;
  #at = 0;
  /** Where the header of the open frame begins; -1: no frame is open. */
  #frame = -1;

  constructor(slabBytes = SLAB_BYTES_FIRST) {
    this.#slab = Buffer.allocUnsafeSlow(slabBytes);
  }

  /** Bytes written and not taken. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** Hands out what was written, for good. */
  take(): Uint8Array {
    const bytes = this.#slab.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return bytes;
  }

  /** Uses the slab from its start again: only when nobody looks at the bytes any more that were handed out. */
  rewind(): void {
    if (this.#at !== this.#start) return;
    this.#at = 0;
    this.#start = 0;
  }

  /* ---------------------------------------------------------------- frames */

  beginFrame(type: FrameType, stream: number): void {
    this.#reserve(FRAME_HEADER_BYTES);
    const at = this.#at;
    this.#frame = at - this.#start;
    this.#slab[at + 4] = type;
    this.#slab.writeUInt32BE(stream, at + 5);
    this.#at = at + FRAME_HEADER_BYTES;
  }

  /** Fills in the length; a payload over `payloadBytesMax` is taken back and refused with `frame-too-large`. */
  endFrame(payloadBytesMax: number): void {
    const header = this.#start + this.#frame;
    const length = this.#at - header - FRAME_HEADER_BYTES;
    if (length > payloadBytesMax) {
      this.abandonFrame();
      throw new NokvError(
        'frame-too-large',
        `a frame carries at most ${payloadBytesMax} bytes here, this message needs ${length}; ask for less at a time`,
        {
          details: { limit: payloadBytesMax, length },
        },
      );
    }
    this.#slab.writeUInt32BE(length, header);
    this.#frame = -1;
  }

  /** Forgets the open frame, if any. */
  abandonFrame(): void {
    if (this.#frame < 0) return;
    this.#at = this.#start + this.#frame;
    this.#frame = -1;
  }

  /* ------------------------------------------------------------ raw fields */

  rawByte(value: number): void {
    this.#reserve(1);
    this.#slab[this.#at++] = value;
  }

  rawU16(value: number): void {
    this.#reserve(2);
    this.#slab.writeUInt16BE(value, this.#at);
    this.#at += 2;
  }

  rawU32(value: number): void {
    this.#reserve(4);
    this.#slab.writeUInt32BE(value, this.#at);
    this.#at += 4;
  }

  rawBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#slab.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /* ----------------------------------------------------------- MessagePack */

  nil(): void {
    this.rawByte(0xc0);
  }

  boolean(value: boolean): void {
    this.rawByte(value ? 0xc3 : 0xc2);
  }

  /** A safe integer. */
  int(value: number): void {
    if (value >= 0 && value < 0x80 && Number.isInteger(value)) {
      this.#reserve(1);
      this.#slab[this.#at++] = value;
      return;
    }
    if (!Number.isSafeInteger(value)) {
      throw new NokvError('invalid-argument', `expected a safe integer, found ${String(value)}`);
    }
    this.#reserve(9);
    const slab = this.#slab;
    let at = this.#at;
    if (value >= 0) {
      if (value < 0x100) {
        slab[at++] = 0xcc;
        slab[at++] = value;
      } else if (value < 0x10000) {
        slab[at++] = 0xcd;
        slab[at++] = value >>> 8;
        slab[at++] = value;
      } else if (value < TWO_32) {
        slab[at++] = 0xce;
        at = putU32(slab, at, value);
      } else {
        slab[at++] = 0xcf;
        at = putU32(slab, at, Math.floor(value / TWO_32));
        at = putU32(slab, at, value % TWO_32);
      }
    } else if (value >= -0x20) {
      slab[at++] = value;
    } else if (value >= -0x80) {
      slab[at++] = 0xd0;
      slab[at++] = value;
    } else if (value >= -0x8000) {
      slab[at++] = 0xd1;
      slab[at++] = value >> 8;
      slab[at++] = value;
    } else if (value >= -0x80000000) {
      slab[at++] = 0xd2;
      at = putU32(slab, at, value);
    } else {
      const high = Math.floor(value / TWO_32);
      slab[at++] = 0xd3;
      at = putU32(slab, at, high);
      at = putU32(slab, at, value - high * TWO_32);
    }
    this.#at = at;
  }

  /** A double: only for numbers that are no safe integers. */
  float(value: number): void {
    this.#reserve(9);
    this.#slab[this.#at] = 0xcb;
    this.#slab.writeDoubleBE(value, this.#at + 1);
    this.#at += 9;
  }

  string(value: string): void {
    const units = value.length;
    if (units < 32 && this.#asciiString(value, units)) return;
    const length = Buffer.byteLength(value);
    this.#reserve(length + 5);
    if (length < 32) this.#slab[this.#at++] = 0xa0 | length;
    else this.#lengthOf(length, 0xd9, 0xda, 0xdb);
    this.#slab.write(value, this.#at);
    this.#at += length;
  }

  binary(value: Uint8Array): void {
    const length = value.length;
    this.#reserve(length + 5);
    this.#lengthOf(length, 0xc4, 0xc5, 0xc6);
    if (length < 24) {
      for (let i = 0; i < length; i++) this.#slab[this.#at + i] = value[i] as number;
    } else {
      this.#slab.set(value, this.#at);
    }
    this.#at += length;
  }

  arrayHeader(length: number): void {
    this.#reserve(5);
    if (length < 16) this.#slab[this.#at++] = 0x90 | length;
    else this.#lengthOf(length, undefined, 0xdc, 0xdd);
  }

  mapHeader(length: number): void {
    this.#reserve(5);
    if (length < 16) this.#slab[this.#at++] = 0x80 | length;
    else this.#lengthOf(length, undefined, 0xde, 0xdf);
  }

  /** Bytes that are MessagePack already, such as the names of fields. */
  encoded(bytes: Uint8Array): void {
    const length = bytes.length;
    this.#reserve(length);
    const slab = this.#slab;
    const at = this.#at;
    for (let i = 0; i < length; i++) slab[at + i] = bytes[i] as number;
    this.#at = at + length;
  }

  #asciiString(value: string, units: number): boolean {
    this.#reserve(units + 1);
    const slab = this.#slab;
    const at = this.#at + 1;
    for (let i = 0; i < units; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) return false;
      slab[at + i] = unit;
    }
    slab[this.#at] = 0xa0 | units;
    this.#at = at + units;
    return true;
  }

  /** Writes a length with the first code whose width holds it. */
  #lengthOf(length: number, code8: number | undefined, code16: number, code32: number): void {
    const slab = this.#slab;
    if (length < 0x100 && code8 !== undefined) {
      slab[this.#at++] = code8;
      slab[this.#at++] = length;
    } else if (length < 0x10000) {
      slab[this.#at++] = code16;
      slab[this.#at++] = length >>> 8;
      slab[this.#at++] = length;
    } else {
      slab[this.#at++] = code32;
      this.#at = putU32(slab, this.#at, length);
    }
  }

  /** Moves what was not taken to a fresh slab when `more` bytes do not fit. */
  #reserve(more: number): void {
    if (this.#at + more <= this.#slab.length) return;
    const kept = this.#at - this.#start;
    let size = Math.min(this.#slab.length * 2, SLAB_BYTES_USUAL);
    while (size < (kept + more) * 2) size *= 2;
    const slab = Buffer.allocUnsafeSlow(size);
    this.#slab.copy(slab, 0, this.#start, this.#at);
    this.#slab = slab;
    this.#start = 0;
    this.#at = kept;
  }
}

function putU32(slab: Buffer, at: number, value: number): number {
  slab[at] = value >>> 24;
  slab[at + 1] = value >>> 16;
  slab[at + 2] = value >>> 8;
  slab[at + 3] = value;
  return at + 4;
}
