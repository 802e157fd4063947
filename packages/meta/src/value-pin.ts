/**
 * Values of what holds the past: pins, tags, forks with their origins, and retention policies.
 *
 * pin:         kind u8 (1 snapshot, 2 tag), state u8 (1 live, 2 ended), root u64, version u64, created (sec u64, nsec u32), expires
 *              (sec u64, nsec u32; zeros for a tag), ended ms u64 (0 while live), name (text8), actor (text8), path (length u16, bytes),
 *              count of labels u8, each key (text8) and value (text8)
 * tag:         id of its pin u64
 * fork:        base u64, version u64, merged u64, directories that still show their origin u32, flags u8 (1 exact, 2 keeps its base,
 *              4 its root is gone), created (sec u64, nsec u32), actor (text8)
 * origin:      fork u64, source u64, version u64, born at version u64, removed at version u64 (0 while there), then the name up to
 *              which all entries are there, to the end of the row
 * whiteout:    nothing; counterpart: ino u64 in the fork
 * policy:      keep last u32, keep ms u64
 */
import type { InodeNumber, PinId, PinLabel, RetentionPolicy, Timespec, Version } from '@nokv/types';
import { RowReader, corruptRow } from './row-reader.js';
import { RowWriter } from './row-writer.js';
import { readText8, text8 } from './value-body.js';

export interface PinRow {
  readonly kind: 'snapshot' | 'tag';
  readonly state: 'live' | 'ended';
  readonly root: InodeNumber;
  readonly version: Version;
  readonly created: Timespec;
  /** Undefined for tags. */
  readonly expires: Timespec | undefined;
  readonly endedMs: number;
  readonly name: string | undefined;
  readonly actor: string;
  readonly path: Uint8Array;
  readonly labels: readonly PinLabel[];
}

/** A fork holds its base's state until every directory of it has entries of its own, or longer where it `keepsBase`. */
export interface ForkRow {
  readonly base: InodeNumber;
  readonly version: Version;
  /** Directories that still show their origin. */
  readonly outstanding: number;
  /** Whether directories of the base count their entries right at that version: a pin held it, or it was the newest. */
  readonly isExact: boolean;
  /** Holds the base's state as long as its root is there, so that it can be compared with it and merged into it. */
  readonly keepsBase: boolean;
  readonly isRootGone: boolean;
  /** The version at which it was last merged into its base; 0 for never. */
  readonly merged: Version;
  readonly created: Timespec;
  readonly actor: string;
}

/** What a directory of a fork shows where it has no entry of its own. */
export interface OriginRow {
  readonly fork: InodeNumber;
  readonly source: InodeNumber;
  readonly version: Version;
  /** The version of the fork: entries that are taken over are as old as it. */
  readonly born: Version;
  readonly removed: Version;
  /** All entries up to this name, inclusive, are there; empty at first. */
  readonly done: Uint8Array;
}

const KIND_SNAPSHOT = 1;
const KIND_TAG = 2;
const STATE_LIVE = 1;
const STATE_ENDED = 2;
const FORK_EXACT = 1;
const FORK_KEEPS_BASE = 2;
const FORK_ROOT_GONE = 4;
const NEVER: Timespec = { sec: 0, nsec: 0 };
const TEXT_BYTES_MAX = 256;
const writer = new RowWriter();

export function encodePin(pin: PinRow): Buffer {
  const row = writer
    .begin(70 + 2 * TEXT_BYTES_MAX + 2 + pin.path.length + 1 + pin.labels.length * 2 * TEXT_BYTES_MAX)
    .u8(pin.kind === 'snapshot' ? KIND_SNAPSHOT : KIND_TAG)
    .u8(pin.state === 'live' ? STATE_LIVE : STATE_ENDED)
    .u64(pin.root)
    .u64(pin.version)
    .time(pin.created)
    .time(pin.expires ?? NEVER)
    .u64(pin.endedMs);
  text8(row, pin.name);
  text8(row, pin.actor);
  row.u16(pin.path.length).bytes(pin.path).u8(pin.labels.length);
  for (const { key, value } of pin.labels) {
    text8(row, key);
    text8(row, value);
  }
  return row.end();
}

