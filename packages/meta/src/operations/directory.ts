/**
 * Entering names into directories and taking them out: the only code that changes what a directory counts.
 * A directory's children, links, mtime and ctime change together with its entries, in the same command.
 */
import { NokvError, type InodeNumber } from '@nokv/types';
import { forgetForkRoot } from '../history/fork.js';
import { keepMsOf } from '../history/retention.js';
import { gcBodyKey } from '../key.js';
import { encodeRetired } from '../value-log.js';
import { dropReferences } from './extents.js';
import { dropLocks, isHeld, isOpen } from './holds.js';
import { corruptNamespace, type Transaction } from '../transaction.js';
import type { Retention } from '../command.js';
import type { Inode } from '../value-inode.js';

const NO_PARENT = 0 as InodeNumber;
const NO_NAME = new Uint8Array(0);

export interface Location {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
}

/** Puts an inode under a free name, or under that of an entry that was taken out in the same command. */
export function enterName(transaction: Transaction, inode: Inode, { parent, name }: Location): void {
  const directory = editLiving(transaction, parent);
  directory.children += 1;
  if (inode.type === 'directory') directory.nlink += 1;
  touch(transaction, directory);
  transaction.putEntry(parent, name, inode.ino, inode.type);
  if (inode.nlink > 1 && inode.type !== 'directory') transaction.putLink(inode.ino, parent, name);
  else placeInode(inode, parent, name, transaction.version);
}

/** Takes a name out of its directory; the inode itself stays as it is. */
export function leaveName(transaction: Transaction, inode: Inode, { parent, name }: Location): void {
  const directory = transaction.edit(parent);
  if (directory.children === 0) throw corruptNamespace(`directory ${parent} counts no entries but has one`);
  directory.children -= 1;
  if (inode.type === 'directory') directory.nlink -= 1;
  touch(transaction, directory);
  transaction.removeEntry(parent, name);
  if (inode.nlink > 1 && inode.type !== 'directory') transaction.removeLink(inode.ino, parent, name);
}

/**
 * Takes a name away from an inode that is no directory. With its last name the inode goes, unless it is open: its attributes' rows at
 * once, its body when its retention ends.
 * @returns the links that are left.
 */
export function unlinkName(transaction: Transaction, ino: InodeNumber, at: Location, retention: Retention): number {
  const inode = transaction.edit(ino);
  inode.ctime = transaction.time;
  const others = inode.nlink === 2 ? transaction.links(ino, 3) : [];
  leaveName(transaction, inode, at);
  inode.nlink -= 1;
  if (inode.nlink === 0) {
    const mayBeHeld = isHeld(transaction, ino);
    if (mayBeHeld && isOpen(transaction, ino)) placeInode(inode, NO_PARENT, NO_NAME, 0 as Inode['namedAt']);
    else dropInode(transaction, inode, retention, mayBeHeld);
  } else if (inode.nlink === 1) {
    const last = others.find(({ parent, name }) => parent !== at.parent || Buffer.compare(name, at.name) !== 0);
    const entry = last === undefined ? undefined : transaction.entry(last.parent, last.name);
    if (last === undefined || entry === undefined) throw corruptNamespace(`inode ${ino} has lost the row of its last link`);
    transaction.removeLink(ino, last.parent, last.name);
    placeInode(inode, last.parent, last.name, entry.birth);
  }
  return inode.nlink;
}

/** Removes an inode that neither a name nor a handle leads to. */
export function dropInode(transaction: Transaction, inode: Inode, retention: Retention, mayBeHeld = true): void {
  if (mayBeHeld) dropLocks(transaction, inode.ino);
  if (inode.xattrListBytes > 0) {
    for (const name of transaction.xattrNames(inode.ino)) transaction.putXattr(inode.ino, name, undefined);
  }
  if (inode.type === 'directory') forgetDirectory(transaction, inode);
  transaction.removeInode(inode);
  retireBody(transaction, inode, retention, true);
}

/** What a directory has beside its entries: its policy goes; what it shows of an origin stays readable as the past that it was. */
function forgetDirectory(transaction: Transaction, { ino, isLazy }: Inode): void {
  if (transaction.progress.policies > 0) transaction.putPolicy(ino, undefined);
  if (transaction.progress.forks > 0) forgetForkRoot(transaction, ino);
  const origin = isLazy ? transaction.origin(ino) : undefined;
  if (origin !== undefined) transaction.putOrigin(ino, { ...origin, removed: transaction.version });
}

/**
 * Queues the current body of an inode to be forgotten once nobody may ask for it any more. One that was published by the same
 * command was never seen and goes at once.
 */
export function retireBody(transaction: Transaction, inode: Inode, retention: Retention, isRemoved = false): void {
  if (inode.generation === 0) return;
  if (inode.generation === (transaction.version as number)) return forgetBody(transaction, inode.ino, inode.generation, retention);
  const keepMs = keepMsOf(transaction, inode, retention);
  const retired = { version: transaction.version, ms: dueMs(transaction, 0) };
  if (!isRemoved) {
    transaction.addWork(gcBodyKey(dueMs(transaction, keepMs.superseded), inode.ino, inode.generation), encodeRetired(retired));
    return;
  }
  const isByDefault = keepMs.removed === retention.bodyMs;
  const value = encodeRetired(isByDefault ? retired : { ...retired, keepMs: keepMs.removed });
  transaction.addWork(gcBodyKey(dueMs(transaction, keepMs.removed), inode.ino, inode.generation), value);
}

/** Forgets a body whose time has come. */
export function forgetBody(transaction: Transaction, ino: InodeNumber, generation: Inode['generation'], retention: Retention): void {
  const body = transaction.body(ino, generation);
  if (body === undefined) return;
  transaction.dropBody(ino, generation);
  dropReferences(transaction, body.body, retention);
}

/** Remembers the second name of an inode: from now on both have rows, and the first entry repeats no attributes. */
export function becomeShared(transaction: Transaction, inode: Inode): void {
  transaction.putLink(inode.ino, inode.parent, inode.name);
  transaction.refreshEntry(inode.parent, inode.name);
  placeInode(inode, NO_PARENT, NO_NAME, 0 as Inode['namedAt']);
}

/** The directory, to be changed; one that was removed as a whole takes no new entries. */
export function editLiving(transaction: Transaction, directory: InodeNumber): Inode {
  const current = transaction.inode(directory);
  if (current === undefined || (current.parent === transaction.trash && directory !== transaction.trash)) {
    throw new NokvError('not-found', `directory inode ${directory} was removed`);
  }
  return transaction.edit(directory);
}

export function dueMs(transaction: Transaction, afterMs: number): number {
  const { sec, nsec } = transaction.time;
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1e6) + afterMs);
}

function touch(transaction: Transaction, directory: Inode): void {
  directory.mtime = transaction.time;
  directory.ctime = transaction.time;
}

/** Notes in an inode what its one name is. */
export function placeInode(inode: Inode, parent: InodeNumber, name: Uint8Array, namedAt: Inode['namedAt']): void {
  inode.parent = parent;
  inode.name = name;
  inode.namedAt = namedAt;
}
