/** Schemas of the values that many messages hold. Attributes, times, pieces and changes are arrays by position. */
import type {
  Attributes,
  Body,
  Caller,
  ChangeRecord,
  Codec,
  EntryRef,
  Extent,
  Generation,
  InodeNumber,
  InodeType,
  Manifest,
  NodeCard,
  NodeRef,
  Piece,
  Splice,
  Timespec,
  UploadId,
  Version,
} from '@nokv/types';
import {
  CALLER_GROUPS_MAX,
  CHANGE_KINDS,
  CODECS,
  INLINE_BYTES_MAX,
  INODE_TYPES,
  LOCAL_INODES_PER_SHARD,
  NAME_BYTES_MAX,
  NokvError,
  PATH_BYTES_MAX,
  SHARDS_MAX,
  SYMLINK_TARGET_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  checkName,
  isChunksOf,
  isHole,
  lengthOf,
  uploadId,
} from '@nokv/types';
import type { MessageReader } from '../message-reader.js';
import type { MessageWriter } from '../message-writer.js';
import type { Schema } from '../schema.js';
import { boolean, bytes, coded, int, list, object, optional, parsedText, tagged, text, unsendable } from '../schema.js';

export const REQUEST_ID_BYTES_MAX = 64;
/** Actors, producers, targets: free text of people and agents. */
export const LABEL_BYTES_MAX = 256;
export const DIGEST_BYTES_MAX = 256;
const TARGET_BYTES_MAX = 8192;
/** Linux's XATTR_LIST_MAX is 64 KiB of names; the shortest name takes two bytes there. */
const XATTR_NAMES_MAX = 32 * 1024;
const U32_MAX = 2 ** 32 - 1;

export const inodeNumber: Schema<InodeNumber> = int<InodeNumber>(1, SHARDS_MAX * LOCAL_INODES_PER_SHARD - 1);
export const version: Schema<Version> = int<Version>(0);
export const generation: Schema<Generation> = int<Generation>(0);
export const count: Schema<number> = int(0);
export const permissions: Schema<number> = int(0, 0o7777);
/** 2^32 - 1 is the kernel's "no id" and never a real one. */
export const userId: Schema<number> = int(0, U32_MAX - 1);
export const callerIds: Schema<Caller> = object<Caller>({ uid: userId, gid: userId, groups: list(userId, CALLER_GROUPS_MAX) });
export const upload: Schema<UploadId> = parsedText('upload', 32, uploadId);
export const label: Schema<string> = text(LABEL_BYTES_MAX);
export const uploadTarget: Schema<string> = text(TARGET_BYTES_MAX);
export const digest: Schema<string> = text(DIGEST_BYTES_MAX);
export const inodeType: Schema<InodeType> = coded(INODE_TYPES);

/** A name as the shard keeps it. */
export const storedName: Schema<Uint8Array> = bytes(1, NAME_BYTES_MAX);

/** A name as a caller gives it: refused with the errors of names. */
export const entryName: Schema<Uint8Array> = {
  shape: { name: NAME_BYTES_MAX },
  write: (to, value) => {
    checkName(value);
    to.binary(value);
  },
  read: (from) => {
    const value = from.binary(PATH_BYTES_MAX);
    checkName(value);
    return value;
  },
};

/** An absolute path; the shard resolves it. */
export const path: Schema<Uint8Array> = {
  shape: { path: PATH_BYTES_MAX },
  write: (to, value) => {
    checkPathBytes(value);
    to.binary(value);
  },
  read: (from) => {
    const value = from.binary(64 * 1024);
    checkPathBytes(value);
    return value;
  },
};

function checkPathBytes(value: Uint8Array): void {
  if (value.length > PATH_BYTES_MAX) {
    throw new NokvError('path-too-long', `a path has at most ${PATH_BYTES_MAX} bytes, found ${value.length}`);
  }
  if (value[0] !== 0x2f) throw new NokvError('invalid-path', 'expected an absolute path; begin it with "/"');
}

export const xattrName: Schema<Uint8Array> = bytes(1, XATTR_NAME_BYTES_MAX);
export const xattrNames: Schema<readonly Uint8Array[]> = list(xattrName, XATTR_NAMES_MAX);
export const symlinkTarget: Schema<Uint8Array> = bytes(1, SYMLINK_TARGET_BYTES_MAX);

