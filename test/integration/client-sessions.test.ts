/** Sessions, locks and open files through the SDK, over a real server and over connections that are cut. */
import { connect, type ClientSession, type NokvClient } from '@nokv/client';
import { LOCK_END_MAX, isNokvError, type InodeNumber } from '@nokv/types';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../services/server.js';
import { cuttingProxy, startClientFixture, type ClientFixture } from './client-fixture.js';

let fixture: ClientFixture;
let client: NokvClient;
const sessions: ClientSession[] = [];

beforeAll(async () => {
  fixture = await startClientFixture();
  client = fixture.client;
});

beforeEach(async () => {
  await client.put('/f', 'first', { parents: true });
});

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
  if (await client.exists('/f')) await client.removeTree('/f');
});

afterAll(async () => {
  await fixture.close();
});

async function open(name: string, from: NokvClient = client, ttlMs = 30_000): Promise<ClientSession> {
  const session = await from.openSession({ name, ttlMs });
  sessions.push(session);
  return session;
}

/** Whether a promise has settled, without waiting for it. */
function watched<T>(promise: Promise<T>): { readonly promise: Promise<T>; isOver: boolean } {
  const state = { promise, isOver: false };
  const end = (): void => void (state.isOver = true);
  promise.then(end, end);
  return state;
}

const waiters = (path: string) => async (): Promise<boolean> =>
  (await fetch(`http://${fixture.server.http}/metrics`).then((answer) => answer.text())).includes(`nokv_lock_waiters ${path}`);

