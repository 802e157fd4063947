/** A process has one engine after the other over one store of its own; what an earlier one had in mind never reaches a later. */
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryKv, MemoryLogStore, lendKv, openSharedShard } from '@nokv/meta';
import { NokvError, epoch, makeRequestId, shardId, systemClock, systemRandom } from '@nokv/types';
import { makeLogger } from './logger.js';
import { openHostedShard, type HostedShard } from './shared-shard.js';

const SHARD = shardId(0);
const full = new NokvError('no-space', 'the disk is full');
let kv: MemoryKv;
let store: MemoryLogStore;
let hosted: HostedShard;
let stepDowns: { readonly reason: NokvError; readonly isDiskLost: boolean }[];
let isServing: boolean;

function host(over = kv, log = store): HostedShard {
  return openHostedShard({
    kv: over,
    store: log,
    shard: SHARD,
    clock: systemClock,
    random: systemRandom,
    images: { logSegments: 5, retentionMs: 0, imagesKept: 1 },
    isServing: () => isServing,
    log: makeLogger('silent'),
    appendTimeoutMs: 200,
  });
}

beforeEach(() => {
  kv = new MemoryKv();
  store = new MemoryLogStore();
  isServing = true;
  stepDowns = [];
  hosted = host();
  hosted.onStepDown((reason, isDiskLost) => stepDowns.push({ reason, isDiskLost }));
});

function mkdir(
  path: string,
  requestId = makeRequestId(Date.now(), systemRandom.bytes(10)),
  of = hosted,
): Promise<{ readonly version: number }> {
  const args = { entry: { path: Buffer.from(path) }, mode: 0o755, uid: 0, gid: 0 };
  return of.engine.mutate('mkdir', args, { requestId, actor: 'test', acknowledgement: 'durable' });
}

async function names(of = hosted): Promise<string[]> {
  const { entries } = await of.engine.read('list', { node: { path: Buffer.from('/') }, limit: 100, attributes: false }, { visible: false });
  return entries.map(({ name }) => Buffer.from(name).toString());
}

describe('a hosted shard of the shared log', () => {
  it('whose disk refused what the log has steps down, and has it when it is recovered, answered under its request id', async () => {
    await hosted.recover(epoch(1), false);
    kv.failNext({ at: 'commit', error: full });
    const requestId = makeRequestId(Date.now(), systemRandom.bytes(10));
    await expect(mkdir('/in-the-log', requestId)).rejects.toMatchObject({ code: 'no-space', outcome: 'unknown' });
    expect(stepDowns).toMatchObject([{ reason: { code: 'no-space' }, isDiskLost: false }]);
    // Still full: the recovery fails as long as it is, and hurts nothing.
    kv.failNext({ at: 'commit', error: full });
    await expect(hosted.recover(epoch(2), true)).rejects.toMatchObject({ code: 'no-space' });
    expect(await hosted.recover(epoch(3), true)).toMatchObject({ from: 'store', segments: 1 });
    expect(await names()).toEqual(['in-the-log']);
    const version = (await mkdir('/in-the-log', requestId)).version;
    expect((await mkdir('/in-the-log', requestId)).version).toBe(version);
  });

  it('whose disk did not keep what it had is not to be built upon', async () => {
    await hosted.recover(epoch(1), false);
    kv.failNext({ at: 'flush', error: new Error('EIO') });
    await expect(mkdir('/a')).rejects.toMatchObject({ outcome: 'unknown' });
    expect(stepDowns).toMatchObject([{ isDiskLost: true }]);
  });

  it('that another fenced steps down, refuses, and learns which epoch the log has seen', async () => {
    await hosted.recover(epoch(1), false);
    await mkdir('/one');
    const other = host(new MemoryKv());
    await other.recover(epoch(5), true);
    await expect(mkdir('/two')).rejects.toMatchObject({ code: 'fenced', outcome: 'not-applied' });
    expect(stepDowns).toMatchObject([{ reason: { code: 'fenced' }, isDiskLost: false }]);
    await expect(hosted.recover(epoch(2), true)).rejects.toMatchObject({ code: 'fenced' });
    expect(hosted.epochSeen).toBe(5);
    await hosted.recover(epoch(6), true);
    expect(await names()).toEqual(['one']);
    await expect(mkdir('/three', undefined, other)).rejects.toMatchObject({ code: 'fenced' });
  });

  it('writes images only while it serves', async () => {
    await hosted.recover(epoch(1), false);
    for (let i = 0; i < 10; i++) await mkdir(`/d${i}`);
    isServing = false;
    await hosted.keepImages();
    expect(hosted.images).toBe(0);
    isServing = true;
    await hosted.keepImages();
    expect(hosted.images).toBe(1);
  });

  it('ends one recovery before the next begins', async () => {
    const both = await Promise.allSettled([hosted.recover(epoch(1), false), hosted.recover(epoch(2), true)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    expect(hosted.engine.epoch).toBe(2);
    await mkdir('/a');
  });
});

describe('a lent store', () => {
  it('takes nothing from an engine that was closed while an append of it was under way', async () => {
    const lent = lendKv(kv);
    const options = { store, shard: SHARD, clock: systemClock, random: systemRandom, appendTimeoutMs: 60_000 };
    const { engine } = await openSharedShard({ ...options, kv: lent, epoch: epoch(1), hasBeenServed: false });
    let goOn: () => void = () => undefined;
    store.inject({ on: 'put', key: '/log/', effect: () => new Promise((resolve) => (goOn = resolve)) });
    const args = { entry: { path: Buffer.from('/late') }, mode: 0o755, uid: 0, gid: 0 };
    const requestId = makeRequestId(Date.now(), systemRandom.bytes(10));
    const late = engine.mutate('mkdir', args, { requestId, actor: 'test', acknowledgement: 'durable' }).catch((error: unknown) => error);
    await new Promise((resolve) => setImmediate(resolve));
    await lent.close();
    const before = kv.dump();
    goOn();
    // It is in the log, and the next recovery finds it there; the store did not hear of it from this engine.
    expect(await late).toMatchObject({ outcome: 'unknown' });
    expect(kv.dump()).toEqual(before);
  });
});
