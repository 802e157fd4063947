/**
 * Headers of tar archives: ustar with pax extended headers (POSIX.1-2017, pax "Interchange Format"), as bytes.
 *
 * Written are plain ustar fields where they hold the value and pax records where they do not: long names, names that are UTF-8
 * beyond ASCII, times to the nanosecond, large numbers, extended attributes (`SCHILY.xattr.`, as star, GNU tar and libarchive). Read are those,
 * pax globals, numbers in base 256 and the long names of GNU tar.
 */
import { NokvError, formatName, type InodeType, type Owner, type Timespec } from '@nokv/types';
import type { Xattr } from '../tree-writer.js';

export const BLOCK_BYTES = 512;

export interface TarEntry {
  readonly type: Exclude<InodeType, 'socket'> | 'link';
  readonly path: Uint8Array;
  /** Of symlinks and links. */
  readonly target: Uint8Array;
  readonly mode: number;
  readonly owner: Owner;
  readonly size: number;
  readonly mtime: Timespec;
  readonly rdev: number;
  readonly xattrs: readonly Xattr[];
}

/** Where fields lie in a header block: offset and length. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;

export const TYPE_FLAGS: Readonly<Record<TarEntry['type'], string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

const XATTR_PREFIX = 'SCHILY.xattr.';
const NUL = 0;

/* ----------------------------------------------------------------- writing */

/** The blocks that stand before the body of an entry. */
export function encodeHeader(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  const record = (key: string, value: Uint8Array | string) => records.push(paxRecord(key, Buffer.from(value as string)));
  const { path, target, mtime, size, owner, rdev } = entry;
  const place = fitsPath(path) && !needsUtf8(path) ? splitForUstar(path) : undefined;
  if (place === undefined) record('path', path);
  if (target.length > FIELD.target[1] || needsUtf8(target)) record('linkpath', target);
  if (mtime.nsec !== 0 || mtime.sec < 0 || !fitsOctal(mtime.sec, FIELD.mtime[1])) record('mtime', decimalTime(mtime));
  if (!fitsOctal(size, FIELD.size[1])) record('size', String(size));
  if (!fitsOctal(owner.uid, FIELD.uid[1])) record('uid', String(owner.uid));
  if (!fitsOctal(owner.gid, FIELD.gid[1])) record('gid', String(owner.gid));
  for (const { name, value } of entry.xattrs) records.push(paxRecord(Buffer.concat([Buffer.from(XATTR_PREFIX), name]), Buffer.from(value)));
  const block = headerBlock({
    flag: TYPE_FLAGS[entry.type],
    ...(place ?? { name: path.subarray(0, FIELD.name[1]), prefix: new Uint8Array(0) }),
    target: target.subarray(0, FIELD.target[1]),
    mode: entry.mode,
    uid: owner.uid,
    gid: owner.gid,
    size,
    mtime: mtime.sec,
    ...deviceNumbers(rdev),
  });
  if (records.length === 0) return block;
  const pax = Buffer.concat(records);
  const paxBlock = headerBlock({
    flag: 'x',
    name: Buffer.from('PaxHeaders/entry'),
    prefix: new Uint8Array(0),
    target: new Uint8Array(0),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: pax.length,
    mtime: Math.max(0, mtime.sec),
    major: 0,
    minor: 0,
  });
  return Buffer.concat([paxBlock, pax, padding(pax.length), block]);
}

/** What fills a body up to whole blocks. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Two blocks of zeros. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

function headerBlock(fields: {
  readonly flag: string;
  readonly name: Uint8Array;
  readonly prefix: Uint8Array;
  readonly target: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const bytes = ([offset]: readonly [number, number], value: Uint8Array) => block.set(value, offset);
  // What does not fit is said by a pax record and written as zero.
  const octal = ([offset, length]: readonly [number, number], value: number) =>
    void block.write((fitsOctal(value, length) ? value : 0).toString(8).padStart(length - 1, '0'), offset, 'latin1');
  bytes(FIELD.name, fields.name);
  octal(FIELD.mode, fields.mode);
  octal(FIELD.uid, fields.uid);
  octal(FIELD.gid, fields.gid);
  octal(FIELD.size, fields.size);
  octal(FIELD.mtime, fields.mtime);
  bytes(FIELD.type, Buffer.from(fields.flag));
  bytes(FIELD.target, fields.target);
  bytes(FIELD.magic, Buffer.from('ustar\0'));
  bytes(FIELD.version, Buffer.from('00'));
  octal(FIELD.major, fields.major);
  octal(FIELD.minor, fields.minor);
  bytes(FIELD.prefix, fields.prefix);
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, FIELD.checksum[0], 'latin1');
  return block;
}

function fitsPath(path: Uint8Array): boolean {
  return path.length <= FIELD.name[1] || splitForUstar(path) !== undefined;
}

/** `prefix/name`, cut at a slash that leaves room for both. */
function splitForUstar(path: Uint8Array): { readonly name: Uint8Array; readonly prefix: Uint8Array } | undefined {
  if (path.length <= FIELD.name[1]) return { name: path, prefix: new Uint8Array(0) };
  // A slash that ends the name of a directory is part of it.
  for (let slash = Math.min(path.length - 2, FIELD.prefix[1]); slash > 0; slash--) {
    if (path[slash] !== 0x2f) continue;
    if (path.length - slash - 1 > FIELD.name[1]) return undefined;
    return { name: path.subarray(slash + 1), prefix: path.subarray(0, slash) };
  }
  return undefined;
}

