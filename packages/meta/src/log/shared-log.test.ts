/** What must never happen with a shared log: an acknowledgement that recovery does not find, two owners, a guess. */
import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { NokvError, epoch, isNokvError, requestId, shardId } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import type { ShardEngine } from '../shard-engine.js';
import { contradictions } from '../testing/check-rows.js';
import { OWNER, RunningClock, at, countingRandom, inline } from '../testing/test-shard.js';
import { ImageKeeper } from './image-keeper.js';
import { completeImages } from './complete-images.js';
import { imagePrefix, segmentKey } from './log-key.js';
import { MemoryLogStore } from './memory-log-store.js';
import { openSharedShard, type SharedShard } from './open-shared-shard.js';
import { readOrigin } from './origin.js';
import { stateDigest } from './state-digest.js';
import { writeImage } from './write-image.js';

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

function open(under: number, on: MemoryKv = kv, options: { served?: boolean; log?: MemoryLogStore } = {}): Promise<SharedShard> {
  return openSharedShard({
    kv: on,
    store: options.log ?? store,
    shard: SHARD,
    epoch: epoch(under),
    clock,
    random: countingRandom(),
    hasBeenServed: options.served ?? under > 1,
    appendTimeoutMs: 250,
  });
}

async function mkdir(engine: ShardEngine, path: string, id = `r${(requests += 1)}`): Promise<number> {
  const context = { requestId: requestId(id), actor: 'test', acknowledgement: 'durable' as const };
  return (await engine.mutate('mkdir', { entry: at(path), mode: 0o755, ...OWNER }, context)).version;
}

function put(engine: ShardEngine, path: string, text: string): Promise<unknown> {
  const context = { requestId: requestId(`r${(requests += 1)}`), actor: 'test', acknowledgement: 'durable' as const };
  return engine.mutate('publish', { node: at(path), body: inline(text), mode: 0o644, ...OWNER }, context);
}

async function names(engine: ShardEngine): Promise<string[]> {
  const { entries } = await engine.read('list', { node: at('/'), limit: 100, attributes: false }, { visible: false });
  return entries.map(({ name }) => Buffer.from(name).toString());
}

async function failureOf(work: Promise<unknown>): Promise<NokvError> {
  const failure: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!isNokvError(failure)) throw new Error(`expected an error of ours, found ${String(failure)}`);
  return failure;
}

function image(of: MemoryKv, attempt: string): Promise<unknown> {
  const prefix = ({ sequence }: { readonly sequence: number }): string => imagePrefix(SHARD, sequence, attempt);
  return writeImage({ snapshot: of.snapshot(), store, shard: SHARD, clock, random: countingRandom(), prefix, blockBytes: 600 });
}

describe('an acknowledged mutation', () => {
  test('is in the log: a node with nothing finds it there, and its repeat is answered, not run again', async () => {
    const first = await open(1);
    const version = await mkdir(first.engine, '/kept', 'once');
    const other = new MemoryKv();
    const second = await open(2, other);
    expect(await names(second.engine)).toEqual(['kept']);
    expect(await mkdir(second.engine, '/kept', 'once')).toBe(version);
    expect(contradictions(other)).toEqual([]);
  });

  test('survives an append whose answer was lost', async () => {
    const { engine } = await open(1);
    store.inject({ on: 'put', key: '/log/', effect: 'lose-reply' });
    await mkdir(engine, '/a');
    await mkdir(engine, '/b');
    expect(await names((await open(2, new MemoryKv())).engine)).toEqual(['a', 'b']);
  });

  test('survives an append that did not arrive at first and nobody could tell', async () => {
    const { engine } = await open(1);
    store.inject({ on: 'put', key: '/log/', effect: 'lose-request', times: 2 });
    await mkdir(engine, '/a');
    expect(await names((await open(2, new MemoryKv())).engine)).toEqual(['a']);
  });

  test('many at once share appends', async () => {
    const { engine, sink } = await open(1);
    const before = sink.stats.segments;
    await Promise.all(Array.from({ length: 500 }, (_, i) => mkdir(engine, `/d${i}`)));
    expect(sink.stats.segments - before).toBeLessThan(10);
  });
});

describe('a slow store', () => {
  test('loses nothing: what arrives during an append goes with the next one', async () => {
    const { engine, sink } = await open(1);
    const before = sink.stats.segments;
    store.inject({ on: 'put', key: '/log/', times: 100, effect: () => new Promise((resolve) => setTimeout(resolve, 100)) });
    const first = mkdir(engine, '/first');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([first, ...Array.from({ length: 300 }, (_, i) => mkdir(engine, `/d${i}`))]);
    expect(sink.stats.segments - before).toBeLessThan(8);
    expect(await names((await open(2, new MemoryKv())).engine)).toHaveLength(100);
  });
});

