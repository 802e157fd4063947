/** What the shard asks of itself: due work of the gc queue, the trash, the ends of the logs, the epoch. */
import { NokvError, compareTimespec, timespecToMs, uploadTimeMs, type Generation, type InodeNumber, type Version } from '@nokv/types';
import type { InternalCommand } from '../command.js';
import { endOrigin } from '../history/fork.js';
import { birthOf, keyOfHistory, replacedAt } from '../history/past-rows.js';
import { PinCoverage, placeOfRow } from '../history/pin-coverage.js';
import { sweepBodies } from '../history/superseded.js';
import { FAMILY, GC_HELD_MS, GC_KIND, SYSTEM_ITEM, gcPolicyKey, gcUploadKey, historyKey, parseGcKey, systemKey } from '../key.js';
import { decodeRetired, encodeEpoch } from '../value-log.js';
import type { Transaction } from '../transaction.js';
import { unlinkName } from './directory.js';
import { closeUpload } from './extents.js';
import { isOpen } from './holds.js';
import { sweepSession } from './session.js';
import { moveToTrash, removeEmptyDirectory } from './remove.js';

type CommandOf<Op extends InternalCommand['operation']> = Extract<InternalCommand, { operation: Op }>;

/** Rows of ended forks that one command drops. */
const COUNTERPARTS_MAX = 1000;
const WHITEOUTS_MAX = 1000;

export function adoptEpoch(transaction: Transaction, { args }: CommandOf<'adopt-epoch'>): void {
  transaction.putBlind(systemKey(SYSTEM_ITEM.epoch), encodeEpoch(args.epoch));
}

/** Handles one due row; everything is checked again here, since the state may have moved on since it was queued. */
export function sweep(transaction: Transaction, { args, retention }: CommandOf<'sweep'>): void {
  const work = parseGcKey(args.key);
  if (work === undefined) throw new NokvError('corrupt', `gc row ${Buffer.from(args.key).toString('hex')} is of no known kind`);
  // A session that holds much stays due until all of it is gone.
  if (work.kind === 'session') return sweepSession(transaction, work.session, work.dueMs, retention);
  transaction.removeBlind(args.key);
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
      if (!args.blocksRemoved) {
        transaction.addWork(Buffer.from(args.key));
        break;
      }
      transaction.putExtent(work.upload, undefined);
      transaction.putUpload(work.upload, undefined);
      break;
    }
    case 'body': {
      sweepBodies(transaction, work.ino, work.generation, decodeRetired(args.value), retention);
      break;
    }
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
    case 'policy': {
      // Waits apart while the files below are looked at, so that other work has its turn.
      if (work.dueMs !== GC_HELD_MS) transaction.addWork(gcPolicyKey(GC_HELD_MS, work.root));
      break;
    }
    case 'fork': {
      if (transaction.dropCounterparts(work.root, COUNTERPARTS_MAX) === COUNTERPARTS_MAX) transaction.addWork(Buffer.from(args.key));
      break;
    }
  }
}

/** A file that was removed meanwhile waits in the queue by itself. */
export function reviewBodies(transaction: Transaction, { args, retention }: CommandOf<'review-bodies'>): void {
  let coverage: PinCoverage | undefined;
  const shared = (): PinCoverage => (coverage ??= new PinCoverage(transaction));
  for (const { ino, generation } of args.files) {
    if (transaction.inode(ino) === undefined) continue;
    sweepBodies(transaction, ino, generation as Generation, { version: transaction.version, ms: 0 }, retention, shared);
  }
}

/** What an upload's row names as its target where it was made for blocks that were found in the store. */
export const STRAY_TARGET = '(found in the store)';

/** An upload that has a row by now is none of these: nothing is queued for it. */
export function adoptStrays(transaction: Transaction, { args, actor }: CommandOf<'adopt-strays'>): void {
  for (const { upload, dueMs } of args.strays) {
    if (transaction.extent(upload) !== undefined || transaction.upload(upload) !== undefined) continue;
    const begunMs = uploadTimeMs(upload);
    transaction.putUpload(upload, { state: 'ended', begunMs, expires: transaction.time, actor, target: STRAY_TARGET });
    transaction.addWork(gcUploadKey(dueMs, GC_KIND.extent, upload));
  }
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
    if (budget.isLeft && hasNothingLeft(transaction, next.entry.ino) && takeXattrs(transaction, next.entry.ino, budget)) {
      removeEmptyDirectory(transaction, place, retention);
      budget.spend(ROWS_PER_ENTRY, ROWS_PER_ENTRY * ROW_BYTES);
    }
  }
}

/** What a directory of a fork only shows of its origin was never there to be taken out. */
function hasNothingLeft(transaction: Transaction, directory: InodeNumber): boolean {
  const inode = transaction.inode(directory);
  return inode?.children === 0 || (inode?.isLazy === true && take(transaction.entries(directory), 1).length === 0);
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

/** Drops what was replaced by the floor and what no pin holds; with the last of a directory of a fork also what it showed. */
export function forgetHistory(transaction: Transaction, { args }: CommandOf<'forget-history'>): void {
  const coverage = new PinCoverage(transaction);
  const dropped = new Set<string>();
  for (const key of args.keys) {
    const value = transaction.historyRow(key);
    const replaced = replacedAt(key);
    if (value === undefined || replaced > args.floor) continue;
    const row = keyOfHistory(key);
    if (coverage.covers(placeOfRow(row), birthOf(value), replaced)) continue;
    if (row[0] === FAMILY.inode && !forgetOrigin(transaction, Buffer.from(row), replaced, dropped)) continue;
    transaction.dropHistory(key);
    dropped.add(hexOf(key));
  }
}

/** Returns false while there is more to forget first: a pin may still hold an earlier state of the directory, which shows the origin too. */
function forgetOrigin(transaction: Transaction, row: Buffer, removed: Version, dropped: ReadonlySet<string>): boolean {
  const directory = placeOfRow(row);
  const origin = transaction.origin(directory);
  if (origin === undefined || origin.removed !== removed) return true;
  for (const { replaced } of transaction.historyOf(row)) {
    if (replaced < removed && !dropped.has(hexOf(historyKey(row, replaced)))) return false;
  }
  if (transaction.dropWhiteouts(directory, WHITEOUTS_MAX) === WHITEOUTS_MAX) return false;
  endOrigin(transaction, directory);
  return true;
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function take<T>(items: Iterable<T>, limit: number): T[] {
  const taken: T[] = [];
  for (const item of items) {
    taken.push(item);
    if (taken.length === limit) break;
  }
  return taken;
}
