/**
 * Values of inodes and directory entries. Every versioned value begins with its birth: the version that wrote it.
 *
 * attributes (95 bytes): type u8, mode u16, uid u32, gid u32, nlink u32, rdev u32, size u64, allocated u64, atime (sec u64,
 *   nsec u32), mtime, ctime, revision u64, generation u64, ordinal u32, children u32
 * inode:  birth u64, attributes, xattr list bytes u32, place: parent u64, version of the name u64, name length u8, name;
 *   then the target of a symlink to the end of the row
 * dentry: birth u64, ino u64, type u8, then attributes or nothing
 * link:   birth u64
 *
 * A dentry repeats the attributes of a file that has this one name, so that a lookup is one get and a listing one scan.
 * The copy is rewritten with its inode; it is no part of the entry's history, whose birth stays that of the name.
 */
import { INODE_TYPES, type Attributes, type Generation, type InodeNumber, type InodeType, type Timespec, type Version } from '@nokv/types';
import { RowReader, corruptRow, readU64 } from './row-reader.js';
import { RowWriter } from './row-writer.js';

export const ATTRIBUTES_BYTES = 95;
const NO_NAME = new Uint8Array(0);

/** An inode as it is stored. Mutable: a command edits its own copy. */
export class Inode {
  birth = 0 as Version;
  ino: InodeNumber;
  type: InodeType;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 1;
  rdev = 0;
  size = 0;
  /** Bytes of the body that blocks or the metadata hold; holes count nothing. */
  allocated = 0;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  revision = 1;
  generation = 0 as Generation;
  ordinal = 0;
  children = 0;
  /** Length of the list of extended attributes as listxattr(2) gives it: names, each with its NUL. */
  xattrListBytes = 0;
  /** Directory and name of an inode that has one name; 0 and nothing for several names, a root and its own. */
  parent = 0 as InodeNumber;
  /** The version that put it there: the birth of that dentry. */
  namedAt = 0 as Version;
  name: Uint8Array = NO_NAME;
  target: Uint8Array = NO_NAME;

  constructor(ino: InodeNumber, type: InodeType, time: Timespec) {
    this.ino = ino;
    this.type = type;
    this.atime = time;
    this.mtime = time;
    this.ctime = time;
  }

  clone(): Inode {
    const copy = new Inode(this.ino, this.type, this.atime);
    copy.birth = this.birth;
    copy.mode = this.mode;
    copy.uid = this.uid;
    copy.gid = this.gid;
    copy.nlink = this.nlink;
    copy.rdev = this.rdev;
    copy.size = this.size;
    copy.allocated = this.allocated;
    copy.mtime = this.mtime;
    copy.ctime = this.ctime;
    copy.revision = this.revision;
    copy.generation = this.generation;
    copy.ordinal = this.ordinal;
    copy.children = this.children;
    copy.xattrListBytes = this.xattrListBytes;
    copy.parent = this.parent;
    copy.namedAt = this.namedAt;
    copy.name = this.name;
    copy.target = this.target;
    return copy;
  }
}

export interface Dentry {
  readonly birth: Version;
  readonly ino: InodeNumber;
  readonly type: InodeType;
}

const writer = new RowWriter();

export function encodeInode(inode: Inode): Buffer {
  const { name, target } = inode;
  const row = writer.begin(8 + ATTRIBUTES_BYTES + 21 + name.length + target.length).u64(inode.birth);
  writeAttributes(row, inode, inode.allocated);
  return row.u32(inode.xattrListBytes).u64(inode.parent).u64(inode.namedAt).u8(name.length).bytes(name).bytes(target).end();
}

export function decodeInode(ino: InodeNumber, bytes: Uint8Array): Inode {
  const row = new RowReader(bytes);
  const birth = row.u64() as Version;
  const inode = readAttributes(row, ino);
  inode.birth = birth;
  inode.xattrListBytes = row.u32();
  inode.parent = row.u64() as InodeNumber;
  inode.namedAt = row.u64() as Version;
  const nameLength = row.u8();
  if (nameLength > 0) inode.name = row.bytes(nameLength);
  if (row.rest > 0) {
    if (inode.type !== 'symlink') throw corruptRow(`${row.rest} bytes after inode ${ino}`);
    inode.target = row.bytes(row.rest);
  }
  return inode;
}

