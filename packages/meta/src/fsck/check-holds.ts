/**
 * Sessions, and what they hold: locks that do not exclude each other, handles and locks of inodes that are there, and counts that are
 * those of the rows. Its tables grow with what sessions hold, which their limits bound, and with nothing else.
 */
import type { InodeNumber } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, parseHoldKey, sessionsKey } from '../key.js';
import { isInTheWay, type LockRange } from '../operations/lock.js';
import { readU64 } from '../row-reader.js';
import { COUNT, HANDLE, LOCK, SESSION, type LockRow, type SessionRow } from '../value-session.js';
import type { FsckContext } from './context.js';
import { undecodable } from './problem.js';

interface Counted {
  holds: number;
  locks: number;
  handles: number;
}

interface HeldLock extends LockRange {
  /** Session and owner. */
  readonly by: string;
}

const NOTHING: Counted = { holds: 0, locks: 0, handles: 0 };

export function* checkHolds(context: FsckContext, _from: Uint8Array | undefined): Generator<undefined> {
  const counted = new Map<string, Counted>();
  const rows = new Map<string, number>();
  yield* checkRows(context, counted, rows);
  yield* checkSessions(context, counted);
  yield* checkSessionHolds(context, rows);
}

function* checkRows(context: FsckContext, counted: Map<string, Counted>, rows: Map<string, number>): Generator<undefined> {
  /** Those of the inode and kind that the rows are at. */
  let locks: HeldLock[] = [];
  let at = '';
  for (const { key, value } of context.kv.range(familyStart(FAMILY.hold), familyEnd(FAMILY.hold))) {
    const { ino, kind, session, owner, start } = parseHoldKey(key);
    const where = `${kind} of session ${session} on inode ${ino}`;
    if (!context.hasInode(ino)) say(context, where, `an inode ${ino}`, 'none');
    const of = counted.get(session) ?? { ...NOTHING };
    counted.set(session, of);
    const hold = `${session}/${ino}`;
    if (!rows.has(hold)) of.holds += 1;
    rows.set(hold, (rows.get(hold) ?? 0) + 1);
    of[kind === 'handle' ? 'handles' : 'locks'] += 1;
    if (`${ino}/${kind}` !== at) {
      at = `${ino}/${kind}`;
      locks = [];
    }
    try {
      if (kind !== 'handle') locks.push(checkLock(context, ino, where, { by: `${session}/${owner}`, start, ...LOCK.decode(value) }, locks));
      else if (HANDLE.decode(value).opens < 1) say(context, where, 'at least one open', 'none', ino);
    } catch (error) {
      context.report(undecodable(key, where, error));
    }
    yield;
  }
}

function checkLock(
  context: FsckContext,
  ino: InodeNumber,
  where: string,
  lock: HeldLock & Pick<LockRow, 'type'>,
  others: readonly HeldLock[],
): HeldLock {
  if (lock.start >= lock.end) say(context, where, 'a range that is not empty', `${lock.start} to ${lock.end}`, ino);
  for (const other of others) {
    const isSame = other.by === lock.by;
    if (!isSame && isInTheWay(other, lock)) say(context, where, 'locks that go together', `one that ${other.by} excludes`, ino);
    if (isSame && other.end > lock.start) say(context, where, 'ranges beside each other', `two that overlap at ${lock.start}`, ino);
    if (isSame && other.end === lock.start && other.type === lock.type)
      say(context, where, 'one range', `two that meet at ${lock.start}`, ino);
  }
  return lock;
}

function* checkSessions(context: FsckContext, counted: ReadonlyMap<string, Counted>): Generator<undefined> {
  const missing = new Set(counted.keys());
  let sessions = 0;
  for (const { key, value } of context.kv.range(familyStart(FAMILY.session), familyEnd(FAMILY.session))) {
    const session = Buffer.from(key.subarray(1)).toString('hex');
    sessions += 1;
    missing.delete(session);
    const where = `session ${session}`;
    let row: SessionRow | undefined;
    try {
      row = SESSION.decode(value);
    } catch (error) {
      context.report(undecodable(key, where, error));
    }
    const expected = counted.get(session) ?? NOTHING;
    if (row !== undefined && textOf(row) !== textOf(expected)) say(context, where, textOf(expected), textOf(row));
    yield;
  }
  for (const session of missing) say(context, `session ${session}`, 'a row, since it holds something', 'none');
  const rows = countIn(context, sessionsKey());
  if (rows !== sessions) say(context, 'sessions', `${sessions}`, `${rows}`);
}

function textOf({ holds, locks, handles }: Counted | SessionRow): string {
  return `${holds} inodes held by ${locks} locks and ${handles} handles`;
}

function* checkSessionHolds(context: FsckContext, rows: Map<string, number>): Generator<undefined> {
  for (const { key } of context.kv.range(familyStart(FAMILY.sessionHold), familyEnd(FAMILY.sessionHold))) {
    const hold = `${Buffer.from(key.subarray(1, 17)).toString('hex')}/${readU64(key, 17)}`;
    const expected = rows.get(hold) ?? 0;
    const found = countIn(context, Uint8Array.from(key));
    if (found !== expected) say(context, `hold ${hold}`, `${expected} rows`, `${found}`);
    rows.delete(hold);
    yield;
  }
  for (const hold of rows.keys()) say(context, `hold ${hold}`, 'a row', 'none');
}

function countIn(context: FsckContext, key: Uint8Array): number {
  const value = context.kv.get(key);
  if (value === undefined) return 0;
  try {
    return COUNT.decode(value).rows;
  } catch (error) {
    context.report(undecodable(key, 'count', error));
    return Number.NaN;
  }
}

function say(context: FsckContext, where: string, expected: string, found: string, ino?: InodeNumber): void {
  context.report({ severity: 'error', class: 'session', where, ...(ino === undefined ? {} : { ino }), expected, found });
}