describe('locks', () => {
  it('exclude between sessions, name who holds them, and are given back', async () => {
    const [a, b] = [await open('first'), await open('second')];
    const held = await a.lock('/f');
    expect(held).toMatchObject({ kind: 'flock', type: 'exclusive', start: 0, end: LOCK_END_MAX });
    expect(await b.tryLock('/f', { type: 'shared' })).toBeUndefined();
    expect(await b.testLock('/f')).toMatchObject({ name: 'first', session: a.id });
    expect(await client.locks('/f')).toMatchObject([{ session: a.id, owner: held.owner }]);
    await held.release();
    await held.release();
    await using mine = await b.lock('/f');
    expect(mine.owner).not.toBe(held.owner);
    const listed = [];
    for await (const { name, locks } of client.sessions()) listed.push(`${name} ${locks}`);
    expect(listed).toEqual(['first 0', 'second 1']);
  });

  it('are waited for, in order, with who holds them told once', async () => {
    const [a, b, c] = [await open('first'), await open('second'), await open('third')];
    const held = await a.lock('/f');
    const told: string[] = [];
    const second = watched(b.lock('/f', { onWaiting: (why) => told.push(why) }));
    await until('the second waits', waiters('1'));
    const third = watched(c.lock('/f'));
    await until('the third waits', waiters('2'));
    await held.release();
    const got = await second.promise;
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('"first"');
    expect(third.isOver).toBe(false);
    await got.release();
    await (await third.promise).release();
  });

  it('of ranges are cut and joined under one owner', async () => {
    const a = await open('first');
    await a.lock('/f', { kind: 'range', owner: 7, start: 0, end: 100 });
    await a.lock('/f', { kind: 'range', owner: 7, start: 50, end: 60, type: 'shared' });
    const shown = (await client.locks('/f')).map(({ type, start, end }) => `${type} ${start}-${end}`);
    expect(shown).toEqual(['exclusive 0-50', 'shared 50-60', 'exclusive 60-100']);
  });

  it('that are not had in time leave nothing held, and nobody in the queue', async () => {
    const [a, b] = [await open('first'), await open('second')];
    const held = await a.lock('/f');
    await expect(b.lock('/f', { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'deadline-exceeded',
      outcome: 'not-applied',
      message: expect.stringContaining('"first"') as string,
    });
    const stop = new AbortController();
    const waiting = b.lock('/f', { signal: stop.signal, onWaiting: () => stop.abort() });
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled', outcome: 'not-applied' });
    await until('nobody waits', waiters('0'));
    await held.release();
    expect(await client.locks('/f')).toEqual([]);
  });

  it('whose owners wait for each other are refused with deadlock', async () => {
    const [a, b] = [await open('first'), await open('second')];
    await client.put('/g', 'x');
    const [one, two] = [await a.lock('/f', { owner: 1 }), await b.lock('/g', { owner: 1 })];
    const first = watched(a.lock('/g', { owner: 1 }));
    await until('the first waits', waiters('1'));
    await expect(b.lock('/f', { owner: 1 })).rejects.toMatchObject({ code: 'deadlock', outcome: 'not-applied' });
    await two.release();
    await (await first.promise).release();
    await one.release();
    await client.remove('/g');
  });

  it('are waited for over cut connections and a restarted server, and live through both', async () => {
    const proxy = await cuttingProxy(fixture.server.rpc);
    const other = await connect({ address: proxy.address });
    try {
      const [a, b] = [await open('first'), await open('second', other)];
      const held = await a.lock('/f');
      const waiting = watched(b.lock('/f'));
      await until('it waits', waiters('1'));
      proxy.cutAll();
      await until('it waits again over another connection', async () => proxy.connections > 1 && (await waiters('1')()));
      await fixture.restart();
      await until('it waits again at the server that was started anew', waiters('1'));
      expect(await client.locks('/f')).toMatchObject([{ session: a.id }]);
      expect(waiting.isOver).toBe(false);
      await held.release();
      const mine = await waiting.promise;
      expect(await client.locks('/f')).toMatchObject([{ session: b.id, owner: mine.owner }]);
      await b.close();
    } finally {
      await other.close();
      await proxy.close();
    }
  });

  it('that came while the answer was lost are held once', async () => {
    const proxy = await cuttingProxy(fixture.server.rpc);
    const other = await connect({ address: proxy.address });
    try {
      const b = await open('second', other);
      proxy.cutReplies(1);
      const held = await b.lock('/f');
      expect(proxy.cuts).toBe(1);
      expect(await client.locks('/f')).toMatchObject([{ session: b.id, owner: held.owner }]);
      await held.release();
      expect(await client.locks('/f')).toEqual([]);
      await b.close();
    } finally {
      await other.close();
      await proxy.close();
    }
  });
});

describe('a session', () => {
  it('outlives its time as long as its client renews it', async () => {
    const a = await open('short', client, 1000);
    const held = await a.lock('/f');
    // Thrice its time of real waiting: what renews it is a timer.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(a.lost.aborted).toBe(false);
    expect(await client.locks('/f')).toMatchObject([{ session: a.id, owner: held.owner }]);
  });

  it('whose client cannot reach the server is lost by the time that another may have its locks', async () => {
    const proxy = await cuttingProxy(fixture.server.rpc);
    const other = await connect({ address: proxy.address });
    try {
      const b = await open('second', other, 1000);
      const lostAt = new Promise<number>((resolve) => b.lost.addEventListener('abort', () => resolve(performance.now())));
      await b.lock('/f');
      const a = await open('first');
      proxy.refuse(true);
      proxy.cutAll();
      await a.lock('/f');
      const takenAt = performance.now();
      expect(await lostAt).toBeLessThanOrEqual(takenAt + 1);
      expect(isNokvError(b.lost.reason, 'no-session')).toBe(true);
      await expect(b.lock('/f')).rejects.toMatchObject({ code: 'no-session' });
    } finally {
      await other.close();
      await proxy.close();
    }
  });

  it('that somebody else closes is lost', async () => {
    const a = await open('first', client, 1000);
    await client.metadata.mutate('close-session', { session: a.id });
    await until('it is lost', async () => a.lost.aborted);
    await expect(a.tryLock('/f')).rejects.toMatchObject({ code: 'no-session' });
  });

  it('ends with what it holds where its scope ends', async () => {
    let ino: InodeNumber;
    {
      await using session = await client.openSession({ name: 'scoped' });
      await session.lock('/f');
      ({ ino } = await session.open('/f'));
      await client.remove('/f');
      expect(await client.metadata.read('getattr', { ino })).toMatchObject({ nlink: 0 });
    }
    await expect(client.metadata.read('getattr', { ino })).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('an open file', () => {
  it('is read, written and stated after its last name is gone, over a restart too, and gone after the last close', async () => {
    const a = await open('first');
    const [file, again] = [await a.open('/f'), await a.open('/f')];
    await client.remove('/f');
    await fixture.restart();
    expect(Buffer.from(await (await file.get()).bytes()).toString()).toBe('first');
    const large = new Uint8Array(100_000).fill(7);
    await file.put(large);
    expect(Buffer.compare(await (await again.get()).bytes(), large)).toBe(0);
    expect(await file.stat()).toMatchObject({ nlink: 0, size: 100_000 });
    await expect(client.stat('/f')).rejects.toMatchObject({ code: 'not-found' });
    await file.close();
    await file.close();
    expect(await again.stat()).toMatchObject({ nlink: 0 });
    await again.close();
    await expect(file.stat()).rejects.toMatchObject({ code: 'not-found' });
  });

  it('is no directory', async () => {
    const a = await open('first');
    await expect(a.open('/')).rejects.toMatchObject({ code: 'is-directory' });
  });
});
