import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryKv, openShard, type ShardEngine } from '@nokv/meta';
import type { WatchItem } from '@nokv/protocol';
import { ID_RANDOM_BYTES, epoch, makeRequestId, shardId, systemClock, systemRandom, version, type Version } from '@nokv/types';
import { watchChanges } from './watch-changes.js';

let engine: ShardEngine;
let stop: AbortController;
beforeEach(async () => {
  engine = await openShard({ kv: new MemoryKv(), shard: shardId(0), clock: systemClock, random: systemRandom });
  await engine.adoptEpoch(epoch(1));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await engine.close();
});

async function mkdir(name: string): Promise<Version> {
  const entry = { path: Buffer.from(`/${name}`) };
  const context = {
    requestId: makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES)),
    actor: 'test',
    acknowledgement: 'durable',
  } as const;
  return (await engine.mutate('mkdir', { entry, mode: 0o755, uid: 0, gid: 0 }, context)).version;
}

/** Takes items until `enough`; the names that were created, in order. */
async function take(items: AsyncGenerator<WatchItem>, enough: (names: string[], announced: Version) => boolean) {
  const names: string[] = [];
  let announced = version(0);
  let cursor = version(0);
  for (;;) {
    const { value, done } = await items.next();
    if (done === true) throw new Error('the stream ended early');
    if (value.kind === 'durable') announced = value.version;
    else {
      cursor = value.next;
      for (const change of value.changes) if (change.kind === 'created') names.push(Buffer.from(change.name ?? []).toString());
    }
    if (enough(names, announced)) return { names, announced, cursor };
  }
}

describe('the change stream', () => {
  it('begins with the version that it starts after', async () => {
    const before = await mkdir('before');
    const items = watchChanges(engine, undefined, stop.signal);
    expect(await items.next()).toMatchObject({ value: { kind: 'durable', version: before } });
    const [{ names }] = await Promise.all([take(items, (seen) => seen.length === 1), mkdir('after')]);
    expect(names).toEqual(['after']);
  });

  it('brings what happened since a cursor and goes on live, without gap or repeat', async () => {
    const all = Array.from({ length: 40 }, (_, i) => `d${i}`);
    const start = engine.durableVersion;
    for (const name of all.slice(0, 20)) await mkdir(name);
    const items = watchChanges(engine, start, stop.signal);
    const [{ names }] = await Promise.all([take(items, (seen) => seen.length === 40), Promise.all(all.slice(20).map(mkdir))]);
    expect(names.slice(0, 20)).toEqual(all.slice(0, 20));
    expect(names.toSorted()).toEqual(all.toSorted());
  });

  it('announces a version as durable only after all changes up to it were sent', async () => {
    const start = engine.durableVersion;
    const writes = Promise.all(Array.from({ length: 100 }, (_, i) => mkdir(`d${i}`)));
    let sent = start;
    let announcements = 0;
    for await (const item of watchChanges(engine, start, stop.signal)) {
      if (item.kind === 'changes') sent = item.next;
      else {
        announcements += 1;
        expect(item.version).toBeLessThanOrEqual(sent);
      }
      if (sent >= engine.durableVersion && announcements > 1) break;
    }
    await writes;
  });

  it('announces nothing that is not durable, whatever the cursor says', async () => {
    const before = await mkdir('before');
    const items = watchChanges(engine, version(before + 1000), stop.signal);
    expect(await items.next()).toMatchObject({ value: { kind: 'durable', version: before } });
  });

  it('can be resumed from the cursor of any item', async () => {
    const start = engine.durableVersion;
    await mkdir('a');
    await mkdir('b');
    const first = await take(watchChanges(engine, start, stop.signal), (names) => names.length >= 1);
    await mkdir('c');
    const rest = await take(watchChanges(engine, first.cursor, stop.signal), (names) => first.names.length + names.length === 3);
    expect([...first.names, ...rest.names]).toEqual(['a', 'b', 'c']);
  });

  it('ends when the signal fires, also while it waits', async () => {
    const items = watchChanges(engine, undefined, stop.signal);
    await items.next();
    const waiting = items.next();
    stop.abort();
    expect(await waiting).toMatchObject({ done: true });
  });

  it('fails with the refusal of a closed gate', async () => {
    const items = watchChanges(engine, version(0), stop.signal);
    await items.next();
    engine.setGate({ refusal: () => new Error('lease lost') });
    await expect(items.next()).rejects.toThrow('lease lost');
  });
});