describe('two nodes that begin at the same moment', () => {
  test('leave one log: the one that looked too early is told to try again, not that something is missing', async () => {
    const early = new MemoryLogStore(store.objects);
    early.inject({ on: 'list', key: '/log/', effect: async () => void (await mkdir((await open(1)).engine, '/kept')) });
    const failure = await failureOf(open(2, new MemoryKv(), { log: early, served: false }));
    expect(failure).toMatchObject({ code: 'unavailable', outcome: 'not-applied' });
    expect(await names((await open(3, new MemoryKv())).engine)).toEqual(['kept']);
  });
});

describe('a beginning that did not come to its end', () => {
  test('leaves an image that nobody takes for the beginning of the log', async () => {
    for (let attempt = 1; attempt <= 3; attempt++) {
      store.inject({ on: 'put', key: '/origin', effect: 'refuse' });
      const random = { bytes: (length: number) => new Uint8Array(length).fill(255 - attempt), float: () => 0.5 };
      const options = { kv: new MemoryKv(), store, shard: SHARD, epoch: epoch(attempt), clock, random, hasBeenServed: false };
      await failureOf(openSharedShard(options));
    }
    const begun = await open(9, new MemoryKv(), { served: false });
    await mkdir(begun.engine, '/kept');
    expect(await completeImages(store, SHARD)).toEqual([(await readOrigin(store, SHARD))?.image]);
    expect(await names((await open(10, new MemoryKv())).engine)).toEqual(['kept']);
  });
});

describe('a store that refuses', () => {
  test('fails the mutations cleanly, nothing of them is seen, and service goes on', async () => {
    const { engine } = await open(1);
    store.inject({ on: 'put', key: '/log/', effect: 'refuse' });
    const both = await Promise.all([failureOf(mkdir(engine, '/a')), failureOf(mkdir(engine, '/a/b'))]);
    for (const failure of both) expect(failure).toMatchObject({ kind: 'unavailable', outcome: 'not-applied' });
    expect(await names(engine)).toEqual([]);
    await mkdir(engine, '/after');
    expect(await names((await open(2, new MemoryKv())).engine)).toEqual(['after']);
  });
});

describe('an append that nobody can tell of', () => {
  test('steps the shard down with outcome unknown; what comes to be written late is found by the next owner', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/early');
    store.inject({ on: 'put', key: '/log/', effect: 'hold', times: 100 });
    const late = failureOf(mkdir(engine, '/late'));
    expect(await late).toMatchObject({ outcome: 'unknown' });
    expect(await failureOf(mkdir(engine, '/more'))).toMatchObject({ outcome: 'not-applied' });
    expect((await engine.failed) as NokvError).toMatchObject({ outcome: 'unknown' });
    expect(() => engine.read('getattr', { ino: 1 as never }, { visible: true })).toThrow('steps down');
    store.release();
    const next = await open(2, new MemoryKv(), { log: new MemoryLogStore(store.objects) });
    expect(await names(next.engine)).toEqual(['early', 'late']);
    expect(await mkdir(next.engine, '/other')).toBeGreaterThan(0);
  });

  test('may also never be written: the next owner goes on without it, and a late arrival changes nothing', async () => {
    const { engine } = await open(1);
    store.inject({ on: 'put', key: '/log/', effect: 'hold', times: 100 });
    expect(await failureOf(mkdir(engine, '/lost'))).toMatchObject({ outcome: 'unknown' });
    const next = await open(2, new MemoryKv(), { log: new MemoryLogStore(store.objects) });
    await mkdir(next.engine, '/next');
    store.release();
    const last = await open(3, new MemoryKv(), { log: new MemoryLogStore(store.objects) });
    expect(await names(last.engine)).toEqual(['next']);
  });
});

describe('the fence', () => {
  test('makes the next append of the old owner collide: it acknowledges nothing and serves no reads', async () => {
    const old = await open(1);
    await mkdir(old.engine, '/before');
    const next = await open(2, new MemoryKv());
    const failures = await Promise.all([failureOf(mkdir(old.engine, '/x')), failureOf(mkdir(old.engine, '/x/y'))]);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'fenced', outcome: 'not-applied' });
    expect(() => old.engine.read('getattr', { ino: 1 as never }, { visible: true })).toThrow('fenced');
    expect(await names(next.engine)).toEqual(['before']);
    expect(await old.engine.failed).toMatchObject({ code: 'fenced' });
  });

  test('of an epoch that is over is refused, and says which epoch the log has seen', async () => {
    await open(5, kv, { served: false });
    expect(await failureOf(open(5, new MemoryKv()))).toMatchObject({ code: 'fenced', details: { epoch: 5, asked: 5 } });
    expect(await failureOf(open(4, new MemoryKv()))).toMatchObject({ code: 'fenced' });
  });

  test('comes after what the old owner still managed to append', async () => {
    const old = await open(1);
    let isFirst = true;
    const racing = new MemoryLogStore(store.objects);
    racing.inject({
      on: 'put',
      key: '/log/',
      effect: async () => {
        if (isFirst) await mkdir(old.engine, '/in-between');
        isFirst = false;
      },
    });
    const next = await open(2, new MemoryKv(), { log: racing });
    expect(await names(next.engine)).toEqual(['in-between']);
    expect(await failureOf(mkdir(old.engine, '/after'))).toMatchObject({ code: 'fenced' });
  });
});

