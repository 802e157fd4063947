/**
 * Values of inodes and directory entries. Every versioned value begins with its birth: the version that wrote it.
 *
 * inode:  birth u64, attributes (value-attributes.ts; marked: a directory that has an origin), xattr list bytes u32, place: parent u64, version of the name u64, name length u8,
 *   name; then the target of a symlink to the end of the row
 * dentry: birth u64, ino u64, type u8, then attributes or nothing
 * link:   birth u64
 *
 * A dentry repeats the attributes of a file that has this one name, so that a lookup is one get and a listing one scan.
 * The copy is rewritten with its inode; it is no part of the entry's history, whose birth stays that of the name.
 */
import { INODE_TYPES, type Attributes, type Generation, type InodeNumber, type InodeType, type Timespec, type Version } from '@nokv/types';
import { RowReader, corruptRow, readU64 } from './row-reader.js';
import { RowWriter } from './row-writer.js';
import { ATTRIBUTES_BYTES_MAX, attributesBytes, readAttributes, writeAttributes } from './value-attributes.js';

const ZERO_TIME: Timespec = { sec: 0, nsec: 0 };
/** An entry that repeats no attributes. */
const BARE_ENTRY_BYTES = 17;
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
  /** A directory of a fork that may still show entries of its origin; a hint that only the absence of is certain. */
  isLazy = false;

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
    copy.isLazy = this.isLazy;
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
  const row = writer.begin(8 + ATTRIBUTES_BYTES_MAX + 21 + name.length + target.length).u64(inode.birth);
  writeAttributes(row, inode, inode.allocated, inode.isLazy);
  return row.u32(inode.xattrListBytes).u64(inode.parent).u64(inode.namedAt).u8(name.length).bytes(name).bytes(target).end();
}

export function decodeInode(ino: InodeNumber, bytes: Uint8Array): Inode {
  const row = new RowReader(bytes);
  const birth = row.u64() as Version;
  const inode = decodeAttributes(row, ino);
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
    .begin(BARE_ENTRY_BYTES + ATTRIBUTES_BYTES_MAX)
    .u64(birth)
    .u64(ino)
    .u8(INODE_TYPES.indexOf(type));
  if (attributes !== undefined) writeAttributes(row, attributes, attributes.allocated);
  return row.end();
}

export function decodeDentry(bytes: Uint8Array): Dentry {
  const repeated = bytes.length - BARE_ENTRY_BYTES;
  if (repeated !== 0 && (repeated < 0 || repeated !== attributesBytes(bytes, BARE_ENTRY_BYTES))) {
    throw corruptRow(`an entry of ${bytes.length} bytes`);
  }
  return { birth: readU64(bytes, 0) as Version, ino: readU64(bytes, 8) as InodeNumber, type: typeOf(bytes[16]) };
}

/** The attributes that an entry repeats, or undefined where it has none. */
export function decodeDentryAttributes(bytes: Uint8Array): Attributes | undefined {
  if (bytes.length === BARE_ENTRY_BYTES) return undefined;
  const row = new RowReader(bytes);
  row.u64();
  const ino = row.u64() as InodeNumber;
  row.u8();
  const inode = decodeAttributes(row, ino);
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
  return toAttributes(decodeAttributes(row, ino));
}

function decodeAttributes(row: RowReader, ino: InodeNumber): Inode {
  const inode = new Inode(ino, 'file', ZERO_TIME);
  inode.isLazy = readAttributes(row, inode);
  return inode;
}

function typeOf(code: number | undefined): InodeType {
  const type = code === undefined ? undefined : INODE_TYPES[code];
  if (type === undefined) throw corruptRow(`${code} is no inode type`);
  return type;
}
