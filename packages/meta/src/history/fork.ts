/**
 * Forks: a copy of a node as it was at a version, made by a few rows whatever lies below. The root of a copied directory says what it
 * shows (its origin); its entries become rows of their own when somebody first looks at them (`materialise.ts`), as old as the fork, so
 * that nobody can tell when that was. Until then the fork holds the state of its base as a pin does.
 */
import { NokvError, type InodeNumber, type Version } from '@nokv/types';
import { gcForkKey } from '../key.js';
import { insertFresh } from '../operations/create.js';
import { dueMs } from '../operations/directory.js';
import { addReferences } from '../operations/extents.js';
import type { FreshInodes } from '../operations/fresh-inodes.js';
import { corruptNamespace, type Transaction } from '../transaction.js';
import { decodeDentry, type Inode } from '../value-inode.js';
import type { BodyRow } from '../value-body.js';
import type { ForkRow } from '../value-pin.js';
import type { Place } from '../resolve.js';
import type { PastView } from './past-view.js';

const NO_NAME = new Uint8Array(0);
const NO_PARENT = 0 as InodeNumber;

export interface Copied {
  readonly view: PastView;
  readonly inode: Inode;
  /** Whether directories count their entries right in this view. */
  readonly isExact: boolean;
}

/** Enters a copy of a node at a free place; returns its inode. */
export function enterCopy(
  transaction: Transaction,
  { view, inode, isExact }: Copied,
  place: Place,
  fresh: FreshInodes,
  { keepsBase }: { readonly keepsBase: boolean },
): Inode {
  const copy = copyOf(inode, fresh.take());
  copy.nlink = inode.type === 'directory' ? inode.nlink : 1;
  copy.parent = NO_PARENT;
  copy.name = NO_NAME;
  const body = bodyOf(view, inode);
  if (inode.type === 'directory') showOrigin(transaction, copy, { view, inode, isExact }, keepsBase);
  insertFresh(transaction, place, copy);
  for (const { name, value } of xattrsOf(view, inode)) transaction.putXattr(copy.ino, name, value);
  if (body !== undefined) {
    addReferences(transaction, body.body);
    transaction.copyBody(copy.ino, copy.generation, body);
  }
  return copy;
}

/** Makes the root of a fork of a directory. */
function showOrigin(transaction: Transaction, copy: Inode, { view, inode: source, isExact }: Copied, keepsBase: boolean): void {
  if (!isExact) countEntries(view, source, copy);
  copy.isLazy = copy.children > 0;
  if (copy.isLazy || keepsBase) {
    enterFork(transaction, copy.ino, copy, source.ino, { version: view.version, isExact, keepsBase });
  }
}

/**
 * The rows of a fork: what holds its base, what its root shows, and whom that stands for.
 * @param fork the number of its root; a fresh one where the root has been that of a fork before.
 */
export function enterFork(
  transaction: Transaction,
  fork: InodeNumber,
  root: Inode,
  base: InodeNumber,
  { version, isExact, keepsBase }: { readonly version: Version; readonly isExact: boolean; readonly keepsBase: boolean },
): void {
  transaction.putFork(fork, {
    base,
    version,
    merged: 0 as Version,
    outstanding: root.isLazy ? 1 : 0,
    isExact,
    keepsBase,
    // What nobody can merge does not wait for its root.
    isRootGone: !keepsBase,
    created: transaction.time,
    actor: transaction.actor,
  });
  if (!root.isLazy) return;
  const removed = 0 as Version;
  transaction.putOrigin(root.ino, { fork, source: base, version, born: transaction.version, removed, done: NO_NAME });
  transaction.putCounterpart(fork, base, root.ino);
}

/** The same node under another number. Where it lies is the caller's to say. */
export function copyOf(source: Inode, ino: InodeNumber): Inode {
  const copy = source.clone();
  copy.ino = ino;
  copy.isLazy = false;
  return copy;
}

/** Corrects what a directory counts: its state at a version that no pin held may count entries of a moment later. */
export function countEntries(view: PastView, source: Inode, copy: Inode): void {
  copy.children = 0;
  copy.nlink = 2;
  for (const { value } of view.entryRows(source, undefined)) {
    copy.children += 1;
    if (decodeDentry(value).type === 'directory') copy.nlink += 1;
  }
}

/**
 * The body that a fork takes over. Of a moment that no pin held it may be forgotten while the history of names is not: the copy then
 * says so when it is read, instead of leaving the file out or the directory unreadable.
 */
export function bodyToTakeOver(view: PastView, inode: Inode, isExact: boolean): BodyRow | undefined {
  const { ino, generation, size, allocated, ordinal } = inode;
  if (isExact || generation === 0 || view.body(ino, generation) !== undefined) return bodyOf(view, inode);
  return {
    birth: generation as number as Version,
    time: inode.mtime,
    ordinal,
    actor: '',
    digest: undefined,
    contentType: undefined,
    producer: undefined,
    body: { kind: 'inline', bytes: NO_NAME },
    lost: { size, allocated },
  };
}

/** The body that a file shows in a view; blocks of it must still be there. */
export function bodyOf(view: PastView, { ino, generation }: Inode): BodyRow | undefined {
  if (generation === 0) return undefined;
  const body = view.body(ino, generation);
  if (body === undefined) {
    throw new NokvError('retention-ended', `the body of inode ${ino} of generation ${generation} is not kept (any more)`, {
      details: { generation },
    });
  }
  return body;
}

export function xattrsOf(view: PastView, { ino, xattrListBytes }: Inode): { readonly name: Uint8Array; readonly value: Uint8Array }[] {
  return xattrListBytes === 0 ? [] : [...view.xattrs(ino)];
}

/** A directory of a fork does not show its origin any more: it has all entries, or it is gone for good. */
export function endOrigin(transaction: Transaction, directory: InodeNumber): void {
  const origin = transaction.origin(directory);
  if (origin === undefined) return;
  transaction.putOrigin(directory, undefined);
  const fork = transaction.fork(origin.fork);
  if (fork === undefined || fork.outstanding === 0) throw corruptNamespace(`fork ${origin.fork} does not count directory ${directory}`);
  settle(transaction, origin.fork, { ...fork, outstanding: fork.outstanding - 1 });
}

/** The root of a fork goes: nobody can merge it any more. */
export function forgetForkRoot(transaction: Transaction, root: InodeNumber): void {
  const fork = transaction.fork(root);
  if (fork !== undefined) settle(transaction, root, { ...fork, isRootGone: true });
}

function settle(transaction: Transaction, root: InodeNumber, fork: ForkRow): void {
  if (fork.outstanding > 0 || (fork.keepsBase && !fork.isRootGone)) {
    transaction.putFork(root, fork);
    return;
  }
  transaction.putFork(root, undefined);
  transaction.addWork(gcForkKey(dueMs(transaction, 0), root));
}
