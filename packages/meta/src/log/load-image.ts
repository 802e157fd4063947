/**
 * Fills an empty store from an image, block by block, each checked before a row of it is stored. The system rows come last, in the
 * commit that ends it: a store that was filled half-way holds no shard, and is told apart by that.
 */
import { NokvError, type ShardId } from '@nokv/types';
import { FAMILY, SHARD_FORMAT, SHARD_FORMAT_OLDEST, SYSTEM_ITEM, systemKey } from '../key.js';
import type { KvReader, KvWrite, OrderedKv } from '../ordered-kv.js';
import { readBlock, rowsOfBlock, type ImageManifest } from './image.js';
import type { LogPosition } from './log-position.js';
import { logPositionWrite } from './log-position.js';
import type { LogStore } from './log-store.js';
import { altered } from './segment.js';
import { StateDigest } from './state-digest.js';

const COMMIT_BYTES = 1024 * 1024;

/** What a store holds as far as filling it is concerned. */
export function contentOf(kv: KvReader): 'nothing' | 'shard' | 'remains' {
  if (kv.get(systemKey(SYSTEM_ITEM.format)) !== undefined) return 'shard';
  for (const entry of kv.range(Uint8Array.of(0), Uint8Array.of(0xff), { limit: 1 })) {
    void entry;
    return 'remains';
  }
  return 'nothing';
}

/** Removes every row, in slices; what is left when it is interrupted is `remains`. */
export async function emptyStore(kv: OrderedKv): Promise<void> {
  await kv.commit([{ key: systemKey(SYSTEM_ITEM.format), value: undefined }]).committed;
  for (;;) {
    const writes: KvWrite[] = [];
    for (const { key } of kv.range(Uint8Array.of(0), Uint8Array.of(0xff), { limit: 4096 })) {
      writes.push({ key: Uint8Array.from(key), value: undefined });
    }
    if (writes.length === 0) return;
    await kv.commit(writes).flushed;
  }
}

/** @param isLogged keep the image's position, so that the log can be replayed on it. */
export async function loadImage(
  kv: OrderedKv,
  store: LogStore,
  prefix: string,
  image: ImageManifest,
  shard: ShardId,
  isLogged: boolean,
): Promise<void> {
  if (image.shard !== shard) {
    throw new NokvError('unsupported-format', `expected an image of shard ${shard} at ${prefix}, found one of shard ${image.shard}`);
  }
  if (image.shardFormat < SHARD_FORMAT_OLDEST || image.shardFormat > SHARD_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `this build reads shard formats ${SHARD_FORMAT_OLDEST} to ${SHARD_FORMAT}, the image ${prefix} has format ${image.shardFormat}; use the build that wrote it`,
      { details: { expected: SHARD_FORMAT, found: image.shardFormat } },
    );
  }
  const digest = new StateDigest();
  const system: KvWrite[] = [];
  for (let index = 0; index < image.blocks.length; index++) {
    const block = await readBlock(store, prefix, image, index);
    let writes: KvWrite[] = [];
    let bytes = 0;
    for (const row of rowsOfBlock(prefix, block, index)) {
      digest.add(row.key, row.value);
      (row.key[0] === FAMILY.system ? system : writes).push(row);
      bytes += row.key.length + row.value.length;
      if (bytes < COMMIT_BYTES) continue;
      await kv.commit(writes).committed;
      writes = [];
      bytes = 0;
    }
    if (writes.length > 0) await kv.commit(writes).committed;
  }
  if (digest.end() !== image.stateDigest) throw altered(prefix, 'the digest of its rows does not match its manifest');
  if (isLogged) system.push(logPositionWrite(positionOf(image)));
  await kv.commit(system).flushed;
}

export function positionOf({ sequence, epoch, segmentDigest }: ImageManifest): LogPosition {
  return { sequence, epoch, digest: Uint8Array.from(Buffer.from(segmentDigest, 'hex')) };
}
