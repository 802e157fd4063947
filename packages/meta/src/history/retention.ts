/** How long superseded bodies stay: the policy of the nearest directory that has one, else the shard's default. */
import { NokvError, timespecToMs, type InodeNumber, type ReadOperations, type RetentionGetResult, type RetentionPolicy } from '@nokv/types';
import type { MutationCommand, Retention } from '../command.js';
import { gcPolicyKey } from '../key.js';
import type { ReadView } from '../read-view.js';
import { describe, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import { HistoryReader, type HistoryView } from './history-view.js';

const NO_POLICY: RetentionPolicy = { keepLast: 0, keepMs: 0 };

type RetentionCommand = Extract<MutationCommand, { operation: 'retention-set' }>;

const KEEP_LAST_MAX = 1_000_000;
const KEEP_MS_MAX = 100 * 365 * 24 * 3600 * 1000;

export function setRetention(transaction: Transaction, { args }: RetentionCommand): { ino: InodeNumber } {
  const { policy } = args;
  if (policy !== undefined) checkPolicy(policy);
  const inode = resolveInode(transaction, args.node, true);
  if (inode.type !== 'directory') {
    throw new NokvError('not-directory', `${describe(args.node)} is a ${inode.type}; retention is set for a directory and all below it`);
  }
  transaction.putPolicy(inode.ino, policy);
  // What waits by the policy before is looked at again.
  transaction.addWork(gcPolicyKey(Math.max(0, Math.floor(timespecToMs(transaction.time))), inode.ino));
  return { ino: inode.ino };
}

export function checkPolicy({ keepLast, keepMs }: { readonly keepLast?: number; readonly keepMs?: number }): void {
  if (keepLast !== undefined && (!Number.isInteger(keepLast) || keepLast < 0 || keepLast > KEEP_LAST_MAX)) {
    throw new NokvError('invalid-argument', `keep-last is a whole number from 0 to ${KEEP_LAST_MAX}, found ${keepLast}`);
  }
  if (keepMs !== undefined && (!Number.isInteger(keepMs) || keepMs < 0 || keepMs > KEEP_MS_MAX)) {
    throw new NokvError('invalid-argument', `keep-for is 0 to ${KEEP_MS_MAX} whole ms, found ${keepMs}`);
  }
}

export function retentionOf(
  reader: ReadView,
  { node }: ReadOperations['retention-get']['args'],
  fallback: RetentionPolicy,
): RetentionGetResult {
  return policyFor(new HistoryReader(reader.view, reader.root), resolveInode(reader, node, true), fallback);
}

export function policyDefault({ bodiesKept, bodyMs }: Retention): RetentionPolicy {
  return { keepLast: bodiesKept, keepMs: bodyMs };
}

/**
 * How long the body of a file stays once it is superseded, or removed with its file. A removed file can be looked at and brought back
 * within the window of changes only, so that no policy keeps it longer than the default; one that wants nothing of the past of its
 * files (`keepLast` 0) lets it go sooner.
 */
export function keepMsOf(transaction: Transaction, inode: Inode, retention: Retention): { superseded: number; removed: number } {
  const { bodyMs } = retention;
  if (transaction.progress.policies === 0) return { superseded: bodyMs, removed: bodyMs };
  const { keepLast, keepMs } = policyFor(transaction, inode, policyDefault(retention)).policy;
  return { superseded: keepMs, removed: keepLast === 0 ? Math.min(keepMs, bodyMs) : bodyMs };
}

/** What a directory that is moved into the trash takes along of the policy above it: its files are removed later, and it is still theirs. */
export function keepPolicy(transaction: Transaction, directory: Inode): void {
  if (transaction.progress.policies === 0) return;
  const { policy, from } = policyFor(transaction, directory, NO_POLICY);
  if (from !== 0 && from !== directory.ino) transaction.putPolicy(directory.ino, policy);
}

/** The policy for what an inode holds and where it comes from; 0: the default. */
export function policyFor(view: HistoryView, inode: Inode, fallback: RetentionPolicy): RetentionGetResult {
  let at: InodeNumber = inode.type === 'directory' ? inode.ino : parentOf(view, inode);
  // Ends at a root: parents of directories form a tree.
  while (at !== 0) {
    const policy = view.policy(at);
    if (policy !== undefined) return { policy, from: at };
    at = view.inode(at)?.parent ?? (0 as InodeNumber);
  }
  return { policy: fallback, from: 0 as InodeNumber };
}

/** Of a file with several names the first in the order of its links. */
function parentOf(view: HistoryView, inode: Inode): InodeNumber {
  if (inode.parent !== 0) return inode.parent;
  for (const { parent } of view.links(inode.ino)) return parent;
  return 0 as InodeNumber;
}
