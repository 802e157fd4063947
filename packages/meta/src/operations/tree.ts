/** Trees that are built out of sight under the staging directory and enter the namespace in one commit. */
import { NokvError, type BeginTreeResult, type CreateResult } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { gcTreeKey } from '../key.js';
import { alreadyExists, describe, resolvePlace } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { toAttributes } from '../value-inode.js';
import { insertFresh, location, makeInode, parentMaker } from './create.js';
import { dueMs, enterName, leaveName } from './directory.js';
import { mustBeOwner } from '../permissions.js';
import { mayEnter } from './access.js';
import { removeWhole } from './remove.js';
import { checkTtl } from './upload.js';
import { FreshInodes } from './fresh-inodes.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

export function beginTree(transaction: Transaction, { args, freshInode }: CommandOf<'begin-tree'>): BeginTreeResult {
  checkTtl(args.ttlMs);
  const root = makeInode(transaction, freshInode, 'directory', args);
  const name = Buffer.from(String(freshInode));
  insertFresh(transaction, { parent: transaction.staging, name }, root);
  transaction.addWork(gcTreeKey(dueMs(transaction, args.ttlMs), freshInode));
  return { root: freshInode, name: Uint8Array.from(name) };
}

export function publishTree(transaction: Transaction, command: CommandOf<'publish-tree'>): CreateResult {
  const { args, retention } = command;
  const staged = transaction.inode(args.root);
  if (staged === undefined || staged.parent !== transaction.staging) {
    throw new NokvError('not-found', `inode ${args.root} is not a staged tree (any more); begin another and fill it again`);
  }
  mustBeOwner(transaction.caller, staged, () => `the staged tree ${args.root}`, 'publish it');
  const makeDirectory = args.parents === true ? parentMaker(transaction, new FreshInodes(command), args) : undefined;
  const place = resolvePlace(transaction, args.to, { follow: false, makeDirectory });
  const { entry } = place;
  mayEnter(transaction, place, () => describe(args.to));
  if (entry !== undefined) {
    if (!args.replace) throw alreadyExists(args.to);
    if (place.name.length === 0) throw new NokvError('not-permitted', `${describe(args.to)} is the root and stays where it is`);
    removeWhole(transaction, { ...location(place), entry }, retention);
  }
  const root = transaction.edit(args.root);
  leaveName(transaction, root, { parent: root.parent, name: root.name });
  enterName(transaction, root, place);
  root.ctime = transaction.time;
  transaction.change('created', root, location(place));
  return { attributes: toAttributes(root), created: entry === undefined };
}
