/**
 * A watch by path over the shard's change stream.
 *
 * A change names its parent by inode; the parent's path is asked for once and kept until a directory is moved or
 * removed. Paths are therefore those at delivery: exact unless a parent was renamed between the event and its delivery.
 */
import type { ChangeRecord, InodeNumber } from '@nokv/types';
import { compareBytes, formatName, isNokvError, joinPath, splitPath } from '@nokv/types';
import type { MetadataClient } from '../metadata-client.js';
import type { WatchEvent, WatchOptions } from '../watch-event.js';

/** Paths of directories that are kept; the oldest goes first. */
const PATHS_MAX = 10_000;

export async function* watchPath(metadata: MetadataClient, root: Uint8Array, options: WatchOptions): AsyncGenerator<WatchEvent> {
  const paths = new Map<InodeNumber, Uint8Array | undefined>();
  for await (const changes of metadata.watch(defined(options))) {
    for (const change of changes) {
      // What moved or went may be a parent of anything that is kept.
      if (change.type === 'directory' && (change.kind === 'renamed' || change.kind === 'removed')) paths.clear();
      const path = change.parent === undefined ? await pathOf(change.ino) : await placeOf(change.parent, change.name);
      const fromPath = await placeOf(change.fromParent, change.fromName);
      if (options.signal?.aborted === true) return;
      if (!isBelow(path, root) && !isBelow(fromPath, root)) continue;
      yield eventOf(change, path, fromPath);
    }
  }

  async function placeOf(parent: InodeNumber | undefined, name: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    if (parent === undefined || name === undefined) return undefined;
    const directory = await pathOf(parent);
    return directory === undefined ? undefined : joinPath([...splitPath(directory), name]);
  }

  async function pathOf(ino: InodeNumber): Promise<Uint8Array | undefined> {
    if (paths.has(ino)) return paths.get(ino);
    let path: Uint8Array | undefined;
    try {
      path = (await metadata.read('path-of', { ino }, { signal: options.signal })).path;
    } catch (error) {
      // A watcher that leaves hears of nothing more: neither the path nor the abort.
      if (!isNokvError(error, 'not-found') && options.signal?.aborted !== true) throw error;
    }
    if (paths.size >= PATHS_MAX) paths.delete(paths.keys().next().value as InodeNumber);
    paths.set(ino, path);
    return path;
  }
}

function isBelow(path: Uint8Array | undefined, root: Uint8Array): boolean {
  if (path === undefined) return false;
  if (root.length === 1 || compareBytes(path, root) === 0) return true;
  return path.length > root.length && path[root.length] === 0x2f && compareBytes(path.subarray(0, root.length), root) === 0;
}

function eventOf(change: ChangeRecord, path: Uint8Array | undefined, fromPath: Uint8Array | undefined): WatchEvent {
  const { version, kind, ino, type, generation, actor, requestId, time } = change;
  return {
    version,
    kind,
    ino,
    type,
    actor,
    requestId,
    time,
    ...(path === undefined ? {} : { path: formatName(path) }),
    ...(fromPath === undefined ? {} : { fromPath: formatName(fromPath) }),
    ...(generation === undefined ? {} : { generation }),
  };
}

function defined(options: WatchOptions): { since?: NonNullable<WatchOptions['since']>; signal?: AbortSignal } {
  return {
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };
}
