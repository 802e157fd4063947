/** setattr: mode, owner, times and size; only a change of size publishes a new body. */
import { createHash } from 'node:crypto';
import {
  INLINE_BYTES_MAX,
  NokvError,
  joinExtents,
  sliceExtents,
  storedBytes,
  type Body,
  type Caller,
  type Generation,
  type MutationOperations,
  type NodeRef,
  type Timespec,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { WRITE, changedMode, checkAccess, checkChown, checkTimes, modeAfterChown, modeAfterWrite } from '../permissions.js';
import { describe, isDirectory, resolveInode } from '../resolve.js';
import type { NewBody, Transaction } from '../transaction.js';
import { toAttributes, type Inode } from '../value-inode.js';
import { retireBody } from './directory.js';
import { addReferences } from './extents.js';

type SetattrCommand = Extract<MutationCommand, { operation: 'setattr' }>;

export function setattr(transaction: Transaction, { args, retention }: SetattrCommand): MutationOperations['setattr']['result'] {
  const found = resolveInode(transaction, args.node, args.follow !== false);
  checkArguments(args);
  if (args.size !== undefined && found.type !== 'file') {
    if (found.type === 'directory') throw isDirectory(args.node);
    throw new NokvError('not-regular-file', `${describe(args.node)} is a ${found.type}; only files have a size to set`);
  }
  const { caller } = transaction;
  const where = () => describe(args.node);
  checkChown(caller, found, args.uid, args.gid, where);
  checkTimes(caller, found, args, where);
  if (args.size !== undefined) checkAccess(caller, found, WRITE, where);
  // By the group that it had before: giving it to another and setting its bits are two rights.
  const mode = args.mode === undefined ? undefined : changedMode(caller, found, args.mode & 0o7777, where);
  const inode = transaction.edit(found.ino);
  inode.ctime = transaction.time;
  if (args.uid !== undefined || args.gid !== undefined) chown(caller, inode, args.uid, args.gid);
  if (mode !== undefined) inode.mode = mode;
  if (args.atime !== undefined) inode.atime = timeOf(args.atime, transaction.time);
  if (args.size !== undefined) {
    inode.mtime = transaction.time;
    inode.mode = modeAfterWrite(caller, inode);
    if (args.size !== inode.size) resize(transaction, inode, args.size, args, retention);
  }
  if (args.mtime !== undefined) inode.mtime = timeOf(args.mtime, transaction.time);
  transaction.change('attributes', inode, inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name });
  return { attributes: toAttributes(inode) };
}

/**
 * Makes a stored body current: the inode shows its size, the old body waits for the end of its retention. A command makes one
 * generation of a file, however often it writes it.
 */
export function replaceBody(transaction: Transaction, inode: Inode, body: NewBody, retention: SetattrCommand['retention']): void {
  const isFirstOfCommand = inode.generation !== (transaction.version as number);
  // First the new references: a body of this command that goes at once may lend its blocks to the next.
  addReferences(transaction, body.body);
  retireBody(transaction, inode, retention);
  if (isFirstOfCommand) inode.ordinal += 1;
  transaction.putBody(inode.ino, inode.ordinal, body);
  const allocated = allocatedBytes(body.body);
  transaction.bytesDelta += allocated - inode.allocated;
  inode.allocated = allocated;
  inode.size = body.body.kind === 'inline' ? body.body.bytes.length : body.body.manifest.size;
  inode.generation = transaction.version as number as Generation;
}

export function allocatedBytes(body: Body): number {
  if (body.kind === 'inline') return body.bytes.length;
  let bytes = 0;
  for (const extent of body.manifest.extents) bytes += storedBytes(extent);
  return bytes;
}

function resize(
  transaction: Transaction,
  inode: Inode,
  size: number,
  args: SetattrCommand['args'],
  retention: SetattrCommand['retention'],
): void {
  const old = inode.generation === 0 ? undefined : transaction.body(inode.ino, inode.generation);
  if (old?.lost !== undefined && size > 0) throw bodyEnded(args.node, inode.size);
  const body = resized(old?.body ?? { kind: 'inline', bytes: new Uint8Array(0) }, size);
  if (body === undefined) {
    throw new NokvError(
      'too-large',
      `${describe(args.node)} keeps its ${inode.size} bytes in the metadata, where bodies end at ${INLINE_BYTES_MAX}; ` +
        `publish it as blocks to make it ${size} bytes long`,
      { details: { size, inlineBytesMax: INLINE_BYTES_MAX } },
    );
  }
  // The digest was that of other bytes; those in blocks are not read for a new one.
  const digest = body.kind === 'inline' ? digestOfInline(body.bytes) : undefined;
  replaceBody(transaction, inode, { digest, contentType: old?.contentType, producer: old?.producer, body }, retention);
}

export function bodyEnded(node: NodeRef, size: number): NokvError {
  return new NokvError('retention-ended', `${describe(node)}: its ${size} bytes are not kept (any more); cut it to 0 or publish it anew`);
}

export function digestOfInline(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The body cut or filled up with zeros to `size` bytes; undefined where that needs bytes in blocks that are not there. */
function resized(body: Body, size: number): Body | undefined {
  if (body.kind === 'inline') {
    const { bytes } = body;
    if (size <= bytes.length) return { kind: 'inline', bytes: bytes.slice(0, size) };
    if (size <= INLINE_BYTES_MAX) {
      const longer = new Uint8Array(size);
      longer.set(bytes);
      return { kind: 'inline', bytes: longer };
    }
    return bytes.every((byte) => byte === 0) ? { kind: 'blocks', manifest: { size, extents: [{ hole: true, take: size }] } } : undefined;
  }
  if (size === 0) return { kind: 'inline', bytes: new Uint8Array(0) };
  const { manifest } = body;
  return {
    kind: 'blocks',
    manifest: {
      size,
      extents:
        size < manifest.size
          ? sliceExtents(manifest.extents, 0, size)
          : joinExtents([...manifest.extents, { hole: true, take: size - manifest.size }]),
    },
  };
}

/** A file that changes hands loses its set-id bits (chown(2)). */
function chown(caller: Caller | undefined, inode: Inode, uid: number | undefined, gid: number | undefined): void {
  inode.mode = modeAfterChown(caller, inode);
  if (uid !== undefined) inode.uid = uid;
  if (gid !== undefined) inode.gid = gid;
}

function timeOf(time: Timespec | 'now', now: Timespec): Timespec {
  return time === 'now' ? now : time;
}

function checkArguments({ size, uid, gid, mode, atime, mtime }: SetattrCommand['args']): void {
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw new NokvError('invalid-argument', `a size is a whole number of bytes from 0, found ${size}`);
  }
  for (const [what, value] of Object.entries({ uid, gid, mode })) {
    if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)) {
      throw new NokvError('invalid-argument', `${what} is a whole number of 32 bits, found ${value}`);
    }
  }
  for (const time of [atime, mtime]) if (time !== undefined && time !== 'now') checkTime(time);
}

export function checkTime({ sec, nsec }: Timespec): void {
  if (!Number.isSafeInteger(sec) || !Number.isInteger(nsec) || nsec < 0 || nsec > 999_999_999) {
    throw new NokvError('invalid-argument', `a time has whole seconds and 0 to 999,999,999 nanoseconds, found ${sec} and ${nsec}`);
  }
}