/** `[seconds, nanoseconds]` */
export const timespec: Schema<Timespec> = {
  shape: ['sec', 'nsec'],
  write: (to, value) => {
    to.arrayHeader(2);
    writeTime(to, value);
  },
  read: (from) => {
    if (from.arrayHeader() !== 2) throw from.invalid('expected [seconds, nanoseconds]');
    return readTime(from);
  },
};

function writeTime(to: MessageWriter, value: Timespec): void {
  if (!(value.nsec >= 0 && value.nsec < 1e9)) throw unsendable(`expected nanoseconds below 10^9, found ${value.nsec}`);
  to.int(value.sec);
  to.int(value.nsec);
}

function readTime(from: MessageReader): Timespec {
  const sec = from.int();
  const nsec = from.int();
  if (nsec < 0 || nsec >= 1e9) throw from.invalid(`expected nanoseconds below 10^9, found ${nsec}`);
  return { sec, nsec };
}

/** A time, or nil for the server's time of the commit. */
export const timeOrNow: Schema<Timespec | 'now'> = {
  shape: { nilOr: timespec.shape },
  write: (to, value) => (value === 'now' ? to.nil() : timespec.write(to, value)),
  read: (from) => {
    if (!from.isNil()) return timespec.read(from);
    from.nil();
    return 'now';
  },
};

export const nodeRef: Schema<NodeRef> = referenceSchema<NodeRef>(true);
export const entryRef: Schema<EntryRef> = referenceSchema<EntryRef>(false);

/** By position: a number is an inode, bytes are a path, `[parent, name]` is a place. */
function referenceSchema<T extends NodeRef | EntryRef>(withInode: boolean): Schema<T> {
  const expected = withInode ? 'an inode number, a path (bytes) or [parent, name]' : 'a path (bytes) or [parent, name]';
  return {
    shape: withInode ? { reference: ['ino', 'path', ['parent', 'name']] } : { reference: ['path', ['parent', 'name']] },
    write: (to, value: NodeRef | EntryRef) => {
      if ('parent' in value) {
        to.arrayHeader(2);
        inodeNumber.write(to, value.parent);
        entryName.write(to, value.name);
      } else if ('path' in value) {
        path.write(to, value.path);
      } else if (withInode && 'ino' in value) {
        inodeNumber.write(to, value.ino);
      } else {
        throw unsendable(`expected ${expected}`);
      }
    },
    read: (from) => {
      if (from.isBinary()) return { path: path.read(from) } as T;
      if (from.isInt() && withInode) return { ino: inodeNumber.read(from) } as T;
      if (!from.isArray() || from.arrayHeader() !== 2) throw from.invalid(`expected ${expected}`);
      return { parent: inodeNumber.read(from), name: entryName.read(from) } as T;
    },
  };
}

const ATTRIBUTES_LENGTH = 19;

/** All nineteen numbers by position, in the order of the shape: the hottest value of all. */
export const attributes: Schema<Attributes> = {
  shape: [
    'ino',
    'type',
    'mode',
    'uid',
    'gid',
    'nlink',
    'size',
    'blocks',
    'atime.sec',
    'atime.nsec',
    'mtime.sec',
    'mtime.nsec',
    'ctime.sec',
    'ctime.nsec',
    'rdev',
    'revision',
    'generation',
    'ordinal',
    'children',
  ],
  write: (to, value) => {
    to.arrayHeader(ATTRIBUTES_LENGTH);
    to.int(value.ino);
    inodeType.write(to, value.type);
    to.int(value.mode);
    to.int(value.uid);
    to.int(value.gid);
    to.int(value.nlink);
    to.int(value.size);
    to.int(value.blocks);
    writeTime(to, value.atime);
    writeTime(to, value.mtime);
    writeTime(to, value.ctime);
    to.int(value.rdev);
    to.int(value.revision);
    to.int(value.generation);
    to.int(value.ordinal);
    to.int(value.children);
  },
  read: (from) => {
    if (from.arrayHeader() !== ATTRIBUTES_LENGTH) throw from.invalid(`expected ${ATTRIBUTES_LENGTH} attributes`);
    const value: Attributes = {
      ino: inodeNumber.read(from),
      type: inodeType.read(from),
      mode: from.int(),
      uid: from.int(),
      gid: from.int(),
      nlink: from.int(),
      size: from.int(),
      blocks: from.int(),
      atime: readTime(from),
      mtime: readTime(from),
      ctime: readTime(from),
      rdev: from.int(),
      revision: from.int(),
      generation: generation.read(from),
      ordinal: from.int(),
      children: from.int(),
    };
    if (
      value.mode < 0 ||
      value.mode > 0o7777 ||
      value.uid < 0 ||
      value.gid < 0 ||
      value.nlink < 0 ||
      value.size < 0 ||
      value.blocks < 0 ||
      value.rdev < 0 ||
      value.revision < 0 ||
      value.ordinal < 0 ||
      value.children < 0
    ) {
      throw from.invalid('an attribute is out of its range');
    }
    return value;
  },
};