describe('an owner that slept while the log was truncated', () => {
  /** Another owner wrote where this one would write next, and an image took the place of what it wrote. */
  async function truncated(): Promise<SharedShard> {
    const old = await open(1);
    await mkdir(old.engine, '/before');
    const other = new MemoryKv();
    const next = await open(2, other);
    for (let i = 0; i < 5; i++) await mkdir(next.engine, `/d${i}`);
    const log = (): SharedShard['sink']['stats'] => next.sink.stats;
    const random = countingRandom();
    const policy = { logSegments: 1, imagesKept: 1, retentionMs: 0 };
    const keeper = new ImageKeeper({ kv: other, store, shard: SHARD, clock, random, log, mustOwn: () => undefined, policy });
    await keeper.write();
    clock.ms += 3_600_000;
    await keeper.turn();
    expect(store.objects.has(segmentKey(SHARD, old.sink.stats.position.sequence + 1))).toBe(false);
    return old;
  }

  test('acknowledges nothing, although its key is free again', async () => {
    const old = await truncated();
    expect(await failureOf(mkdir(old.engine, '/late'))).toMatchObject({ code: 'fenced' });
    expect(await failureOf(mkdir(old.engine, '/later'))).toMatchObject({ code: 'fenced' });
    const last = await open(3, new MemoryKv());
    expect(await names(last.engine)).toEqual(['before', 'd0', 'd1', 'd2', 'd3', 'd4']);
    // What it left there leads nobody astray.
    expect((await open(4)).recovered.from).toBe('image');
  });

  test('that cannot look whether it did steps down', async () => {
    const old = await truncated();
    store.inject({ on: 'list', key: '/image/', effect: 'refuse', times: 100 });
    expect(await failureOf(mkdir(old.engine, '/late'))).toMatchObject({ outcome: 'unknown' });
    expect(await old.engine.failed).toMatchObject({ outcome: 'unknown' });
  });
});

describe('a local commit that fails after its append', () => {
  test('is told as unknown, stops the shard, and is there after catching up in place', async () => {
    const { engine } = await open(1);
    kv.failNext({ at: 'commit', error: new NokvError('no-space', 'the disk is full') });
    expect(await failureOf(mkdir(engine, '/in-the-log'))).toMatchObject({ code: 'no-space', outcome: 'unknown' });
    expect(await failureOf(mkdir(engine, '/more'))).toMatchObject({ outcome: 'not-applied' });
    kv.resume();
    const again = await open(2);
    expect(again.recovered).toMatchObject({ from: 'store', segments: 1 });
    expect(await names(again.engine)).toEqual(['in-the-log']);
  });
});

