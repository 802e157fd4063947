/** Contradictions between the rows of sessions, locks and open handles, and the inodes that they hold. */
import { FAMILY, familyEnd, familyStart, parseHoldKey, sessionsKey } from '../key.js';
import { isInTheWay, type LockRange } from '../operations/lock.js';
import type { KvReader } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';
import type { Inode } from '../value-inode.js';
import { COUNT, HANDLE, LOCK, SESSION } from '../value-session.js';

interface Counted {
  holds: number;
  locks: number;
  handles: number;
}

interface HeldLock extends LockRange {
  /** Session and owner. */
  readonly by: string;
}

export function checkHolds(kv: KvReader, inodes: ReadonlyMap<number, Inode>, found: string[]): void {
  const counted = new Map<string, Counted>();
  const rows = new Map<string, number>();
  const open = new Set<number>();
  const locks = new Map<string, HeldLock[]>();
  for (const { key, value } of kv.range(familyStart(FAMILY.hold), familyEnd(FAMILY.hold))) {
    const { ino, kind, session, owner, start } = parseHoldKey(key);
    if (!inodes.has(ino)) found.push(`inode ${ino} is held by session ${session} but gone`);
    const of = counted.get(session) ?? { holds: 0, locks: 0, handles: 0 };
    counted.set(session, of);
    const hold = `${session}/${ino}`;
    if (!rows.has(hold)) of.holds += 1;
    rows.set(hold, (rows.get(hold) ?? 0) + 1);
    if (kind === 'handle') {
      of.handles += 1;
      open.add(ino);
      if (HANDLE.decode(value).opens < 1) found.push(`inode ${ino}: session ${session} has it open 0 times`);
    } else {
      of.locks += 1;
      const where = `${ino}/${kind}`;
      const lock = { by: `${session}/${owner}`, start, ...LOCK.decode(value) };
      checkLock(where, lock, locks.get(where) ?? [], found);
      locks.set(where, [...(locks.get(where) ?? []), lock]);
    }
  }
  for (const [ino, { nlink, type }] of inodes) {
    if (type !== 'directory' && nlink === 0 && !open.has(ino)) found.push(`inode ${ino}: neither a name nor a handle leads to it`);
  }
  checkSessions(kv, counted, found);
  checkSessionHolds(kv, rows, found);
}

function checkLock(where: string, lock: HeldLock, others: readonly HeldLock[], found: string[]): void {
  if (lock.start >= lock.end) found.push(`lock of ${where}: from ${lock.start} to ${lock.end}`);
  for (const other of others) {
    const isSame = other.by === lock.by;
    if (!isSame && isInTheWay(other, lock)) found.push(`locks of ${where}: ${other.by} and ${lock.by} exclude each other`);
    if (isSame && other.end > lock.start) found.push(`locks of ${where}: those of ${lock.by} overlap at ${lock.start}`);
    if (isSame && other.end === lock.start && other.type === lock.type) found.push(`locks of ${where}: two of ${lock.by} could be one`);
  }
}

function checkSessions(kv: KvReader, counted: ReadonlyMap<string, Counted>, found: string[]): void {
  const missing = new Set(counted.keys());
  let sessions = 0;
  for (const { key, value } of kv.range(familyStart(FAMILY.session), familyEnd(FAMILY.session))) {
    const session = Buffer.from(key.subarray(1)).toString('hex');
    sessions += 1;
    missing.delete(session);
    const { holds, locks, handles } = SESSION.decode(value);
    const expected = counted.get(session) ?? { holds: 0, locks: 0, handles: 0 };
    if (holds !== expected.holds || locks !== expected.locks || handles !== expected.handles) {
      found.push(`session ${session} counts ${JSON.stringify({ holds, locks, handles })}, its rows say ${JSON.stringify(expected)}`);
    }
  }
  for (const session of missing) found.push(`session ${session} holds something but has no row`);
  const bytes = kv.get(sessionsKey());
  const rows = bytes === undefined ? 0 : COUNT.decode(bytes).rows;
  if (rows !== sessions) found.push(`${sessions} sessions, ${rows} are counted`);
}

function checkSessionHolds(kv: KvReader, rows: Map<string, number>, found: string[]): void {
  for (const { key, value } of kv.range(familyStart(FAMILY.sessionHold), familyEnd(FAMILY.sessionHold))) {
    const hold = `${Buffer.from(key.subarray(1, 17)).toString('hex')}/${readU64(key, 17)}`;
    const counted = COUNT.decode(value).rows;
    if (counted !== (rows.get(hold) ?? 0)) found.push(`session hold ${hold} counts ${counted} rows, there are ${rows.get(hold) ?? 0}`);
    rows.delete(hold);
  }
  for (const hold of rows.keys()) found.push(`session hold ${hold} has no row`);
}
