import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryKv, openShard, type ShardEngine } from '@nokv/meta';
import type { WatchPathArgs, WatchPathItem } from '@nokv/protocol';
import {
  ID_RANDOM_BYTES,
  NokvError,
  epoch,
  formatName,
  makeRequestId,
  parsePath,
  shardId,
  systemClock,
  systemRandom,
  version,
  wholeVersion,
  type MutationOperation,
  type MutationOperations,
  type PathChange,
} from '@nokv/types';
import { WatchHub } from './watch-hub.js';

let engine: ShardEngine;
let hub: WatchHub;
const stops: AbortController[] = [];
beforeEach(async () => {
  engine = await openShard({
    kv: new MemoryKv(),
    shard: shardId(0),
    clock: systemClock,
    random: systemRandom,
    window: { requestVersionsMax: 10, changeVersionsMax: 10 },
  });
  await engine.adoptEpoch(epoch(1));
  hub = new WatchHub({ engine, clock: systemClock });
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort();
  await engine.close();
});

function mutate<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args']) {
  const requestId = makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));
  return engine.mutate(operation, args, { requestId, actor: 'tester', acknowledgement: 'durable' });
}

const mkdir = (path: string) => mutate('mkdir', { entry: { path: parsePath(path) }, mode: 0o755, uid: 0, gid: 0 });

function watch(path: string, more: Partial<WatchPathArgs> = {}): AsyncGenerator<WatchPathItem> {
  const stop = new AbortController();
  stops.push(stop);
  return hub.watch({ root: { path: parsePath(path) }, ...more }, stop.signal);
}

async function item(stream: AsyncGenerator<WatchPathItem>): Promise<WatchPathItem> {
  const { value, done } = await stream.next();
  if (done === true) throw new Error('expected an item, found the end');
  return value;
}

async function take(stream: AsyncGenerator<WatchPathItem>, count: number): Promise<PathChange[]> {
  const events: PathChange[] = [];
  while (events.length < count) {
    const next = await item(stream);
    if (next.kind === 'events') events.push(...next.events);
  }
  return events;
}

const lines = (events: readonly PathChange[]) =>
  events.map(({ kind, path, fromPath }) =>
    [kind, ...[fromPath, path].flatMap((each) => (each === undefined ? [] : [formatName(each)]))].join(' '),
  );

