/**
 * Values of sessions and of what they hold.
 *
 * session:      state u8 (1 open, 2 ended), opened (sec u64, nsec u32), expires (sec u64, nsec u32), due time of its queued gc row in ms u64,
 *               inodes held u32, locks u32, handles u32, actor (text8), name (to the end)
 * handle:       opens u32
 * lock:         type u8 (1 shared, 2 exclusive), end u64
 * session hold: rows u32 that the session has in the hold family for this inode
 * sessions:     count u32
 *
 * None of them leaves history: they say who does what now, and a read of the past has no use for that.
 */
import type { LockType, Timespec } from '@nokv/types';
import { FAMILY, HOLD_KIND } from './key.js';
import { RowReader, corruptRow } from './row-reader.js';
import { RowWriter } from './row-writer.js';
import { readText8, text8 } from './value-body.js';

export interface SessionRow {
  readonly state: 'open' | 'ended';
  readonly opened: Timespec;
  readonly expires: Timespec;
  readonly queuedMs: number;
  readonly holds: number;
  readonly locks: number;
  readonly handles: number;
  readonly actor: string;
  readonly name: string;
}

/** Open handles of one session and inode. */
export interface HandleRow {
  readonly opens: number;
}

export interface LockRow {
  readonly type: LockType;
  readonly end: number;
}

/** A count of rows. */
export interface CountRow {
  readonly rows: number;
}

export type HeldRow = SessionRow | HandleRow | LockRow | CountRow;

/** How a family of these rows is read; writing goes by the key. */
export interface HeldCodec<Row extends HeldRow> {
  readonly decode: (bytes: Uint8Array) => Row;
}

const writer = new RowWriter();

export const SESSION: HeldCodec<SessionRow> = {
  decode: (bytes) => {
    const row = new RowReader(bytes);
    const state = row.u8();
    if (state !== 1 && state !== 2) throw corruptRow(`${state} is no state of a session`);
    const opened = row.time();
    const expires = row.time();
    const queuedMs = row.u64();
    const [holds, locks, handles] = [row.u32(), row.u32(), row.u32()];
    const actor = readText8(row) ?? '';
    return { state: state === 1 ? 'open' : 'ended', opened, expires, queuedMs, holds, locks, handles, actor, name: row.utf8(row.rest) };
  },
};

export const HANDLE: HeldCodec<HandleRow> = { decode: (bytes) => ({ opens: onlyU32(bytes) }) };

export const LOCK: HeldCodec<LockRow> = {
  decode: (bytes) => {
    const row = new RowReader(bytes);
    const type = row.u8();
    if (type !== 1 && type !== 2) throw corruptRow(`${type} is no type of a lock`);
    const lock: LockRow = { type: type === 1 ? 'shared' : 'exclusive', end: row.u64() };
    row.end();
    return lock;
  },
};

export const COUNT: HeldCodec<CountRow> = { decode: (bytes) => ({ rows: onlyU32(bytes) }) };

export function encodeHeld(key: Uint8Array, value: HeldRow): Buffer {
  switch (key[0]) {
    case FAMILY.session:
      return encodeSession(value as SessionRow);
    case FAMILY.hold:
      if (key[9] === HOLD_KIND.handle) return encodeU32((value as HandleRow).opens);
      return encodeLock(value as LockRow);
    default:
      return encodeU32((value as CountRow).rows);
  }
}

function encodeSession({ state, opened, expires, queuedMs, holds, locks, handles, actor, name }: SessionRow): Buffer {
  const nameBytes = Buffer.from(name);
  const row = writer.begin(1 + 24 + 8 + 12 + 256 + nameBytes.length).u8(state === 'open' ? 1 : 2);
  row.time(opened).time(expires).u64(queuedMs).u32(holds).u32(locks).u32(handles);
  text8(row, actor);
  return row.bytes(nameBytes).end();
}

function encodeLock({ type, end }: LockRow): Buffer {
  return writer
    .begin(9)
    .u8(type === 'shared' ? 1 : 2)
    .u64(end)
    .end();
}

function encodeU32(value: number): Buffer {
  return writer.begin(4).u32(value).end();
}

function onlyU32(bytes: Uint8Array): number {
  const row = new RowReader(bytes);
  const value = row.u32();
  row.end();
  return value;
}
