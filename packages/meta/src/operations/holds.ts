/**
 * What sessions hold of inodes, counted: the only code that adds and removes rows of the hold family.
 *
 * Invariants: for each session and inode there is one session hold that counts their rows in the hold family; a session's row counts its
 * session holds, its locks and its handles; an inode without names is there exactly as long as a handle of it is.
 */
import { HOLDS_PER_SESSION_MAX, NokvError, compareTimespec, type InodeNumber, type SessionId } from '@nokv/types';
import type { Retention } from '../command.js';
import {
  gcSessionKey,
  holdsEnd,
  holdsStart,
  inodeOfSessionHold,
  parseHoldKey,
  sessionHoldKey,
  sessionHoldsEnd,
  sessionHoldsStart,
  sessionKey,
  sessionsKey,
  type HoldKind,
} from '../key.js';
import { corruptNamespace, type Transaction } from '../transaction.js';
import { COUNT, HANDLE, LOCK, SESSION, type HandleRow, type HeldCodec, type LockRow, type SessionRow } from '../value-session.js';
import { dropInode } from './directory.js';

const KINDS: readonly HoldKind[] = ['handle', 'flock', 'range'];

export function sessionRow(transaction: Transaction, session: SessionId): SessionRow | undefined {
  return transaction.held(SESSION, sessionKey(session));
}

export function isLive(transaction: Transaction, row: SessionRow): boolean {
  return row.state === 'open' && compareTimespec(row.expires, transaction.time) > 0;
}

/** The session, or `no-session`: nothing may be taken under one that has ended. */
export function mustSession(transaction: Transaction, session: SessionId): SessionRow {
  const row = sessionRow(transaction, session);
  if (row === undefined || !isLive(transaction, row)) throw noSession(session);
  return row;
}

export function noSession(session: SessionId): NokvError {
  return new NokvError('no-session', `session ${session} is not open (any more): what it held is released; open another`);
}

export function putSession(transaction: Transaction, session: SessionId, row: SessionRow | undefined): void {
  transaction.putHeld(SESSION, sessionKey(session), row);
}

/** Adds a row to what a session holds of an inode, or changes it. */
export function putHold(transaction: Transaction, key: Buffer, value: HandleRow | LockRow): void {
  const codec: HeldCodec<HandleRow | LockRow> = 'opens' in value ? HANDLE : LOCK;
  if (transaction.held(codec, key) === undefined) count(transaction, key, 1);
  transaction.putHeld(codec, key, value);
}

/** Harmless where there is no such row (any more). */
export function removeHold(transaction: Transaction, key: Buffer): void {
  const codec: HeldCodec<HandleRow | LockRow> = parseHoldKey(key).kind === 'handle' ? HANDLE : LOCK;
  if (transaction.held(codec, key) === undefined) return;
  transaction.putHeld(codec, key, undefined);
  count(transaction, key, -1);
}

/** Whether anybody has the inode open or holds a lock of it. */
export function isHeld(transaction: Transaction, ino: InodeNumber): boolean {
  return hasSessions(transaction) && transaction.keysBetween(holdsStart(ino, 'handle'), holdsEnd(ino, 'range'), 1).length > 0;
}

/** Whether anybody has the inode open, dead sessions that are not swept yet among them: those are the sweep's. */
export function isOpen(transaction: Transaction, ino: InodeNumber): boolean {
  return hasSessions(transaction) && transaction.keysBetween(holdsStart(ino, 'handle'), holdsEnd(ino, 'handle'), 1).length > 0;
}

/** Locks of an inode that goes: nobody can ask for them any more. */
export function dropLocks(transaction: Transaction, ino: InodeNumber): void {
  if (!hasSessions(transaction)) return;
  for (const key of transaction.keysBetween(holdsStart(ino, 'flock'), holdsEnd(ino, 'range'))) {
    removeHold(transaction, key);
    transaction.release(ino);
  }
}

