/**
 * How far a store has come in the shared log: a system row that is committed together with what it speaks of, so that a store is
 * always the state after exactly this segment.
 *
 * log position: sequence u64, epoch u64, digest of that segment (32 bytes)
 */
import type { Epoch } from '@nokv/types';
import { SYSTEM_ITEM, systemKey } from '../key.js';
import type { KvReader, KvWrite } from '../ordered-kv.js';
import { RowReader } from '../row-reader.js';
import { RowWriter } from '../row-writer.js';
import { DIGEST_BYTES } from './segment.js';

export interface LogPosition {
  /** Of the last segment that was applied; 0: none, the state is that of the origin. */
  readonly sequence: number;
  /** Under which it was written; 0 at the origin. */
  readonly epoch: Epoch;
  /** Of that segment; that of the origin's image at 0. */
  readonly digest: Uint8Array;
}

const writer = new RowWriter();

export function encodeLogPosition({ sequence, epoch, digest }: LogPosition): Buffer {
  return writer
    .begin(16 + DIGEST_BYTES)
    .u64(sequence)
    .u64(epoch)
    .bytes(digest)
    .end();
}

export function decodeLogPosition(bytes: Uint8Array): LogPosition {
  const row = new RowReader(bytes);
  const position = { sequence: row.u64(), epoch: row.u64() as Epoch, digest: row.bytes(DIGEST_BYTES) };
  row.end();
  return position;
}

/** Undefined for a shard that no shared log knows. */
export function readLogPosition(kv: KvReader): LogPosition | undefined {
  const bytes = kv.get(systemKey(SYSTEM_ITEM.log));
  return bytes === undefined ? undefined : decodeLogPosition(bytes);
}

export function logPositionWrite(position: LogPosition): KvWrite {
  return { key: systemKey(SYSTEM_ITEM.log), value: encodeLogPosition(position) };
}
