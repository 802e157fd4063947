/**
 * The namespace as it was at a version. Bound to a pin it shows the pin's root and what lay below it, and nothing else: a path leads
 * there by the names that did so then, through directories made up for them, since the real ones may be forgotten.
 */
import { splitPath, type Attributes, type Caller, type Generation, type InodeNumber, type Timespec, type Version } from '@nokv/types';
import {
  FAMILY,
  NAME_AT,
  bodyKey,
  dentryKey,
  inodeKey,
  keyAfter,
  numberEnd,
  numberStart,
  originKey,
  whiteoutKey,
  xattrKey,
} from '../key.js';
import type { KvEntry } from '../ordered-kv.js';
import type { NamespaceView } from '../read-view.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import { decodeBody, decodeBodyHead, decodeXattr, type BodyHead, type BodyRow } from '../value-body.js';
import { Inode, decodeDentry, decodeInode, toAttributes, type Dentry } from '../value-inode.js';
import { decodeOrigin, type OriginRow } from '../value-pin.js';
import { rangeAt, rowAt, type RowSource } from './past-rows.js';
import { Unmaterialised } from './unmaterialised.js';

export interface PinnedRoot {
  readonly ino: InodeNumber;
  /** Of the root, at the version. */
  readonly path: Uint8Array;
}

const NO_NAME = new Uint8Array(0);
const EPOCH: Timespec = { sec: 0, nsec: 0 };
/** The state now. */
const NEWEST = Number.MAX_SAFE_INTEGER as Version;

export class PastView implements NamespaceView {
  readonly root: InodeNumber;
  readonly version: Version;
  readonly repeatsAttributes = false;
  /** Whom it shows the past to: by the permissions of that time. */
  caller: Caller | undefined = undefined;
  readonly #source: RowSource;
  readonly #pinned: InodeNumber | undefined;
  /** Names from the root to the pin's; the directories on the way are -1, -2 …, the first of them the root of this view. */
  readonly #spine: readonly Uint8Array[];

  constructor(source: RowSource, root: InodeNumber, version: Version, pinned?: PinnedRoot) {
    this.#source = source;
    this.version = version;
    const isWhole = pinned === undefined || pinned.ino === root;
    this.#pinned = isWhole ? undefined : pinned.ino;
    this.#spine = isWhole ? [] : splitPath(pinned.path);
    this.root = this.#spine.length === 0 ? root : spineInode(0);
  }

  inode(ino: InodeNumber): Inode | undefined {
    if (ino < 0) return this.#spineDirectory(ino);
    const bytes = this.#rowAt(inodeKey(ino));
    return bytes === undefined ? undefined : decodeInode(ino, bytes);
  }

