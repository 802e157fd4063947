/**
 * Who has lost the lease deletes nothing, whatever it had decided before: the requests that delete are counted on their way to the store.
 * And those of an owner come in bulk.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connect, crc32c, type NokvClient } from '@nokv/client';
import { openS3Store } from '@nokv/object';
import { countingProxy, type CountingProxy } from '../services/counting-proxy.js';
import { startEtcd, type Etcd } from '../services/etcd.js';
import { startS3, type S3Service } from '../services/s3.js';
import { keysOf } from '../services/store-keys.js';
import { isReady, readMetric, startServerProcess, until, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

let etcd: Etcd;
let s3: S3Service;
let directory: string;
let prefix = '';
let runs = 0;
const servers: ServerProcess[] = [];
const clients: NokvClient[] = [];
const proxies: CountingProxy[] = [];
beforeAll(async () => {
  [etcd, s3] = await Promise.all([startEtcd(), startS3()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([etcd.stop(), s3.stop()]);
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-fenced-'));
  prefix = `fenced-${runs++}`;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const server of servers) server.resume();
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  await rm(directory, { recursive: true, force: true });
});

/** A node with its own way to the store. */
async function start(name: string, options: Partial<ServerProcessOptions> = {}): Promise<{ server: ServerProcess; proxy: CountingProxy }> {
  const proxy = await countingProxy(s3.endpoint);
  proxies.push(proxy);
  const server = await startServerProcess({
    data: join(directory, name),
    nodeId: name,
    durability: 'shared',
    object: s3.urlOf(prefix).replace(s3.endpoint, proxy.endpoint),
    control: `etcd://${etcd.endpoint}/${prefix}`,
    leaseTtlMs: 2000,
    uploadGraceMs: 1,
    logLevel: 'info',
    ...options,
    env: { ...s3.env, ...options.env },
  });
  servers.push(server);
  return { server, proxy };
}

async function client(server: ServerProcess): Promise<NokvClient> {
  const opened = await connect({ address: server.rpc, timeoutMs: 20_000 });
  clients.push(opened);
  return opened;
}

async function blockKeys(): Promise<string[]> {
  const store = await openS3Store(s3.urlOf(prefix), { env: s3.env });
  try {
    return await keysOf(store, 'blocks/');
  } finally {
    await store.close();
  }
}

async function stageAndLeave(of: NokvClient, server: ServerProcess, ttlMs: number): Promise<void> {
  const { upload, ticket } = (await of.metadata.mutate('begin-upload', { target: 'x', ttlMs })).result;
  const block = Buffer.from('block');
  const headers = { authorization: `Bearer ${ticket}`, 'x-nokv-crc32c': crc32c(block).toString(16).padStart(8, '0') };
  expect((await fetch(`http://${server.http}/objects/${upload}/0`, { method: 'PUT', headers, body: block })).status).toBe(201);
}

it(
  'an owner that was stopped between its decision and the deletion, and goes on after a takeover, deletes nothing',
  { timeout: 90_000 },
  async () => {
    const first = await start('a', { env: { NOKV_FAILPOINTS: 'before-remove-blocks=delay:2000' } });
    const standby = await start('b');
    await stageAndLeave(await client(first.server), first.server, 3000);
    await until('the owner to be about to delete', async () => first.server.log().includes('failpoint before-remove-blocks'));
    first.server.pause();
    const before = first.proxy.deletes;
    await until('the standby serves', () => isReady(standby.server.http));
    await until('its sweep of the same upload', async () => (await blockKeys()).length === 0);
    expect(standby.proxy.deletes).toBeGreaterThan(0);
    // More that the old owner would find due.
    await stageAndLeave(await client(standby.server), standby.server, 600_000);
    first.server.resume();
    await until('the old owner knows', async () => first.server.log().includes('"to":"fenced"'));
    await until('its background work was refused', async () => /background work stops without the lease/.test(first.server.log()));
    await until('it stands by', async () => first.server.log().includes('"to":"acquiring"'));
    expect(first.proxy.deletes).toBe(before);
    expect(await readMetric(first.server.http, 'nokv_blocks_swept_total')).toBe(0);
    expect((await blockKeys()).length).toBe(1);
  },
);

it('blocks of many uploads go by few requests', { timeout: 60_000 }, async () => {
  const { server, proxy } = await start('a', { env: { NOKV_FAILPOINTS: 'before-remove-blocks=delay:1' } });
  const one = await client(server);
  const before = { requests: proxy.deletes, keys: proxy.keysDeleted };
  const UPLOADS = 60;
  for (let i = 0; i < UPLOADS; i++) await stageAndLeave(one, server, 600_000);
  const plan = await one.collect({ dryRun: true, limit: 1000 });
  const uploads = plan.rows.filter(({ kind }) => kind === 'upload').map(({ what }) => what.slice('upload '.length));
  expect(uploads.length).toBe(UPLOADS);
  await Promise.all(uploads.map((upload) => one.metadata.mutate('end-upload', { upload: upload as never })));
  await until('the sweep', async () => (await blockKeys()).length === 0);
  expect(proxy.keysDeleted - before.keys).toBe(UPLOADS);
  expect(proxy.deletes - before.requests).toBeLessThan(UPLOADS / 4);
});
