/** unlink, rmdir, remove-tree. */
import { NokvError, type InodeNumber, type UnlinkResult } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { describe, isDirectory, notDirectory, notFound, resolvePlace, type Place } from '../resolve.js';
import type { EntryRef } from '@nokv/types';
import { corruptNamespace, type Transaction } from '../transaction.js';
import { keepPolicy } from '../history/retention.js';
import type { Dentry, Inode } from '../value-inode.js';
import { mayLeave, mayRemoveTree } from './access.js';
import { dropInode, enterName, leaveName, unlinkName } from './directory.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

export interface Taken {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
  readonly entry: Dentry;
}

export function unlink(transaction: Transaction, { args, retention }: CommandOf<'unlink'>): UnlinkResult {
  const place = mustPlace(transaction, args.entry);
  const { entry } = place;
  const inode = mustInode(transaction, entry.ino);
  mayLeave(transaction, place, inode, () => describe(args.entry));
  if (entry.type === 'directory') throw isDirectory(args.entry);
  const nlink = unlinkName(transaction, entry.ino, place, retention);
  removed(transaction, inode, place);
  return { ino: entry.ino, nlink };
}

export function rmdir(transaction: Transaction, { args, retention }: CommandOf<'rmdir'>): { ino: InodeNumber } {
  const place = mustPlace(transaction, args.entry);
  const { entry } = place;
  const directory = mustInode(transaction, entry.ino);
  mayLeave(transaction, place, directory, () => describe(args.entry));
  if (entry.type !== 'directory') throw notDirectory(args.entry);
  if (directory.children > 0) throw notEmpty(args.entry, directory.children);
  removeEmptyDirectory(transaction, place, retention);
  removed(transaction, directory, place);
  return { ino: entry.ino };
}

export function removeTree(transaction: Transaction, { args, retention }: CommandOf<'remove-tree'>): { ino: InodeNumber } {
  const place = mustPlace(transaction, args.entry);
  removeWhole(transaction, place, retention);
  return { ino: place.entry.ino };
}

/** Takes what lies at a place out of the namespace, however much it is, and says so to watchers. */
export function removeWhole(transaction: Transaction, place: Taken, retention: CommandOf<'rmdir'>['retention']): void {
  const inode = mustInode(transaction, place.entry.ino);
  takeWhole(transaction, place, retention);
  removed(transaction, inode, place);
}

/** The same without a word: for what something else takes the place of. */
export function takeWhole(transaction: Transaction, place: Taken, retention: CommandOf<'rmdir'>['retention']): void {
  const { entry } = place;
  const inode = mustInode(transaction, entry.ino);
  const where = () => describe({ parent: place.parent, name: place.name });
  mayLeave(transaction, place, inode, where);
  mayRemoveTree(transaction, inode, where);
  if (entry.type !== 'directory') unlinkName(transaction, entry.ino, place, retention);
  else if (inode.children === 0) removeEmptyDirectory(transaction, place, retention);
  else moveToTrash(transaction, place);
}

/**
 * Moves a directory under the trash, where slices of background work take it apart.
 * @returns its name there.
 */
export function moveToTrash(transaction: Transaction, { parent, name, entry }: Taken): Uint8Array {
  const directory = transaction.edit(entry.ino);
  keepPolicy(transaction, directory);
  leaveName(transaction, directory, { parent, name });
  const trashed = Buffer.from(String(entry.ino));
  enterName(transaction, directory, { parent: transaction.trash, name: trashed });
  return trashed;
}

export function removeEmptyDirectory(
  transaction: Transaction,
  { parent, name, entry }: Taken,
  retention: CommandOf<'rmdir'>['retention'],
): void {
  const directory = transaction.edit(entry.ino);
  leaveName(transaction, directory, { parent, name });
  dropInode(transaction, directory, retention);
}

/** What lies at a place; a root has none and stays. */
export function mustPlace(transaction: Transaction, ref: EntryRef): Taken {
  return mustBeTaken(resolvePlace(transaction, ref, { follow: false }), ref);
}

export function mustBeTaken({ parent, name, entry }: Place, ref: EntryRef): Taken {
  if (entry === undefined) throw notFound(ref);
  if (name.length === 0) throw new NokvError('not-permitted', `${describe(ref)} is the root and stays where it is`);
  return { parent, name, entry };
}

export function mustInode(transaction: Transaction, ino: InodeNumber): Inode {
  const inode = transaction.inode(ino);
  if (inode === undefined) throw corruptNamespace(`an entry leads to inode ${ino}, which is missing`);
  return inode;
}

export function notEmpty(ref: EntryRef, children: number): NokvError {
  return new NokvError('not-empty', `${describe(ref)} is not empty: it holds ${children} ${children === 1 ? 'entry' : 'entries'}`);
}

function removed(transaction: Transaction, inode: Inode, { parent, name }: Taken): void {
  transaction.change('removed', inode, { parent, name });
}