  entry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    if (parent < 0) return this.#spineEntry(parent, name);
    const found = this.storedEntry(parent, name);
    if (found === undefined) this.#refuseLazy(parent, name);
    return found;
  }

  /** The entry as it is stored, whatever a directory of a fork may show beyond it. */
  storedEntry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    const bytes = this.#rowAt(dentryKey(parent, name));
    return bytes === undefined ? undefined : decodeDentry(bytes);
  }

  attributesAt(parent: InodeNumber, name: Uint8Array): Attributes | undefined {
    const entry = this.entry(parent, name);
    const inode = entry === undefined ? undefined : this.inode(entry.ino);
    return inode === undefined ? undefined : toAttributes(inode);
  }

  attributesOf(entry: Uint8Array): Attributes | undefined {
    const inode = this.inode(decodeDentry(entry).ino);
    return inode === undefined ? undefined : toAttributes(inode);
  }

  *entryRows(directory: Inode, after: Uint8Array | undefined): Generator<KvEntry> {
    yield* untilUnmaterialised(this.#source, directory, this.storedEntryRows(directory.ino, after), this.version);
  }

  /** Rows of entries as they are stored, whatever a directory of a fork may show beyond them. */
  storedEntryRows(directory: InodeNumber, after?: Uint8Array): Generator<KvEntry> {
    const start = after === undefined ? numberStart(FAMILY.dentry, directory) : keyAfter(dentryKey(directory, after));
    return rangeAt(this.#source, start, numberEnd(FAMILY.dentry, directory), this.version);
  }

  *links(ino: InodeNumber): Generator<{ readonly parent: InodeNumber; readonly name: Uint8Array }> {
    for (const { key } of rangeAt(this.#source, numberStart(FAMILY.link, ino), numberEnd(FAMILY.link, ino), this.version)) {
      yield { parent: readU64(key, 9) as InodeNumber, name: copyBytes(key, 17, key.length) };
    }
  }

  xattr(ino: InodeNumber, name: Uint8Array): Uint8Array | undefined {
    const bytes = this.#rowAt(xattrKey(ino, name));
    return bytes === undefined ? undefined : decodeXattr(bytes);
  }

  *xattrs(ino: InodeNumber): Generator<{ readonly name: Uint8Array; readonly value: Uint8Array }> {
    for (const { key, value } of rangeAt(this.#source, numberStart(FAMILY.xattr, ino), numberEnd(FAMILY.xattr, ino), this.version)) {
      yield { name: copyBytes(key, NAME_AT, key.length), value: decodeXattr(value) };
    }
  }

  /** Bodies are stored under their generations and need no version. */
  body(ino: InodeNumber, generation: Generation): BodyRow | undefined {
    const bytes = this.#source.get(bodyKey(ino, generation));
    return bytes === undefined ? undefined : decodeBody(bytes);
  }

  bodyHead(ino: InodeNumber, generation: Generation): BodyHead | undefined {
    const bytes = this.#source.get(bodyKey(ino, generation));
    return bytes === undefined ? undefined : decodeBodyHead(bytes);
  }

  /** Whether the view shows this inode: at or below the pin's root, and there at all. */
  shows(ino: InodeNumber): boolean {
    if (this.#pinned === undefined) return ino > 0;
    return ino > 0 && isUnder(this, ino, this.#pinned);
  }

  /** Names from the root of the namespace to the root of the pin. */
  get spine(): readonly Uint8Array[] {
    return this.#spine;
  }

  /** Where walks up end. */
  get top(): InodeNumber {
    return this.#pinned ?? this.root;
  }

  #rowAt(key: Buffer): Uint8Array | undefined {
    return rowAt(this.#source, key, this.version);
  }

  #spineDirectory(ino: InodeNumber): Inode | undefined {
    const level = -ino - 1;
    if (level >= this.#spine.length) return undefined;
    const inode = new Inode(ino, 'directory', EPOCH);
    inode.mode = 0o555;
    inode.nlink = 2;
    inode.parent = level === 0 ? (0 as InodeNumber) : spineInode(level - 1);
    inode.name = level === 0 ? NO_NAME : (this.#spine[level - 1] ?? NO_NAME);
    return inode;
  }

  #spineEntry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    const level = -parent - 1;
    const expected = this.#spine[level];
    if (expected === undefined || Buffer.compare(expected, name) !== 0) return undefined;
    const birth = 0 as Version;
    if (level + 1 < this.#spine.length) return { birth, ino: spineInode(level + 1), type: 'directory' };
    const pinned = this.#pinned === undefined ? undefined : this.inode(this.#pinned);
    return pinned === undefined ? undefined : { birth, ino: pinned.ino, type: pinned.type };
  }

  #refuseLazy(parent: InodeNumber, name: Uint8Array): void {
    if (this.inode(parent)?.isLazy === true) refuseShownByOrigin(this.#source, parent, name, this.version);
  }
}

/** What a directory shows at a version where it has no entry of its own; a root can have got that later. */
export function originOf(source: RowSource, directory: InodeNumber, version: Version): OriginRow | undefined {
  const bytes = source.get(originKey(directory));
  const origin = bytes === undefined ? undefined : decodeOrigin(bytes);
  return origin === undefined || origin.born > version ? undefined : origin;
}

/** Throws where a directory of a fork has no entry of this name, but shows that of its origin. */
export function refuseShownByOrigin(source: RowSource, directory: InodeNumber, name: Uint8Array, version = NEWEST): void {
  const origin = originOf(source, directory, version);
  if (origin === undefined || Buffer.compare(name, origin.done) <= 0) return;
  if (source.get(whiteoutKey(directory, name)) !== undefined) return;
  const shown = new PastView(source, 0 as InodeNumber, origin.version).entry(origin.source, name);
  if (shown !== undefined) throw new Unmaterialised(directory, copyBytes(name, 0, name.length));
}

/** The rows that a listing may show before the directory has to take over more of its origin; then throws. */
export function* untilUnmaterialised(source: RowSource, directory: Inode, rows: Iterable<KvEntry>, version = NEWEST): Generator<KvEntry> {
  const origin = directory.isLazy ? originOf(source, directory.ino, version) : undefined;
  if (origin === undefined) return yield* rows;
  for (const row of rows) {
    if (Buffer.compare(row.key.subarray(NAME_AT), origin.done) > 0) break;
    yield row;
  }
  throw new Unmaterialised(directory.ino, undefined);
}

/** Whether `ino` is `root` or lies below it, in the state that `view` shows. */
export function isUnder(
  view: { inode(ino: InodeNumber): Inode | undefined; links(ino: InodeNumber): Iterable<{ readonly parent: InodeNumber }> },
  ino: InodeNumber,
  root: InodeNumber,
): boolean {
  if (ino === root) return true;
  const inode = view.inode(ino);
  if (inode === undefined) return false;
  if (inode.parent === 0 && inode.type !== 'directory') {
    for (const { parent } of view.links(ino)) if (isUnder(view, parent, root)) return true;
    return false;
  }
  // Ends at a root: parents of directories form a tree.
  for (let at = inode.parent; at !== 0; at = view.inode(at)?.parent ?? (0 as InodeNumber)) if (at === root) return true;
  return false;
}

function spineInode(level: number): InodeNumber {
  return -(level + 1) as InodeNumber;
}