describe('recovery', () => {
  test('of a node whose state went another way throws that state away', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/shared');
    const elsewhere = new MemoryLogStore(new Map(store.objects));
    const next = await open(2, new MemoryKv());
    await mkdir(next.engine, '/acknowledged');
    // An owner that was cut off and kept writing where nobody reads.
    const alone = await open(7, kv, { log: elsewhere });
    await mkdir(alone.engine, '/never');
    const back = await open(8, kv);
    expect(back.recovered.from).toBe('image');
    expect(await names(back.engine)).toEqual(['acknowledged', 'shared']);
    expect(contradictions(kv)).toEqual([]);
  });

  test('goes on after it was interrupted half-way through an image', async () => {
    const { engine } = await open(1);
    for (let i = 0; i < 20; i++) await put(engine, `/f${i}`, 'x'.repeat(200));
    await image(kv, '00000001');
    const half = new MemoryKv();
    store.inject({ on: 'get', key: 'block-000003', effect: 'refuse' });
    expect(await failureOf(open(2, half))).toMatchObject({ code: 'store-unavailable' });
    expect(half.dump().length).toBeGreaterThan(0);
    const whole = await open(2, half);
    expect(await names(whole.engine)).toHaveLength(20);
  });

  test.each([
    ['missing', undefined],
    ['altered', 1],
  ])('refuses a segment that is %s, and names it', async (_what, flip) => {
    const { engine } = await open(1);
    for (let i = 0; i < 5; i++) await mkdir(engine, `/d${i}`);
    const key = segmentKey(SHARD, 4);
    damage(key, flip);
    const failure = await failureOf(open(2, new MemoryKv()));
    expect(failure).toMatchObject({ code: 'corrupt', details: { key } });
    expect(failure.message).toContain(key);
  });

  test('refuses a log whose end is gone, where this node has seen it', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/a');
    await mkdir(engine, '/b');
    const [last] = [...store.objects.keys()].filter((key) => key.includes('/log/')).slice(-1);
    damage(last as string, undefined);
    expect(await failureOf(open(2))).toMatchObject({ code: 'corrupt', details: { key: last as string } });
  });

  test('takes an older image and more of the log where a part of the newest is missing or altered', async () => {
    const { engine } = await open(1);
    for (let i = 0; i < 10; i++) await put(engine, `/f${i}`, 'x'.repeat(200));
    await image(kv, '00000001');
    await put(engine, '/last', 'y');
    const newest = [...store.objects.keys()].filter((key) => key.includes('-00000001/block-'));
    expect(newest.length).toBeGreaterThan(3);
    damage(newest[1] as string, 1);
    damage(newest[2] as string, undefined);
    const next = await open(2, new MemoryKv());
    expect(next.recovered.image).not.toContain('-00000001/');
    expect(await names(next.engine)).toHaveLength(11);
  });

  test('refuses an image with a part that is missing, by its key, where there is no other', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/a');
    const [block] = [...store.objects.keys()].filter((key) => key.includes('/block-'));
    damage(block as string, undefined);
    expect(await failureOf(open(2, new MemoryKv()))).toMatchObject({ code: 'corrupt', details: { key: block as string } });
  });

  test('never makes a shard anew that has been served', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/a');
    store.objects.clear();
    for (const node of [new MemoryKv(), kv]) {
      expect(await failureOf(open(2, node))).toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining('meta/0000/origin') as string,
      });
    }
    expect(store.objects.size).toBe(0);
  });

  test('refuses without a complete image, naming where it should be', async () => {
    await open(1);
    for (const key of store.objects.keys()) if (key.endsWith('/manifest')) store.objects.delete(key);
    expect(await failureOf(open(2, new MemoryKv()))).toMatchObject({ code: 'corrupt', details: { key: 'meta/0000/image/' } });
  });

  test('refuses to replay commands of another shard format, naming both', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/a');
    const [key, bytes] = [...store.objects].filter(([each]) => each.includes('/log/')).at(-1) as [string, Uint8Array];
    // As the other build would have written it, its digest included.
    const other = Buffer.from(bytes);
    other.writeUInt16BE(99, 6);
    createHash('sha256')
      .update(other.subarray(0, -32))
      .digest()
      .copy(other, other.length - 32);
    store.objects.set(key, other);
    expect(await failureOf(open(2, new MemoryKv()))).toMatchObject({ code: 'unsupported-format', details: { key, found: 99 } });
  });

  test('refuses rows of another format before it touches them, naming both', async () => {
    const { engine } = await open(1);
    await mkdir(engine, '/a');
    const format = Uint8Array.from(kv.get(Uint8Array.of(1, 1)) ?? []);
    format[5] = 99;
    await kv.commit([{ key: Uint8Array.of(1, 1), value: format }]).flushed;
    const before = kv.dump();
    expect(await failureOf(open(2))).toMatchObject({ code: 'unsupported-format', details: { found: 99 } });
    expect(kv.dump()).toEqual(before);
  });

  test('does not throw away a shard that was never part of this log', async () => {
    await open(1);
    const foreign = new MemoryKv();
    const theirs = await open(1, foreign, { log: new MemoryLogStore() });
    await mkdir(theirs.engine, '/precious');
    await foreign.commit([{ key: Uint8Array.of(1, 16), value: undefined }]).flushed;
    expect(await failureOf(open(2, foreign))).toMatchObject({ code: 'bad-configuration' });
  });

  test('gives the very state that was served', async () => {
    const first = await open(1);
    for (let i = 0; i < 10; i++) await put(first.engine, `/f${i}`, `text ${i}`);
    const other = new MemoryKv();
    await open(2, other);
    await kv.commit([{ key: EPOCH_ROW, value: Uint8Array.from(other.get(EPOCH_ROW) ?? []) }]).flushed;
    expect(await stateDigest(other)).toBe(await stateDigest(kv));
  });
});

function damage(key: string, flip: number | undefined): void {
  const bytes = store.objects.get(key);
  if (bytes === undefined) throw new Error(`nothing at ${key}`);
  if (flip === undefined) store.objects.delete(key);
  else bytes[bytes.length - 40] = (bytes[bytes.length - 40] as number) ^ flip;
}
