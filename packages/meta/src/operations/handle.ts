/** open-handle and close-handle: what keeps an inode alive when its last name goes. */
import { NokvError, type CloseHandleResult, type MutationOperations } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { handleKey } from '../key.js';
import { checkOpen } from '../permissions.js';
import { describe, isDirectory, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { HANDLE } from '../value-session.js';
import { toAttributes } from '../value-inode.js';
import { mustSession, putHold, removeHold, removeIfUnused } from './holds.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

export function openHandle(transaction: Transaction, { args }: CommandOf<'open-handle'>): MutationOperations['open-handle']['result'] {
  mustSession(transaction, args.session);
  const inode = resolveInode(transaction, args.node, args.follow !== false);
  if (inode.type === 'directory') throw isDirectory(args.node);
  checkOpen(transaction.caller, inode, () => describe(args.node));
  const key = handleKey(inode.ino, args.session);
  putHold(transaction, key, { opens: (transaction.held(HANDLE, key)?.opens ?? 0) + 1 });
  return { attributes: toAttributes(inode) };
}

export function closeHandle(transaction: Transaction, { args, retention }: CommandOf<'close-handle'>): CloseHandleResult {
  const { ino } = args;
  mustSession(transaction, args.session);
  const key = handleKey(ino, args.session);
  const opens = transaction.held(HANDLE, key)?.opens ?? 0;
  if (opens === 0) {
    throw new NokvError('not-found', `${describe({ ino })} is not open under session ${args.session} (any more)`);
  }
  if (opens > 1) {
    putHold(transaction, key, { opens: opens - 1 });
    return { ino, removed: false };
  }
  removeHold(transaction, key);
  return { ino, removed: removeIfUnused(transaction, ino, retention) };
}