interface CardExtras {
  readonly digest?: string;
  readonly contentType?: string;
  readonly producer?: string;
  readonly inline: boolean;
  readonly target?: Uint8Array;
  readonly xattrs: readonly Uint8Array[];
}

const cardExtras: Schema<CardExtras> = object<CardExtras>({
  digest: optional(digest),
  contentType: optional(label),
  producer: optional(label),
  inline: boolean,
  target: optional(symlinkTarget),
  xattrs: xattrNames,
});

/** `[attributes, the rest as a map]` */
export const nodeCard: Schema<NodeCard> = {
  shape: ['attributes', cardExtras.shape],
  write: (to, value) => {
    to.arrayHeader(2);
    attributes.write(to, value);
    cardExtras.write(to, value);
  },
  read: (from) => {
    if (from.arrayHeader() !== 2) throw from.invalid('expected [attributes, card]');
    return Object.assign(attributes.read(from), cardExtras.read(from));
  },
};

const PIECE_SHAPE = ['upload', 'index', 'offset', 'length', 'crc32c', 'skip', 'take'] as const;

/**
 * `[size, [upload, …], [extent, …]]` where an extent is a number (a hole of so many bytes) or
 * `[place of the upload in the list, index, offset, length, crc32c, skip, take]`: tens of bytes for a block; of a compressed one with
 * `codec, plain length, plain crc32c` behind that, of one in chunks with `bytes of a chunk, running checksums`.
 */
export const manifest: Schema<Manifest> = {
  shape: [
    'size',
    { list: 'upload' },
    {
      list: [
        'hole',
        PIECE_SHAPE,
        [...PIECE_SHAPE, 'chunkBytes', 'running'],
        [...PIECE_SHAPE, { codecs: CODECS }, 'plainLength', 'plainCrc32c'],
      ],
    },
  ],
  write: (to, value) => {
    const places = new Map<UploadId, number>();
    for (const extent of value.extents) {
      if (!isHole(extent) && !places.has(extent.upload)) places.set(extent.upload, places.size);
    }
    to.arrayHeader(3);
    count.write(to, value.size);
    to.arrayHeader(places.size);
    for (const id of places.keys()) upload.write(to, id);
    to.arrayHeader(value.extents.length);
    for (const extent of value.extents) writeExtent(to, extent, places);
  },
  read: (from) => {
    if (from.arrayHeader() !== 3) throw from.invalid('expected [size, uploads, extents]');
    const size = count.read(from);
    const uploads: UploadId[] = [];
    for (let left = from.arrayHeader(); left > 0; left--) uploads.push(upload.read(from));
    const extents: Extent[] = [];
    for (let left = from.arrayHeader(); left > 0; left--) extents.push(readExtent(from, uploads));
    checkUploads(from, uploads, extents);
    return { size, extents };
  },
};

/** Each is listed once, in the order in which pieces name them first: one value has one encoding. */
function checkUploads(from: MessageReader, uploads: readonly UploadId[], extents: readonly Extent[]): void {
  const named = new Set<UploadId>();
  for (const extent of extents) if (!isHole(extent)) named.add(extent.upload);
  if (named.size !== uploads.length || [...named].some((id, at) => uploads[at] !== id)) {
    throw from.invalid('expected the uploads that the pieces name, each once, in the order of the pieces');
  }
}