/** @param attributes the inode to repeat in the entry, or undefined. */
export function encodeDentry(birth: Version, ino: InodeNumber, type: InodeType, attributes: Inode | undefined): Buffer {
  const row = writer
    .begin(17 + ATTRIBUTES_BYTES)
    .u64(birth)
    .u64(ino)
    .u8(INODE_TYPES.indexOf(type));
  if (attributes !== undefined) writeAttributes(row, attributes, attributes.allocated);
  return row.end();
}

export function decodeDentry(bytes: Uint8Array): Dentry {
  if (bytes.length !== 17 && bytes.length !== 17 + ATTRIBUTES_BYTES) throw corruptRow(`an entry of ${bytes.length} bytes`);
  return { birth: readU64(bytes, 0) as Version, ino: readU64(bytes, 8) as InodeNumber, type: typeOf(bytes[16]) };
}

/** The attributes that an entry repeats, or undefined where it has none. */
export function decodeDentryAttributes(bytes: Uint8Array): Attributes | undefined {
  if (bytes.length === 17) return undefined;
  const row = new RowReader(bytes);
  row.u64();
  const ino = row.u64() as InodeNumber;
  row.u8();
  const inode = readAttributes(row, ino);
  row.end();
  return toAttributes(inode);
}

export function encodeLink(birth: Version): Buffer {
  return writer.begin(8).u64(birth).end();
}

export function toAttributes(inode: Inode): Attributes {
  return {
    ino: inode.ino,
    type: inode.type,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    nlink: inode.nlink,
    size: inode.size,
    blocks: Math.ceil(inode.allocated / 512),
    atime: inode.atime,
    mtime: inode.mtime,
    ctime: inode.ctime,
    rdev: inode.rdev,
    revision: inode.revision,
    generation: inode.generation,
    ordinal: inode.ordinal,
    children: inode.children,
  };
}

/** The attributes block of what a caller was shown: whole 512-byte units stand for the bytes behind them. */
export function writeShownAttributes(row: RowWriter, attributes: Attributes): RowWriter {
  return writeAttributes(row, attributes, attributes.blocks * 512);
}

export function readShownAttributes(row: RowReader, ino: InodeNumber): Attributes {
  return toAttributes(readAttributes(row, ino));
}

function writeAttributes(row: RowWriter, inode: Omit<Attributes, 'blocks'>, allocated: number): RowWriter {
  return row
    .u8(INODE_TYPES.indexOf(inode.type))
    .u16(inode.mode)
    .u32(inode.uid)
    .u32(inode.gid)
    .u32(inode.nlink)
    .u32(inode.rdev)
    .u64(inode.size)
    .u64(allocated)
    .time(inode.atime)
    .time(inode.mtime)
    .time(inode.ctime)
    .u64(inode.revision)
    .u64(inode.generation)
    .u32(inode.ordinal)
    .u32(inode.children);
}

function readAttributes(row: RowReader, ino: InodeNumber): Inode {
  const type = typeOf(row.u8());
  const mode = row.u16();
  const uid = row.u32();
  const gid = row.u32();
  const nlink = row.u32();
  const rdev = row.u32();
  const size = row.u64();
  const allocated = row.u64();
  const inode = new Inode(ino, type, row.time());
  inode.mode = mode;
  inode.uid = uid;
  inode.gid = gid;
  inode.nlink = nlink;
  inode.rdev = rdev;
  inode.size = size;
  inode.allocated = allocated;
  inode.mtime = row.time();
  inode.ctime = row.time();
  inode.revision = row.u64();
  inode.generation = row.u64() as Generation;
  inode.ordinal = row.u32();
  inode.children = row.u32();
  return inode;
}

function typeOf(code: number | undefined): InodeType {
  const type = code === undefined ? undefined : INODE_TYPES[code];
  if (type === undefined) throw corruptRow(`${code} is no inode type`);
  return type;
}
