/** Where a watch begins and what its root is. */
import type { ShardEngine } from '@nokv/meta';
import type { WatchPathArgs } from '@nokv/protocol';
import { joinPath, splitPath, wholeVersion, type ChangeCursor, type ChangeRoot } from '@nokv/types';

export interface WatchStart {
  readonly root: ChangeRoot;
  readonly at: ChangeCursor;
}

/**
 * A watch that goes on takes its root as it is: it may have been removed since. A new one needs its root, and watches the
 * place that symlinks lead to.
 */
export async function watchStart(engine: ShardEngine, { root, since }: WatchPathArgs): Promise<WatchStart> {
  if (since !== undefined) return { root: 'path' in root ? { path: joinPath(splitPath(root.path)) } : root, at: since };
  // Before the root is looked at: whatever happens to it from here on is heard of.
  const at = wholeVersion(engine.durableVersion);
  const { ino, type, nlink } = await engine.read('stat', { node: root, follow: true }, { visible: false });
  if ('ino' in root) return { root, at };
  // Of the names of a shared file, the one that was given is meant.
  if (type !== 'directory' && nlink > 1) return { root: { path: joinPath(splitPath(root.path)) }, at };
  const { path } = await engine.read('path-of', { ino }, { visible: false });
  return { root: { path }, at };
}
