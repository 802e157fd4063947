/**
 * Reads MessagePack strictly: what {@link MessageWriter} would not write is refused (longer forms than needed, broken
 * UTF-8, bytes that are left over). Nothing is allocated before the bytes that justify it are there.
 *
 * Byte strings are copied: they never keep a frame's buffer alive and are safe to keep. `malformed-frame` means that
 * the bytes are no canonical MessagePack, `invalid-argument` that a value is not what the schema wants.
 */
import { NokvError } from '@nokv/types';

const TWO_32 = 2 ** 32;
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const EMPTY = new Uint8Array(0);

export class MessageReader {
  #bytes: Uint8Array = EMPTY;
  #at = 0;
  #end = 0;
  /** The field being read, for messages. */
  field = 'message';

  constructor(bytes?: Uint8Array) {
    if (bytes !== undefined) this.reset(bytes);
  }

  reset(bytes: Uint8Array): this {
    this.#bytes = bytes;
    this.#at = 0;
    this.#end = bytes.length;
    this.field = 'message';
    return this;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /** Refuses bytes that are left over. */
  finish(): void {
    if (this.#at !== this.#end) throw malformed(`${this.#end - this.#at} bytes are left over after the message`);
  }

  /* ------------------------------------------------------------ raw fields */

  rawByte(): number {
    if (this.#at >= this.#end) throw this.#cut();
    return this.#bytes[this.#at++] as number;
  }

  rawU16(): number {
    return this.rawByte() * 0x100 + this.rawByte();
  }

  rawU32(): number {
    return this.rawU16() * 0x10000 + this.rawU16();
  }

  /** Compares the next bytes and steps over them when they are equal. */
  skipIfEqual(expected: Uint8Array): boolean {
    const length = expected.length;
    if (this.#at + length > this.#end) return false;
    const bytes = this.#bytes;
    const at = this.#at;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== expected[i]) return false;
    this.#at = at + length;
    return true;
  }

  /* ----------------------------------------------------------- MessagePack */

  isNil(): boolean {
    return this.#peek() === 0xc0;
  }

  /** True when the next value is an integer (of any width). */
  isInt(): boolean {
    const code = this.#peek();
    return code < 0x80 || code >= 0xe0 || (code >= 0xcc && code <= 0xd3);
  }

  isString(): boolean {
    const code = this.#peek();
    return (code & 0xe0) === 0xa0 || (code >= 0xd9 && code <= 0xdb);
  }

  isBinary(): boolean {
    const code = this.#peek();
    return code >= 0xc4 && code <= 0xc6;
  }

  isArray(): boolean {
    const code = this.#peek();
    return (code & 0xf0) === 0x90 || code === 0xdc || code === 0xdd;
  }

  isBoolean(): boolean {
    return (this.#peek() & 0xfe) === 0xc2;
  }

  isFloat(): boolean {
    return this.#peek() === 0xcb;
  }

  nil(): void {
    if (this.rawByte() !== 0xc0) throw this.#unexpected('nil');
  }

  boolean(): boolean {
    const code = this.rawByte();
    if (code === 0xc3) return true;
    if (code === 0xc2) return false;
    throw this.#unexpected('a boolean');
  }

  int(): number {
    const code = this.rawByte();
    if (code < 0x80) return code;
    if (code >= 0xe0) return code - 0x100;
    let value: number;
    let shortest: boolean;
    switch (code) {
      case 0xcc:
        value = this.rawByte();
        shortest = value >= 0x80;
        break;
      case 0xcd:
        value = this.rawU16();
        shortest = value >= 0x100;
        break;
      case 0xce:
        value = this.rawU32();
        shortest = value >= 0x10000;
        break;
      case 0xcf:
        value = this.rawU32() * TWO_32 + this.rawU32();
        shortest = value >= TWO_32;
        break;
      case 0xd0:
        value = (this.rawByte() << 24) >> 24;
        shortest = value < -0x20;
        break;
      case 0xd1:
        value = (this.rawU16() << 16) >> 16;
        shortest = value < -0x80;
        break;
      case 0xd2:
        value = this.rawU32() | 0;
        shortest = value < -0x8000;
        break;
      case 0xd3:
        value = (this.rawU32() | 0) * TWO_32 + this.rawU32();
        shortest = value < -0x80000000;
        break;
      default:
        throw this.#unexpected('an integer');
    }
    if (!shortest) throw malformed(`field "${this.field}": an integer is longer than it needs to be`);
    if (!Number.isSafeInteger(value)) throw this.invalid(`expected a safe integer, found about ${value}`);
    return value;
  }

  float(): number {
    if (this.rawByte() !== 0xcb) throw this.#unexpected('a number');
    const at = this.#advance(8);
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0);
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) throw malformed(`field "${this.field}": an integer is written as a float`);
    return value;
  }

  string(bytesMax: number): string {
    const code = this.rawByte();
    let length: number;
    if ((code & 0xe0) === 0xa0) length = code & 0x1f;
    else length = this.#length(code, 0xd9, 0xda, 0xdb, 32, 'a string');
    if (length > bytesMax) throw this.invalid(`expected at most ${bytesMax} bytes of text, found ${length}`);
    const at = this.#advance(length);
    return length < 32 ? this.#shortString(at, length) : this.#longString(at, length);
  }

  /** A copy, owned by the caller. */
  binary(bytesMax: number): Uint8Array {
    const code = this.rawByte();
    const length = this.#length(code, 0xc4, 0xc5, 0xc6, 0, 'bytes');
    if (length > bytesMax) throw this.invalid(`expected at most ${bytesMax} bytes, found ${length}`);
    const at = this.#advance(length);
    const copy = new Uint8Array(length);
    if (length < 24) {
      const bytes = this.#bytes;
      for (let i = 0; i < length; i++) copy[i] = bytes[at + i] as number;
    } else {
      copy.set(this.#bytes.subarray(at, at + length));
    }
    return copy;
  }

  arrayHeader(): number {
    const code = this.rawByte();
    const length = (code & 0xf0) === 0x90 ? code & 0x0f : this.#length(code, -1, 0xdc, 0xdd, 16, 'an array');
    if (length > this.remaining) throw this.#cut();
    return length;
  }

  mapHeader(): number {
    const code = this.rawByte();
    const length = (code & 0xf0) === 0x80 ? code & 0x0f : this.#length(code, -1, 0xde, 0xdf, 16, 'a map');
    if (length * 2 > this.remaining) throw this.#cut();
    return length;
  }

  /** Steps over one value of any kind, at most `depth` levels deep. */
  skip(depth = 8): void {
    if (depth === 0) throw malformed('a message is nested too deeply');
    const code = this.#peek();
    if (code === 0xc0) this.nil();
    else if (this.isBoolean()) this.boolean();
    else if (this.isInt()) this.int();
    else if (this.isFloat()) this.float();
    else if (this.isString()) this.string(Number.MAX_SAFE_INTEGER);
    else if (code >= 0xc4 && code <= 0xc6) this.binary(Number.MAX_SAFE_INTEGER);
    else if ((code & 0xf0) === 0x90 || code === 0xdc || code === 0xdd) {
      for (let left = this.arrayHeader(); left > 0; left--) this.skip(depth - 1);
    } else if ((code & 0xf0) === 0x80 || code === 0xde || code === 0xdf) {
      for (let left = this.mapHeader() * 2; left > 0; left--) this.skip(depth - 1);
    } else {
      throw malformed(`code 0x${code.toString(16)} is not used here`);
    }
  }

  /** The error for a value that is not what the schema wants. */
  invalid(what: string): NokvError {
    return new NokvError('invalid-argument', `field "${this.field}": ${what}`, { details: { field: this.field } });
  }

  #peek(): number {
    if (this.#at >= this.#end) throw this.#cut();
    return this.#bytes[this.#at] as number;
  }

  #advance(length: number): number {
    const at = this.#at;
    if (at + length > this.#end) throw this.#cut();
    this.#at = at + length;
    return at;
  }

  #length(code: number, code8: number, code16: number, code32: number, shortForm: number, wanted: string): number {
    let length: number;
    let least: number;
    if (code === code8) {
      length = this.rawByte();
      least = shortForm;
    } else if (code === code16) {
      length = this.rawU16();
      least = code8 < 0 ? shortForm : 0x100;
    } else if (code === code32) {
      length = this.rawU32();
      least = 0x10000;
    } else {
      throw this.#unexpected(wanted);
    }
    if (length < least) throw malformed(`field "${this.field}": a length is longer than it needs to be`);
    return length;
  }

  #shortString(at: number, length: number): string {
    const bytes = this.#bytes;
    let text = '';
    for (let i = at; i < at + length; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) return this.#longString(at, length);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #longString(at: number, length: number): string {
    try {
      return strictUtf8.decode(this.#bytes.subarray(at, at + length));
    } catch (cause) {
      throw new NokvError('malformed-frame', `field "${this.field}": text is not valid UTF-8`, { cause });
    }
  }

  /** After `rawByte` took the code of another kind of value. */
  #unexpected(wanted: string): NokvError {
    const code = this.#bytes[this.#at - 1] as number;
    return this.invalid(`expected ${wanted}, found ${kindOf(code)}`);
  }

  #cut(): NokvError {
    return malformed(`field "${this.field}": the message is cut short`);
  }
}

function malformed(what: string): NokvError {
  return new NokvError('malformed-frame', `${what}; expected canonical MessagePack`);
}

function kindOf(code: number): string {
  if (code < 0x80 || code >= 0xe0 || (code >= 0xcc && code <= 0xd3)) return 'an integer';
  if ((code & 0xe0) === 0xa0 || (code >= 0xd9 && code <= 0xdb)) return 'a string';
  if ((code & 0xf0) === 0x80 || code === 0xde || code === 0xdf) return 'a map';
  if ((code & 0xf0) === 0x90 || code === 0xdc || code === 0xdd) return 'an array';
  if (code === 0xc0) return 'nil';
  if (code === 0xc2 || code === 0xc3) return 'a boolean';
  if (code >= 0xc4 && code <= 0xc6) return 'bytes';
  if (code === 0xca || code === 0xcb) return 'a float';
  return 'an extension';
}