/** Readers guess at the encoding of plain fields; those of pax records are UTF-8. What is not UTF-8 has no better place than plain fields. */
function needsUtf8(text: Uint8Array): boolean {
  return text.some((byte) => byte >= 0x80) && isUtf8(text);
}

function isUtf8(text: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(text);
    return true;
  } catch {
    return false;
  }
}

function fitsOctal(value: number, length: number): boolean {
  return value >= 0 && value < 8 ** (length - 1);
}

/** `LENGTH key=value\n`, the length counting itself. */
function paxRecord(key: string | Uint8Array, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(' '), Buffer.from(key as string), Buffer.from('='), value, Buffer.from('\n')]);
  let length = rest.length + String(rest.length).length;
  if (String(length).length !== String(rest.length).length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Seconds with nine digits; before 1970 the number is the sum of both parts. */
function decimalTime({ sec, nsec }: Timespec): string {
  if (sec >= 0 || nsec === 0) return nsec === 0 ? String(sec) : `${sec}.${String(nsec).padStart(9, '0')}`;
  return `${sec + 1 === 0 ? '-0' : sec + 1}.${String(1e9 - nsec).padStart(9, '0')}`;
}

/** The parts of a device number as Linux puts them together. */
function deviceNumbers(rdev: number): { readonly major: number; readonly minor: number } {
  const number = BigInt(rdev);
  return { major: Number((number >> 8n) & 0xfffn), minor: Number((number & 0xffn) | ((number >> 12n) & 0xfff00n)) };
}

function deviceNumber(major: number, minor: number): number {
  return Number((BigInt(minor) & 0xffn) | (BigInt(major) << 8n) | ((BigInt(minor) & ~0xffn) << 12n));
}

/* ----------------------------------------------------------------- reading */

/** Values of pax records by key: text as latin1, so that bytes are kept. */
export type PaxRecords = ReadonlyMap<string, string>;

export interface RawHeader {
  readonly flag: string;
  readonly size: number;
  readonly block: Buffer;
}

/** Undefined for a block of zeros, which ends an archive. @param at where it lies, for messages. */
export function decodeBlock(block: Buffer, at: number): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (Number.parseInt(text(block, FIELD.checksum).toString('latin1').trim(), 8) !== checksum(block)) {
    throw new NokvError(
      'unsupported-format',
      `expected a tar header at byte ${at}, found something else; is it a (whole, uncompressed) tar archive?`,
    );
  }
  const size = number(block, FIELD.size);
  return { flag: String.fromCharCode(block[FIELD.type[0]] ?? 0), size, block };
}

/** The entry that a header names, with what extended headers before it said. Undefined: of a kind that is not known here. */
export function decodeEntry({ flag, block, size }: RawHeader, pax: PaxRecords, at: number): TarEntry | undefined {
  const isUstar = text(block, FIELD.magic).toString('latin1') === 'ustar';
  const prefix = isUstar ? text(block, FIELD.prefix) : Buffer.alloc(0);
  const name = text(block, FIELD.name);
  const plain = prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
  const path = paxBytes(pax, 'path') ?? plain;
  const type = typeOf(flag, path);
  if (type === undefined) return undefined;
  for (const key of pax.keys()) {
    if (key.startsWith('GNU.sparse.'))
      throw new NokvError('unsupported-format', `${formatName(path)} at byte ${at} is stored sparse; write the archive without --sparse`);
  }
  return {
    type,
    path,
    target: paxBytes(pax, 'linkpath') ?? text(block, FIELD.target),
    mode: number(block, FIELD.mode) & 0o7777,
    owner: { uid: paxNumber(pax, 'uid') ?? number(block, FIELD.uid), gid: paxNumber(pax, 'gid') ?? number(block, FIELD.gid) },
    size: type === 'file' ? (paxNumber(pax, 'size') ?? size) : 0,
    mtime: paxTime(pax) ?? { sec: number(block, FIELD.mtime), nsec: 0 },
    rdev: type === 'char' || type === 'block' ? deviceNumber(number(block, FIELD.major), number(block, FIELD.minor)) : 0,
    xattrs: paxXattrs(pax),
  };
}

