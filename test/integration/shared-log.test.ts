/**
 * Servers with data directories of their own, one etcd, one S3 store: the log in the store is the truth, the lease says who serves.
 * What must never happen: something acknowledged that the next owner does not have, something applied twice, two who serve.
 */
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect, crc32c, type NokvClient } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import { startEtcd, type Etcd } from '../services/etcd.js';
import { startS3, type S3Service } from '../services/s3.js';
import { isReady, readMetric, startServerProcess, until, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

const TTL_MS = 2000;
let etcd: Etcd;
let s3: S3Service;
let directory: string;
let control = '';
let object = '';
let runs = 0;
const servers: ServerProcess[] = [];
const clients: NokvClient[] = [];
beforeAll(async () => {
  [etcd, s3] = await Promise.all([startEtcd(), startS3()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([etcd.stop(), s3.stop()]);
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-shared-'));
  control = `etcd://${etcd.endpoint}/shared-${runs++}`;
  object = s3.url;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const server of servers) server.resume();
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(directory, { recursive: true, force: true });
});

async function start(name: string, options: Partial<ServerProcessOptions> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({
    data: join(directory, name),
    nodeId: name,
    durability: 'shared',
    object,
    control,
    leaseTtlMs: TTL_MS,
    env: { ...s3.env },
    ...options,
  });
  servers.push(server);
  return server;
}

async function client(...of: readonly ServerProcess[]): Promise<NokvClient> {
  const opened = await connect({ address: of.map(({ rpc }) => rpc), timeoutMs: 20_000 });
  clients.push(opened);
  return opened;
}

async function names(of: NokvClient, path = '/'): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of of.list(path)) found.push(name);
  return found.sort();
}

async function refusalOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'answered',
    (error: unknown) => (isNokvError(error) ? error.kind : String(error)),
  );
}

