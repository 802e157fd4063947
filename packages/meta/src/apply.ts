/** From a command to the rows it writes: a pure function of the command and the state that the transaction shows. */
import { unreachable, LISTED_OPERATIONS } from '@nokv/types';
import type { Command } from './command.js';
import { clone, undelete } from './history/clone.js';
import { materialise } from './history/materialise.js';
import { merge } from './history/merge.js';
import { createSnapshot, endPins, removeTag, renewSnapshot, retireSnapshot, setTag } from './history/pins.js';
import { prune } from './history/prune.js';
import { setRetention } from './history/retention.js';
import { revert } from './history/revert.js';
import { rollback } from './history/rollback.js';
import { adoptEpoch, adoptStrays, forget, forgetHistory, reap, reviewBodies, sweep } from './operations/background.js';
import { create, link, mkdir, symlink } from './operations/create.js';
import { movePieces } from './operations/move-pieces.js';
import { publish } from './operations/publish.js';
import { removeTree, rmdir, unlink } from './operations/remove.js';
import { repair } from './operations/repair.js';
import { rename } from './operations/rename.js';
import { setattr } from './operations/setattr.js';
import { transact } from './operations/transact.js';
import { beginTree, publishTree } from './operations/tree.js';
import { closeHandle, openHandle } from './operations/handle.js';
import { lock, unlock } from './operations/lock.js';
import { closeSession, openSession, renewSession } from './operations/session.js';
import { beginUpload, endUpload, renewUpload } from './operations/upload.js';
import { removeXattr, setXattr } from './operations/xattr.js';
import { checkTrusted, restricted } from './permissions.js';
import type { AnyMutationResult } from './request-result.js';
import type { Transaction } from './transaction.js';

/**
 * Mutations that callers of limited rights may ask for: those that check them, uploads, which nobody sees before a publish, and
 * sessions, under which they hold what is theirs.
 */
const GUARDED: ReadonlySet<string> = new Set([
  ...LISTED_OPERATIONS,
  'transact',
  'begin-upload',
  'renew-upload',
  'end-upload',
  'begin-tree',
  'open-session',
  'renew-session',
  'close-session',
  'lock',
  'unlock',
  'open-handle',
  'close-handle',
]);

/** Throws `NokvError` where a precondition fails; the transaction is then to be dropped. Internal commands have no result. */
export function apply(transaction: Transaction, command: Command): AnyMutationResult | undefined {
  if (restricted(transaction.caller) !== undefined && !GUARDED.has(command.operation)) checkTrusted(transaction.caller, command.operation);
  switch (command.operation) {
    case 'mkdir':
      return mkdir(transaction, command);
    case 'create':
      return create(transaction, command);
    case 'symlink':
      return symlink(transaction, command);
    case 'link':
      return link(transaction, command);
    case 'unlink':
      return unlink(transaction, command);
    case 'rmdir':
      return rmdir(transaction, command);
    case 'remove-tree':
      return removeTree(transaction, command);
    case 'rename':
      return rename(transaction, command);
    case 'setattr':
      return setattr(transaction, command);
    case 'xattr-set':
      return setXattr(transaction, command);
    case 'xattr-remove':
      return removeXattr(transaction, command);
    case 'begin-upload':
      return beginUpload(transaction, command);
    case 'renew-upload':
      return renewUpload(transaction, command);
    case 'end-upload':
      return endUpload(transaction, command);
    case 'publish':
      return publish(transaction, command);
    case 'begin-tree':
      return beginTree(transaction, command);
    case 'publish-tree':
      return publishTree(transaction, command);
    case 'transact':
      return transact(transaction, command, apply);
    case 'open-session':
      return openSession(transaction, command);
    case 'renew-session':
      return renewSession(transaction, command);
    case 'close-session':
      return closeSession(transaction, command);
    case 'lock':
      return lock(transaction, command);
    case 'unlock':
      return unlock(transaction, command);
    case 'open-handle':
      return openHandle(transaction, command);
    case 'close-handle':
      return closeHandle(transaction, command);
    case 'adopt-epoch':
      return nothing(adoptEpoch(transaction, command));
    case 'sweep':
      return nothing(sweep(transaction, command));
    case 'move-pieces':
      return nothing(movePieces(transaction, command));
    case 'review-bodies':
      return nothing(reviewBodies(transaction, command));
    case 'adopt-strays':
      return nothing(adoptStrays(transaction, command));
    case 'reap':
      return nothing(reap(transaction, command));
    case 'forget':
      return nothing(forget(transaction, command));
    case 'forget-history':
      return nothing(forgetHistory(transaction, command));
    case 'snapshot-create':
      return createSnapshot(transaction, command);
    case 'snapshot-renew':
      return renewSnapshot(transaction, command);
    case 'snapshot-retire':
      return retireSnapshot(transaction, command);
    case 'tag-set':
      return setTag(transaction, command);
    case 'tag-remove':
      return removeTag(transaction, command);
    case 'clone':
      return clone(transaction, command);
    case 'rollback':
      return rollback(transaction, command);
    case 'revert':
      return revert(transaction, command);
    case 'undelete':
      return undelete(transaction, command);
    case 'prune':
      return prune(transaction, command);
    case 'retention-set':
      return setRetention(transaction, command);
    case 'merge':
      return merge(transaction, command);
    case 'end-pins':
      return nothing(endPins(transaction, command));
    case 'materialise':
      return nothing(materialise(transaction, command));
    case 'repair':
      return nothing(repair(transaction, command));
    default:
      return unreachable(command);
  }
}

function nothing(_done: void): undefined {
  return undefined;
}
