/** What the shard asks of itself: due work of the gc queue, the trash, the ends of the logs, the epoch. */
import { NokvError, compareTimespec, timespecToMs, type InodeNumber } from '@nokv/types';
import type { InternalCommand } from '../command.js';
import { GC_KIND, SYSTEM_ITEM, gcUploadKey, parseGcKey, systemKey } from '../key.js';
import { encodeEpoch } from '../value-log.js';
import type { Transaction } from '../transaction.js';
import { forgetBody, unlinkName } from './directory.js';
import { closeUpload } from './extents.js';
import { isOpen } from './holds.js';
import { sweepSession } from './session.js';
import { moveToTrash, removeEmptyDirectory } from './remove.js';

type CommandOf<Op extends InternalCommand['operation']> = Extract<InternalCommand, { operation: Op }>;

export function adoptEpoch(transaction: Transaction, { args }: CommandOf<'adopt-epoch'>): void {
  transaction.putBlind(systemKey(SYSTEM_ITEM.epoch), encodeEpoch(args.epoch));
}

/** Handles one due row; everything is checked again here, since the state may have moved on since it was queued. */
export function sweep(transaction: Transaction, { args, retention }: CommandOf<'sweep'>): void {
  const work = parseGcKey(args.key);
  if (work === undefined) throw new NokvError('corrupt', `gc row ${Buffer.from(args.key).toString('hex')} is of no known kind`);
  switch (work.kind) {
    case 'upload': {
      const ledger = transaction.upload(work.upload);
      if (ledger?.state === 'open' && compareTimespec(ledger.expires, transaction.time) > 0) {
        transaction.addWork(gcUploadKey(Math.ceil(timespecToMs(ledger.expires)), GC_KIND.upload, work.upload));
      } else {
        closeUpload(transaction, work.upload, retention);
      }
      break;
    }
    case 'extent': {
      if (!isGarbage(transaction, work.upload)) break;
      if (!args.blocksRemoved) return;
      transaction.putExtent(work.upload, undefined);
      transaction.putUpload(work.upload, undefined);
      break;
    }
    case 'body': {
      if (transaction.inode(work.ino)?.generation !== work.generation) forgetBody(transaction, work.ino, work.generation, retention);
      break;
    }
    case 'session':
      return sweepSession(transaction, work.session, work.dueMs, retention);
    case 'tree': {
      const root = transaction.inode(work.root);
      const entry = root?.parent === transaction.staging ? transaction.entry(root.parent, root.name) : undefined;
      if (root !== undefined && entry !== undefined) {
        const place = { parent: root.parent, name: root.name, entry };
        if (root.children === 0) removeEmptyDirectory(transaction, place, retention);
        else moveToTrash(transaction, place);
      }
      break;
    }
  }
  transaction.removeBlind(args.key);
}

/** Whether the blocks of an upload can be neither read nor published any more. */
function isGarbage(transaction: Transaction, upload: Parameters<Transaction['extent']>[0]): boolean {
  return (transaction.extent(upload)?.references ?? 0) === 0 && transaction.upload(upload)?.state !== 'open';
}

/**
 * Takes trees in the trash apart until about so many rows are written. A directory inside a tree moves up into the trash and is
 * taken on at once, so that depth costs nothing; an emptied one goes. What is left over is found in the trash by the next slice.
 */
export function reap(transaction: Transaction, { args, retention }: CommandOf<'reap'>): void {
  const budget = new Budget(args.rows, args.bytes);
  const waiting = take(transaction.entries(transaction.trash), DIRECTORIES_PER_SLICE).reverse();
  // Ends: each turn takes a directory, and directories join only while the budget lasts.
  for (let next = waiting.pop(); next !== undefined && budget.isLeft; next = waiting.pop()) {
    const place = { parent: transaction.trash, name: next.name, entry: next.entry };
    // Entries are looked at before the first of them goes.
    for (const { name, entry } of take(transaction.entries(next.entry.ino), budget.rows)) {
      if (!budget.isLeft) break;
      const child = { parent: next.entry.ino, name, entry };
      if (entry.type !== 'directory') {
        if (takeXattrs(transaction, entry.ino, budget)) unlinkName(transaction, entry.ino, child, retention);
      } else if (transaction.inode(entry.ino)?.children === 0) {
        if (takeXattrs(transaction, entry.ino, budget)) removeEmptyDirectory(transaction, child, retention);
      } else {
        waiting.push({ name: moveToTrash(transaction, child), entry });
      }
      budget.spend(ROWS_PER_ENTRY, ROWS_PER_ENTRY * ROW_BYTES);
    }
    if (budget.isLeft && transaction.inode(next.entry.ino)?.children === 0 && takeXattrs(transaction, next.entry.ino, budget)) {
      removeEmptyDirectory(transaction, place, retention);
      budget.spend(ROWS_PER_ENTRY, ROWS_PER_ENTRY * ROW_BYTES);
    }
  }
}

/**
 * Removes extended attributes of an inode that is about to go, as many as the budget allows: their values may be large and many.
 * An inode with another name keeps them. @returns whether none are left that would go with it.
 */
function takeXattrs(transaction: Transaction, ino: InodeNumber, budget: Budget): boolean {
  const inode = transaction.inode(ino);
  if (inode === undefined || inode.xattrListBytes === 0 || (inode.type !== 'directory' && inode.nlink > 1)) return true;
  if (inode.type !== 'directory' && isOpen(transaction, ino)) return true;
  const edited = transaction.edit(ino);
  for (const name of transaction.xattrNames(ino)) {
    if (!budget.isLeft) return false;
    budget.spend(ROWS_PER_XATTR, transaction.xattr(ino, name)?.length ?? 0);
    edited.xattrListBytes -= name.length + 1;
    transaction.putXattr(ino, name, undefined);
  }
  return budget.isLeft;
}

/** What one slice may still write: rows, and bytes of the values that go to history with them. */
class Budget {
  rows: number;
  #bytes: number;

  constructor(rows: number, bytes: number) {
    this.rows = rows;
    this.#bytes = bytes;
  }

  get isLeft(): boolean {
    return this.rows > 0 && this.#bytes > 0;
  }

  spend(rows: number, bytes: number): void {
    this.rows -= rows;
    this.#bytes -= bytes;
  }
}

/** The inode, its entry, the history of both and a row of the gc queue. */
const ROWS_PER_ENTRY = 5;
/** About what one of these has. */
const ROW_BYTES = 200;
/** The attribute and its history. */
const ROWS_PER_XATTR = 2;
/** Emptied ones that a slice looks at; more than its rows allow would not help. */
const DIRECTORIES_PER_SLICE = 256;

export function forget(transaction: Transaction, { args }: CommandOf<'forget'>): void {
  for (const key of args.keys) transaction.removeBlind(key);
}

export function forgetHistory(transaction: Transaction, { args }: CommandOf<'forget-history'>): void {
  for (const key of args.keys) transaction.removeBlind(key);
}

function take<T>(items: Iterable<T>, limit: number): T[] {
  const taken: T[] = [];
  for (const item of items) {
    taken.push(item);
    if (taken.length === limit) break;
  }
  return taken;
}
