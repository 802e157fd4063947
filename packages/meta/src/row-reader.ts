/** Reads values front to back; refuses rows that end too early, too late or hold what no writer writes. */
import { NokvError, type Timespec } from '@nokv/types';
import { copyBytes } from './row-writer.js';

/** Node's own, which take any bytes: nothing is copied on the way to a string. */
const { latin1Slice, utf8Slice, hexSlice } = Buffer.prototype as unknown as Record<
  'latin1Slice' | 'utf8Slice' | 'hexSlice',
  (this: Uint8Array, start: number, end: number) => string
>;
const TWO_32 = 4_294_967_296;

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 16_777_216 + (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

export function readU64(bytes: Uint8Array, at: number): number {
  const high =
    ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  return high * TWO_32 + readU32(bytes, at + 4);
}

export class RowReader {
  readonly #bytes: Uint8Array;
  readonly #length: number;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#length = bytes.length;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    const at = this.#take(2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  u32(): number {
    return readU32(this.#bytes, this.#take(4));
  }

  u64(): number {
    const value = readU64(this.#bytes, this.#take(8));
    if (!Number.isSafeInteger(value)) throw corruptRow(`an integer beyond 2^53 at byte ${this.#at - 8}`);
    return value;
  }

  time(): Timespec {
    const sec = this.u64();
    const nsec = this.u32();
    if (nsec > 999_999_999) throw corruptRow(`${nsec} nanoseconds at byte ${this.#at - 4}`);
    return { sec, nsec };
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return copyBytes(this.#bytes, at, at + length);
  }

  latin1(length: number): string {
    const at = this.#take(length);
    return latin1Slice.call(this.#bytes, at, at + length);
  }

  utf8(length: number): string {
    const at = this.#take(length);
    return utf8Slice.call(this.#bytes, at, at + length);
  }

  /** 16 bytes as 32 lower-case hex characters. */
  hex16(): string {
    return this.hex(16);
  }

  hex(length: number): string {
    const at = this.#take(length);
    return hexSlice.call(this.#bytes, at, at + length);
  }

  get rest(): number {
    return this.#length - this.#at;
  }

  end(): void {
    if (this.#at !== this.#length) throw corruptRow(`${this.#length - this.#at} bytes after the end`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#length) throw corruptRow(`it ends at byte ${this.#length} of at least ${at + length}`);
    this.#at = at + length;
    return at;
  }
}

export function corruptRow(what: string): NokvError {
  return new NokvError('corrupt', `a stored row is damaged: ${what}; restore the shard from a backup`, { outcome: 'unknown' });
}
