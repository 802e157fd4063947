/**
 * rollback: a copy of an earlier state takes the place of the present one in one commit; what was there goes to the trash, and a snapshot
 * of it is left behind, by which the rollback can be undone.
 */
import { NokvError, type NodeRef, type RollbackResult, type Version } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { FreshInodes } from '../operations/fresh-inodes.js';
import { mustInode, mustPlace, takeWhole, type Taken } from '../operations/remove.js';
import { notFound } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { toAttributes } from '../value-inode.js';
import { nodeAt } from './clone.js';
import { enterCopy } from './fork.js';
import type { VersionedAt } from './moment.js';
import { pinNow } from './pins.js';

export function rollback(transaction: Transaction, command: Extract<MutationCommand, { operation: 'rollback' }>): RollbackResult {
  const { args, retention } = command;
  const place = placeOf(transaction, args.node);
  const copied = nodeAt(transaction, args.node, args.at as VersionedAt);
  const present = mustInode(transaction, place.entry.ino);
  const undo = pinNow(transaction, present, {
    ttlMs: args.undoTtlMs,
    name: 'rollback',
    labels: [],
    version: (transaction.version - 1) as Version,
  });
  takeWhole(transaction, place, retention);
  const copy = enterCopy(transaction, copied, { ...place, entry: undefined }, new FreshInodes(command), { keepsBase: false });
  transaction.change('rolled-back', copy, { parent: place.parent, name: place.name });
  return { attributes: toAttributes(copy), undo, restored: copied.view.version };
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