describe('a watch by path', () => {
  it('begins with its position, and tells what happens from then on', async () => {
    await mkdir('/d');
    const stream = watch('/d');
    expect(await item(stream)).toEqual({ kind: 'position', root: { path: parsePath('/d') }, at: wholeVersion(engine.durableVersion) });
    await mkdir('/d/a');
    await mkdir('/elsewhere');
    await mkdir('/d/b');
    expect(lines(await take(stream, 2))).toEqual(['created /d/a', 'created /d/b']);
  });

  it('of nothing is refused, unless it goes on after a cursor', async () => {
    await expect(item(watch('/absent'))).rejects.toMatchObject({ code: 'not-found' });
    const stream = watch('/absent', { since: wholeVersion(engine.durableVersion) });
    await item(stream);
    await mkdir('/absent');
    expect(lines(await take(stream, 1))).toEqual(['created /absent']);
  });

  it('of a symlink watches the place that it leads to', async () => {
    await mkdir('/d');
    await mutate('symlink', { entry: { path: parsePath('/link') }, target: Buffer.from('d'), uid: 0, gid: 0 });
    const stream = watch('/link');
    expect(await item(stream)).toMatchObject({ root: { path: parsePath('/d') } });
    await mkdir('/d/a');
    expect(lines(await take(stream, 1))).toEqual(['created /d/a']);
  });

  it('goes on after a cursor with what was missed, each once', async () => {
    const { version: since } = await mkdir('/d');
    await mkdir('/d/a');
    const stream = watch('/d', { since: wholeVersion(since) });
    const first = take(stream, 3);
    await mkdir('/d/b');
    await mkdir('/d/c');
    expect(lines(await first)).toEqual(['created /d/a', 'created /d/b', 'created /d/c']);
  });

  it('reads nothing while nobody watches', async () => {
    const stream = watch('/');
    await item(stream);
    await mkdir('/a');
    await take(stream, 1);
    await stream.return(undefined);
    const before = engine.stats.rowsRead;
    const listeners = hub.stats.watchers;
    await mkdir('/b');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(listeners).toBe(0);
    // What the command itself reads: two rows.
    expect(engine.stats.rowsRead - before).toBeLessThan(5);
  });

  it('whose watcher does not take its events is cut off, holds nobody, and catches up from the log', async () => {
    await mkdir('/d');
    const slow = watch('/d');
    const quick = watch('/d');
    await item(slow);
    await item(quick);
    await mkdir('/d/first');
    await take(slow, 1);
    await take(quick, 1);
    const taken = take(quick, 5000);
    await Promise.all(Array.from({ length: 5000 }, (_, i) => mkdir(`/d/${i}`)));
    expect(await taken).toHaveLength(5000);
    expect(hub.stats).toMatchObject({ watchers: 2, behind: 1, cutOff: 1 });
    expect(hub.stats.queued).toBeLessThanOrEqual(4096);
    const missed = await take(slow, 5000);
    expect(new Set(lines(missed))).toEqual(new Set(Array.from({ length: 5000 }, (_, i) => `created /d/${i}`)));
    expect(missed.map(({ version: each }) => each)).toEqual(missed.map(({ version: each }) => each).toSorted((a, b) => a - b));
    // It is live again.
    await mkdir('/d/last');
    expect(lines(await take(slow, 1))).toEqual(['created /d/last']);
    expect(hub.stats.behind).toBe(0);
  });

  it('with others holds a bounded number of bytes: whoever would pass it is cut off, and misses nothing', async () => {
    hub = new WatchHub({ engine, clock: systemClock, queuedBytesMax: 20_000 });
    await mkdir('/d');
    const streams = Array.from({ length: 10 }, () => watch('/d'));
    await Promise.all(streams.map(item));
    await mkdir('/d/first');
    await Promise.all(streams.map((stream) => take(stream, 1)));
    await Promise.all(Array.from({ length: 200 }, (_, i) => mkdir(`/d/${i}`)));
    await until(() => hub.stats.cutOff > 0 && hub.stats.behind === hub.stats.cutOff);
    const events = await Promise.all(streams.map((stream) => take(stream, 200)));
    for (const each of events) expect(each.map(({ version: at }) => at)).toEqual(events[0]?.map(({ version: at }) => at));
    expect(hub.stats.queued).toBe(0);
  });

  it('that was cut off and does not come back within the window is told cursor-too-old, with where to go on', async () => {
    await mkdir('/d');
    const slow = watch('/d');
    await item(slow);
    await mkdir('/d/first');
    await take(slow, 1);
    await Promise.all(Array.from({ length: 5000 }, (_, i) => mkdir(`/d/${i}`)));
    await until(() => hub.stats.cutOff === 1);
    while ((await engine.maintain(() => Promise.resolve())).more);
    const refusal = await take(slow, 1).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'cursor-too-old', details: { next: engine.durableVersion } });
    expect(hub.stats.watchers).toBe(0);
  });

  it('whose cursor nothing moves is told where it is, so that the cursor does not age', async () => {
    await mkdir('/d');
    const stream = watch('/d');
    await item(stream);
    const next = item(stream);
    const { version: elsewhere } = await mkdir('/elsewhere');
    const told = await next;
    expect(told.kind).toBe('position');
    expect(told.at.version).toBeGreaterThanOrEqual(elsewhere);
  });

  it('ends with the refusal when the shard may not serve any more, though nothing is committed', async () => {
    const stream = watch('/');
    await item(stream);
    engine.setGate({ refusal: () => new NokvError('lease-lost', 'gone') });
    await expect(take(stream, 1)).rejects.toMatchObject({ code: 'lease-lost' });
  });

  it('of many watchers gives each its own', async () => {
    for (let i = 0; i < 50; i++) await mkdir(`/d${i}`);
    const streams = Array.from({ length: 50 }, (_, i) => watch(`/d${i}`));
    await Promise.all(streams.map(item));
    for (let i = 0; i < 50; i++) await mkdir(`/d${i}/x`);
    const seen = await Promise.all(streams.map((stream) => take(stream, 1)));
    expect(seen.map((events) => lines(events))).toEqual(Array.from({ length: 50 }, (_, i) => [`created /d${i}/x`]));
  });

  it('of roots inside each other tells each of them once', async () => {
    await mkdir('/d');
    await mkdir('/d/e');
    const { result } = await mkdir('/d/e/f');
    const roots = [{ path: '/' }, { path: '/d' }, { path: '/d/e' }, { path: '/d/e/f' }, { path: '/d/e2' }, { ino: result.attributes.ino }];
    const since = wholeVersion(engine.durableVersion);
    const streams = roots.map((root) => watch('/', { root: 'path' in root ? { path: parsePath(root.path) } : root, since }));
    await Promise.all(streams.map(item));
    const create = (path: string) =>
      mutate('create', { entry: { path: parsePath(path) }, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 });
    await create('/d/e/f/x');
    await mutate('rename', { from: { path: parsePath('/d/e') }, to: { path: parsePath('/d/e2') }, mode: 'replace' });
    await create('/d/e2/f/y');
    await create('/d/end');
    const all = ['created /d/e/f/x', 'renamed /d/e /d/e2', 'created /d/e2/f/y', 'created /d/end'];
    const wanted = [
      all,
      all,
      ['created /d/e/f/x', 'renamed /d/e'],
      ['created /d/e/f/x', 'renamed /d/e'],
      ['renamed /d/e2', 'created /d/e2/f/y'],
      ['created /d/e/f/x', 'renamed /d/e /d/e2', 'created /d/e2/f/y'],
    ];
    const seen = await Promise.all(streams.map((stream, i) => take(stream, wanted[i]?.length ?? 0)));
    expect(seen.map(lines)).toEqual(wanted);
    expect(hub.stats.queued).toBe(0);
  });

  it('ahead of the log is refused', async () => {
    await expect(item(watch('/', { since: wholeVersion(version(10 ** 9)) }))).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

async function until(look: () => boolean): Promise<void> {
  for (let turn = 0; !look(); turn++) {
    if (turn > 1000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
