/**
 * Frames: length of the payload (u32), type (u8), stream id (u32), payload; numbers are big-endian.
 *
 * The decoder takes bytes cut anywhere and gives frames. A payload over the limit is stepped over without being kept:
 * an `oversize` frame with its type and stream takes its place, so that the connection lives. The payload of a frame
 * is lent until the next call of `next` or `push`. Memory is bounded by the limit and one chunk.
 */
import { NokvError } from '@nokv/types';

export const FRAME_HEADER_BYTES = 9;
/** Payload bytes that both sides take unless they agreed on less. */
export const FRAME_BYTES_MAX_DEFAULT = 4 * 1024 * 1024;
/** No side may ask for less: the largest single message (an inline body, an xattr value) must fit. */
export const FRAME_BYTES_MAX_LEAST = 128 * 1024;
/** Of the first frame of each side: before anything was agreed little is taken. */
export const HELLO_BYTES_MAX = 16 * 1024;

export const FRAME_TYPES = {
  hello: 1,
  helloAck: 2,
  request: 3,
  response: 4,
  error: 5,
  item: 6,
  end: 7,
  cancel: 8,
  credit: 9,
  ping: 10,
  pong: 11,
  goaway: 12,
} as const;

export type FrameType = (typeof FRAME_TYPES)[keyof typeof FRAME_TYPES];

const FRAME_TYPE_LAST = FRAME_TYPES.goaway;

export interface Frame {
  readonly type: FrameType;
  /** 0: the connection itself. */
  readonly stream: number;
  readonly payload: Uint8Array;
  /** Set when the payload was over the limit and is not here: its length. */
  readonly oversize: number | undefined;
}

const NO_PAYLOAD = new Uint8Array(0);

export class FrameDecoder {
  payloadBytesMax: number;
  /** What was pushed and not consumed. */
  #chunk: Uint8Array = NO_PAYLOAD;
  #at = 0;
  /** True when the chunk is a copy of ours. */
  #isOwned = true;
  /** A frame that spans chunks: its bytes so far. */
  #partial: Buffer | undefined;
  #filled = 0;
  /** Payload bytes of an oversize frame still to step over. */
  #skip = 0;
  #broken: NokvError | undefined;

  constructor(payloadBytesMax: number) {
    this.payloadBytesMax = payloadBytesMax;
  }

  /** True when every byte pushed was consumed (a part of a frame may be kept inside). */
  get isDrained(): boolean {
    return this.#at >= this.#chunk.length;
  }

  /** Lends more bytes; they must stay unchanged until `next` has returned undefined. */
  push(bytes: Uint8Array): void {
    if (!this.isDrained) {
      const rest = this.#chunk.subarray(this.#at);
      const joined = Buffer.allocUnsafeSlow(rest.length + bytes.length);
      joined.set(rest, 0);
      joined.set(bytes, rest.length);
      this.#chunk = joined;
      this.#isOwned = true;
    } else {
      this.#chunk = bytes;
      this.#isOwned = false;
    }
    this.#at = 0;
  }

  /** Copies what is lent, for a reader that goes on later. */
  keep(): void {
    if (this.#isOwned) return;
    this.#chunk = Uint8Array.prototype.slice.call(this.#chunk, this.#at);
    this.#at = 0;
    this.#isOwned = true;
  }

  /** The next whole frame, or undefined when more bytes are needed. Throws `malformed-frame`, for ever after. */
  next(): Frame | undefined {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#skip > 0 && !this.#skipMore()) return undefined;
    if (this.#partial !== undefined) return this.#nextOfPartial();
    const chunk = this.#chunk;
    const at = this.#at;
    const here = chunk.length - at;
    if (here < FRAME_HEADER_BYTES) {
      if (here > 0) this.#keepPartial(FRAME_HEADER_BYTES);
      return undefined;
    }
    const length = readU32(chunk, at);
    const type = this.#typeAt(chunk, at + 4);
    const stream = readU32(chunk, at + 5);
    if (length > this.payloadBytesMax) return this.#oversize(type, stream, length, FRAME_HEADER_BYTES);
    const whole = FRAME_HEADER_BYTES + length;
    if (here < whole) {
      this.#keepPartial(whole);
      return undefined;
    }
    this.#at = at + whole;
    return { type, stream, payload: chunk.subarray(at + FRAME_HEADER_BYTES, at + whole), oversize: undefined };
  }

  #nextOfPartial(): Frame | undefined {
    let partial = this.#partial as Buffer;
    if (!this.#fill(partial)) return undefined;
    if (partial.length === FRAME_HEADER_BYTES) {
      const length = readU32(partial, 0);
      const type = this.#typeAt(partial, 4);
      if (length > this.payloadBytesMax) {
        this.#partial = undefined;
        return this.#oversize(type, readU32(partial, 5), length, 0);
      }
      if (length > 0) {
        const whole = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + length);
        partial.copy(whole);
        this.#partial = partial = whole;
        if (!this.#fill(partial)) return undefined;
      }
    }
    this.#partial = undefined;
    const type = this.#typeAt(partial, 4);
    return { type, stream: readU32(partial, 5), payload: partial.subarray(FRAME_HEADER_BYTES), oversize: undefined };
  }

  #keepPartial(whole: number): void {
    const partial = Buffer.allocUnsafeSlow(whole);
    this.#partial = partial;
    this.#filled = 0;
    this.#fill(partial);
  }

  /** Moves bytes of the chunk into the partial frame; true when it is whole. */
  #fill(partial: Buffer): boolean {
    const take = Math.min(partial.length - this.#filled, this.#chunk.length - this.#at);
    partial.set(this.#chunk.subarray(this.#at, this.#at + take), this.#filled);
    this.#filled += take;
    this.#at += take;
    return this.#filled === partial.length;
  }

  #oversize(type: FrameType, stream: number, length: number, headerInChunk: number): Frame {
    this.#at += headerInChunk;
    this.#skip = length;
    this.#skipMore();
    return { type, stream, payload: NO_PAYLOAD, oversize: length };
  }

  #skipMore(): boolean {
    const take = Math.min(this.#skip, this.#chunk.length - this.#at);
    this.#skip -= take;
    this.#at += take;
    return this.#skip === 0;
  }

  #typeAt(bytes: Uint8Array, at: number): FrameType {
    const type = bytes[at] as number;
    if (type >= 1 && type <= FRAME_TYPE_LAST) return type as FrameType;
    this.#broken = new NokvError(
      'malformed-frame',
      `expected a frame type from 1 to ${FRAME_TYPE_LAST}, found ${type}; these bytes are not the nokv protocol`,
    );
    throw this.#broken;
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x1000000 + (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}
