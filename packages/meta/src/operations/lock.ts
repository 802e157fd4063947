/** lock and unlock: byte ranges with the rules of fcntl(2), whole files with those of flock(2). */
import {
  LOCKS_PER_INODE_MAX,
  LOCK_END_MAX,
  NokvError,
  formatTimespec,
  timespecToMs,
  type InodeNumber,
  type LockHolder,
  type LockKind,
  type LockType,
  type SessionId,
  type UnlockArgs,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { holdsEnd, holdsStart, lockKey, parseHoldKey } from '../key.js';
import { checkLock } from '../permissions.js';
import { describe, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { LOCK } from '../value-session.js';
import { endSession, isLive, mustSession, putHold, removeHold, sessionRow } from './holds.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

export interface LockRange {
  readonly start: number;
  readonly end: number;
  readonly type: LockType;
}

interface Held extends LockRange {
  readonly key: Buffer;
  readonly session: SessionId;
  readonly owner: number;
}

export function lock(transaction: Transaction, { args }: CommandOf<'lock'>): { ino: InodeNumber } {
  checkLockArguments(args);
  mustSession(transaction, args.session);
  const inode = resolveInode(transaction, args.node, true);
  checkLock(transaction.caller, inode, args, () => describe(args.node));
  const { ino } = inode;
  const held = locksOf(transaction, ino, args.kind);
  let others = 0;
  for (const other of held) {
    if (isOwn(other, args)) continue;
    if (!isInTheWay(other, args)) others += 1;
    else refuseOrTakeOver(transaction, ino, args, other);
  }
  replaceOwn(transaction, ino, args, held, args.type, others);
  return { ino };
}

export function unlock(transaction: Transaction, { args }: CommandOf<'unlock'>): { ino: InodeNumber } {
  checkLockArguments(args);
  mustSession(transaction, args.session);
  const { ino } = resolveInode(transaction, args.node, true);
  const held = locksOf(transaction, ino, args.kind);
  replaceOwn(transaction, ino, args, held, undefined, held.filter((other) => !isOwn(other, args)).length);
  return { ino };
}

/** Whether a lock of somebody else forbids the one that is asked for. */
export function isInTheWay(other: LockRange, asked: LockRange): boolean {
  return other.start < asked.end && asked.start < other.end && (other.type === 'exclusive' || asked.type === 'exclusive');
}

/**
 * What an owner holds after `[start, end)` became `type`, or free. Ranges come and go sorted, apart, and with no two neighbours that
 * could be one.
 */
export function setRange(
  held: readonly LockRange[],
  { start, end }: Omit<LockRange, 'type'>,
  type: LockType | undefined,
): readonly LockRange[] {
  const pieces: LockRange[] = [];
  for (const range of held) {
    if (range.start < start) pieces.push({ ...range, end: Math.min(range.end, start) });
    if (range.end > end) pieces.push({ ...range, start: Math.max(range.start, end) });
  }
  if (type !== undefined) pieces.push({ start, end, type });
  pieces.sort((a, b) => a.start - b.start);
  const joined: LockRange[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last !== undefined && last.end === piece.start && last.type === piece.type) joined[joined.length - 1] = { ...last, end: piece.end };
    else joined.push(piece);
  }
  return joined;
}

export function lockConflict(what: string, ino: InodeNumber, holder: LockHolder): NokvError {
  const { session, name, owner, kind, type, start, end, expiresAt } = holder;
  const range = kind === 'flock' ? 'the file' : `bytes ${start} to ${end === LOCK_END_MAX ? 'the end' : end - 1}`;
  const who = name === '' ? session : `"${name}" (${session})`;
  return new NokvError(
    'lock-conflict',
    `${what}: session ${who} holds ${type === 'shared' ? 'a shared' : 'an exclusive'} lock of ${range} as owner ${owner}, ` +
      `until it lets go, or until ${formatTimespec(expiresAt)} if it renews no more; wait for it`,
    {
      details: { ino, holder: session, holderName: name, holderOwner: owner, kind, type, start, end, expiresAtMs: timespecToMs(expiresAt) },
    },
  );
}

export function checkLockArguments({ owner, kind, start, end }: UnlockArgs): void {
  if (!Number.isSafeInteger(owner) || owner < 0) {
    throw new NokvError('invalid-argument', `the owner of a lock is a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, found ${owner}`);
  }
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start) {
    throw new NokvError('invalid-argument', `a lock reaches from a byte to a later one, found ${start} to ${end}`);
  }
  if (kind === 'flock' && (start !== 0 || end !== LOCK_END_MAX)) {
    throw new NokvError('invalid-argument', `flock locks whole files, from 0 to ${LOCK_END_MAX}; found ${start} to ${end}`);
  }
}

function locksOf(transaction: Transaction, ino: InodeNumber, kind: LockKind): Held[] {
  return transaction.heldBetween(LOCK, holdsStart(ino, kind), holdsEnd(ino, kind)).map(({ key, held }) => {
    const { session, owner, start } = parseHoldKey(key);
    return { key, session, owner, start, ...held };
  });
}

function isOwn({ session, owner }: Held, args: UnlockArgs): boolean {
  return session === args.session && owner === args.owner;
}

/** A session whose time has ended stands in nobody's way: it ends here for good, and the lock that is in the way goes. */
function refuseOrTakeOver(transaction: Transaction, ino: InodeNumber, args: CommandOf<'lock'>['args'], other: Held): void {
  const { session, owner, type, start, end, key } = other;
  const row = sessionRow(transaction, session);
  if (row !== undefined && isLive(transaction, row)) {
    const holder = { session, name: row.name, owner, kind: args.kind, type, start, end, expiresAt: row.expires };
    throw lockConflict(describe(args.node), ino, holder);
  }
  endSession(transaction, session);
  removeHold(transaction, key);
  transaction.release(ino);
}

/** Writes what differs between what the owner held and what it holds now. */
function replaceOwn(
  transaction: Transaction,
  ino: InodeNumber,
  args: UnlockArgs,
  held: readonly Held[],
  type: LockType | undefined,
  others: number,
): void {
  const before = held.filter((range) => isOwn(range, args));
  const after = setRange(before, args, type);
  if (after.length > before.length && after.length + others > LOCKS_PER_INODE_MAX) {
    throw new NokvError('lock-limit', `${describe(args.node)} would have more than ${LOCKS_PER_INODE_MAX} locks; give some up first`, {
      details: { ino, max: LOCKS_PER_INODE_MAX },
    });
  }
  const kept = new Set(after.map(({ start }) => start));
  for (const { key, start } of before) if (!kept.has(start)) removeHold(transaction, key);
  const old = new Map(before.map((range) => [range.start, range]));
  for (const { start, end, type: taken } of after) {
    const same = old.get(start);
    if (same?.end === end && same.type === taken) continue;
    putHold(transaction, lockKey(ino, args.kind, args.session, args.owner, start), { type: taken, end });
  }
  // Whatever was held there before may be less now; waiters look for themselves.
  if (before.some((range) => range.start < args.end && args.start < range.end)) transaction.release(ino);
}