describe('takeover', () => {
  it(
    'kill -9 the owner: the standby recovers from image and log and serves by itself, with everything acknowledged',
    { timeout: 60_000 },
    async () => {
      const owner = await start('a');
      const both = await client(owner);
      await both.mkdir('/before');
      const standby = await start('b');
      expect(await isReady(standby.http)).toBe(false);
      await both.put('/before/file', Buffer.from('kept'));
      const warm = await client(owner, standby);
      expect(await names(warm)).toEqual(['before']);
      await owner.kill();
      const startMs = performance.now();
      await until('the standby serves', () => isReady(standby.http));
      const tookMs = performance.now() - startMs;
      console.log(`takeover after kill -9: ${Math.round(tookMs)} ms with a lease of ${TTL_MS} ms`);
      // etcd grants whole seconds and looks for expired leases twice a second.
      expect(tookMs).toBeLessThan(TTL_MS + 2500);
      expect(await (await warm.get('/before/file')).text()).toBe('kept');
      await warm.mkdir('/after');
      expect(await names(warm)).toEqual(['after', 'before']);
      // The crashed owner comes back as a standby, and takes over in its turn.
      const back = await start('a');
      expect(await isReady(back.http)).toBe(false);
      await standby.terminate();
      await until('the first node serves again', () => isReady(back.http));
      const last = await client(back);
      expect(await names(last)).toEqual(['after', 'before']);
    },
  );

  it('1,000 pipelined writes across a kill: every acknowledged one is there, none twice', { timeout: 90_000 }, async () => {
    const owner = await start('a');
    const standby = await start('b');
    const warm = await client(owner, standby);
    await warm.mkdir('/d');
    const acknowledged = new Map<string, number>();
    let sent = 0;
    const writes = Array.from({ length: 1000 }, async (_, i) => {
      sent += 1;
      const name = `/d/f${i}`;
      const { version } = await warm.metadata.mutate('create', {
        entry: { path: Buffer.from(name) },
        mode: 0o644,
        type: 'file',
        exclusive: true,
        uid: 0,
        gid: 0,
      });
      acknowledged.set(`f${i}`, version);
      if (acknowledged.size === 100) await owner.kill();
    });
    await Promise.all(writes);
    expect(sent).toBe(1000);
    expect(acknowledged.size).toBe(1000);
    const found = await names(warm, '/d');
    expect(found).toEqual([...acknowledged.keys()].sort());
    // Exclusive creates: one that was applied twice would have been refused. Versions name one commit each.
    expect(new Set(acknowledged.values()).size).toBe(1000);
    expect(await readMetric(standby.http, 'nokv_shard_epoch')).toBeGreaterThan(1);
  });

  it('a watch by path goes on at the new owner without gap or repeat, with the paths of before', { timeout: 90_000 }, async () => {
    const owner = await start('a');
    const standby = await start('b');
    const warm = await client(owner, standby);
    const { version: since } = await warm.mkdir('/w');
    const watcher = await client(owner, standby);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { kind, path, fromPath } of watcher.watch('/w', { since })) {
        seen.push([kind, fromPath ?? '-', path ?? '-'].join(' '));
        if (path === '/w/end') return;
      }
    })();
    const expected: string[] = [];
    for (let i = 0; i < 60; i++) {
      const [first, second] = [`/w/a${i}`, `/w/b${i}`];
      await warm.mkdir(`${first}/deep`, { parents: true });
      await warm.rename(first, second);
      expected.push(`created - ${first}`, `created - ${first}/deep`, `renamed ${first} ${second}`);
      if (i === 30) await owner.kill();
    }
    await warm.mkdir('/w/end');
    await watching;
    expect(seen).toEqual([...expected, 'created - /w/end']);
    // The log that the new owner made from image and log says the same from the beginning.
    const again: string[] = [];
    for await (const { kind, path, fromPath } of watcher.watch('/w', { since })) {
      again.push([kind, fromPath ?? '-', path ?? '-'].join(' '));
      if (path === '/w/end') break;
    }
    expect(again).toEqual(seen);
  });

  it('locks are held and open files are open at the new owner, and whoever waits goes on waiting there', { timeout: 60_000 }, async () => {
    const owner = await start('a');
    const standby = await start('b');
    const [one, two] = [await client(owner, standby), await client(owner, standby)];
    await one.put('/f', 'first');
    const [holder, other] = [await one.openSession({ name: 'holder' }), await two.openSession({ name: 'other' })];
    const held = await holder.lock('/f');
    const file = await holder.open('/f');
    await one.remove('/f');
    let isHad = false;
    const waiting = other.lock({ ino: file.ino }).then((lock) => {
      isHad = true;
      return lock;
    });
    await until('it waits', async () => (await readMetric(owner.http, 'nokv_lock_waiters')) === 1);
    await owner.kill();
    await until(
      'it waits at the new owner',
      async () => (await isReady(standby.http)) && (await readMetric(standby.http, 'nokv_lock_waiters')) === 1,
    );
    expect(await two.metadata.read('list-locks', { node: { ino: file.ino } })).toMatchObject({ locks: [{ session: holder.id }] });
    expect(await (await file.get()).text()).toBe('first');
    expect(isHad).toBe(false);
    await held.release();
    await (await waiting).release();
    await file.close();
    await expect(file.stat()).rejects.toMatchObject({ code: 'not-found' });
    await Promise.all([holder.close(), other.close()]);
  });

  it('SIGTERM hands over within a second', { timeout: 60_000 }, async () => {
    const owner = await start('a', { leaseTtlMs: 30_000 });
    const standby = await start('b', { leaseTtlMs: 30_000 });
    const first = await client(owner);
    await first.mkdir('/kept');
    await owner.terminate();
    const startMs = performance.now();
    await until('the standby serves', () => isReady(standby.http));
    console.log(`handover after SIGTERM: ${Math.round(performance.now() - startMs)} ms`);
    expect(await names(await client(standby))).toEqual(['kept']);
  });
});

