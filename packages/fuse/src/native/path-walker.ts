/**
 * Nodes by path, for a session that knows paths only. Every lookup on the way is given back, so the core's counts stay those of
 * what is open.
 */
import { ERRNO, SystemError } from '../session/errno.js';
import type { FileSystem } from '../session/file-system.js';

const ROOT = 1;

export class PathWalker {
  constructor(readonly fileSystem: FileSystem) {}

  /** Calls with the node of `path`, which is held meanwhile. */
  async at<T>(path: string, call: (node: number) => Promise<T> | T): Promise<T> {
    const names = namesOf(path);
    const held: number[] = [];
    try {
      let node = ROOT;
      for (const name of names) {
        ({ node } = await this.fileSystem.lookup(node, name));
        if (node === 0) throw new SystemError(ERRNO.ENOENT);
        held.push(node);
      }
      return await call(node);
    } finally {
      for (const node of held) this.fileSystem.forget(node, 1);
    }
  }

  /** Calls with the directory of `path` and its last name. */
  async place<T>(path: string, call: (parent: number, name: Uint8Array) => Promise<T> | T): Promise<T> {
    const cut = path.lastIndexOf('/');
    const name = Buffer.from(path.slice(cut + 1));
    if (name.length === 0) throw new SystemError(ERRNO.EEXIST);
    return this.at(path.slice(0, cut), (parent) => call(parent, name));
  }
}

function namesOf(path: string): Uint8Array[] {
  return path
    .split('/')
    .filter((name) => name !== '')
    .map((name) => Buffer.from(name));
}
