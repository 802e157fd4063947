/** K13: a shard is its image plus its log; replaying them gives the digest of the live state. */
import { describe, expect, test } from 'vitest';
import { epoch, shardId } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import { contradictions } from '../testing/check-rows.js';
import { runLoad } from '../testing/random-load.js';
import { RunningClock, countingRandom } from '../testing/test-shard.js';
import { imagePrefix } from './log-key.js';
import { MemoryLogStore } from './memory-log-store.js';
import { openSharedShard, type SharedShard } from './open-shared-shard.js';
import { stateDigest } from './state-digest.js';
import { writeImage } from './write-image.js';

const SHARD = shardId(0);
const WINDOW = { requestMs: 4000, requestVersionsMax: 200, changeMs: 8000, changeVersionsMax: 400 };
const RETENTION = { bodyMs: 3000, bodiesKept: 1, uploadMs: 500, extentMs: 500 };

async function open(kv: MemoryKv, store: MemoryLogStore, clock: RunningClock, under: number): Promise<SharedShard> {
  return openSharedShard({
    kv,
    store,
    shard: SHARD,
    epoch: epoch(under),
    clock,
    random: countingRandom(),
    hasBeenServed: under > 1,
    window: WINDOW,
    retention: RETENTION,
  });
}

describe('image and log', () => {
  test.each(Array.from({ length: 6 }, (_, i) => i + 1))('replay to the live state digest, seed %i', async (seed) => {
    const clock = new RunningClock();
    const store = new MemoryLogStore();
    // Appends take a while, so that commands are evaluated over batches that are on their way.
    store.inject({ on: 'put', key: '/log/', times: 1e9, effect: () => new Promise((resolve) => setTimeout(resolve, 1)) });
    const kv = new MemoryKv();
    const live = await open(kv, store, clock, 1);
    expect(await runLoad({ engine: live.engine, clock, seed, steps: 320 })).toBeGreaterThan(20);
    if (seed % 2 === 0) {
      const snapshot = kv.snapshot();
      const prefix = ({ sequence }: { readonly sequence: number }): string => imagePrefix(SHARD, sequence, '00000001');
      await writeImage({ snapshot, store, shard: SHARD, clock, random: countingRandom(), prefix, blockBytes: 4096 });
    }
    await runLoad({ engine: live.engine, clock, seed: seed + 1000, steps: 320 });
    const before = await stateDigest(kv);

    const other = new MemoryKv();
    const taken = await open(other, store, clock, 2);
    expect(taken.recovered).toMatchObject({ from: 'image' });
    expect(taken.recovered.segments).toBeGreaterThan(10);
    // The one thing that the new owner did: it adopted its epoch.
    await kv.commit([{ key: Uint8Array.of(1, 2), value: Uint8Array.from(other.get(Uint8Array.of(1, 2)) ?? []) }]).flushed;
    expect(await stateDigest(other)).toBe(await stateDigest(kv));
    expect(await stateDigest(other)).not.toBe(before);
    expect(contradictions(other)).toEqual([]);
    await runLoad({ engine: taken.engine, clock, seed: seed + 2000, steps: 50 });

    // The first owner catches up in place: what it holds is a prefix of the log.
    const back = await open(kv, store, clock, 3);
    expect(back.recovered.from).toBe('store');
    const again = await open(other, store, clock, 4);
    expect(again.recovered.from).toBe('store');
    await kv.commit([{ key: Uint8Array.of(1, 2), value: Uint8Array.from(other.get(Uint8Array.of(1, 2)) ?? []) }]).flushed;
    expect(await stateDigest(other)).toBe(await stateDigest(kv));
  });
});
