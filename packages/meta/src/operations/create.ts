/** mkdir, create, symlink, link. */
import {
  NokvError,
  SYMLINK_TARGET_BYTES_MAX,
  type CreateResult,
  type EntryRef,
  type InodeNumber,
  type InodeType,
  type MutationOperations,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { alreadyExists, describe, isDirectory, notFound, resolveInode, resolvePlace, type Place, type ResolveOptions } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { Inode, toAttributes } from '../value-inode.js';
import { checkOwner, inherited } from '../permissions.js';
import { mayEnter } from './access.js';
import { becomeShared, editLiving, enterName, type Location } from './directory.js';
import { FreshInodes } from './fresh-inodes.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

/** ext4's is 65,000; ours only keeps a counter from overflowing. */
const LINKS_MAX = 1_000_000;
const PERMISSION_BITS = 0o7777;
const MISSING_PARENT_MODE = 0o755;

export function mkdir(transaction: Transaction, command: CommandOf<'mkdir'>): CreateResult {
  const { args } = command;
  const fresh = new FreshInodes(command);
  const makesParents = args.parents === true;
  const place = resolvePlace(transaction, args.entry, {
    follow: makesParents,
    makeDirectory: makesParents ? parentMaker(transaction, fresh, args) : undefined,
  });
  if (place.entry !== undefined) {
    if (!makesParents || place.entry.type !== 'directory') throw alreadyExists(args.entry);
    return existing(transaction, place, args.entry);
  }
  return created(transaction, place, makeInode(transaction, fresh.take(), 'directory', args));
}

const CREATED_TYPES: ReadonlySet<InodeType> = new Set<InodeType>(['file', 'fifo', 'socket', 'char', 'block']);

export function create(transaction: Transaction, { args, freshInode }: CommandOf<'create'>): CreateResult {
  if (!CREATED_TYPES.has(args.type)) {
    throw new NokvError(
      'invalid-argument',
      `create makes files, fifos, sockets and devices, found type "${args.type}"; use mkdir or symlink`,
    );
  }
  const place = resolvePlace(transaction, args.entry, { follow: false });
  if (place.entry !== undefined) {
    if (args.exclusive) throw alreadyExists(args.entry);
    if (place.entry.type === 'directory') throw isDirectory(args.entry);
    if (place.entry.type !== 'file' || args.type !== 'file') throw alreadyExists(args.entry);
    return existing(transaction, place, args.entry);
  }
  const inode = makeInode(transaction, freshInode, args.type, args);
  inode.rdev = args.type === 'char' || args.type === 'block' ? (args.rdev ?? 0) : 0;
  return created(transaction, place, inode);
}

export function symlink(transaction: Transaction, { args, freshInode }: CommandOf<'symlink'>): CreateResult {
  const { target } = args;
  if (target.length === 0 || target.length > SYMLINK_TARGET_BYTES_MAX || target.includes(0)) {
    throw new NokvError(
      target.length > SYMLINK_TARGET_BYTES_MAX ? 'path-too-long' : 'invalid-argument',
      `the target of a symlink has 1 to ${SYMLINK_TARGET_BYTES_MAX} bytes and no NUL, found ${target.length} bytes`,
    );
  }
  const place = resolvePlace(transaction, args.entry, { follow: false });
  if (place.entry !== undefined) throw alreadyExists(args.entry);
  const inode = makeInode(transaction, freshInode, 'symlink', { ...args, mode: 0o777 });
  inode.target = target;
  inode.size = target.length;
  return created(transaction, place, inode);
}

export function link(transaction: Transaction, { args }: CommandOf<'link'>): MutationOperations['link']['result'] {
  const { ino, type } = resolveInode(transaction, args.node, false);
  if (type === 'directory') {
    throw new NokvError('not-permitted', `${describe(args.node)} is a directory; directories have one name`);
  }
  const place = resolvePlace(transaction, args.entry, { follow: false });
  if (place.entry !== undefined) throw alreadyExists(args.entry);
  mayEnter(transaction, place, () => describe(args.entry));
  const inode = transaction.edit(ino);
  if (inode.nlink === 0) throw notFound(args.node, 'its last name is gone; a file without one gets no other');
  if (inode.nlink >= LINKS_MAX) throw new NokvError('link-limit', `${describe(args.node)} has ${LINKS_MAX} links already`);
  if (inode.nlink === 1) becomeShared(transaction, inode);
  inode.nlink += 1;
  inode.ctime = transaction.time;
  enterName(transaction, inode, place);
  transaction.change('linked', inode, location(place));
  return { attributes: toAttributes(inode) };
}

/** A fresh inode owned by the caller, without a place yet. */
export function makeInode(
  transaction: Transaction,
  ino: InodeNumber,
  type: InodeType,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): Inode {
  const inode = new Inode(ino, type, transaction.time);
  inode.mode = mode & PERMISSION_BITS;
  inode.uid = uid;
  inode.gid = gid;
  inode.nlink = type === 'directory' ? 2 : 1;
  return inode;
}

/** Enters a fresh inode at a free place and says so to watchers. */
export function created(transaction: Transaction, place: Place, inode: Inode): CreateResult {
  insertFresh(transaction, place, inode);
  transaction.change('created', inode, location(place));
  return { attributes: toAttributes(inode), created: true };
}

export function insertFresh(transaction: Transaction, place: Location, inode: Inode): void {
  const { caller } = transaction;
  // Where trees are staged anybody may begin one.
  if (place.parent !== transaction.staging) mayEnter(transaction, place, () => describe({ parent: place.parent, name: place.name }));
  checkOwner(caller, inode);
  const { mode, gid } = inherited(caller, editLiving(transaction, place.parent), inode);
  inode.mode = mode;
  inode.gid = gid;
  transaction.createInode(inode);
  enterName(transaction, inode, place);
}

/** Makes the missing directories of a path, with the caller's ids and mode 0755. */
export function parentMaker(
  transaction: Transaction,
  fresh: FreshInodes,
  owner: { readonly uid: number; readonly gid: number },
): NonNullable<ResolveOptions['makeDirectory']> {
  return (parent, name) => {
    const inode = makeInode(transaction, fresh.take(), 'directory', { ...owner, mode: MISSING_PARENT_MODE });
    created(transaction, { parent, name, entry: undefined }, inode);
    return inode.ino;
  };
}

export function location({ parent, name }: Place): Location {
  return { parent, name };
}

function existing(transaction: Transaction, place: Place, ref: EntryRef): CreateResult {
  const inode = place.entry === undefined ? undefined : transaction.inode(place.entry.ino);
  if (inode === undefined) throw notFound(ref);
  return { attributes: toAttributes(inode), created: false };
}
