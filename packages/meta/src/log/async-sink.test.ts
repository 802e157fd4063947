/** The log follows behind: bounded, in order, without a batch lost or doubled over restarts; a takeover may lose what was not shipped. */
import { beforeEach, describe, expect, test } from 'vitest';
import { NokvError, epoch, isNokvError, requestId, shardId } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import type { ShardEngine } from '../shard-engine.js';
import { contradictions } from '../testing/check-rows.js';
import { runLoad } from '../testing/random-load.js';
import { OWNER, RunningClock, at, countingRandom } from '../testing/test-shard.js';
import type { ShipBound } from './async-sink.js';
import { ImageKeeper } from './image-keeper.js';
import { MemoryLogStore } from './memory-log-store.js';
import { openSharedShard, type SharedShard } from './open-shared-shard.js';
import { readOutbox } from './outbox.js';
import { stateDigest } from './state-digest.js';

const SHARD = shardId(0);
const EPOCH_ROW = Uint8Array.of(1, 2);
let store: MemoryLogStore;
let kv: MemoryKv;
let clock: RunningClock;
let requests = 0;
beforeEach(() => {
  store = new MemoryLogStore();
  kv = new MemoryKv();
  clock = new RunningClock();
});

function open(under: number, on = kv, shipBound: Partial<ShipBound> = {}): Promise<SharedShard> {
  const hasBeenServed = under > 1;
  const options = { kv: on, store, shard: SHARD, clock, random: countingRandom(), appendTimeoutMs: 200 };
  return openSharedShard({ ...options, epoch: epoch(under), hasBeenServed, mode: 'async', shipBound });
}

async function mkdir(engine: ShardEngine, path: string, id = `a${(requests += 1)}`): Promise<number> {
  const context = { requestId: requestId(id), actor: 'test', acknowledgement: 'durable' as const };
  return (await engine.mutate('mkdir', { entry: at(path), mode: 0o755, ...OWNER }, context)).version;
}

async function names(engine: ShardEngine): Promise<string[]> {
  const { entries } = await engine.read('list', { node: at('/'), limit: 1000, attributes: false }, { visible: false });
  return entries.map(({ name }) => Buffer.from(name).toString());
}

async function sameAs(other: MemoryKv): Promise<boolean> {
  await kv.commit([{ key: EPOCH_ROW, value: Uint8Array.from(other.get(EPOCH_ROW) ?? []) }]).flushed;
  return (await stateDigest(kv)) === (await stateDigest(other));
}

/** What is committed and flushed here, while the store refuses to take any of it. */
async function unshipped(engine: ShardEngine, paths: readonly string[], times = 1000): Promise<void> {
  store.inject({ on: 'put', key: '/log/', effect: 'refuse', times });
  for (const path of paths) await mkdir(engine, path);
}

