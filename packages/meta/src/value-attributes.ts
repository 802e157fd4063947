/**
 * The block of attributes inside inodes, entries and results: what almost every file has in common is left out.
 *
 * head u16: type (bits 0 to 2), bit 3 is the owner's of the row (see {@link AttributesMark}), and a bit for each field that follows below;
 * mode u16, ctime (sec u64, nsec u32), then those of these fields whose bit is set, in this order:
 *   uid u32, gid u32 (absent: 0), nlink u32 (absent: 1), rdev u32, size u64 (absent: 0), allocated u64 (absent: as size),
 *   mtime, atime (sec u64, nsec u32 each; absent: as ctime), revision u64 (absent: 1), generation u64 with ordinal u32 (absent: both 0),
 *   children u32 (absent: 0)
 *
 * A field that is there never has the value that its absence stands for: one value has one encoding. 16 to 96 bytes.
 */
import { INODE_TYPES, type Attributes, type Generation, type InodeType, type Timespec } from '@nokv/types';
import { corruptRow, type RowReader } from './row-reader.js';
import type { RowWriter } from './row-writer.js';

const ATTRIBUTES_BYTES_MIN = 16;
export const ATTRIBUTES_BYTES_MAX = 96;

const TYPE_BITS = 0x07;
const MARK = 0x08;
const UID = 0x10;
const GID = 0x20;
const NLINK = 0x40;
const RDEV = 0x80;
const SIZE = 0x100;
const ALLOCATED = 0x200;
const MTIME = 0x400;
const ATIME = 0x800;
const REVISION = 0x1000;
const BODY = 0x2000;
const CHILDREN = 0x4000;
const UNUSED = 0x8000;

/** By the place of its bit. */
const FIELD_BYTES: readonly number[] = [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 12, 12, 8, 12, 4];

/** One bit that the row around the block may use as it likes. */
export type AttributesMark = boolean;

/** What the block holds, to be filled in. */
export interface AttributesFields {
  type: InodeType;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  size: number;
  allocated: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  revision: number;
  generation: Generation;
  ordinal: number;
  children: number;
}

export function writeAttributes(
  row: RowWriter,
  inode: Omit<Attributes, 'blocks' | 'ino'>,
  allocated: number,
  mark: AttributesMark = false,
): RowWriter {
  const { uid, gid, nlink, rdev, size, atime, mtime, ctime, revision, generation, ordinal, children } = inode;
  let head = INODE_TYPES.indexOf(inode.type);
  if (mark) head |= MARK;
  if (uid !== 0) head |= UID;
  if (gid !== 0) head |= GID;
  if (nlink !== 1) head |= NLINK;
  if (rdev !== 0) head |= RDEV;
  if (size !== 0) head |= SIZE;
  if (allocated !== size) head |= ALLOCATED;
  if (!isSameTime(mtime, ctime)) head |= MTIME;
  if (!isSameTime(atime, ctime)) head |= ATIME;
  if (revision !== 1) head |= REVISION;
  if (generation !== 0 || ordinal !== 0) head |= BODY;
  if (children !== 0) head |= CHILDREN;
  row.u16(head).u16(inode.mode).time(ctime);
  if (head < UID) return row;
  if ((head & UID) !== 0) row.u32(uid);
  if ((head & GID) !== 0) row.u32(gid);
  if ((head & NLINK) !== 0) row.u32(nlink);
  if ((head & RDEV) !== 0) row.u32(rdev);
  if ((head & SIZE) !== 0) row.u64(size);
  if ((head & ALLOCATED) !== 0) row.u64(allocated);
  if ((head & MTIME) !== 0) row.time(mtime);
  if ((head & ATIME) !== 0) row.time(atime);
  if ((head & REVISION) !== 0) row.u64(revision);
  if ((head & BODY) !== 0) row.u64(generation).u32(ordinal);
  if ((head & CHILDREN) !== 0) row.u32(children);
  return row;
}

/** Length of the block that lies at `at`, by its first two bytes. */
export function attributesBytes(bytes: Uint8Array, at: number): number {
  const head = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  let length = ATTRIBUTES_BYTES_MIN;
  for (let bit = 4; bit < FIELD_BYTES.length; bit++) if ((head & (1 << bit)) !== 0) length += FIELD_BYTES[bit] as number;
  return length;
}

/** Fills `fields`, which hold the values of a fresh row: 0 everywhere, but one link and revision 1. */
export function readAttributes(row: RowReader, fields: AttributesFields): AttributesMark {
  const head = row.u16();
  const type = INODE_TYPES[head & TYPE_BITS];
  if (type === undefined || (head & UNUSED) !== 0) throw corruptRow(`${head} begins no attributes`);
  fields.type = type;
  fields.mode = row.u16();
  const ctime = row.time();
  fields.ctime = ctime;
  fields.mtime = ctime;
  fields.atime = ctime;
  if ((head & UID) !== 0) fields.uid = other(row.u32(), 0, 'uid');
  if ((head & GID) !== 0) fields.gid = other(row.u32(), 0, 'gid');
  if ((head & NLINK) !== 0) fields.nlink = other(row.u32(), 1, 'nlink');
  if ((head & RDEV) !== 0) fields.rdev = other(row.u32(), 0, 'rdev');
  if ((head & SIZE) !== 0) fields.size = other(row.u64(), 0, 'size');
  fields.allocated = (head & ALLOCATED) === 0 ? fields.size : other(row.u64(), fields.size, 'allocated');
  if ((head & MTIME) !== 0) fields.mtime = otherTime(row.time(), ctime, 'mtime');
  if ((head & ATIME) !== 0) fields.atime = otherTime(row.time(), ctime, 'atime');
  if ((head & REVISION) !== 0) fields.revision = other(row.u64(), 1, 'revision');
  if ((head & BODY) !== 0) {
    fields.generation = row.u64() as Generation;
    fields.ordinal = row.u32();
    if (fields.generation === 0 && fields.ordinal === 0) throw redundant('generation');
  }
  if ((head & CHILDREN) !== 0) fields.children = other(row.u32(), 0, 'children');
  return (head & MARK) !== 0;
}

function isSameTime(a: Timespec, b: Timespec): boolean {
  return a === b || (a.sec === b.sec && a.nsec === b.nsec);
}

function other(value: number, absent: number, field: string): number {
  if (value === absent) throw redundant(field);
  return value;
}

function otherTime(value: Timespec, absent: Timespec, field: string): Timespec {
  if (isSameTime(value, absent)) throw redundant(field);
  return value;
}

function redundant(field: string): Error {
  return corruptRow(`its ${field} says what its absence would`);
}
