/**
 * Values of the change log, of request results, of the counters and of the system rows.
 *
 * change:   kind u8 (0: only a request, else 1 + place in CHANGE_KINDS), type u8, flags u8 (1: a place follows, 2: an old place, 4: a
 *           generation), ino u64, time (sec u64, nsec u32), places: parent u64, name (length u8, bytes) each, generation u64,
 *           request id (length u8, text; length 0: 16 bytes that stand for 32 lower-case hex characters), actor (text8)
 * request:  version u64, digest u64, operation u8, then the result (request-result.ts)
 * counters: allocated bytes u64, inodes u64
 * format:   "nokv" 4 bytes, format number u16, shard u16, made in ms u64
 * epoch:    u64
 * progress: last version u64, reserved versions up to u64, reserved local inode numbers up to u64,
 *           requests forgotten up to version u64, their newest time in ms u64, changes forgotten up to version u64,
 *           newest version that a pin holds u64, live pins u32, forks u32, retention policies u32,
 *           pins and forks that ended u64, bytes of the change log u64
 * gc:       of a body the version at which it was superseded u64 and the time in ms u64; nothing for the rest
 */
import { CHANGE_KINDS, INODE_TYPES, NokvError, type ChangeRecord, type Generation, type InodeNumber, type Version } from '@nokv/types';
import { SHARD_FORMAT, SHARD_FORMAT_OLDEST } from './key.js';
import { RowReader, corruptRow } from './row-reader.js';
import { RowWriter, isPackable } from './row-writer.js';
import { readText8, text8 } from './value-body.js';

/** A change record, or the bare trace of a request that changed nothing watchable. */
export type ChangeRow = Omit<ChangeRecord, 'kind'> & { readonly kind: ChangeRecord['kind'] | 'request' };

export interface RequestRow {
  readonly version: Version;
  readonly digest: number;
  readonly operation: number;
  readonly result: Uint8Array;
}

export interface CountersRow {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ProgressRow {
  readonly version: Version;
  /** A reopened shard continues above this, so that no version that was ever shown names two commits. */
  readonly versionsReserved: Version;
  readonly inodesReserved: number;
  readonly requestsForgotten: Version;
  readonly requestsForgottenMs: number;
  readonly changesForgotten: Version;
  /** No pin holds a younger state; never falls. */
  readonly newestPinned: Version;
  /** Snapshots and tags that live, forks that still show entries of their bases, and retention policies. */
  readonly pins: number;
  readonly forks: number;
  readonly policies: number;
  /** Pins and forks that ended, ever: what they held may go. */
  readonly pinsEnded: number;
  /** Keys and values of the change log. */
  readonly changeBytes: number;
}

export interface FormatRow {
  readonly shard: number;
  readonly madeMs: number;
}

const HAS_PLACE = 1;
const HAS_OLD_PLACE = 2;
const HAS_GENERATION = 4;
const MAGIC = 0x6e6f6b76;
const writer = new RowWriter();

export function encodeChange(change: ChangeRow): Buffer {
  const { parent, name, fromParent, fromName, requestId, generation = 0 } = change;
  const row = writer
    .begin(600 + 600)
    .u8(change.kind === 'request' ? 0 : 1 + CHANGE_KINDS.indexOf(change.kind))
    .u8(INODE_TYPES.indexOf(change.type))
    .u8((name === undefined ? 0 : HAS_PLACE) | (fromName === undefined ? 0 : HAS_OLD_PLACE) | (generation === 0 ? 0 : HAS_GENERATION))
    .u64(change.ino)
    .time(change.time);
  if (name !== undefined) {
    row
      .u64(parent ?? 0)
      .u8(name.length)
      .bytes(name);
  }
  if (fromName !== undefined) {
    row
      .u64(fromParent ?? 0)
      .u8(fromName.length)
      .bytes(fromName);
  }
  if (generation !== 0) row.u64(generation);
  if (isPackable(requestId)) row.u8(0).hex16(requestId);
  else row.u8(requestId.length).latin1(requestId);
  text8(row, change.actor);
  return row.end();
}

export function decodeChange(version: Version, ordinal: number, bytes: Uint8Array): ChangeRow {
  const row = new RowReader(bytes);
  const kindCode = row.u8();
  const kind = kindCode === 0 ? 'request' : CHANGE_KINDS[kindCode - 1];
  const type = INODE_TYPES[row.u8()];
  if (kind === undefined || type === undefined) throw corruptRow(`change ${version}.${ordinal} is of no known kind or type`);
  const flags = row.u8();
  const ino = row.u64() as InodeNumber;
  const time = row.time();
  const place = (flags & HAS_PLACE) === 0 ? undefined : { parent: row.u64() as InodeNumber, name: row.bytes(row.u8()) };
  const old = (flags & HAS_OLD_PLACE) === 0 ? undefined : { fromParent: row.u64() as InodeNumber, fromName: row.bytes(row.u8()) };
  const generation = ((flags & HAS_GENERATION) === 0 ? 0 : row.u64()) as Generation;
  const idLength = row.u8();
  const requestId = idLength === 0 ? row.hex16() : row.latin1(idLength);
  const actor = readText8(row) ?? '';
  row.end();
  return { version, ordinal, kind, ino, type, ...place, ...old, ...(generation === 0 ? {} : { generation }), requestId, actor, time };
}

export function encodeRequest(row: RequestRow): Buffer {
  return writer
    .begin(17 + row.result.length)
    .u64(row.version)
    .u64(row.digest)
    .u8(row.operation)
    .bytes(row.result)
    .end();
}

export function decodeRequest(bytes: Uint8Array): RequestRow {
  const row = new RowReader(bytes);
  return { version: row.u64() as Version, digest: row.u64(), operation: row.u8(), result: row.bytes(row.rest) };
}

export function encodeCounters(row: CountersRow): Buffer {
  return writer.begin(16).u64(row.bytes).u64(row.inodes).end();
}

export function decodeCounters(bytes: Uint8Array): CountersRow {
  const row = new RowReader(bytes);
  const counters = { bytes: row.u64(), inodes: row.u64() };
  row.end();
  return counters;
}

export function encodeFormat(row: FormatRow): Buffer {
  return writer.begin(16).u32(MAGIC).u16(SHARD_FORMAT).u16(row.shard).u64(row.madeMs).end();
}

/** Refuses an environment that is not ours or of another format, naming both numbers. */
export function decodeFormat(bytes: Uint8Array): FormatRow {
  const row = new RowReader(bytes);
  if (bytes.length < 6 || row.u32() !== MAGIC) {
    throw new NokvError(
      'unsupported-format',
      'expected a nokv shard, found an environment of something else; choose another data directory',
    );
  }
  const format = row.u16();
  if (format < SHARD_FORMAT_OLDEST || format > SHARD_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `this build reads shard formats ${SHARD_FORMAT_OLDEST} to ${SHARD_FORMAT}, the environment has format ${format}; use the build that wrote it or migrate it`,
      { details: { expected: SHARD_FORMAT, found: format } },
    );
  }
  const shard = row.u16();
  const madeMs = row.u64();
  row.end();
  return { shard, madeMs };
}