describe('an owner that was stopped', () => {
  it(
    'wakes up fenced: nothing it is asked is answered, it deletes nothing, and it comes back as a standby that has caught up',
    { timeout: 90_000 },
    async () => {
      const owner = await start('a');
      const standby = await start('b');
      const old = await client(owner);
      await old.mkdir('/before');
      owner.pause();
      await until('the standby serves', () => isReady(standby.http));
      const fresh = await client(standby);
      await fresh.mkdir('/after');
      owner.resume();
      const answers = await Promise.all([
        refusalOf(old.mkdir('/stale', { timeoutMs: 1500 })),
        refusalOf(old.stat('/before', { timeoutMs: 1500 })),
        refusalOf(old.listPage('/', { timeoutMs: 1500 })),
      ]);
      for (const answer of answers) expect(['fenced', 'unavailable']).toContain(answer);
      expect(await isReady(owner.http)).toBe(false);
      expect(await names(fresh)).toEqual(['after', 'before']);
      await standby.terminate();
      await until('the first node serves again', () => isReady(owner.http));
      expect(await names(await client(owner))).toEqual(['after', 'before']);
    },
  );

  it(
    'removes no blocks of an upload that its own clock says is over, and that its successor has prolonged',
    { timeout: 90_000 },
    async () => {
      const options = { uploadGraceMs: 1, logLevel: 'info' } as const;
      const owner = await start('a', options);
      const standby = await start('b', options);
      const old = await client(owner);
      const { upload, ticket } = (await old.metadata.mutate('begin-upload', { target: 'x', ttlMs: 4000 })).result;
      const block = Buffer.from('block');
      const headers = { authorization: `Bearer ${ticket}`, 'x-nokv-crc32c': crc32c(block).toString(16).padStart(8, '0') };
      expect((await fetch(`http://${owner.http}/objects/${upload}/0`, { method: 'PUT', headers, body: block })).status).toBe(201);
      owner.pause();
      await until('the standby serves', () => isReady(standby.http));
      const fresh = await client(standby);
      await fresh.metadata.mutate('renew-upload', { upload, ttlMs: 600_000 });
      const { expiresAt } = (await fresh.metadata.mutate('renew-upload', { upload, ttlMs: 600_000 })).result;
      expect(expiresAt.sec * 1000).toBeGreaterThan(Date.now() + 60_000);
      await until('the first expiry is over', async () => Date.now() > expiresAt.sec * 1000 - 600_000 + 4000);
      owner.resume();
      await until('the old owner knows', async () => owner.log().includes('"to":"fenced"'));
      await until(
        'it asks for the shard again',
        async () => owner.log().includes('"from":"fenced","to":"acquiring"') || !(await isReady(owner.http)),
      );
      await standby.terminate();
      await until('the old owner serves again', () => isReady(owner.http));
      expect(await readMetric(owner.http, 'nokv_blocks_swept_total')).toBe(0);
      const again = await client(owner);
      const way = (await again.metadata.access()).ways.find(({ kind }) => kind === 'proxied');
      if (way?.kind !== 'proxied') throw new Error('expected a way through the server');
      const read = await fetch(`${way.url}/${upload}/0`, { headers: { authorization: `Bearer ${way.readToken}` } });
      expect(await read.text()).toBe('block');
    },
  );

  it('with a lease that it believes in: its append collides, and it steps down', { timeout: 60_000 }, async () => {
    // Two servers with coordinators of their own, each of which says that it may serve: only the log stands between them.
    const first = await start('a', { control: 'embedded:' });
    const one = await client(first);
    await one.mkdir('/one');
    const second = await start('b', { control: 'embedded:' });
    const two = await client(second);
    expect(await names(two)).toEqual(['one']);
    expect(await refusalOf(one.mkdir('/collides', { timeoutMs: 1500 }))).toMatch(/fenced|unavailable/);
    expect(await isReady(first.http)).toBe(false);
    expect(await refusalOf(one.stat('/one', { timeoutMs: 1500 }))).toMatch(/fenced|unavailable/);
    await two.mkdir('/two');
    expect(await names(two)).toEqual(['one', 'two']);
  });
});

describe('a node', () => {
  it('that lost its disk recovers everything from the store', { timeout: 60_000 }, async () => {
    const owner = await start('a', { images: { logSegments: 20 } });
    const first = await client(owner);
    for (let i = 0; i < 60; i++) await first.mkdir(`/d${i}`);
    await until('an image', async () => (await readMetric(owner.http, 'nokv_log_images_total')) > 0);
    await first.mkdir('/last');
    await owner.kill();
    await rm(join(directory, 'a'), { recursive: true });
    const again = await start('a', { images: { logSegments: 20 } });
    await until('it serves', () => isReady(again.http));
    expect(await names(await client(again))).toHaveLength(61);
  });

  it('restarts in place after kill -9, by the same command', { timeout: 60_000 }, async () => {
    const owner = await start('a');
    await (await client(owner)).mkdir('/kept');
    await owner.kill();
    const again = await start('a');
    await until('it serves', () => isReady(again.http));
    expect(await names(await client(again))).toEqual(['kept']);
    expect(again.log()).toContain('"from":"store"');
  });

  it('is not begun anew where the store lost the shard', { timeout: 60_000 }, async () => {
    const owner = await start('a');
    await (await client(owner)).mkdir('/precious');
    await owner.terminate();
    object = s3.url;
    await expect(start('b')).rejects.toMatchObject({ code: 'not-owner', message: expect.stringContaining('other data') as string });
  });

  it(
    'that served from its own disk becomes the first owner of a log; without the log it is refused from then on',
    { timeout: 60_000 },
    async () => {
      const alone = await start('a', { durability: 'local' });
      await (await client(alone)).mkdir('/local');
      await alone.terminate();
      const shared = await start('a');
      await (await client(shared)).mkdir('/shared');
      await shared.terminate();
      for (const name of ['a', 'new']) {
        await expect(start(name, { durability: 'local' })).rejects.toMatchObject({ code: 'bad-configuration' });
      }
      const other = await start('b');
      await until('it serves', () => isReady(other.http));
      expect(await names(await client(other))).toEqual(['local', 'shared']);
    },
  );
});

