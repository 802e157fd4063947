/** The inode numbers that were drawn for a command, before it was formed: it takes them in order and never one more. */
import { MERGE_CHANGES_MAX, NokvError, type InodeNumber, type MergeArgs, type TransactArgs } from '@nokv/types';
import type { Command, InternalOperations } from '../command.js';

/** Directories that `parents` may make beyond those that the path itself names: symlinks on the way can name more. */
const BEHIND_SYMLINKS_MAX = 32;

/** How many numbers to draw: one for what the command makes, one for each parent that it may have to make. */
export function freshInodesOf(operation: Command['operation'], args: unknown): number {
  switch (operation) {
    case 'mkdir':
    case 'publish':
    case 'publish-tree':
    case 'clone': {
      const { parents, entry, node, to } = args as { parents?: boolean; entry?: object; node?: object; to?: object };
      const ref = entry ?? node ?? to;
      if (parents !== true || ref === undefined) return 1;
      return 1 + BEHIND_SYMLINKS_MAX + ('path' in ref ? componentsMax(ref.path as Uint8Array) : 0);
    }
    case 'transact': {
      let sum = 0;
      for (const each of (args as TransactArgs).operations) sum += freshInodesOf(each.operation, each.args);
      return sum;
    }
    case 'materialise': {
      const { entry, limit } = args as { entry?: Uint8Array; limit: number };
      return entry === undefined ? limit : 1;
    }
    case 'merge':
      return (args as MergeArgs).dryRun === true ? 0 : MERGE_CHANGES_MAX;
    case 'create':
    case 'symlink':
    case 'begin-tree':
    case 'rollback':
    case 'undelete':
      return 1;
    case 'repair':
      return (args as InternalOperations['repair']).fix.kind === 'adopt' ? 1 : 0;
    default:
      return 0;
  }
}

export class FreshInodes {
  #next: number;
  readonly #end: number;

  constructor({
    operation,
    args,
    freshInode,
  }: {
    readonly operation: Command['operation'];
    readonly args: unknown;
    readonly freshInode: InodeNumber;
  }) {
    this.#next = freshInode;
    this.#end = freshInode + freshInodesOf(operation, args);
  }

  take(): InodeNumber {
    if (this.#next === this.#end) {
      throw new NokvError('path-too-long', 'symlinks on the way lead to too many directories that are missing; make them one by one');
    }
    return this.#next++ as InodeNumber;
  }
}

function componentsMax(path: Uint8Array): number {
  let slashes = 1;
  for (const byte of path) if (byte === 0x2f) slashes += 1;
  return slashes;
}
