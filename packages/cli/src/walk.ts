/** What lies below a directory, parents before children, page by page. */
import type { AtLike, DirectoryEntry, NokvClient } from '@nokv/client';
import { NokvError, PATH_BYTES_MAX } from '@nokv/types';
import { childPath, showPath } from './remote-path.js';

export interface Walked {
  readonly path: Uint8Array;
  readonly depth: number;
  readonly entry: DirectoryEntry;
}

export interface WalkOptions {
  readonly signal: AbortSignal;
  /** Directories to go down; default all. */
  readonly levels?: number | undefined;
  /** The tree as it was then. */
  readonly at?: AtLike | undefined;
}

/** Directories are held on a stack of open listings: memory follows the depth, not the size of the tree. */
export async function* walk(client: NokvClient, root: Uint8Array, options: WalkOptions): AsyncGenerator<Walked> {
  yield* below(client, root, 1, options);
}

async function* below(client: NokvClient, directory: Uint8Array, depth: number, options: WalkOptions): AsyncGenerator<Walked> {
  const { signal, at, levels = PATH_BYTES_MAX } = options;
  for await (const entry of client.list(directory, { signal, at })) {
    const path = childPath(directory, entry.nameBytes);
    yield { path, depth, entry };
    if (entry.type !== 'directory' || depth >= levels) continue;
    try {
      yield* below(client, path, depth + 1, options);
    } catch (error) {
      // Removed by someone else between its listing and its turn: it is no longer part of the tree. The past does not change.
      if (at !== undefined || !(error instanceof NokvError && error.code === 'not-found')) throw error;
    }
  }
}

/** Entries that a listing made without attributes would lack. */
export function mustAttributes({ entry, path }: Pick<Walked, 'entry' | 'path'>) {
  if (entry.attributes === undefined) throw new NokvError('internal', `${showPath(path)} was listed without its attributes`);
  return entry.attributes;
}