describe('asynchronous durability', () => {
  it('acknowledges while the store is away, ships when it is back, and a successor has it', { timeout: 90_000 }, async () => {
    const owner = await start('a', { durability: 'async' });
    const first = await client(owner);
    await first.mkdir('/before');
    await s3.stop('keep');
    await first.mkdir('/during');
    expect(await readMetric(owner.http, 'nokv_log_unshipped_batches')).toBeGreaterThan(0);
    await s3.restart();
    await until('everything is shipped', async () => (await readMetric(owner.http, 'nokv_log_unshipped_batches')) === 0);
    await owner.kill();
    const standby = await start('b', { durability: 'async' });
    await until('it serves', () => isReady(standby.http));
    expect(await names(await client(standby))).toEqual(['before', 'during']);
  });
});

describe('a store that is away', () => {
  it('refuses writes cleanly, half of nothing is there, and service goes on when it is back', { timeout: 90_000 }, async () => {
    const owner = await start('a');
    const first = await client(owner);
    await first.mkdir('/before');
    await s3.stop('keep');
    const during = await Promise.all([
      refusalOf(first.mkdir('/during', { timeoutMs: 4000 })),
      refusalOf(first.mkdir('/too', { timeoutMs: 4000 })),
    ]);
    for (const answer of during) expect(answer).toBe('unavailable');
    expect((await first.stat('/before')).type).toBe('directory');
    await s3.restart();
    await until('writes work again', async () => (await refusalOf(first.mkdir('/after', { timeoutMs: 3000 }))) !== 'unavailable');
    const found = await names(first);
    expect(found).toContain('before');
    expect(found).toContain('after');
    await owner.kill();
    const standby = await start('b');
    await until('it serves', () => isReady(standby.http));
    expect(await names(await client(standby))).toEqual(found);
  });
});

describe('a file store', () => {
  it('carries the log as well', { timeout: 60_000 }, async () => {
    object = `file://${join(directory, 'store')}`;
    const owner = await start('a');
    await (await client(owner)).mkdir('/kept');
    expect(await readdir(join(directory, 'store', 'data'))).toContain('meta');
    await owner.kill();
    const standby = await start('b');
    await until('it serves', () => isReady(standby.http));
    expect(await names(await client(standby))).toEqual(['kept']);
  });

  it('with a segment or a part of an image that is missing is refused, by name', { timeout: 90_000 }, async () => {
    object = `file://${join(directory, 'store')}`;
    const owner = await start('a');
    const first = await client(owner);
    for (let i = 0; i < 5; i++) await first.mkdir(`/d${i}`);
    await owner.terminate();
    const meta = join(directory, 'store/data/meta/0000');
    const segment = `log/${String(4).padStart(20, '0')}`;
    await rename(join(meta, segment), join(directory, 'segment'));
    await expect(start('b')).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining(`meta/0000/${segment}`) as string });
    await rename(join(directory, 'segment'), join(meta, segment));
    const [image] = await readdir(join(meta, 'image'));
    const block = `image/${image}/block-000000`;
    await rename(join(meta, block), join(directory, 'block'));
    await expect(start('c')).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining(`meta/0000/${block}`) as string });
    await rename(join(directory, 'block'), join(meta, block));
    const whole = await start('d');
    expect(await names(await client(whole))).toHaveLength(5);
  });
});
