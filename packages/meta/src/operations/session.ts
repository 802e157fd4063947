/** open-session, renew-session, close-session, and the sweep of sessions whose time has ended. */
import {
  NokvError,
  SESSIONS_MAX,
  SESSION_NAME_BYTES_MAX,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
  assert,
  compareTimespec,
  timespecToMs,
  type SessionId,
  type SessionResult,
} from '@nokv/types';
import type { MutationCommand, Retention } from '../command.js';
import { gcSessionKey } from '../key.js';
import type { Transaction } from '../transaction.js';
import { dueMs } from './directory.js';
import { countSessions, endSession, isLive, mustSession, putSession, sessionRow, takeHolds } from './holds.js';
import { after } from './upload.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

/** Rows that one command takes from an ended session; one inode's are taken together and may pass it. */
const HOLDS_PER_SLICE = 256;

export function openSession(transaction: Transaction, { args, freshSession, actor }: CommandOf<'open-session'>): SessionResult {
  assert(freshSession !== undefined, 'an open-session carries its session id');
  assert(sessionRow(transaction, freshSession) === undefined, `session id ${freshSession} is fresh`);
  checkTtl(args.ttlMs);
  if (Buffer.byteLength(args.name) > SESSION_NAME_BYTES_MAX) {
    throw new NokvError('invalid-argument', `the name of a session has at most ${SESSION_NAME_BYTES_MAX} bytes`);
  }
  if (countSessions(transaction, 1) > SESSIONS_MAX) {
    throw new NokvError('session-limit', `${SESSIONS_MAX} sessions are open already; close some, or wait until some end`, {
      details: { max: SESSIONS_MAX },
    });
  }
  const queuedMs = dueMs(transaction, args.ttlMs);
  const expires = after(transaction.time, args.ttlMs);
  const counts = { holds: 0, locks: 0, handles: 0 };
  putSession(transaction, freshSession, { state: 'open', opened: transaction.time, expires, queuedMs, ...counts, actor, name: args.name });
  transaction.addWork(gcSessionKey(queuedMs, freshSession));
  return { session: freshSession, expiresAt: expires };
}

/** The queued row is moved when it comes due, not at each renewal. */
export function renewSession(transaction: Transaction, { args }: CommandOf<'renew-session'>): SessionResult {
  checkTtl(args.ttlMs);
  const row = mustSession(transaction, args.session);
  const renewed = after(transaction.time, args.ttlMs);
  const expires = compareTimespec(renewed, row.expires) > 0 ? renewed : row.expires;
  putSession(transaction, args.session, { ...row, expires });
  return { session: args.session, expiresAt: expires };
}

export function closeSession(transaction: Transaction, { args, retention }: CommandOf<'close-session'>): { session: SessionId } {
  if (sessionRow(transaction, args.session) === undefined) return { session: args.session };
  endSession(transaction, args.session);
  if (takeHolds(transaction, args.session, HOLDS_PER_SLICE, retention)) return { session: args.session };
  const row = sessionRow(transaction, args.session);
  assert(row !== undefined, 'a session that holds something is there');
  transaction.removeBlind(gcSessionKey(row.queuedMs, args.session));
  const queuedMs = dueMs(transaction, 0);
  putSession(transaction, args.session, { ...row, queuedMs });
  transaction.addWork(gcSessionKey(queuedMs, args.session));
  return { session: args.session };
}

/** Ends a session whose time is over, in slices: its row of the queue stays until nothing of it is left. */
export function sweepSession(transaction: Transaction, session: SessionId, queuedMs: number, retention: Retention): void {
  const row = sessionRow(transaction, session);
  if (row === undefined || row.queuedMs !== queuedMs) {
    transaction.removeBlind(gcSessionKey(queuedMs, session));
  } else if (isLive(transaction, row)) {
    const later = Math.ceil(timespecToMs(row.expires));
    transaction.removeBlind(gcSessionKey(queuedMs, session));
    putSession(transaction, session, { ...row, queuedMs: later });
    transaction.addWork(gcSessionKey(later, session));
  } else {
    endSession(transaction, session);
    takeHolds(transaction, session, HOLDS_PER_SLICE, retention);
  }
}

function checkTtl(ttlMs: number): void {
  if (Number.isInteger(ttlMs) && ttlMs >= SESSION_TTL_MS_MIN && ttlMs <= SESSION_TTL_MS_MAX) return;
  throw new NokvError('invalid-argument', `a session lives for ${SESSION_TTL_MS_MIN} to ${SESSION_TTL_MS_MAX} whole ms, found ${ttlMs}`);
}
