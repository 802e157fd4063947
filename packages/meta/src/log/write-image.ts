/**
 * Writes an image from one snapshot of a store, block by block: memory for one block, turns of the event loop between slices of rows,
 * so that callers of the shard are not held up. The position in the log comes from the very snapshot.
 */
import { createHash } from 'node:crypto';
import { NokvError, assert, timespecToMs, type Clock, type Random, type ShardId } from '@nokv/types';
import { FAMILY, SHARD_FORMAT, SYSTEM_ITEM, keyAfter, systemKey } from '../key.js';
import type { KvEntry, KvSnapshot } from '../ordered-kv.js';
import { decodeProgress } from '../value-log.js';
import { copyBytes } from '../row-writer.js';
import {
  BLOCK_HEADER_BYTES,
  IMAGE_FORMAT,
  ROW_HEADER_BYTES,
  blockKeyOf,
  encodeBlock,
  encodeManifest,
  manifestKey,
  type ImageManifest,
} from './image.js';
import { readLogPosition, type LogPosition } from './log-position.js';
import type { LogStore } from './log-store.js';
import { StateDigest } from './state-digest.js';

export const IMAGE_BLOCK_BYTES_DEFAULT = 4 * 1024 * 1024;
/** About a millisecond of work. */
const SLICE_ROWS = 512;

export interface WriteImageOptions {
  /** Released by the caller. */
  readonly snapshot: KvSnapshot;
  readonly store: LogStore;
  readonly shard: ShardId;
  /** Where it goes, given its position: see `imagePrefix`. */
  readonly prefix: (position: LogPosition) => string;
  readonly clock: Clock;
  /** Draws what stands for a digest where no segment came before. */
  readonly random: Random;
  readonly blockBytes?: number | undefined;
  readonly namespace?: string | undefined;
  readonly onBlock?: ((rows: number, bytes: number) => void) | undefined;
  /** Asked before each block; what it throws ends the writing. */
  readonly mayGoOn?: (() => void) | undefined;
}

export interface WrittenImage {
  readonly prefix: string;
  readonly manifest: ImageManifest;
}

export async function writeImage(options: WriteImageOptions): Promise<WrittenImage> {
  const { snapshot, store, shard, clock, random, blockBytes = IMAGE_BLOCK_BYTES_DEFAULT, mayGoOn } = options;
  const position = readLogPosition(snapshot) ?? { sequence: 0, epoch: 0 as LogPosition['epoch'], digest: random.bytes(32) };
  const prefix = options.prefix(position);
  const digest = new StateDigest();
  const blocks: ImageManifest['blocks'][number][] = [];
  let rows: KvEntry[] = [];
  let bytes = 0;
  let rowsWritten = 0;
  let bytesWritten = 0;

  async function putBlock(): Promise<void> {
    mayGoOn?.();
    const key = blockKeyOf(prefix, blocks.length);
    const block = encodeBlock(blocks.length, rows, bytes);
    blocks.push({ bytes: block.length, rows: rows.length, sha256: createHash('sha256').update(block).digest('hex') });
    rowsWritten += rows.length;
    bytesWritten += block.length;
    rows = [];
    bytes = 0;
    if ((await store.putIfAbsent(key, block)) === 'exists') {
      const found = await store.get(key);
      // The answer to an earlier try of this very put was lost.
      if (found === undefined || Buffer.compare(found, block) !== 0) throw taken(key);
    }
    options.onBlock?.(rowsWritten, bytesWritten);
  }

  for await (const slice of slicesOf(snapshot)) {
    for (const row of slice) {
      if (isLocal(row.key)) continue;
      digest.add(row.key, row.value);
      rows.push(row);
      bytes += ROW_HEADER_BYTES + row.key.length + row.value.length;
      if (bytes + BLOCK_HEADER_BYTES >= blockBytes) await putBlock();
    }
  }
  if (rows.length > 0) await putBlock();
  const progress = snapshot.get(systemKey(SYSTEM_ITEM.progress));
  assert(progress !== undefined, 'a shard has a progress row');
  const manifest: ImageManifest = {
    format: IMAGE_FORMAT,
    shard,
    namespace: options.namespace ?? '',
    shardFormat: SHARD_FORMAT,
    sequence: position.sequence,
    epoch: position.epoch,
    segmentDigest: Buffer.from(position.digest).toString('hex'),
    version: decodeProgress(progress).version,
    madeMs: Math.floor(timespecToMs(clock.now())),
    rows: rowsWritten,
    bytes: bytesWritten,
    stateDigest: digest.end(),
    blocks,
  };
  mayGoOn?.();
  const key = manifestKey(prefix);
  const text = encodeManifest(manifest);
  if ((await store.putIfAbsent(key, text)) === 'exists') {
    const found = await store.get(key);
    if (found === undefined || Buffer.compare(found, text) !== 0) throw taken(key);
  }
  return { prefix, manifest };
}

/** Rows of the whole snapshot, owned by the reader, with a turn of the event loop after each slice. */
async function* slicesOf(snapshot: KvSnapshot): AsyncGenerator<readonly KvEntry[]> {
  let start: Uint8Array = Uint8Array.of(0);
  const end = Uint8Array.of(0xff);
  // Each slice begins after the last row of the one before, so that this ends with the last row.
  for (;;) {
    const slice: KvEntry[] = [];
    for (const { key, value } of snapshot.range(start, end, { limit: SLICE_ROWS })) {
      slice.push({ key: copyBytes(key, 0, key.length), value: copyBytes(value, 0, value.length) });
    }
    yield slice;
    const last = slice.at(-1);
    if (slice.length < SLICE_ROWS || last === undefined) return;
    start = keyAfter(last.key);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What belongs to this copy of the shard; the position is in the manifest. */
function isLocal(key: Uint8Array): boolean {
  return key[0] === FAMILY.system && (key[1] === SYSTEM_ITEM.log || key[1] === SYSTEM_ITEM.outbox);
}

function taken(key: string): NokvError {
  return new NokvError('exists', `expected nothing at ${key}, found another object; give a place that is empty`, { details: { key } });
}
