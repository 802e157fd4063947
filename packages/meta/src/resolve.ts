/**
 * Path resolution with Linux's rules (path_resolution(7)): symlinks before the last component are always followed, at most
 * 40 of them; a "/" at the start of a target leads to the namespace's root; ".." at the root stays there.
 */
import { NokvError, checkName, formatName, splitPath, type Caller, type EntryRef, type InodeNumber, type NodeRef } from '@nokv/types';
import { SEARCH, checkAccess, restricted } from './permissions.js';
import type { Dentry, Inode } from './value-inode.js';

/** What resolution reads: a transaction or a read view. */
export interface NodeReader {
  readonly root: InodeNumber;
  /** Whom it reads for: every directory on a way must let it search. */
  readonly caller: Caller | undefined;
  inode(ino: InodeNumber): Inode | undefined;
  entry(parent: InodeNumber, name: Uint8Array): Dentry | undefined;
}

/** A place in a directory and what lies there; the root has no place: `parent` 0 and an empty name. */
export interface Place {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
  readonly entry: Dentry | undefined;
}

export interface ResolveOptions {
  /** Follow a symlink in the last component. */
  readonly follow: boolean;
  /** Makes a missing directory before the last component; without it that is `not-found`. */
  readonly makeDirectory?: ((parent: InodeNumber, name: Uint8Array) => InodeNumber) | undefined;
}

const SYMLINKS_MAX = 40;
const SLASH = 0x2f;
const NO_NAME = new Uint8Array(0);
const NO_PARENT = 0 as InodeNumber;

/** The place that a reference names. Its parent exists and is a directory. */
export function resolvePlace(reader: NodeReader, ref: EntryRef, options: ResolveOptions): Place {
  if ('path' in ref) return walk(reader, reader.root, splitPath(ref.path), options, ref);
  checkName(ref.name);
  const parent = reader.inode(ref.parent);
  if (parent === undefined) throw notFound(ref, `directory inode ${ref.parent} does not exist`);
  if (parent.type !== 'directory') throw notDirectory(ref, `inode ${ref.parent}`);
  return walk(reader, ref.parent, [ref.name], options, ref);
}

/** The number of the inode that a reference names; `not-found` when there is none. */
export function resolveNode(reader: NodeReader, ref: NodeRef, follow: boolean): InodeNumber {
  if ('ino' in ref) return ref.ino;
  const { entry } = resolvePlace(reader, ref, { follow });
  if (entry === undefined) throw notFound(ref);
  return entry.ino;
}

/** The inode that a reference names. */
export function resolveInode(reader: NodeReader, ref: NodeRef, follow: boolean): Inode {
  const ino = resolveNode(reader, ref, follow);
  const inode = reader.inode(ino);
  if (inode === undefined) throw notFound(ref);
  return inode;
}

function walk(reader: NodeReader, from: InodeNumber, names: readonly Uint8Array[], options: ResolveOptions, ref: NodeRef): Place {
  let directory = from;
  /** Components that are left, the next one last. */
  const waiting = [...names].reverse();
  let symlinks = 0;
  const isRestricted = restricted(reader.caller) !== undefined;
  // Ends: every turn takes a component, and components are added at most SYMLINKS_MAX times.
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (isRestricted) maySearch(reader, directory, ref);
    if (isDots(name)) {
      if (name.length === 2) directory = parentOf(reader, directory);
      continue;
    }
    const isLast = waiting.length === 0;
    const entry = reader.entry(directory, name);
    if (entry === undefined) {
      if (isLast) return { parent: directory, name, entry };
      if (options.makeDirectory === undefined) throw notFound(ref, `"${formatName(name)}" in it does not exist`);
      directory = options.makeDirectory(directory, name);
    } else if (entry.type === 'symlink' && (!isLast || options.follow)) {
      symlinks += 1;
      if (symlinks > SYMLINKS_MAX) {
        throw new NokvError('symlink-loop', `${describe(ref)}: more than ${SYMLINKS_MAX} symlinks on the way; look for a loop`);
      }
      const target = reader.inode(entry.ino)?.target ?? NO_NAME;
      if (target[0] === SLASH) directory = reader.root;
      waiting.push(...splitTarget(target).reverse());
    } else if (isLast) {
      return { parent: directory, name, entry };
    } else if (entry.type === 'directory') {
      directory = entry.ino;
    } else {
      throw notDirectory(ref, `"${formatName(name)}" in it`);
    }
  }
  const { parent, name, birth } = reader.inode(directory) ?? { parent: NO_PARENT, name: NO_NAME, birth: 0 };
  return { parent, name, entry: { birth: birth as Dentry['birth'], ino: directory, type: 'directory' } };
}

function maySearch(reader: NodeReader, directory: InodeNumber, ref: NodeRef): void {
  const inode = reader.inode(directory);
  if (inode === undefined) throw notFound(ref);
  checkAccess(reader.caller, inode, SEARCH, () => `directory inode ${directory} on the way to ${describe(ref)}`);
}

function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

function parentOf(reader: NodeReader, directory: InodeNumber): InodeNumber {
  if (directory === reader.root) return directory;
  const parent = reader.inode(directory)?.parent;
  return parent === undefined || parent === NO_PARENT ? reader.root : parent;
}

/** Components of a symlink's target, "." and ".." among them. */
function splitTarget(target: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let start = 0;
  for (let end = 0; end <= target.length; end++) {
    if (end < target.length && target[end] !== SLASH) continue;
    if (end > start) names.push(target.subarray(start, end));
    start = end + 1;
  }
  for (const name of names) if (!isDots(name)) checkName(name);
  return names;
}

/** A reference as messages name it. */
export function describe(ref: NodeRef): string {
  if ('path' in ref) return formatName(ref.path);
  if ('ino' in ref) return `inode ${ref.ino}`;
  return `"${formatName(ref.name)}" in directory inode ${ref.parent}`;
}

export function notFound(ref: NodeRef, what?: string): NokvError {
  return new NokvError('not-found', `${describe(ref)}: ${what ?? 'no such file or directory'}`);
}

export function notDirectory(ref: NodeRef, what?: string): NokvError {
  return new NokvError('not-directory', `${describe(ref)}: ${what === undefined ? 'is' : `${what} is`} not a directory`);
}

export function isDirectory(ref: NodeRef): NokvError {
  return new NokvError('is-directory', `${describe(ref)} is a directory`);
}

export function alreadyExists(ref: NodeRef): NokvError {
  return new NokvError('exists', `${describe(ref)} exists already`);
}
