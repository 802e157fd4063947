/** clone, undelete: a copy of what is or was at a place, at another place or the same. */
import { NokvError, type CreateResult, type EntryRef, type InodeNumber, type NodeRef, type Version } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { dentryKey } from '../key.js';
import { location, parentMaker } from '../operations/create.js';
import { FreshInodes } from '../operations/fresh-inodes.js';
import { alreadyExists, describe, notFound, resolveInode, resolvePlace, type Place } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { decodeDentry, toAttributes, type Inode } from '../value-inode.js';
import { enterCopy, type Copied } from './fork.js';
import type { VersionedAt } from './moment.js';
import { birthOf } from './past-rows.js';
import { isUnder } from './past-view.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

export function clone(transaction: Transaction, command: CommandOf<'clone'>): CreateResult {
  const { args } = command;
  const copied = nodeAt(transaction, args.from, args.at as VersionedAt | undefined);
  const fresh = new FreshInodes(command);
  const makeDirectory = args.parents === true ? parentMaker(transaction, fresh, args) : undefined;
  const place = resolvePlace(transaction, args.to, { follow: false, makeDirectory });
  if (place.entry !== undefined) throw alreadyExists(args.to);
  refuseOwnDescendant(transaction, copied.inode, place, args.from, args.to);
  return entered(transaction, copied, place, fresh, true);
}

export function undelete(transaction: Transaction, command: CommandOf<'undelete'>): CreateResult {
  const { args } = command;
  const removed = resolvePlace(transaction, args.entry, { follow: false });
  const to = args.to === undefined ? removed : resolvePlace(transaction, args.to, { follow: false });
  if (to.entry !== undefined) throw alreadyExists(args.to ?? args.entry);
  const copied =
    args.at === undefined ? lastAt(transaction, removed, args.entry) : nodeAt(transaction, args.entry as NodeRef, args.at as VersionedAt);
  return entered(transaction, copied, to, new FreshInodes(command), false);
}

function entered(transaction: Transaction, copied: Copied, place: Place, fresh: FreshInodes, keepsBase: boolean): CreateResult {
  const copy = enterCopy(transaction, copied, place, fresh, { keepsBase });
  transaction.change('cloned', copy, location(place));
  return { attributes: toAttributes(copy), created: true };
}

/** A node now or at a moment, as something to copy. */
export function nodeAt(transaction: Transaction, ref: NodeRef, at: VersionedAt | undefined): Copied {
  if (at === undefined) {
    const inode = resolveInode(transaction, ref, false);
    return { view: transaction.past(transaction.version), inode, isExact: true };
  }
  const { version, pinned, isExact } = transaction.moment(at);
  const bound = transaction.past(version, pinned);
  const inode = resolveInode(bound, ref, false);
  if (!bound.shows(inode.ino)) throw notFound(ref, 'it lies outside what the snapshot shows');
  return { view: transaction.past(version), inode, isExact };
}

/** What was last removed at a place, as it was then. */
function lastAt(transaction: Transaction, { parent, name, entry }: Place, ref: EntryRef): Copied {
  if (entry !== undefined) throw alreadyExists(ref);
  let last: { readonly version: Version; readonly ino: InodeNumber } | undefined;
  for (const { replaced, value } of transaction.historyOf(dentryKey(parent, name))) {
    if (birthOf(value) < replaced) last = { version: (replaced - 1) as Version, ino: decodeDentry(value).ino };
  }
  // Rows of an older state may outlive others of it: only what history holds whole can be brought back.
  if (last === undefined || last.version < transaction.progress.changesForgotten) {
    throw new NokvError(
      'retention-ended',
      `${describe(ref)}: nothing that was removed there is kept (any more); snapshots and tags last longer`,
    );
  }
  const view = transaction.past(last.version);
  const inode = view.inode(last.ino);
  if (inode === undefined) throw new NokvError('retention-ended', `${describe(ref)}: what was removed there is not kept any more`);
  return { view, inode, isExact: false };
}

function refuseOwnDescendant(transaction: Transaction, source: Inode, place: Place, from: NodeRef, to: EntryRef): void {
  if (source.type === 'directory' && isUnder(transaction, place.parent, source.ino)) {
    throw new NokvError('own-descendant', `${describe(from)} cannot be cloned to ${describe(to)}, which is inside it`);
  }
}
