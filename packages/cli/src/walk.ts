/** What lies below a directory, parents before children, page by page. */
import type { DirectoryEntry, NokvClient } from '@nokv/client';
import { NokvError, PATH_BYTES_MAX } from '@nokv/types';
import { childPath, showPath } from './remote-path.js';

export interface Walked {
  readonly path: Uint8Array;
  readonly depth: number;
  readonly entry: DirectoryEntry;
}

/** Directories are held on a stack of open listings: memory follows the depth, not the size of the tree. */
export async function* walk(client: NokvClient, root: Uint8Array, signal: AbortSignal, levels = PATH_BYTES_MAX): AsyncGenerator<Walked> {
  yield* below(client, root, 1, levels, signal);
}

async function* below(
  client: NokvClient,
  directory: Uint8Array,
  depth: number,
  levels: number,
  signal: AbortSignal,
): AsyncGenerator<Walked> {
  for await (const entry of client.list(directory, { signal })) {
    const path = childPath(directory, entry.nameBytes);
    yield { path, depth, entry };
    if (entry.type !== 'directory' || depth >= levels) continue;
    try {
      yield* below(client, path, depth + 1, levels, signal);
    } catch (error) {
      // Removed by someone else between its listing and its turn: it is no longer part of the tree.
      if (!(error instanceof NokvError && error.code === 'not-found')) throw error;
    }
  }
}

/** Entries that a listing made without attributes would lack. */
export function mustAttributes({ entry, path }: Pick<Walked, 'entry' | 'path'>) {
  if (entry.attributes === undefined) throw new NokvError('internal', `${showPath(path)} was listed without its attributes`);
  return entry.attributes;
}
