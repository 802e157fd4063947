/** What the shard asks of itself: due work of the gc queue, the trash, the ends of the logs, the epoch. */
import { NokvError, compareTimespec, timespecToMs } from '@nokv/types';
import type { InternalCommand } from '../command.js';
import { GC_KIND, SYSTEM_ITEM, gcUploadKey, parseGcKey, systemKey } from '../key.js';
import { encodeEpoch } from '../value-log.js';
import type { Transaction } from '../transaction.js';
import { forgetBody, unlinkName } from './directory.js';
import { closeUpload } from './extents.js';
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
 * Takes at most `limit` entries out of the first directory in the trash. A directory inside it moves up into the trash, so
 * that depth costs nothing; an emptied one goes.
 */
export function reap(transaction: Transaction, { args, retention }: CommandOf<'reap'>): void {
  const [first] = take(transaction.entries(transaction.trash), 1);
  if (first === undefined) return;
  const place = { parent: transaction.trash, name: first.name, entry: first.entry };
  const inside = take(transaction.entries(first.entry.ino), args.limit);
  for (const { name, entry } of inside) {
    const child = { parent: first.entry.ino, name, entry };
    if (entry.type !== 'directory') unlinkName(transaction, entry.ino, child, retention);
    else if (transaction.inode(entry.ino)?.children === 0) removeEmptyDirectory(transaction, child, retention);
    else moveToTrash(transaction, child);
  }
  if (transaction.inode(first.entry.ino)?.children === 0) removeEmptyDirectory(transaction, place, retention);
}

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
