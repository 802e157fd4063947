/** Schemas of sessions, locks and open handles. */
import {
  HOLDS_PER_SESSION_MAX,
  LOCKS_PER_INODE_MAX,
  LOCK_END_MAX,
  LOCK_KINDS,
  LOCK_TYPES,
  SESSIONS_LIMIT_MAX,
  SESSION_NAME_BYTES_MAX,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
  sessionId,
  type LockArgs,
  type LockHolder,
  type LockKind,
  type LockType,
  type SessionCard,
  type SessionId,
  type UnlockArgs,
} from '@nokv/types';
import type { Fields, Schema } from '../schema.js';
import { boolean, coded, int, object, parsedText, text } from '../schema.js';
import { label, nodeRef, timespec } from './values.js';

export const session: Schema<SessionId> = parsedText('session', 32, sessionId);
export const sessionName: Schema<string> = text(SESSION_NAME_BYTES_MAX);
export const sessionTtl: Schema<number> = int(SESSION_TTL_MS_MIN, SESSION_TTL_MS_MAX);
const lockKind: Schema<LockKind> = coded(LOCK_KINDS);
const lockType: Schema<LockType> = coded(LOCK_TYPES);
const lockOwner: Schema<number> = int(0);
const offset: Schema<number> = int(0, LOCK_END_MAX);
const rows: Schema<number> = int(0, HOLDS_PER_SESSION_MAX * LOCKS_PER_INODE_MAX);

/** The locks of both kinds that one inode can have. */
export const LOCKS_LISTED_MAX = LOCKS_PER_INODE_MAX * LOCK_KINDS.length;
export const SESSIONS_LISTED_MAX = SESSIONS_LIMIT_MAX;

export const unlockFields: Fields<UnlockArgs> = { node: nodeRef, session, owner: lockOwner, kind: lockKind, start: offset, end: offset };
export const lockFields: Fields<LockArgs> = { ...unlockFields, type: lockType };

export const lockHolder: Schema<LockHolder> = object<LockHolder>({
  session,
  name: sessionName,
  owner: lockOwner,
  kind: lockKind,
  type: lockType,
  start: offset,
  end: offset,
  expiresAt: timespec,
});

export const sessionCard: Schema<SessionCard> = object<SessionCard>({
  session,
  name: sessionName,
  actor: label,
  openedAt: timespec,
  expiresAt: timespec,
  live: boolean,
  locks: rows,
  handles: rows,
});