function writeExtent(to: MessageWriter, extent: Extent, places: ReadonlyMap<UploadId, number>): void {
  if (isHole(extent)) return count.write(to, extent.take);
  const { chunks, compression } = extent;
  to.arrayHeader(compression !== undefined ? COMPRESSED_LENGTH : chunks !== undefined ? CHUNKED_LENGTH : PIECE_LENGTH);
  to.int(places.get(extent.upload) as number);
  count.write(to, extent.index);
  count.write(to, extent.offset);
  count.write(to, extent.length);
  crc.write(to, extent.crc32c);
  count.write(to, extent.skip);
  count.write(to, extent.take);
  if (compression !== undefined) {
    codec.write(to, compression.codec);
    count.write(to, compression.plainLength);
    crc.write(to, compression.plainCrc32c);
  } else if (chunks !== undefined) {
    count.write(to, chunks.bytes);
    running.write(to, chunks.running);
  }
}

const PIECE_LENGTH = 7;
const CHUNKED_LENGTH = 9;
const COMPRESSED_LENGTH = 10;
const codec: Schema<Codec> = coded(CODECS);
/** Of the largest block in the smallest chunks. */
const RUNNING_BYTES_MAX = 4 * 65_536;
const running: Schema<Uint8Array> = bytes(4, RUNNING_BYTES_MAX);
const crc: Schema<number> = int(0, U32_MAX);

function readExtent(from: MessageReader, uploads: readonly UploadId[]): Extent {
  if (from.isInt()) return { hole: true, take: count.read(from) };
  const length = from.arrayHeader();
  if (length !== PIECE_LENGTH && length !== CHUNKED_LENGTH && length !== COMPRESSED_LENGTH)
    throw from.invalid('expected a hole, or a piece of seven parts, nine in chunks, ten compressed');
  const id = uploads[from.int()];
  if (id === undefined) throw from.invalid('a piece names an upload that is not in the list');
  const piece: Piece = {
    upload: id,
    index: count.read(from),
    offset: count.read(from),
    length: count.read(from),
    crc32c: crc.read(from),
    skip: count.read(from),
    take: count.read(from),
  };
  if (length === PIECE_LENGTH) return piece;
  if (length === COMPRESSED_LENGTH)
    return { ...piece, compression: { codec: codec.read(from), plainLength: count.read(from), plainCrc32c: crc.read(from) } };
  const chunks = { bytes: count.read(from), running: running.read(from) };
  if (!isChunksOf(chunks, piece.length)) throw from.invalid(`a piece of ${piece.length} bytes has no such chunks`);
  return { ...piece, chunks };
}

/** Extents that a splice is told to find: `[size, uploads, extents]` like a manifest. */
const expectedExtents: Schema<readonly Extent[]> = {
  shape: manifest.shape,
  write: (to, value) => manifest.write(to, { size: lengthOf(value), extents: value }),
  read: (from) => {
    const { size, extents } = manifest.read(from);
    if (size !== lengthOf(extents)) throw from.invalid(`expected extents of ${size} bytes, found ${lengthOf(extents)}`);
    return extents;
  },
};

export const splice: Schema<Splice> = object<Splice>({ offset: optional(count), length: count, over: optional(expectedExtents) });

export const body: Schema<Body> = tagged<Body>({
  inline: object<{ readonly bytes: Uint8Array }>({ bytes: bytes(0, INLINE_BYTES_MAX) }),
  blocks: object<{ readonly manifest: Manifest }>({ manifest }),
});

export const changeRecord: Schema<ChangeRecord> = object<ChangeRecord>({
  version,
  ordinal: count,
  kind: coded(CHANGE_KINDS),
  ino: inodeNumber,
  type: inodeType,
  parent: optional(inodeNumber),
  name: optional(storedName),
  fromParent: optional(inodeNumber),
  fromName: optional(storedName),
  generation: optional(generation),
  requestId: text(REQUEST_ID_BYTES_MAX),
  actor: text(LABEL_BYTES_MAX),
  time: timespec,
});