/** Marks a session as over; from here on it cannot be renewed, whatever later clock readings say. */
export function endSession(transaction: Transaction, session: SessionId): void {
  const row = sessionRow(transaction, session);
  if (row?.state === 'open') putSession(transaction, session, { ...row, state: 'ended' });
}

/**
 * Takes from an ended session what it holds, about `limit` rows at a time, and the session itself once it holds nothing.
 * @returns false where there is more to take.
 */
export function takeHolds(transaction: Transaction, session: SessionId, limit: number, retention: Retention): boolean {
  let rows = 0;
  for (const key of transaction.keysBetween(sessionHoldsStart(session), sessionHoldsEnd(session), limit)) {
    if (rows >= limit) break;
    rows += takeHoldsOf(transaction, session, inodeOfSessionHold(key), retention);
  }
  const row = sessionRow(transaction, session);
  if (row === undefined) return true;
  if (row.holds > 0) return false;
  putSession(transaction, session, undefined);
  transaction.removeBlind(gcSessionKey(row.queuedMs, session));
  countSessions(transaction, -1);
  return true;
}

/** @returns the rows that it took. */
function takeHoldsOf(transaction: Transaction, session: SessionId, ino: InodeNumber, retention: Retention): number {
  const keys = KINDS.flatMap((kind) => transaction.keysBetween(holdsStart(ino, kind, session), holdsEnd(ino, kind, session)));
  if (keys.length === 0) throw corruptNamespace(`session ${session} counts holds of inode ${ino} but has none`);
  for (const key of keys) {
    removeHold(transaction, key);
    if (parseHoldKey(key).kind !== 'handle') transaction.release(ino);
  }
  removeIfUnused(transaction, ino, retention);
  return keys.length;
}

/** An inode that nothing leads to any more, neither a name nor a handle, goes. */
export function removeIfUnused(transaction: Transaction, ino: InodeNumber, retention: Retention): boolean {
  const inode = transaction.inode(ino);
  if (inode === undefined || inode.nlink > 0 || isOpen(transaction, ino)) return false;
  dropInode(transaction, inode, retention);
  return true;
}

/** One get instead of the ranges of each inode that goes, where nobody holds anything. */
function hasSessions(transaction: Transaction): boolean {
  return transaction.held(COUNT, sessionsKey()) !== undefined;
}

/** @returns how many sessions there are now. */
export function countSessions(transaction: Transaction, by: 1 | -1): number {
  const key = sessionsKey();
  const rows = (transaction.held(COUNT, key)?.rows ?? 0) + by;
  if (rows < 0) throw corruptNamespace('there are more sessions than are counted');
  transaction.putHeld(COUNT, key, rows === 0 ? undefined : { rows });
  return rows;
}

function count(transaction: Transaction, key: Buffer, by: 1 | -1): void {
  const { ino, kind, session } = parseHoldKey(key);
  const row = sessionRow(transaction, session);
  if (row === undefined) throw corruptNamespace(`inode ${ino} is held by session ${session}, which is missing`);
  const holdKey = sessionHoldKey(session, ino);
  const before = transaction.held(COUNT, holdKey)?.rows ?? 0;
  const after = before + by;
  transaction.putHeld(COUNT, holdKey, after === 0 ? undefined : { rows: after });
  const holds = row.holds + (before === 0 ? 1 : after === 0 ? -1 : 0);
  if (holds > HOLDS_PER_SESSION_MAX) {
    throw new NokvError('lock-limit', `a session holds locks or handles of ${HOLDS_PER_SESSION_MAX} inodes at most; give some up`, {
      details: { session, max: HOLDS_PER_SESSION_MAX },
    });
  }
  putSession(transaction, session, {
    ...row,
    holds,
    locks: row.locks + (kind === 'handle' ? 0 : by),
    handles: row.handles + (kind === 'handle' ? by : 0),
  });
}
