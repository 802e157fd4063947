/** The rules of `permissions.ts` at the places where mutations enter and take out names. */
import { NokvError } from '@nokv/types';
import { Unmaterialised } from '../history/unmaterialised.js';
import { READ, SEARCH, WRITE, checkAccess, checkInsertion, checkMove, checkRemoval, restricted } from '../permissions.js';
import { corruptNamespace, type Transaction } from '../transaction.js';
import type { Dentry, Inode } from '../value-inode.js';
import type { Location } from './directory.js';

/** Entries that are looked at before a caller's tree is removed at once. */
const TREE_ENTRIES_MAX = 4096;

export function mayEnter(transaction: Transaction, { parent }: Location, where: () => string): void {
  const { caller } = transaction;
  if (restricted(caller) === undefined) return;
  const directory = transaction.inode(parent);
  // A directory that is missing is refused where the name is entered.
  if (directory !== undefined) checkInsertion(caller, directory, where);
}

export function mayLeave(transaction: Transaction, { parent }: Location, inode: Inode, where: () => string): void {
  const { caller } = transaction;
  if (restricted(caller) === undefined) return;
  const directory = transaction.inode(parent);
  if (directory === undefined) throw corruptNamespace(`directory ${parent} is missing`);
  checkRemoval(caller, directory, inode, where);
}

/** What a move asks of the node itself, beyond leaving one directory and entering another. */
export function mayChangeParent(transaction: Transaction, inode: Inode, from: Location, to: Location, where: () => string): void {
  checkMove(transaction.caller, inode, from.parent !== to.parent, where);
}

/**
 * Whether a caller could empty a tree name by name, as `rm -r` does: every directory with entries must let it. The whole tree is
 * looked at first; one that is too large for that is to be removed in parts.
 */
export function mayRemoveTree(transaction: Transaction, root: Inode, where: () => string): void {
  const { caller } = transaction;
  if (restricted(caller) === undefined || root.type !== 'directory') return;
  const waiting = [root];
  let entries = 0;
  // Ends: a tree of bounded size is walked, each directory once.
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (directory.children === 0) continue;
    const { ino } = directory;
    checkAccess(caller, directory, READ | WRITE | SEARCH, () => `directory inode ${ino} in ${where()}`);
    entries += directory.children;
    if (entries > TREE_ENTRIES_MAX) {
      throw new NokvError('too-large', `${where()} holds more than ${TREE_ENTRIES_MAX} entries; on behalf of a user remove it in parts`, {
        details: { entriesMax: TREE_ENTRIES_MAX },
      });
    }
    // A fork that still shows its origin here takes over its entries first.
    if (directory.isLazy) throw new Unmaterialised(ino, undefined);
    for (const { entry } of childrenOf(transaction, directory)) {
      const inode = transaction.inode(entry.ino);
      if (inode === undefined) throw corruptNamespace(`an entry leads to inode ${entry.ino}, which is missing`);
      checkRemoval(caller, directory, inode, () => `inode ${entry.ino} in ${where()}`);
      if (inode.type === 'directory') waiting.push(inode);
    }
  }
}

/** Collected, since the rows of a range last until the next read. */
function childrenOf(transaction: Transaction, directory: Inode): readonly { readonly entry: Dentry }[] {
  return [...transaction.entries(directory.ino)];
}
