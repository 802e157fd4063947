/**
 * One request as it lies in the read buffer: fuse_in_header, then the structure of the opcode, then names and data.
 *
 * header: len u32, opcode u32, unique u64, nodeid u64, uid u32, gid u32, pid u32, extension length u16, padding u16.
 * The view is lent: names are copied out, payloads are subarrays that live until the buffer is read into again.
 */
import { ERRNO, SystemError } from '../session/errno.js';
import { IN_HEADER_BYTES } from './protocol.js';

export class RequestReader {
  readonly #view: DataView;
  #end = 0;
  #at = 0;
  opcode = 0;
  unique = 0;
  node = 0;
  uid = 0;
  gid = 0;
  pid = 0;

  constructor(readonly buffer: Uint8Array) {
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Reads the header of the `bytes` bytes that were just read. False when they are not a request. */
  begin(bytes: number): boolean {
    if (bytes < IN_HEADER_BYTES || this.#view.getUint32(0, true) !== bytes) return false;
    this.opcode = this.#view.getUint32(4, true);
    this.#at = 8;
    this.#end = bytes;
    this.unique = this.u64();
    this.node = this.u64();
    this.uid = this.u32();
    this.gid = this.u32();
    this.pid = this.u32();
    // Extensions come last; their length is in units of 8 bytes.
    this.#end = bytes - this.#view.getUint16(36, true) * 8;
    this.#at = IN_HEADER_BYTES;
    return this.#end >= IN_HEADER_BYTES;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  u32(): number {
    this.#need(4);
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  /** Above 2^53 the value is rounded: callers compare with limits far below. */
  u64(): number {
    this.#need(8);
    const value = this.#view.getUint32(this.#at, true) + this.#view.getUint32(this.#at + 4, true) * 0x1_0000_0000;
    this.#at += 8;
    return value;
  }

  i64(): number {
    this.#need(8);
    const value = Number(this.#view.getBigInt64(this.#at, true));
    this.#at += 8;
    return value;
  }

  skip(bytes: number): void {
    this.#need(bytes);
    this.#at += bytes;
  }

  /** A name with its final NUL; the copy is the caller's. */
  name(): Uint8Array {
    const end = this.buffer.indexOf(0, this.#at);
    if (end < 0 || end >= this.#end) throw new SystemError(ERRNO.EIO, 'a name without its end');
    const name = this.buffer.slice(this.#at, end);
    this.#at = end + 1;
    return name;
  }

  /** `bytes` bytes in place. */
  payload(bytes: number): Uint8Array {
    this.#need(bytes);
    const payload = this.buffer.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    return payload;
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#end) throw new SystemError(ERRNO.EIO, `a request of ${this.#end} bytes is too short for its opcode`);
  }
}