/** Records of an extended header, over those that hold already. */
export function decodePax(bytes: Buffer, at: number, before: PaxRecords): PaxRecords {
  const records = new Map(before);
  for (let from = 0; from < bytes.length;) {
    const space = bytes.indexOf(0x20, from);
    const digits = space < 0 ? '' : bytes.toString('latin1', from, space);
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0;
    const record = bytes.subarray(space + 1, from + length - 1);
    const equals = record.indexOf(0x3d);
    if (length === 0 || from + length > bytes.length || bytes[from + length - 1] !== 0x0a || equals < 1) {
      throw new NokvError('unsupported-format', `the extended header at byte ${at} is damaged`);
    }
    const key = record.toString('latin1', 0, equals);
    const value = record.toString('latin1', equals + 1);
    if (value === '' && !key.startsWith(XATTR_PREFIX)) records.delete(key);
    else records.set(key, value);
    from += length;
  }
  return records;
}

function typeOf(flag: string, path: Buffer): TarEntry['type'] | undefined {
  // Old archives say a directory by its final slash; contiguous files ('7') are files.
  if (flag === '0' || flag === '\0' || flag === '7') return path.at(-1) === 0x2f ? 'directory' : 'file';
  const found = Object.entries(TYPE_FLAGS).find(([, known]) => known === flag);
  return found?.[0] as TarEntry['type'] | undefined;
}

function text(block: Buffer, [offset, length]: readonly [number, number]): Buffer {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(NUL);
  return end < 0 ? field : field.subarray(0, end);
}

/** Octal digits, or with the first bit set a number in base 256 (GNU). */
function number(block: Buffer, [offset, length]: readonly [number, number]): number {
  const field = block.subarray(offset, offset + length);
  const first = field[0] ?? 0;
  if (first >= 0x80) {
    let value = first === 0xff ? -1n : BigInt(first & 0x7f);
    for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
    return checkedNumber(Number(value));
  }
  const digits = text(block, [offset, length]).toString('latin1').trim();
  if (digits === '') return 0;
  return checkedNumber(/^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN);
}

function checkedNumber(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw new NokvError('unsupported-format', 'a number in a tar header is damaged or larger than 2^53');
}

function paxBytes(pax: PaxRecords, key: string): Buffer | undefined {
  const value = pax.get(key);
  return value === undefined ? undefined : Buffer.from(value, 'latin1');
}

function paxNumber(pax: PaxRecords, key: string): number | undefined {
  const value = pax.get(key);
  return value === undefined ? undefined : checkedNumber(/^\d+$/.test(value) ? Number(value) : Number.NaN);
}

function paxTime(pax: PaxRecords): Timespec | undefined {
  const value = pax.get('mtime');
  if (value === undefined) return undefined;
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value);
  if (match === null) throw new NokvError('unsupported-format', `a time in a tar header is damaged: ${value}`);
  const nsec = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9));
  const sec = checkedNumber(Number(match[2]));
  if (match[1] === '') return { sec, nsec };
  return nsec === 0 ? { sec: -sec, nsec: 0 } : { sec: -sec - 1, nsec: 1e9 - nsec };
}

function paxXattrs(pax: PaxRecords): Xattr[] {
  return [...pax].flatMap(([key, value]) =>
    key.startsWith(XATTR_PREFIX)
      ? [{ name: Buffer.from(key.slice(XATTR_PREFIX.length), 'latin1'), value: Buffer.from(value, 'latin1') }]
      : [],
  );
}

/** The sum of the bytes, with blanks in the place of the sum itself. */
function checksum(block: Buffer): number {
  let sum = 0;
  const [offset, length] = FIELD.checksum;
  for (let at = 0; at < block.length; at++) sum += at >= offset && at < offset + length ? 0x20 : (block[at] ?? 0);
  return sum;
}
