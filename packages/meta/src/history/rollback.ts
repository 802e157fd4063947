/**
 * rollback: a copy of an earlier state takes the place of the present one in one commit; what was there goes to the trash, and a snapshot
 * of it is left behind, by which the rollback can be undone. The root of the namespace cannot give way to another directory: its entries
 * go, and it shows those of the earlier state as the root of a fork does.
 */
import { NokvError, type NodeRef, type PinInfo, type RollbackResult, type Version } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { FreshInodes } from '../operations/fresh-inodes.js';
import { mustInode, mustPlace, removeWhole, takeWhole, type Taken } from '../operations/remove.js';
import { setXattrs } from '../operations/xattr.js';
import { notFound, resolveNode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { toAttributes, type Inode } from '../value-inode.js';
import { nodeAt } from './clone.js';
import { countEntries, enterCopy, enterFork } from './fork.js';
import type { VersionedAt } from './moment.js';
import { pinNow } from './pins.js';
import { Unmaterialised } from './unmaterialised.js';

type RollbackCommand = Extract<MutationCommand, { operation: 'rollback' }>;

/** Each becomes a tree in the trash. */
const ROOT_ENTRIES_MAX = 10_000;

export function rollback(transaction: Transaction, command: RollbackCommand): RollbackResult {
  const { args, retention } = command;
  if (resolveNode(transaction, args.node, false) === transaction.root) return rollbackRoot(transaction, command);
  const place = placeOf(transaction, args.node);
  const copied = nodeAt(transaction, args.node, args.at as VersionedAt);
  const present = mustInode(transaction, place.entry.ino);
  const undo = pinForUndo(transaction, present, args.undoTtlMs);
  takeWhole(transaction, place, retention);
  const copy = enterCopy(transaction, copied, { ...place, entry: undefined }, new FreshInodes(command), { keepsBase: false });
  transaction.change('rolled-back', copy, { parent: place.parent, name: place.name });
  return { attributes: toAttributes(copy), undo, restored: copied.view.version };
}

function rollbackRoot(transaction: Transaction, command: RollbackCommand): RollbackResult {
  const { args, retention } = command;
  const { root } = transaction;
  const { view, inode: source, isExact } = nodeAt(transaction, args.node, args.at as VersionedAt);
  // One origin at a time: what an earlier rollback still shows becomes rows first.
  if (transaction.origin(root) !== undefined) throw new Unmaterialised(root, undefined);
  const undo = pinForUndo(transaction, mustInode(transaction, root), args.undoTtlMs);
  const entries = [...transaction.entries(root)];
  if (entries.length > ROOT_ENTRIES_MAX) {
    throw new NokvError(
      'too-large',
      `the root has ${entries.length} entries, ${ROOT_ENTRIES_MAX} at most can be put back in one step; roll back directories in it`,
    );
  }
  for (const { name, entry } of entries) removeWhole(transaction, { parent: root, name, entry }, retention);
  const inode = transaction.edit(root);
  const { mode, uid, gid, mtime, children, nlink } = source;
  Object.assign(inode, { mode, uid, gid, mtime, children, nlink, ctime: transaction.time });
  if (!isExact) countEntries(view, source, inode);
  setXattrs(transaction, inode, [...view.xattrs(source.ino)]);
  inode.isLazy = inode.children > 0;
  const how = { version: view.version, isExact, keepsBase: false };
  if (inode.isLazy) enterFork(transaction, new FreshInodes(command).take(), inode, source.ino, how);
  transaction.change('rolled-back', inode, undefined);
  return { attributes: toAttributes(inode), undo, restored: view.version };
}

function pinForUndo(transaction: Transaction, inode: Inode, ttlMs: number): PinInfo {
  const version = (transaction.version - 1) as Version;
  return pinNow(transaction, inode, { ttlMs, name: 'rollback', labels: [], version });
}

function placeOf(transaction: Transaction, node: NodeRef): Taken {
  if (!('ino' in node)) return mustPlace(transaction, node);
  const inode = transaction.inode(node.ino);
  if (inode === undefined) throw notFound(node);
  const { parent, name } = inode;
  const entry = parent === 0 ? undefined : transaction.entry(parent, name);
  if (entry !== undefined) return { parent, name, entry };
  throw new NokvError('not-permitted', `inode ${node.ino} has no one place (a root, or a file with several names); name it by a path`);
}
