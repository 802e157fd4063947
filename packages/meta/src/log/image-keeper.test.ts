import { describe, expect, test } from 'vitest';
import { NokvError, epoch, requestId, shardId } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import { OWNER, RunningClock, at, countingRandom } from '../testing/test-shard.js';
import { ImageKeeper, type ImagePolicy } from './image-keeper.js';
import { segmentKey } from './log-key.js';
import { MemoryLogStore } from './memory-log-store.js';
import { openSharedShard, type SharedShard } from './open-shared-shard.js';
import { stateDigest } from './state-digest.js';

const SHARD = shardId(0);
let requests = 0;

async function served(policy: Partial<ImagePolicy>, mustOwn = () => undefined as void) {
  const store = new MemoryLogStore();
  const kv = new MemoryKv();
  const clock = new RunningClock();
  const random = countingRandom();
  const shared = await openSharedShard({ kv, store, shard: SHARD, epoch: epoch(1), clock, random, hasBeenServed: false });
  const log = (): SharedShard['sink']['stats'] => shared.sink.stats;
  const keeper = new ImageKeeper({ kv, store, shard: SHARD, clock, random, log, mustOwn, policy, blockBytes: 2000 });
  const mkdir = async (path: string): Promise<void> => {
    const context = { requestId: requestId(`k${(requests += 1)}`), actor: 'test', acknowledgement: 'durable' as const };
    await shared.engine.mutate('mkdir', { entry: at(path), mode: 0o755, ...OWNER }, context);
  };
  return { store, kv, clock, random, shared, keeper, mkdir };
}

function segments(store: MemoryLogStore): string[] {
  return [...store.objects.keys()].filter((key) => key.includes('/log/')).sort();
}

function manifests(store: MemoryLogStore): string[] {
  return [...store.objects.keys()].filter((key) => key.endsWith('/manifest'));
}

describe('the image keeper', () => {
  test('writes an image when the log has grown, keeps two, and removes the segments that both cover', async () => {
    const { store, kv, clock, random, keeper, mkdir } = await served({ logSegments: 10, retentionMs: 0 });
    for (let i = 0; i < 60; i++) {
      await mkdir(`/d${i}`);
      clock.ms += 1000;
      await keeper.turn();
    }
    expect(keeper.images).toBeGreaterThan(3);
    expect(manifests(store)).toHaveLength(2);
    expect(segments(store).length).toBeLessThan(25);
    expect(store.objects.has(segmentKey(SHARD, 1))).toBe(false);
    const other = new MemoryKv();
    const next = await openSharedShard({ kv: other, store, shard: SHARD, epoch: epoch(2), clock, random, hasBeenServed: true });
    const { entries } = await next.engine.read('list', { node: at('/'), limit: 100, attributes: false }, { visible: false });
    expect(entries).toHaveLength(60);
    await kv.commit([{ key: Uint8Array.of(1, 2), value: Uint8Array.from(other.get(Uint8Array.of(1, 2)) ?? []) }]).flushed;
    expect(await stateDigest(other)).toBe(await stateDigest(kv));
  });

  test('keeps young images for the retention, and their segments', async () => {
    const { store, clock, keeper, mkdir } = await served({ logSegments: 3, retentionMs: 60_000 });
    for (let i = 0; i < 30; i++) {
      await mkdir(`/d${i}`);
      await keeper.turn();
    }
    const young = manifests(store).length;
    expect(young).toBeGreaterThan(5);
    expect(store.objects.has(segmentKey(SHARD, 1))).toBe(true);
    clock.ms += 61_000;
    await keeper.turn();
    expect(manifests(store)).toHaveLength(2);
    expect(store.objects.has(segmentKey(SHARD, 1))).toBe(false);
  });

  test('keeps an image that was the newest for long: a node that has just begun with it comes to the end', async () => {
    const { store, clock, random, keeper, mkdir } = await served({ logSegments: 3, retentionMs: 60_000, imagesKept: 1 });
    for (let i = 0; i < 5; i++) await mkdir(`/a${i}`);
    await keeper.turn();
    clock.ms += 3600_000;
    await keeper.turn();
    for (let i = 0; i < 5; i++) await mkdir(`/b${i}`);
    // Another node begins with the newest image there is; the next one is written before it has read the log after it.
    store.inject({ on: 'get', key: '/log/', effect: async () => void (await keeper.turn()) });
    const next = await openSharedShard({ kv: new MemoryKv(), store, shard: SHARD, epoch: epoch(2), clock, random, hasBeenServed: true });
    expect(keeper.images).toBe(2);
    const { entries } = await next.engine.read('list', { node: at('/'), limit: 100, attributes: false }, { visible: false });
    expect(entries).toHaveLength(10);
    clock.ms += 61_000;
    await keeper.turn();
    expect(manifests(store)).toHaveLength(1);
  });

  test('of an owner that lost the shard writes no manifest and removes nothing', async () => {
    let owns = true;
    const { store, clock, keeper, mkdir } = await served({ logSegments: 5, retentionMs: 0, imagesKept: 1 }, () => {
      if (!owns) throw new NokvError('lease-lost', 'gone');
    });
    for (let i = 0; i < 20; i++) await mkdir(`/d${i}`);
    const before = segments(store);
    owns = false;
    await expect(keeper.turn()).rejects.toMatchObject({ code: 'lease-lost' });
    expect(segments(store)).toEqual(before);
    expect(manifests(store)).toHaveLength(1);
    owns = true;
    for (let i = 0; i < 3; i++) {
      clock.ms += 60_000;
      await keeper.turn();
    }
    expect(segments(store).length).toBeLessThan(before.length);
  });

  test('writes from one moment: what is written meanwhile is not in the image, and is found in the log', async () => {
    const { store, clock, random, keeper, mkdir } = await served({});
    for (let i = 0; i < 100; i++) await mkdir(`/d${i}`);
    let more: Promise<unknown> | undefined;
    store.inject({ on: 'put', key: 'block-000001', effect: async () => void (more = mkdir('/meanwhile')) });
    const { manifest } = await keeper.write();
    await more;
    const next = await openSharedShard({ kv: new MemoryKv(), store, shard: SHARD, epoch: epoch(2), clock, random, hasBeenServed: true });
    expect(next.recovered.segments).toBeGreaterThan(0);
    expect(manifest.blocks.length).toBeGreaterThan(5);
    expect(await next.engine.read('stat', { node: at('/meanwhile'), follow: true }, { visible: false })).toMatchObject({
      type: 'directory',
    });
  });
});
