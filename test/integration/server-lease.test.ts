/** A server whose lease lives in a real etcd: takes it, loses it, has it again; gives it up when it is told to stop. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { etcdCoordinator, type Coordinator } from '@nokv/control';
import { epoch, isNokvError, shardId, systemClock } from '@nokv/types';
import { startEtcd, type Etcd } from '../services/etcd.js';
import { isReady, readMetric, startServerProcess, until, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

let etcd: Etcd;
let data: string;
let prefix = '';
let namespaces = 0;
const servers: ServerProcess[] = [];
beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(async () => {
  await etcd.stop();
});
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-lease-'));
  prefix = `/lease-${namespaces++}`;
});
afterEach(async () => {
  etcd.resume();
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<ServerProcessOptions> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({
    data,
    logLevel: 'info',
    control: `etcd://${etcd.endpoint}${prefix}`,
    leaseTtlMs: 2000,
    ...options,
  });
  servers.push(server);
  return server;
}

function observer(): Promise<Coordinator> {
  return etcdCoordinator({ hosts: [etcd.endpoint], prefix, leaseTtlMs: 2000, clock: systemClock });
}

async function refusalOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'answered',
    (error: unknown) => (isNokvError(error) ? error.kind : String(error)),
  );
}

describe('a server under etcd', () => {
  it('refuses reads and writes while it has no lease, and serves again with a higher epoch', { timeout: 60_000 }, async () => {
    const server = await start();
    const client = await connect({ address: server.rpc });
    await client.mkdir('/before');
    const { upload, ticket } = (await client.metadata.mutate('begin-upload', { target: 'x', ttlMs: 60_000 })).result;
    const first = await readMetric(server.http, 'nokv_shard_epoch');
    etcd.pause();
    await until('the end of the lease', async () => !(await isReady(server.http)));
    const put = await fetch(`http://${server.http}/objects/${upload}/0`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${ticket}`, 'x-nokv-crc32c': '00000000' },
      body: 'x',
    });
    expect([put.status, ((await put.json()) as { code: string }).code]).toEqual([421, 'lease-lost']);
    const answers = [
      client.stat('/before', { timeoutMs: 300 }),
      client.mkdir('/during', { timeoutMs: 300 }),
      client.listPage('/', { timeoutMs: 300 }),
    ];
    for (const answer of await Promise.all(answers.map(refusalOf))) expect(['fenced', 'unavailable']).toContain(answer);
    expect(await readMetric(server.http, 'nokv_shard_serving')).toBe(0);
    expect(await readMetric(server.http, 'nokv_rpc_request_errors_total', 'code="lease-lost"')).toBeGreaterThan(0);
    etcd.resume();
    await until('the next lease', () => isReady(server.http));
    expect(await readMetric(server.http, 'nokv_shard_epoch')).toBeGreaterThan(first);
    expect((await client.stat('/before')).type).toBe('directory');
    expect(await client.exists('/during')).toBe(false);
    await client.mkdir('/after');
    await client.close();
  });

  it('refuses on waking up when it was stopped itself for longer than its lease', { timeout: 60_000 }, async () => {
    const server = await start();
    const client = await connect({ address: server.rpc });
    await client.mkdir('/before');
    const first = await readMetric(server.http, 'nokv_shard_epoch');
    const watcher = await observer();
    server.pause();
    await until('the end of the lease in etcd', async () => (await watcher.shards())[0]?.owner === undefined);
    server.resume();
    await until('the next lease', async () => (await isReady(server.http)) && (await readMetric(server.http, 'nokv_shard_epoch')) > first);
    await client.mkdir('/after');
    await client.close();
    await watcher.close();
  });

  it('gives its lease up on SIGTERM: a successor does not wait for the term', { timeout: 60_000 }, async () => {
    const LONG_TERM_MS = 60_000;
    const server = await start({ leaseTtlMs: LONG_TERM_MS });
    const watcher = await observer();
    expect((await watcher.shards())[0]?.owner?.endpoint).toBe(server.rpc);
    expect(await server.terminate()).toBe(0);
    expect((await watcher.shards())[0]?.owner).toBeUndefined();
    // Within the minute of the first lease this succeeds only because that lease is gone.
    const successor = await start({ leaseTtlMs: LONG_TERM_MS });
    expect((await watcher.shards())[0]).toMatchObject({ epoch: epoch(2), owner: { endpoint: successor.rpc } });
    await watcher.close();
  });

  it('serves again after kill -9 by the same command, once the lease of the dead process has run out', { timeout: 60_000 }, async () => {
    const first = await start();
    const client = await connect({ address: first.rpc });
    await client.mkdir('/kept');
    await client.close();
    await first.kill();
    const second = await start();
    const again = await connect({ address: second.rpc });
    expect((await again.stat('/kept')).type).toBe('directory');
    expect(await readMetric(second.http, 'nokv_shard_epoch')).toBe(2);
    await again.close();
  });

  it('does not fork the namespace: a node with other data is refused, and says so', { timeout: 60_000 }, async () => {
    await (await start()).terminate();
    const other = await mkdtemp(join(tmpdir(), 'nokv-lease-other-'));
    try {
      await expect(start({ data: other })).rejects.toMatchObject({
        code: 'not-owner',
        message: expect.stringContaining('other data') as string,
      });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  it('keeps a small record and asks etcd no more often for many writes', { timeout: 60_000 }, async () => {
    const server = await start({ leaseTtlMs: 30_000 });
    const client = await connect({ address: server.rpc });
    // Counted are requests of the key-value service: leases of servers that were killed before may run out meanwhile,
    // which raises etcd's revision without anybody's asking.
    const requests = async (): Promise<number> => {
      const text = await (await fetch(`http://${etcd.endpoint}/metrics`)).text();
      const counts = text.match(/^grpc_server_started_total\{[^}]*grpc_service="etcdserverpb\.KV"[^}]*\} (\d+)$/gm) ?? [];
      return counts.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    };
    const before = await requests();
    expect(before).toBeGreaterThan(0);
    await Promise.all(Array.from({ length: 500 }, (_, i) => client.mkdir(`/d${i}`)));
    expect(await requests()).toBe(before);
    const watcher = await observer();
    expect(JSON.stringify(await watcher.shards()).length).toBeLessThan(1024);
    expect(
      (await watcher.acquire(shardId(0), { id: 'x', endpoint: 'x', home: (await watcher.shards())[0]?.home ?? '' }, epoch(0))).kind,
    ).toBe('held');
    await watcher.close();
    await client.close();
  });
});
