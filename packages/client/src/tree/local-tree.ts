/**
 * Walks a local directory, parents before children, names as bytes. Memory is bounded by the depth of the tree and the
 * entries of one directory.
 */
import { lstat as lstatLater, lstatSync, readdir as readdirLater, type BigIntStats, type Dirent } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { formatName, timespecFromNs, type InodeType, type Timespec } from '@nokv/types';
import { localError } from '../local-error.js';
import type { PathFilter } from './path-filter.js';
import { QuickCalls } from './quick-calls.js';

export interface LocalEntry {
  readonly type: InodeType;
  /** Where it is on this machine. */
  readonly path: Buffer;
  /** Empty for the root. */
  readonly name: Uint8Array;
  /** The directory it lies in; undefined for the root. */
  readonly parent: LocalEntry | undefined;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Timespec;
  readonly rdev: number;
  /** Names that this inode has; above 1, `identity` finds the others. */
  readonly nlink: number;
  readonly identity: string;
}

export interface WalkOptions {
  readonly filter?: PathFilter | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of an entry or directory that cannot be read, which is then left out; default: the walk ends with the error. */
  readonly onError?: ((path: Buffer, error: unknown) => void) | undefined;
}

export interface WalkedDirectory {
  readonly directory: LocalEntry;
  /** In byte order of names. */
  readonly entries: readonly LocalEntry[];
}

/** Calls of lstat that are under way at once. */
const STATS_MAX = 32;
const SLASH = Buffer.from('/');

// The promises of `fs/promises` cost twice the call itself.
const lstatElsewhere = promisify(lstatLater) as (path: Buffer, options: { readonly bigint: true }) => Promise<BigIntStats>;
const readdir = promisify(readdirLater) as (
  path: Buffer,
  options: { readonly encoding: 'buffer'; readonly withFileTypes: true },
) => Promise<Dirent<Buffer>[]>;

const quick = new QuickCalls();

function lstat(path: Buffer): Promise<BigIntStats> {
  return quick.do(
    () => lstatSync(path, { bigint: true }),
    () => lstatElsewhere(path, { bigint: true }),
  );
}

/** The directory itself, through a symlink that names it. */
export async function localRoot(directory: string | Uint8Array): Promise<LocalEntry> {
  const path = Buffer.from(directory as string);
  try {
    return entryOf(path, new Uint8Array(0), undefined, await stat(path, { bigint: true }));
  } catch (error) {
    throw localError(error, `stat ${formatName(path)}`);
  }
}

/** The path below the root, as text. */
export function relativePath(root: Buffer, path: Buffer): string {
  return formatName(path.subarray(root.length + 1));
}

/** `root` and every directory below it that the filter takes, each with what it holds. */
export async function* walkLocal(root: LocalEntry, options: WalkOptions = {}): AsyncGenerator<WalkedDirectory> {
  const { signal, filter, onError } = options;
  // Ends with the tree: symlinks are not followed, so there is no cycle.
  const pending: LocalEntry[] = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    signal?.throwIfAborted();
    const parent = directory;
    const entries: LocalEntry[] = [];
    for await (const [path, name] of pathsIn(root.path, parent.path, { filter, onError })) {
      entries.push(...(await Promise.all(path.map((one, at) => statEntry(one, name[at] ?? one, parent, onError)))).filter(isThere));
    }
    yield { directory: parent, entries };
    for (const entry of entries) if (entry.type === 'directory') pending.push(entry);
  }
}

export interface LocalTotals {
  readonly entries: number;
  /** Undefined unless sizes were asked for. */
  readonly bytes: number | undefined;
  /** Paths of fifos, sockets and devices, the first hundred. */
  readonly special: readonly string[];
  readonly specials: number;
}

const SPECIAL_NAMED_MAX = 100;

/** Counts what {@link walkLocal} will meet. Without `sizes` no file is touched, directories are only listed. */
export async function scanLocal(root: LocalEntry, options: WalkOptions & { readonly sizes: boolean }): Promise<LocalTotals> {
  const { filter, signal, sizes, onError } = options;
  let entries = 1;
  let bytes = 0;
  let specials = 0;
  const special: string[] = [];
  const pending: Buffer[] = [root.path];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    signal?.throwIfAborted();
    const parent = directory;
    const found = await readEntries(parent).catch((error: unknown) => {
      if (onError === undefined) throw error;
      return [];
    });
    const files: Buffer[] = [];
    for (const entry of found) {
      const path = childPath(parent, entry.name);
      if (filter?.takes(relativePath(root.path, path), entry.isDirectory()) === false) continue;
      entries += 1;
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) files.push(path);
      else if (!entry.isSymbolicLink()) {
        specials += 1;
        if (special.length < SPECIAL_NAMED_MAX) special.push(formatName(path));
      }
    }
    if (!sizes) continue;
    for (let from = 0; from < files.length; from += STATS_MAX) {
      // One that is gone by now is told of by the walk.
      const batch = files.slice(from, from + STATS_MAX).map((path) => lstat(path).then(sizeOf, () => 0));
      for (const size of await Promise.all(batch)) bytes += size;
    }
  }
  return { entries, bytes: sizes ? bytes : undefined, special, specials };
}

export function childPath(directory: Buffer, name: Uint8Array): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

/** Paths and names of a directory's entries, a few at a time. */
async function* pathsIn(
  root: Buffer,
  directory: Buffer,
  { filter, onError }: WalkOptions,
): AsyncGenerator<readonly [paths: readonly Buffer[], names: readonly Buffer[]]> {
  let found: Dirent<Buffer>[];
  try {
    found = await readEntries(directory);
  } catch (error) {
    if (onError === undefined) throw error;
    onError(directory, error);
    return;
  }
  const taken = found.filter(
    (entry) => filter === undefined || filter.takes(relativePath(root, childPath(directory, entry.name)), entry.isDirectory()),
  );
  const names = taken.map(({ name }) => name).toSorted(Buffer.compare);
  for (let from = 0; from < names.length; from += STATS_MAX) {
    const batch = names.slice(from, from + STATS_MAX);
    yield [batch.map((name) => childPath(directory, name)), batch];
  }
}

async function readEntries(directory: Buffer): Promise<Dirent<Buffer>[]> {
  try {
    return await readdir(directory, { encoding: 'buffer', withFileTypes: true });
  } catch (error) {
    throw localError(error, `read the directory ${formatName(directory)}`);
  }
}

async function statEntry(
  path: Buffer,
  name: Uint8Array,
  parent: LocalEntry,
  onError: WalkOptions['onError'],
): Promise<LocalEntry | undefined> {
  try {
    return entryOf(path, name, parent, await statOf(path));
  } catch (error) {
    if (onError === undefined) throw error;
    onError(path, error);
    return undefined;
  }
}

async function statOf(path: Buffer): Promise<BigIntStats> {
  try {
    return await lstat(path);
  } catch (error) {
    throw localError(error, `stat ${formatName(path)}`);
  }
}

export function entryOf(path: Buffer, name: Uint8Array, parent: LocalEntry | undefined, stats: BigIntStats): LocalEntry {
  return {
    type: typeOf(stats),
    path,
    name,
    parent,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    mtime: timespecFromNs(stats.mtimeNs),
    rdev: Number(stats.rdev),
    nlink: Number(stats.nlink),
    identity: stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : '',
  };
}

function typeOf(stats: BigIntStats): InodeType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block' : 'char';
}

function sizeOf({ size }: BigIntStats): number {
  return Number(size);
}

function isThere(entry: LocalEntry | undefined): entry is LocalEntry {
  return entry !== undefined;
}
