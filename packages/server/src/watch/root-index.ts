/** Watchers by the roots that they watch, so that a change costs those that may see it, not all that there are. */
import type { LocatedChange } from '@nokv/meta';
import type { PathWatcher } from './path-watcher.js';

const SLASH = 0x2f;

export class RootIndex {
  readonly all = new Set<PathWatcher>();
  /** Path bytes as characters of one byte each. */
  readonly #byPath = new Map<string, Set<PathWatcher>>();
  readonly #byInode = new Set<PathWatcher>();

  add(watcher: PathWatcher): void {
    const { root } = watcher;
    this.all.add(watcher);
    if ('ino' in root) {
      this.#byInode.add(watcher);
      return;
    }
    const key = keyOf(root.path, root.path.length);
    const beside = this.#byPath.get(key);
    if (beside === undefined) this.#byPath.set(key, new Set([watcher]));
    else beside.add(watcher);
  }

  delete(watcher: PathWatcher): void {
    const { root } = watcher;
    this.all.delete(watcher);
    this.#byInode.delete(watcher);
    if ('ino' in root) return;
    const key = keyOf(root.path, root.path.length);
    const beside = this.#byPath.get(key);
    beside?.delete(watcher);
    if (beside?.size === 0) this.#byPath.delete(key);
  }

  /** Everybody who may see the change, each once. */
  *concerned({ change, path, fromPath, otherPaths }: LocatedChange): Iterable<PathWatcher> {
    // Two places, several names, or a directory that takes the roots below it along: all are asked.
    if (
      path === undefined ||
      fromPath !== undefined ||
      otherPaths.length > 0 ||
      (change.type === 'directory' && change.kind !== 'attributes')
    ) {
      yield* this.all;
      return;
    }
    yield* this.#byInode;
    yield* this.#byPath.get('/') ?? [];
    if (path.length === 1) return;
    for (let end = 1; end <= path.length; end++) {
      if (end === path.length || path[end] === SLASH) yield* this.#byPath.get(keyOf(path, end)) ?? [];
    }
  }
}

function keyOf(path: Uint8Array, end: number): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString('latin1', 0, end);
}
