/**
 * Walks a local directory, parents before children, names as bytes. Memory is bounded by the depth of the tree and the
 * entries of one directory.
 */
import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { formatName, timespecFromNs, type Timespec } from '@nokv/types';
import { localError } from '../local-error.js';

export type LocalKind = 'file' | 'directory' | 'symlink' | 'special';

export interface LocalEntry {
  readonly kind: LocalKind;
  /** Where it is on this machine. */
  readonly path: Buffer;
  /** Empty for the root. */
  readonly name: Uint8Array;
  /** The directory it lies in; undefined for the root. */
  readonly parent: LocalEntry | undefined;
  readonly mode: number;
  readonly size: number;
  readonly mtime: Timespec;
}

/** Calls of lstat that are under way at once. */
const STATS_MAX = 32;
const SLASH = Buffer.from('/');

export async function localRoot(directory: string): Promise<LocalEntry> {
  const path = Buffer.from(directory);
  return entryOf(path, new Uint8Array(0), undefined, await statOf(path));
}

/** Everything below `root`, not `root` itself. */
export async function* walkLocal(root: LocalEntry, signal?: AbortSignal): AsyncGenerator<LocalEntry> {
  // Ends with the tree: symlinks are not followed, so there is no cycle.
  const pending: LocalEntry[] = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    signal?.throwIfAborted();
    const parent = directory;
    const names = (await entriesOf(parent.path)).map((entry) => entry.name).toSorted(Buffer.compare);
    for (let from = 0; from < names.length; from += STATS_MAX) {
      const batch = names.slice(from, from + STATS_MAX);
      const entries = await Promise.all(
        batch.map(async (name) => {
          const path = childPath(parent.path, name);
          return entryOf(path, name, parent, await statOf(path));
        }),
      );
      for (const entry of entries) {
        yield entry;
        if (entry.kind === 'directory') pending.push(entry);
      }
    }
  }
}

export interface LocalTotals {
  readonly entries: number;
  /** Undefined unless sizes were asked for. */
  readonly bytes: number | undefined;
  /** Paths of fifos, sockets and devices. */
  readonly special: readonly string[];
}

/** Counts what {@link walkLocal} will meet. Without `sizes` no file is touched, directories are only listed. */
export async function scanLocal(
  root: LocalEntry,
  options: { readonly sizes: boolean; readonly signal?: AbortSignal | undefined },
): Promise<LocalTotals> {
  let entries = 1;
  let bytes = 0;
  const special: string[] = [];
  const pending: Buffer[] = [root.path];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    options.signal?.throwIfAborted();
    const parent = directory;
    const found = await entriesOf(parent);
    entries += found.length;
    const files: Buffer[] = [];
    for (const entry of found) {
      const path = childPath(parent, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) files.push(path);
      else if (!entry.isSymbolicLink()) special.push(formatName(path));
    }
    if (!options.sizes) continue;
    for (let from = 0; from < files.length; from += STATS_MAX) {
      const stats = await Promise.all(files.slice(from, from + STATS_MAX).map((path) => lstat(path)));
      for (const { size } of stats) bytes += size;
    }
  }
  return { entries, bytes: options.sizes ? bytes : undefined, special };
}

export function childPath(directory: Buffer, name: Uint8Array): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

async function entriesOf(directory: Buffer): Promise<Dirent<Buffer>[]> {
  try {
    return await readdir(directory, { encoding: 'buffer', withFileTypes: true });
  } catch (error) {
    throw localError(error, `read the directory ${formatName(directory)}`);
  }
}

async function statOf(path: Buffer): Promise<BigIntStats> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    throw localError(error, `stat ${formatName(path)}`);
  }
}

function entryOf(path: Buffer, name: Uint8Array, parent: LocalEntry | undefined, stats: BigIntStats): LocalEntry {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'symlink' : 'special';
  return { kind, path, name, parent, mode: Number(stats.mode & 0o7777n), size: Number(stats.size), mtime: timespecFromNs(stats.mtimeNs) };
}
