/** test-lock, list-locks, list-sessions: what sessions hold, as of one reading of the clock. */
import {
  LOCK_KINDS,
  NokvError,
  SESSIONS_LIMIT_MAX,
  compareTimespec,
  type InodeNumber,
  type LockHolder,
  type LockKind,
  type ReadOperations,
  type SessionCard,
  type SessionId,
  type Timespec,
} from '@nokv/types';
import { FAMILY, familyEnd, familyStart, holdsEnd, holdsStart, keyAfter, parseHoldKey, sessionKey } from './key.js';
import { checkLockArguments, isInTheWay } from './operations/lock.js';
import type { ReadView } from './read-view.js';
import { checkOpen } from './permissions.js';
import { describe, resolveInode } from './resolve.js';
import { LOCK, SESSION, type SessionRow } from './value-session.js';

type Args<Op extends keyof ReadOperations> = ReadOperations[Op]['args'];
type Result<Op extends keyof ReadOperations> = ReadOperations[Op]['result'];

export function testLock(reader: ReadView, now: Timespec, args: Args<'test-lock'>): Result<'test-lock'> {
  checkLockArguments(args);
  const inode = resolveInode(reader, args.node, true);
  checkOpen(reader.caller, inode, () => describe(args.node));
  const { ino } = inode;
  const holder = liveLocks(reader, now, ino, args.kind).find(
    (held) => (held.session !== args.session || held.owner !== args.owner) && isInTheWay(held, args),
  );
  return holder === undefined ? {} : { holder };
}

export function listLocks(reader: ReadView, now: Timespec, { node }: Args<'list-locks'>): Result<'list-locks'> {
  const inode = resolveInode(reader, node, true);
  checkOpen(reader.caller, inode, () => describe(node));
  const { ino } = inode;
  return { ino, locks: LOCK_KINDS.flatMap((kind) => liveLocks(reader, now, ino, kind)) };
}

/** Sessions that an unflushed commit opened are not listed yet: nobody was told of them. */
export function listSessions(reader: ReadView, now: Timespec, { after, limit }: Args<'list-sessions'>): Result<'list-sessions'> {
  if (!Number.isInteger(limit) || limit < 1 || limit > SESSIONS_LIMIT_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${SESSIONS_LIMIT_MAX} sessions, found limit ${limit}`);
  }
  const start = after === undefined ? familyStart(FAMILY.session) : keyAfter(sessionKey(after));
  const keys: Buffer[] = [];
  for (const { key } of reader.view.kv.range(start, familyEnd(FAMILY.session), { limit: limit + 1 })) keys.push(Buffer.from(key));
  const sessions: SessionCard[] = [];
  for (const key of keys.slice(0, limit)) {
    const bytes = reader.view.get(key);
    if (bytes === undefined) continue;
    const { opened, expires, locks, handles, actor, name, ...row } = SESSION.decode(bytes);
    const session = Buffer.from(key.subarray(1)).toString('hex') as SessionId;
    const live = isLive({ expires, ...row }, now);
    sessions.push({ session, name, actor, openedAt: opened, expiresAt: expires, live, locks, handles });
  }
  return { sessions, more: keys.length > limit };
}

/** Locks whose sessions are live; those of an inode are bounded when they are taken. */
function liveLocks(reader: ReadView, now: Timespec, ino: InodeNumber, kind: LockKind): LockHolder[] {
  const rows: { readonly key: Buffer; readonly row: ReturnType<typeof LOCK.decode> }[] = [];
  for (const { key, value } of reader.view.range(holdsStart(ino, kind), holdsEnd(ino, kind))) {
    rows.push({ key: Buffer.from(key), row: LOCK.decode(value) });
  }
  const locks: LockHolder[] = [];
  for (const { key, row } of rows) {
    const { session, owner, start } = parseHoldKey(key);
    const bytes = reader.view.get(sessionKey(session));
    const holder = bytes === undefined ? undefined : SESSION.decode(bytes);
    if (holder === undefined || !isLive(holder, now)) continue;
    locks.push({ session, name: holder.name, owner, kind, type: row.type, start, end: row.end, expiresAt: holder.expires });
  }
  return locks;
}

function isLive({ state, expires }: Pick<SessionRow, 'state' | 'expires'>, now: Timespec): boolean {
  return state === 'open' && compareTimespec(expires, now) > 0;
}
