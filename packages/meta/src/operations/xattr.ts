/** Extended attributes: limits of linux/limits.h, flags of setxattr(2). */
import { NokvError, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, formatName, type InodeNumber } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { WRITE, checkXattr } from '../permissions.js';
import { describe, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

/** XATTR_LIST_MAX: what listxattr(2) can return. */
const LIST_BYTES_MAX = 65536;

export function setXattr(transaction: Transaction, { args }: CommandOf<'xattr-set'>): { ino: InodeNumber } {
  const { node, name, value, mode } = args;
  checkXattrName(name);
  if (value.length > XATTR_VALUE_BYTES_MAX) {
    throw new NokvError('too-large', `an extended attribute has at most ${XATTR_VALUE_BYTES_MAX} bytes, found ${value.length}`);
  }
  const found = resolveInode(transaction, node, true);
  checkXattr(transaction.caller, found, name, WRITE, () => describe(node));
  const { ino } = found;
  const old = transaction.xattr(ino, name);
  if (old === undefined && mode === 'replace') throw noXattr(describe(node), name);
  if (old !== undefined && mode === 'create') {
    throw new NokvError('exists', `${describe(node)} has the extended attribute ${formatName(name)} already`);
  }
  const inode = transaction.edit(ino);
  if (old === undefined) inode.xattrListBytes += name.length + 1;
  if (inode.xattrListBytes > LIST_BYTES_MAX) {
    throw new NokvError(
      'too-large',
      `the names of ${describe(node)}'s extended attributes would pass ${LIST_BYTES_MAX} bytes; remove some`,
    );
  }
  transaction.putXattr(ino, name, value);
  changed(transaction, inode);
  return { ino };
}

export function removeXattr(transaction: Transaction, { args }: CommandOf<'xattr-remove'>): { ino: InodeNumber } {
  const { node, name } = args;
  checkXattrName(name);
  const found = resolveInode(transaction, node, true);
  checkXattr(transaction.caller, found, name, WRITE, () => describe(node));
  const { ino } = found;
  if (transaction.xattr(ino, name) === undefined) throw noXattr(describe(node), name);
  const inode = transaction.edit(ino);
  inode.xattrListBytes -= name.length + 1;
  transaction.putXattr(ino, name, undefined);
  changed(transaction, inode);
  return { ino };
}

export function checkXattrName(name: Uint8Array): void {
  if (name.length > 0 && name.length <= XATTR_NAME_BYTES_MAX && !name.includes(0)) return;
  throw new NokvError(
    name.length > XATTR_NAME_BYTES_MAX ? 'name-too-long' : 'invalid-name',
    `the name of an extended attribute has 1 to ${XATTR_NAME_BYTES_MAX} bytes and no NUL, found ${name.length} bytes`,
  );
}

export function noXattr(where: string, name: Uint8Array): NokvError {
  return new NokvError('no-xattr', `${where} has no extended attribute ${formatName(name)}`);
}

function changed(transaction: Transaction, inode: Inode): void {
  inode.ctime = transaction.time;
  transaction.change('xattr', inode, inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name });
}

/** Gives an inode these attributes and no others. */
export function setXattrs(
  transaction: Transaction,
  inode: Inode,
  wanted: readonly { readonly name: Uint8Array; readonly value: Uint8Array }[],
): void {
  const names = new Set(wanted.map(({ name }) => formatName(name)));
  for (const name of transaction.xattrNames(inode.ino)) {
    if (!names.has(formatName(name))) transaction.putXattr(inode.ino, name, undefined);
  }
  for (const { name, value } of wanted) transaction.putXattr(inode.ino, name, value);
  inode.xattrListBytes = wanted.reduce((sum, { name }) => sum + name.length + 1, 0);
}
