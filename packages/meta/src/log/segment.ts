/**
 * One object of the shared log: the batches that one append carried, or the fence of a new owner.
 *
 * Layout, integers big-endian:
 *
 *   magic "NKLG" · format u16 · shard format u16 · kind u8 (0 fence, 1 batches) · shard u16 · epoch u64 · sequence u64
 *   · previous digest (32 bytes) · first version u64 · last version u64 (both 0 in a fence) · body length u32 · body · own digest (32 bytes)
 *
 * The own digest is the SHA-256 of everything before it and so covers the previous one: a log is a chain back to its first segment,
 * whose previous digest is that of its origin. The body of `batches` is MessagePack without records: an array of
 * `[first version, commands, rows digest]`, the commands being the very objects that the shard applied; the rows digest says what
 * they wrote (rows-digest.ts), in the shard format of the build that applied them: another format would write other rows, and its
 * commands are refused by that number instead of by what they come to. A fence has no body. A command that failed is not in the log: it wrote nothing.
 */
import { createHash } from 'node:crypto';
import { Packr } from 'msgpackr';
import { NokvError, type Epoch, type ShardId, type Version } from '@nokv/types';
import type { Command } from '../command.js';
import { SHARD_FORMAT } from '../key.js';
import { readU64 } from '../row-reader.js';

export const SEGMENT_FORMAT = 1;
/** No writer makes more, and no reader takes more. */
export const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;
export const DIGEST_BYTES = 32;

export interface LoggedBatch {
  readonly firstVersion: Version;
  /** With versions from `firstVersion` on without a gap. */
  readonly commands: readonly Command[];
  readonly rowsDigest: Uint8Array;
}

export interface Segment {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** From 1. */
  readonly sequence: number;
  readonly previous: Uint8Array;
  /** None: the fence of a new owner. */
  readonly batches: readonly LoggedBatch[];
}

export interface EncodedSegment {
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

export interface DecodedSegment extends Segment {
  readonly shardFormat: number;
  readonly digest: Uint8Array;
}

const MAGIC = Buffer.from('NKLG');
const KIND_FENCE = 0;
const KIND_BATCHES = 1;
const HEADER_BYTES = 4 + 2 + 2 + 1 + 2 + 8 + 8 + DIGEST_BYTES + 8 + 8 + 4;

/** Shared record structures would make the meaning of a segment depend on others. */
const packr = new Packr({ useRecords: false });

export function encodeSegment(segment: Segment): EncodedSegment {
  const { batches } = segment;
  const body = batches.length === 0 ? Buffer.alloc(0) : packBatches(batches);
  const last = batches.at(-1);
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header, 0);
  header.writeUInt16BE(SEGMENT_FORMAT, 4);
  header.writeUInt16BE(SHARD_FORMAT, 6);
  header[8] = batches.length === 0 ? KIND_FENCE : KIND_BATCHES;
  header.writeUInt16BE(segment.shard, 9);
  writeU64(header, segment.epoch, 11);
  writeU64(header, segment.sequence, 19);
  header.set(segment.previous, 27);
  writeU64(header, batches[0]?.firstVersion ?? 0, 59);
  writeU64(header, last === undefined ? 0 : lastVersionOf(last), 67);
  header.writeUInt32BE(body.length, 75);
  const digest = createHash('sha256').update(header).update(body).digest();
  const bytes = Buffer.concat([header, body, digest]);
  if (bytes.length > SEGMENT_BYTES_MAX) {
    throw new NokvError(
      'too-large',
      `expected a log segment of at most ${SEGMENT_BYTES_MAX} bytes, found ${bytes.length}; send smaller mutations`,
    );
  }
  return { bytes, digest };
}

/** Refuses, naming the key, what is not the whole segment that its writer put there. */
export function decodeSegment(key: string, bytes: Uint8Array): DecodedSegment {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (all.length < 6 || !all.subarray(0, 4).equals(MAGIC)) throw altered(key, 'it does not begin as a segment does');
  const format = all.readUInt16BE(4);
  if (format !== SEGMENT_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `expected log segment format ${SEGMENT_FORMAT} in ${key}, found ${format}; use the build that wrote it`,
      { details: { key, expected: SEGMENT_FORMAT, found: format } },
    );
  }
  if (all.length < HEADER_BYTES + DIGEST_BYTES) throw altered(key, `it ends after ${all.length} bytes`);
  const bodyEnd = HEADER_BYTES + all.readUInt32BE(75);
  if (all.length !== bodyEnd + DIGEST_BYTES) throw altered(key, `expected ${bodyEnd + DIGEST_BYTES} bytes, found ${all.length}`);
  const digest = all.subarray(bodyEnd);
  if (!createHash('sha256').update(all.subarray(0, bodyEnd)).digest().equals(digest)) throw altered(key, 'its digest does not match');
  const batches = all[8] === KIND_FENCE ? [] : unpackBatches(key, all.subarray(HEADER_BYTES, bodyEnd));
  return {
    shardFormat: all.readUInt16BE(6),
    shard: all.readUInt16BE(9) as ShardId,
    epoch: readU64(all, 11) as Epoch,
    sequence: readU64(all, 19),
    previous: all.subarray(27, 59),
    batches,
    digest,
  };
}

/** One batch as the outbox keeps it. */
export function packBatch(batch: LoggedBatch): Uint8Array {
  return packBatches([batch]);
}

export function unpackBatch(what: string, bytes: Uint8Array): LoggedBatch {
  const [batch] = unpackBatches(what, bytes);
  if (batch === undefined) throw altered(what, 'it holds no batch');
  return batch;
}

export function lastVersionOf({ firstVersion, commands }: LoggedBatch): Version {
  return (firstVersion + commands.length - 1) as Version;
}

function packBatches(batches: readonly LoggedBatch[]): Buffer {
  return packr.pack(batches.map(({ firstVersion, commands, rowsDigest }) => [firstVersion, commands, rowsDigest]));
}

function unpackBatches(key: string, body: Uint8Array): LoggedBatch[] {
  const batches: unknown = packr.unpack(body);
  if (!Array.isArray(batches) || batches.length === 0) throw altered(key, 'it holds no batches');
  return batches.map((batch: unknown): LoggedBatch => {
    const [firstVersion, commands, rowsDigest] = Array.isArray(batch) ? (batch as unknown[]) : [];
    if (typeof firstVersion !== 'number' || !Array.isArray(commands) || !(rowsDigest instanceof Uint8Array)) {
      throw altered(key, 'one of its batches is none');
    }
    return { firstVersion: firstVersion as Version, commands: commands as Command[], rowsDigest };
  });
}

function writeU64(into: Buffer, value: number, at: number): void {
  into.writeBigUInt64BE(BigInt(value), at);
}

export function altered(key: string, what: string): NokvError {
  return new NokvError('corrupt', `${key} is not what was written there: ${what}; restore this object`, { details: { key } });
}