describe('an asynchronous log', () => {
  test('comes to hold everything that was acknowledged, and replays to the same state', async () => {
    const live = await open(1);
    await runLoad({ engine: live.engine, clock, seed: 21, steps: 300 });
    await live.sink.shipped();
    expect(live.sink.stats.unshipped.batches).toBe(0);
    expect(readOutbox(kv)).toEqual([]);
    const other = new MemoryKv();
    await open(2, other);
    expect(await sameAs(other)).toBe(true);
  });

  test('does not hold up an acknowledgement; what waits is told', async () => {
    const live = await open(1);
    await live.sink.shipped();
    await unshipped(live.engine, ['/a', '/b']);
    expect(live.sink.stats.unshipped.batches).toBeGreaterThan(0);
    expect(live.sink.stats.unshipped.ageMs).toBeGreaterThanOrEqual(0);
  });

  test('ships after a restart what it had not shipped, before anything new, once', async () => {
    const live = await open(1);
    await live.sink.shipped();
    await unshipped(live.engine, ['/a', '/b', '/c']);
    const node = kv.powerCut();
    live.sink.stop();
    store = new MemoryLogStore(store.objects);
    expect(readOutbox(node).length).toBeGreaterThan(0);
    const again = await open(2, node);
    expect(again.recovered.from).toBe('store');
    await again.sink.shipped();
    expect(readOutbox(node)).toEqual([]);
    await mkdir(again.engine, '/d');
    await again.sink.shipped();
    const other = new MemoryKv();
    const next = await open(3, other);
    expect(await names(next.engine)).toEqual(['a', 'b', 'c', 'd']);
    expect(contradictions(other)).toEqual([]);
  });

  test('takes out of the outbox what came to be in the log before a crash noted it', async () => {
    const live = await open(1);
    await live.sink.shipped();
    store.inject({ on: 'put', key: '/log/', effect: 'hold', times: 1 });
    await mkdir(live.engine, '/a', 'once');
    const node = kv.powerCut();
    store.release();
    live.sink.stop();
    const again = await open(2, node);
    expect(again.recovered.from).toBe('store');
    await again.sink.shipped();
    expect(readOutbox(node)).toEqual([]);
    const before = await names(again.engine);
    expect(before).toEqual(['a']);
    await again.sink.shipped();
    expect(await names((await open(3, new MemoryKv())).engine)).toEqual(['a']);
  });

  test('gives up what was not shipped when another owner went on without it', async () => {
    const live = await open(1);
    await mkdir(live.engine, '/shipped');
    await live.sink.shipped();
    await unshipped(live.engine, ['/lost']);
    const node = kv.powerCut();
    live.sink.stop();
    store = new MemoryLogStore(store.objects);
    const next = await open(2, new MemoryKv());
    await mkdir(next.engine, '/next');
    await next.sink.shipped();
    const back = await open(3, node);
    expect(back.recovered.from).toBe('image');
    expect(await names(back.engine)).toEqual(['next', 'shipped']);
    expect(contradictions(node)).toEqual([]);
  });

  test('of a fenced owner says so without being asked', async () => {
    const live = await open(1);
    await live.sink.shipped();
    await open(2, new MemoryKv());
    await mkdir(live.engine, '/acknowledged-and-lost');
    expect(await live.sink.whenEnded).toMatchObject({ code: 'fenced' });
    await expect(mkdir(live.engine, '/more')).rejects.toMatchObject({ code: 'fenced' });
  });

  test('that is behind its bound refuses writes cleanly, and goes on when it has caught up', async () => {
    const live = await open(1, kv, { ms: 30 });
    await live.sink.shipped();
    await unshipped(live.engine, ['/a'], 1);
    let refusal: unknown;
    while (refusal === undefined) await mkdir(live.engine, `/w${requests}`).catch((error: unknown) => (refusal = error));
    expect(isNokvError(refusal, 'unavailable') && refusal.outcome).toBe('not-applied');
    await live.sink.shipped();
    await mkdir(live.engine, '/after');
    await live.sink.shipped();
    expect(await names((await open(2, new MemoryKv())).engine)).toEqual(await names(live.engine));
  });

  test('has images of moments between two segments', async () => {
    const live = await open(1);
    const random = countingRandom();
    const keeper = new ImageKeeper({
      kv,
      store,
      shard: SHARD,
      clock,
      random,
      log: () => live.sink.stats,
      mustOwn: () => undefined,
      snapshot: () => live.sink.atSegment(() => kv.snapshot()),
    });
    const load = runLoad({ engine: live.engine, clock, seed: 22, steps: 200 });
    const { manifest } = await keeper.write();
    await load;
    await live.sink.shipped();
    const other = new MemoryKv();
    const next = await open(2, other);
    expect(next.recovered.image).toContain(String(manifest.sequence).padStart(20, '0'));
    expect(await sameAs(other)).toBe(true);
  });

  test('on a disk that refuses stays what it was', async () => {
    const live = await open(1);
    await live.sink.shipped();
    kv.failNext({ at: 'commit', error: new NokvError('no-space', 'full') });
    await expect(mkdir(live.engine, '/a')).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
    await mkdir(live.engine, '/b');
    await live.sink.shipped();
    expect(await names((await open(2, new MemoryKv())).engine)).toEqual(['b']);
  });
});
