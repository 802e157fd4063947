/** A watch by path over the wire: the SDK, a real server, connections that break. */
import { connect, type NokvClient, type WatchEvent } from '@nokv/client';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isNokvError } from '@nokv/types';
import { readMetric, until } from '../services/server.js';
import { cuttingProxy, startClientFixture, type ClientFixture, type CuttingProxy } from './client-fixture.js';

let fixture: ClientFixture;
let proxy: CuttingProxy;
/** Over a connection that is cut at will. */
let watching: NokvClient;
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'maker' });
  proxy = await cuttingProxy(fixture.server.rpc);
  watching = await connect({ address: proxy.address, actor: 'watcher', timeoutMs: 20_000 });
}, 30_000);
afterAll(async () => {
  await watching.close();
  await proxy.close();
  await fixture.close();
});

async function take(events: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const taken: WatchEvent[] = [];
  if (count === 0) return taken;
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

const line = ({ kind, path, fromPath }: WatchEvent) => [kind, fromPath ?? '-', path ?? '-'].join(' ');

describe('a watch by path', () => {
  test('leaves out what its own client changes, and nobody else', async () => {
    const { version: since } = await fixture.client.mkdir('/self');
    await watching.mkdir('/self/mine');
    await watching.put('/self/mine/f', 'x');
    await fixture.client.mkdir('/self/theirs');
    const others = await take(watching.watch('/self', { since, excludeSelf: true }), 1);
    expect(others.map(line)).toEqual(['created - /self/theirs']);
    const all = await take(watching.watch('/self', { since }), 4);
    expect(all.map(({ actor }) => actor)).toEqual(['watcher', 'watcher', 'watcher', 'maker']);
    expect((await take(watching.watch('/self', { since, actors: ['maker'] }), 1)).map(line)).toEqual(['created - /self/theirs']);
    expect((await take(watching.watch('/self', { since, kinds: ['published'] }), 1)).map(line)).toEqual(['published - /self/mine/f']);
  });

  test('goes on over broken connections and a restart of the server, without gap or repeat', async () => {
    const { version: since } = await fixture.client.mkdir('/broken');
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of watching.watch('/broken', { since })) {
        seen.push(String(event.path));
        if (event.path === '/broken/end') return;
      }
    })();
    const expected: string[] = [];
    for (let i = 0; i < 120; i++) {
      const path = `/broken/${i}`;
      expected.push(path);
      await fixture.client.mkdir(path);
      if (i % 20 === 10) proxy.cutAll();
      if (i === 60) await fixture.restart();
    }
    await fixture.client.mkdir('/broken/end');
    await reading;
    expect(seen).toEqual([...expected, '/broken/end']);
  });

  test('that is not read for a while holds nobody, and then gets everything', async () => {
    const { version: since } = await fixture.client.mkdir('/slow');
    const iterator = watching.watch('/slow', { since })[Symbol.asyncIterator]();
    await fixture.client.mkdir('/slow/first');
    expect((await iterator.next()).value).toMatchObject({ path: '/slow/first' });
    // More than the queue of a watcher and the window of its stream hold together.
    const count = 9000;
    for (let i = 0; i < count; i += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, k) => fixture.client.mkdir(`/slow/${i + k}`)));
    }
    await until('the watcher is cut off', async () => (await readMetric(fixture.server.http, 'nokv_watch_cut_off_total')) > 0);
    const paths = new Set<string>();
    let last = 0;
    while (paths.size < count) {
      const { value } = await iterator.next();
      const event = value as WatchEvent;
      expect(event.version).toBeGreaterThan(last);
      last = event.version;
      paths.add(String(event.path));
    }
    expect(paths.size).toBe(count);
    await iterator.return?.();
  }, 60_000);

  test('knows a cursor also where nothing is to be seen, and it does not age', async () => {
    await fixture.client.mkdir('/quiet');
    const stop = new AbortController();
    const watch = watching.watch('/quiet', { signal: stop.signal });
    const reading = (async () => {
      for await (const event of watch) throw new Error(`expected nothing, found ${line(event)}`);
    })();
    await until('it has begun', async () => watch.cursor !== undefined);
    const { version } = await fixture.client.mkdir('/elsewhere');
    await until('the cursor has moved past what happened elsewhere', async () => Number(watch.cursor) >= version);
    stop.abort();
    await reading;
  });

  test('of nothing is refused', async () => {
    await expect(take(watching.watch('/absent'), 1)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('counts in the metrics', async () => {
    const watchers = () => readMetric(fixture.server.http, 'nokv_watchers');
    await until('the watchers of other tests have left', async () => (await watchers()) === 0);
    const { version: since } = await fixture.client.mkdir('/counted');
    await fixture.client.mkdir('/counted/a');
    const iterator = watching.watch('/counted', { since })[Symbol.asyncIterator]();
    await iterator.next();
    expect(await watchers()).toBe(1);
    expect(await readMetric(fixture.server.http, 'nokv_watch_events_total')).toBeGreaterThan(0);
    await fixture.client.mkdir('/counted/b');
    await iterator.next();
    expect(await readMetric(fixture.server.http, 'nokv_watch_event_lag_seconds_count')).toBeGreaterThan(0);
    await iterator.return?.();
    await until('the watcher has left', async () => (await watchers()) === 0);
  });
});

interface Made {
  readonly kind: string;
  readonly path: string;
  readonly fromPath?: string;
}

test('while directories are renamed at random, live events say the paths that a model had at each change', async () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const place = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('mkdir', 'rename', 'put', 'rmdir'), place, place), { minLength: 10, maxLength: 30, size: 'max' }),
      async (steps) => {
        const base = `/model-${runs++}`;
        const { version: since } = await fixture.client.mkdir(base);
        /** Paths below the base, relative to it, by inode. */
        let model = new Map<string, number>([['', 0]]);
        const made: Made[] = [];
        for (const [what, one, other] of steps) {
          const [path, to] = [`${base}/${one}`, `${base}/${other}`];
          try {
            if (what === 'mkdir') {
              model.set(one, (await fixture.client.mkdir(path)).attributes.ino);
              made.push({ kind: 'created', path });
            } else if (what === 'put') {
              // By inode of the directory: the event's path is where that directory is by now.
              const parent = model.get(one);
              if (parent === undefined || parent === 0) continue;
              const entry = { parent: parent as never, name: Buffer.from(`file-${made.length}`) };
              await fixture.client.metadata.mutate('create', { entry, type: 'file', exclusive: true, mode: 0o644, uid: 0, gid: 0 });
              made.push({ kind: 'created', path: `${path}/file-${made.length}` });
            } else if (what === 'rmdir') {
              await fixture.client.rmdir(path);
              model.delete(one);
              made.push({ kind: 'removed', path });
            } else {
              await fixture.client.rename(path, to, { mode: 'no-replace' });
              model = new Map(
                [...model].map(([each, ino]) => [each === one || each.startsWith(`${one}/`) ? other + each.slice(one.length) : each, ino]),
              );
              made.push({ kind: 'renamed', path: to, fromPath: path });
            }
          } catch (error) {
            if (!isNokvError(error) || error.kind === 'unavailable') throw error;
          }
        }
        const events = await take(watching.watch(base, { since }), made.length);
        expect(events.map(({ kind, path, fromPath }) => ({ kind, path, ...(fromPath === undefined ? {} : { fromPath }) }))).toEqual(made);
      },
    ),
    { numRuns: 40 },
  );
}, 60_000);
