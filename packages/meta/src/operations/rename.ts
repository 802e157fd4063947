/** rename(2) and renameat2(2): a directory moves by rewriting its own rows, whatever lies below it. */
import { NokvError, type EntryRef, type InodeNumber } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { alreadyExists, describe, isDirectory, notDirectory, notFound, resolvePlace, type Place } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import { mayChangeParent, mayEnter, mayLeave } from './access.js';
import { enterName, leaveName, unlinkName, type Location } from './directory.js';
import { mustBeTaken, mustInode, notEmpty, removeEmptyDirectory, type Taken } from './remove.js';

type RenameCommand = Extract<MutationCommand, { operation: 'rename' }>;

export function rename(transaction: Transaction, { args, retention }: RenameCommand): { ino: InodeNumber } {
  // In the order of Linux: both ways, then what lies at their ends, then who may do it.
  const source = resolvePlace(transaction, args.from, { follow: false });
  const to = resolvePlace(transaction, args.to, { follow: false });
  const from = mustBeTaken(source, args.from);
  if (to.entry !== undefined && to.name.length === 0) {
    throw new NokvError('not-permitted', `${describe(args.to)} is the root; name a place inside it`);
  }
  if (args.mode === 'exchange' && to.entry === undefined) throw notFound(args.to);
  if (args.mode === 'no-replace' && to.entry !== undefined) throw alreadyExists(args.to);
  refuseOwnDescendant(transaction, from, to, args.from, args.to);
  const { ino } = from.entry;
  if (args.mode === 'exchange' && to.entry !== undefined) {
    if (to.entry.ino !== ino) exchange(transaction, from, { ...to, entry: to.entry }, args.from, args.to);
    return { ino };
  }
  // What lies below a directory cannot take its place: it is not empty.
  if (to.entry?.type === 'directory' && isOnTheWay(transaction, to.entry.ino, from.parent)) {
    throw notEmpty(args.to, mustInode(transaction, to.entry.ino).children);
  }
  // Two names of one inode: nothing to do, says rename(2).
  if (to.entry?.ino === ino) return { ino };
  const moved = mustInode(transaction, ino);
  mayLeave(transaction, from, moved, () => describe(args.from));
  if (to.entry === undefined) {
    mayEnter(transaction, to, () => describe(args.to));
    mayChangeParent(transaction, moved, from, to, () => describe(args.from));
  } else {
    replace(transaction, from, { ...to, entry: to.entry }, args, retention);
  }
  const inode = transaction.edit(ino);
  move(transaction, inode, from, to);
  announce(transaction, inode, from, to);
  return { ino };
}

/** Makes room for what is moved: an empty directory gives way to a directory, anything else to anything else. */
function replace(
  transaction: Transaction,
  from: Taken,
  to: Taken,
  args: RenameCommand['args'],
  retention: RenameCommand['retention'],
): void {
  const target = mustInode(transaction, to.entry.ino);
  const isOfDirectories = from.entry.type === 'directory';
  mayLeave(transaction, to, target, () => describe(args.to));
  if (isOfDirectories && target.type !== 'directory') throw notDirectory(args.to);
  if (!isOfDirectories && target.type === 'directory') throw isDirectory(args.to);
  mayChangeParent(transaction, mustInode(transaction, from.entry.ino), from, to, () => describe(args.from));
  if (isOfDirectories) {
    if (target.children > 0) throw notEmpty(args.to, target.children);
    removeEmptyDirectory(transaction, to, retention);
  } else {
    unlinkName(transaction, target.ino, to, retention);
  }
  transaction.change('removed', target, { parent: to.parent, name: to.name });
}

function exchange(transaction: Transaction, a: Taken, b: Taken, aRef: EntryRef, bRef: EntryRef): void {
  refuseOwnDescendant(transaction, b, a, bRef, aRef);
  const [nodeA, nodeB] = [mustInode(transaction, a.entry.ino), mustInode(transaction, b.entry.ino)];
  mayLeave(transaction, a, nodeA, () => describe(aRef));
  mayLeave(transaction, b, nodeB, () => describe(bRef));
  mayChangeParent(transaction, nodeA, a, b, () => describe(aRef));
  mayChangeParent(transaction, nodeB, b, a, () => describe(bRef));
  const inodeA = transaction.edit(a.entry.ino);
  const inodeB = transaction.edit(b.entry.ino);
  leaveName(transaction, inodeA, a);
  leaveName(transaction, inodeB, b);
  enterName(transaction, inodeA, b);
  enterName(transaction, inodeB, a);
  inodeA.ctime = transaction.time;
  inodeB.ctime = transaction.time;
  announce(transaction, inodeA, a, b);
  announce(transaction, inodeB, b, a);
}

function move(transaction: Transaction, inode: Inode, from: Location, to: Location): void {
  leaveName(transaction, inode, from);
  enterName(transaction, inode, to);
  inode.ctime = transaction.time;
}

function announce(transaction: Transaction, inode: Inode, from: Location, to: Location): void {
  const { ino, type, generation } = inode;
  transaction.changes.push({
    kind: 'renamed',
    ino,
    type,
    parent: to.parent,
    name: to.name,
    fromParent: from.parent,
    fromName: from.name,
    ...(generation === 0 ? {} : { generation }),
  });
}

/** Walks from the new parent up to the root: a directory must not be on its own way. */
function refuseOwnDescendant(transaction: Transaction, from: Taken, to: Place, fromRef: EntryRef, toRef: EntryRef): void {
  if (from.entry.type === 'directory' && isOnTheWay(transaction, from.entry.ino, to.parent)) {
    throw new NokvError('own-descendant', `${describe(fromRef)} cannot move to ${describe(toRef)}, which is inside it`);
  }
}

/** Whether a directory is another, or above it. */
function isOnTheWay(transaction: Transaction, directory: InodeNumber, below: InodeNumber): boolean {
  // Ends at a root: parents of directories form a tree.
  for (let at = below; at !== 0; at = transaction.inode(at)?.parent ?? (0 as InodeNumber)) if (at === directory) return true;
  return false;
}
