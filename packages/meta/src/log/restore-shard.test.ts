/** What is restored is what was backed up, proved by digest; what is damaged is refused by name; nothing is written over. */
import { beforeEach, describe, expect, test } from 'vitest';
import { epoch, isNokvError, shardId, type NokvError } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import { openShard } from '../shard.js';
import type { ShardEngine } from '../shard-engine.js';
import { contradictions } from '../testing/check-rows.js';
import { runLoad } from '../testing/random-load.js';
import { RunningClock, TestShard, countingRandom } from '../testing/test-shard.js';
import { ImageKeeper } from './image-keeper.js';
import { MemoryLogStore } from './memory-log-store.js';
import { openSharedShard } from './open-shared-shard.js';
import { restoreShard } from './restore-shard.js';
import { stateDigest } from './state-digest.js';

const SHARD = shardId(0);
const PREFIX = 'backup/';
let clock: RunningClock;
let kv: MemoryKv;
let engine: ShardEngine;
let destination: MemoryLogStore;
beforeEach(async () => {
  clock = new RunningClock();
  kv = new MemoryKv();
  engine = await openShard({ kv, shard: SHARD, clock, random: countingRandom() });
  await engine.adoptEpoch(epoch(1));
  destination = new MemoryLogStore();
});

function backup(): ReturnType<ShardEngine['writeImage']> {
  return engine.writeImage({ store: destination, prefix: () => PREFIX, namespace: 'ab'.repeat(16), blockBytes: 1024 });
}

function restore(into = new MemoryKv(), store = destination) {
  return restoreShard({ kv: into, store, prefix: PREFIX, shard: SHARD, clock, random: countingRandom() });
}

async function failureOf(work: Promise<unknown>): Promise<NokvError> {
  const failure: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!isNokvError(failure)) throw new Error(`expected an error of ours, found ${String(failure)}`);
  return failure;
}

describe('a backup', () => {
  test('restores to the same state digest, and writes go on without a number used twice', async () => {
    await runLoad({ engine, clock, seed: 7, steps: 400 });
    const { manifest } = await backup();
    const other = new MemoryKv();
    const restored = await restore(other);
    expect(restored).toMatchObject({
      digest: manifest.stateDigest,
      version: manifest.version,
      rows: manifest.rows,
      namespace: 'ab'.repeat(16),
    });
    expect(await stateDigest(other)).toBe(await stateDigest(kv));
    const shard = await TestShard.open(other, { prefix: 'after' });
    const before = engine.visibleVersion;
    const { version } = await shard.put('/after-the-restore', 'x');
    expect(version).toBeGreaterThan(before);
    await runLoad({ engine: shard.engine, clock: shard.clock, seed: 8, steps: 100 });
    expect(contradictions(other)).toEqual([]);
  });

  test('is of one moment, whatever is written meanwhile', async () => {
    await runLoad({ engine, clock, seed: 9, steps: 200 });
    const before = await stateDigest(kv);
    let load: Promise<unknown> | undefined;
    destination.inject({
      on: 'put',
      key: 'block-000001',
      effect: async () => {
        load = runLoad({ engine, clock, seed: 10, steps: 200 });
        await load;
      },
    });
    const { manifest } = await backup();
    expect(load).toBeDefined();
    expect(manifest.stateDigest).toBe(before);
    expect((await restore()).digest).toBe(before);
    expect(await stateDigest(kv)).not.toBe(before);
  });

  test('with a part that is missing or altered is refused, naming the part', async () => {
    await runLoad({ engine, clock, seed: 11, steps: 200 });
    const { manifest } = await backup();
    expect(manifest.blocks.length).toBeGreaterThan(3);
    // Its keys are taken out and put back on the way.
    const objects = new Map(destination.objects);
    for (const [key, bytes] of objects) {
      destination.objects.delete(key);
      // Without its manifest it is no backup at all.
      expect((await failureOf(restore())).details, `${key} missing`).toEqual({ key });
      const altered = Uint8Array.from(bytes);
      const at = altered.length >> 1;
      altered[at] = (altered[at] as number) ^ 1;
      destination.objects.set(key, altered);
      expect((await failureOf(restore())).details, `${key} altered`).toMatchObject({ key });
      destination.objects.set(key, bytes);
    }
    expect((await restore()).digest).toBe(manifest.stateDigest);
  });

  test('is not written over another, nor restored over a shard', async () => {
    await runLoad({ engine, clock, seed: 12, steps: 50 });
    await backup();
    await runLoad({ engine, clock, seed: 13, steps: 50 });
    expect(await failureOf(backup())).toMatchObject({ code: 'exists' });
    expect(await failureOf(restore(kv))).toMatchObject({ code: 'not-empty' });
  });
});

describe('the store of a fleet', () => {
  test('restores to its newest image and log, as a shard of its own', async () => {
    const store = new MemoryLogStore();
    const fleet = new MemoryKv();
    const random = countingRandom();
    const shared = await openSharedShard({ kv: fleet, store, shard: SHARD, epoch: epoch(1), clock, random, hasBeenServed: false });
    await runLoad({ engine: shared.engine, clock, seed: 14, steps: 200 });
    const keeper = new ImageKeeper({
      kv: fleet,
      store,
      shard: SHARD,
      clock,
      random,
      log: () => shared.sink.stats,
      mustOwn: () => undefined,
    });
    await keeper.write();
    await runLoad({ engine: shared.engine, clock, seed: 15, steps: 200 });
    const other = new MemoryKv();
    const restored = await restore(other, store);
    expect(restored.segments).toBeGreaterThan(5);
    expect(restored.digest).toBe(await stateDigest(fleet));
    const shard = await TestShard.open(other, { prefix: 'after' });
    await shard.put('/after-the-restore', 'x');
    expect(contradictions(other)).toEqual([]);
  });

  test('without anything in it is refused, and says what was looked for', async () => {
    expect(await failureOf(restore(new MemoryKv(), new MemoryLogStore()))).toMatchObject({
      code: 'no-object',
      message: expect.stringContaining('backup/manifest') as string,
    });
  });
});