export function encodeEpoch(epoch: number): Buffer {
  return writer.begin(8).u64(epoch).end();
}

export function decodeEpoch(bytes: Uint8Array): number {
  const row = new RowReader(bytes);
  const epoch = row.u64();
  row.end();
  return epoch;
}

export function encodeProgress(row: ProgressRow): Buffer {
  return writer
    .begin(84)
    .u64(row.version)
    .u64(row.versionsReserved)
    .u64(row.inodesReserved)
    .u64(row.requestsForgotten)
    .u64(row.requestsForgottenMs)
    .u64(row.changesForgotten)
    .u64(row.newestPinned)
    .u32(row.pins)
    .u32(row.forks)
    .u32(row.policies)
    .u64(row.pinsEnded)
    .u64(row.changeBytes)
    .end();
}

export function decodeProgress(bytes: Uint8Array): ProgressRow {
  const row = new RowReader(bytes);
  const progress = {
    version: row.u64() as Version,
    versionsReserved: row.u64() as Version,
    inodesReserved: row.u64(),
    requestsForgotten: row.u64() as Version,
    requestsForgottenMs: row.u64(),
    changesForgotten: row.u64() as Version,
    newestPinned: row.u64() as Version,
    pins: row.u32(),
    forks: row.u32(),
    policies: row.u32(),
    pinsEnded: row.u64(),
    changeBytes: row.u64(),
  };
  row.end();
  return progress;
}

/** When a body was superseded or removed. */
export interface Retired {
  readonly version: Version;
  readonly ms: number;
  /** Of the last body of a removed file where its directory said otherwise than the default: how long it is kept from then on. */
  readonly keepMs?: number | undefined;
}

export function encodeRetired({ version, ms, keepMs }: Retired): Buffer {
  const row = writer.begin(24).u64(version).u64(ms);
  return (keepMs === undefined ? row : row.u64(keepMs)).end();
}

export function decodeRetired(bytes: Uint8Array): Retired {
  const row = new RowReader(bytes);
  const retired = { version: row.u64() as Version, ms: row.u64() };
  if (row.rest === 0) return retired;
  const keepMs = row.u64();
  row.end();
  return { ...retired, keepMs };
}
