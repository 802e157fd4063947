/**
 * Sessions, and what is held under them: locks and open files.
 *
 * A session is a lease that its client renews. All that is held under it is durable, lives through restarts and takeovers of the
 * server, and ends with the session: by `close-session`, or when its time to live ends by the clock of the server. A lock of a
 * session whose time has ended never stands in anybody's way, whether or not it has been swept yet.
 */
import type { Attributes } from './attributes.js';
import type { InodeNumber, SessionId } from './ids.js';
import type { NodeRef } from './operations.js';
import type { Timespec } from './time.js';

export const SESSION_TTL_MS_MIN = 1000;
export const SESSION_TTL_MS_MAX = 24 * 3600 * 1000;
export const SESSION_TTL_MS_DEFAULT = 30_000;
export const SESSION_NAME_BYTES_MAX = 255;
/** Sessions of a shard at a time, ended ones that are not swept yet among them; one more is refused with `session-limit`. */
export const SESSIONS_MAX = 16_384;
/** Lock rows of one inode; one more is refused with `lock-limit`. */
export const LOCKS_PER_INODE_MAX = 1024;
/** Inodes that one session may hold locks or handles of; one more is refused with `lock-limit`. */
export const HOLDS_PER_SESSION_MAX = 65_536;
/** The end of a range that reaches to the end of the file, however long it grows. */
export const LOCK_END_MAX = Number.MAX_SAFE_INTEGER;
export const SESSIONS_LIMIT_MAX = 1024;

export interface OpenSessionArgs {
  /** For people: shown in listings and in conflicts. May be empty. */
  readonly name: string;
  /** {@link SESSION_TTL_MS_MIN} to {@link SESSION_TTL_MS_MAX}, from the commit on. */
  readonly ttlMs: number;
}

export interface SessionResult {
  readonly session: SessionId;
  readonly expiresAt: Timespec;
}

/** Moves the expiry forward, never back. Fails with `no-session` once the session has ended. */
export interface RenewSessionArgs {
  readonly session: SessionId;
  readonly ttlMs: number;
}

/** Ends a session with all that it holds. Ending one that is already gone succeeds. */
export interface CloseSessionArgs {
  readonly session: SessionId;
}

/**
 * `flock` locks whole files, `range` byte ranges. The two do not see each other, as on a local disk of Linux.
 * Owners are numbers that the client chooses: locks of one (session, owner) never conflict with each other.
 */
export type LockKind = 'flock' | 'range';
export type LockType = 'shared' | 'exclusive';

export const LOCK_KINDS: readonly LockKind[] = ['flock', 'range'];
export const LOCK_TYPES: readonly LockType[] = ['shared', 'exclusive'];

interface LockPlace {
  readonly node: NodeRef;
  readonly session: SessionId;
  /** A safe integer from 0. */
  readonly owner: number;
  readonly kind: LockKind;
  /** First byte; 0 for `flock`. */
  readonly start: number;
  /** First byte behind the range; {@link LOCK_END_MAX} for `flock` and for ranges that have no end. */
  readonly end: number;
}

/**
 * Takes a lock, or fails at once with `lock-conflict` and who holds it. Where the owner holds locks already, the new one replaces
 * them as far as it reaches (fcntl(2)): they are cut, split, joined, raised or lowered. A change that fails leaves all as it was.
 */
export interface LockArgs extends LockPlace {
  readonly type: LockType;
}

/** Gives up what the owner holds in the range; fine where that is nothing. */
export type UnlockArgs = LockPlace;

/** Who stands in the way of such a lock, without taking it (F_GETLK). */
export type TestLockArgs = LockArgs;

/** A lock that is held. */
export interface LockHolder {
  readonly session: SessionId;
  readonly name: string;
  readonly owner: number;
  readonly kind: LockKind;
  readonly type: LockType;
  readonly start: number;
  readonly end: number;
  /** When its session ends unless it is renewed. */
  readonly expiresAt: Timespec;
}

export interface TestLockResult {
  /** Absent: nobody does. */
  readonly holder?: LockHolder;
}

export interface ListLocksArgs {
  readonly node: NodeRef;
}

export interface ListLocksResult {
  readonly ino: InodeNumber;
  /** By kind, session, owner and start. */
  readonly locks: readonly LockHolder[];
}

/**
 * Opens a file (anything but a directory) under a session. While any handle of it is open, the inode outlives its last name, with
 * `nlink` 0: everything by inode number goes on. Handles count: as many are closed as were opened.
 */
export interface OpenHandleArgs {
  readonly node: NodeRef;
  readonly follow?: boolean;
  readonly session: SessionId;
}

export interface CloseHandleArgs {
  readonly ino: InodeNumber;
  readonly session: SessionId;
}

export interface CloseHandleResult {
  readonly ino: InodeNumber;
  /** It had lost its last name, and this was its last handle. */
  readonly removed: boolean;
}

export interface ListSessionsArgs {
  /** Sessions strictly after this one; absent: from the oldest. */
  readonly after?: SessionId;
  /** 1 to {@link SESSIONS_LIMIT_MAX}. */
  readonly limit: number;
}

export interface SessionCard {
  readonly session: SessionId;
  readonly name: string;
  readonly actor: string;
  readonly openedAt: Timespec;
  readonly expiresAt: Timespec;
  /** False once its time has ended or it was closed: what it held is being swept. */
  readonly live: boolean;
  readonly locks: number;
  readonly handles: number;
}

export interface ListSessionsResult {
  /** In the order in which they were opened. */
  readonly sessions: readonly SessionCard[];
  readonly more: boolean;
}

export interface SessionReadOperations {
  'test-lock': { args: TestLockArgs; result: TestLockResult };
  'list-locks': { args: ListLocksArgs; result: ListLocksResult };
  'list-sessions': { args: ListSessionsArgs; result: ListSessionsResult };
}

export interface SessionMutationOperations {
  'open-session': { args: OpenSessionArgs; result: SessionResult };
  'renew-session': { args: RenewSessionArgs; result: SessionResult };
  'close-session': { args: CloseSessionArgs; result: { session: SessionId } };
  lock: { args: LockArgs; result: { ino: InodeNumber } };
  unlock: { args: UnlockArgs; result: { ino: InodeNumber } };
  'open-handle': { args: OpenHandleArgs; result: { attributes: Attributes } };
  'close-handle': { args: CloseHandleArgs; result: CloseHandleResult };
}