export function decodePin(bytes: Uint8Array): PinRow {
  const row = new RowReader(bytes);
  const kind = row.u8();
  const state = row.u8();
  if (kind !== KIND_SNAPSHOT && kind !== KIND_TAG) throw corruptRow(`${kind} is no kind of pin`);
  if (state !== STATE_LIVE && state !== STATE_ENDED) throw corruptRow(`${state} is no state of a pin`);
  const root = row.u64() as InodeNumber;
  const version = row.u64() as Version;
  const created = row.time();
  const expires = row.time();
  const endedMs = row.u64();
  const name = readText8(row);
  const actor = readText8(row) ?? '';
  const path = row.bytes(row.u16());
  const labels: PinLabel[] = [];
  for (let left = row.u8(); left > 0; left--) {
    const key = readText8(row) ?? '';
    labels.push({ key, value: readText8(row) ?? '' });
  }
  row.end();
  return {
    kind: kind === KIND_SNAPSHOT ? 'snapshot' : 'tag',
    state: state === STATE_LIVE ? 'live' : 'ended',
    root,
    version,
    created,
    expires: kind === KIND_SNAPSHOT ? expires : undefined,
    endedMs,
    name,
    actor,
    path,
    labels,
  };
}

export function encodeTag(pin: PinId): Buffer {
  return writer.begin(8).u64(pin).end();
}

export function decodeTag(bytes: Uint8Array): PinId {
  return decodeNumber(bytes) as PinId;
}

export function encodeFork(fork: ForkRow): Buffer {
  const row = writer
    .begin(41 + TEXT_BYTES_MAX)
    .u64(fork.base)
    .u64(fork.version)
    .u64(fork.merged)
    .u32(fork.outstanding)
    .u8((fork.isExact ? FORK_EXACT : 0) | (fork.keepsBase ? FORK_KEEPS_BASE : 0) | (fork.isRootGone ? FORK_ROOT_GONE : 0))
    .time(fork.created);
  text8(row, fork.actor);
  return row.end();
}

export function decodeFork(bytes: Uint8Array): ForkRow {
  const row = new RowReader(bytes);
  const base = row.u64() as InodeNumber;
  const version = row.u64() as Version;
  const merged = row.u64() as Version;
  const outstanding = row.u32();
  const flags = row.u8();
  const created = row.time();
  const actor = readText8(row) ?? '';
  row.end();
  return {
    base,
    version,
    merged,
    outstanding,
    isExact: (flags & FORK_EXACT) !== 0,
    keepsBase: (flags & FORK_KEEPS_BASE) !== 0,
    isRootGone: (flags & FORK_ROOT_GONE) !== 0,
    created,
    actor,
  };
}

export function encodeOrigin(origin: OriginRow): Buffer {
  return writer
    .begin(40 + origin.done.length)
    .u64(origin.fork)
    .u64(origin.source)
    .u64(origin.version)
    .u64(origin.born)
    .u64(origin.removed)
    .bytes(origin.done)
    .end();
}

export function decodeOrigin(bytes: Uint8Array): OriginRow {
  const row = new RowReader(bytes);
  return {
    fork: row.u64() as InodeNumber,
    source: row.u64() as InodeNumber,
    version: row.u64() as Version,
    born: row.u64() as Version,
    removed: row.u64() as Version,
    done: row.bytes(row.rest),
  };
}

export function encodeCounterpart(ino: InodeNumber): Buffer {
  return writer.begin(8).u64(ino).end();
}

export function decodeCounterpart(bytes: Uint8Array): InodeNumber {
  return decodeNumber(bytes) as InodeNumber;
}

export function encodePolicy({ keepLast, keepMs }: RetentionPolicy): Buffer {
  return writer.begin(12).u32(keepLast).u64(keepMs).end();
}

export function decodePolicy(bytes: Uint8Array): RetentionPolicy {
  const row = new RowReader(bytes);
  const policy = { keepLast: row.u32(), keepMs: row.u64() };
  row.end();
  return policy;
}

function decodeNumber(bytes: Uint8Array): number {
  const row = new RowReader(bytes);
  const value = row.u64();
  row.end();
  return value;
}
