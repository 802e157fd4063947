/** Starting, stopping, dying and starting again; what is refused at the start. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { isReady, readMetric, startServerProcess, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

let data: string;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-life-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<ServerProcessOptions> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, logLevel: 'info', ...options });
  servers.push(server);
  return server;
}

describe('a data directory in use', () => {
  it('is refused to a second server, which names the pid and changes nothing', async () => {
    const server = await start();
    const before = (await readdir(data)).sort();
    await expect(start()).rejects.toMatchObject({
      code: 'directory-in-use',
      message: expect.stringContaining(`pid ${server.pid}`) as string,
    });
    expect((await readdir(data)).sort()).toEqual(before);
    expect(await isReady(server.http)).toBe(true);
  });

  it('is free again after kill -9, by the same command, with a higher epoch', async () => {
    const first = await start();
    const client = await connect({ address: first.rpc });
    await client.mkdir('/kept');
    await client.close();
    const epoch = await readMetric(first.http, 'nokv_shard_epoch');
    await first.kill();
    const second = await start();
    expect(await readMetric(second.http, 'nokv_shard_epoch')).toBeGreaterThan(epoch);
    const again = await connect({ address: second.rpc });
    expect((await again.stat('/kept')).type).toBe('directory');
    await again.close();
  });

  it('is left without a lock by SIGTERM', async () => {
    const server = await start();
    expect(await server.terminate()).toBe(0);
    expect((await readdir(data)).filter((name) => name.startsWith('lock'))).toEqual([]);
  });
});

describe('SIGTERM', () => {
  it('lets what is in flight finish: every create is either acknowledged and kept, or refused', async () => {
    const server = await start();
    const client = await connect({ address: server.rpc, timeoutMs: 5000 });
    const creates = Array.from({ length: 200 }, (_, i) =>
      client.mkdir(`/d${i}`, { timeoutMs: 1500 }).then(
        () => true,
        () => false,
      ),
    );
    const exit = server.terminate();
    const acknowledged = await Promise.all(creates);
    expect(await exit).toBe(0);
    await client.close();
    const next = await start();
    const again = await connect({ address: next.rpc });
    for (const [i, isKept] of acknowledged.entries()) if (isKept) expect(await again.exists(`/d${i}`)).toBe(true);
    await again.close();
  });
});

describe('a start is refused', () => {
  it.each([
    ['beyond loopback', { listen: '0.0.0.0:0' }, 'bad-configuration', /no authentication/],
    ['HTTP beyond loopback', { http: '0.0.0.0:0' }, 'bad-configuration', /no authentication/],
    ['with another scheme of control', { control: 'zookeeper://x' }, 'bad-configuration', /embedded: or etcd/],
    ['with an etcd that nobody runs', { control: 'etcd://127.0.0.1:1/x' }, 'control-unavailable', /127\.0\.0\.1:1/],
    ['with a store of an unknown kind', { object: 'ftp://x/y' }, 'bad-configuration', /file:.*s3:/s],
  ] as const)('%s', async (_what, options, code, message) => {
    await expect(start(options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    // What was opened is closed again: the same directory serves at once.
    expect(await isReady((await start()).http)).toBe(true);
  });

  it('on a port that is taken', async () => {
    const first = await start();
    const other = join(data, '..', `${data.split('/').pop() ?? ''}-other`);
    try {
      await expect(start({ data: other, listen: first.rpc })).rejects.toMatchObject({
        message: expect.stringContaining(first.rpc) as string,
      });
      await expect(start({ data: other, http: first.http })).rejects.toMatchObject({
        message: expect.stringContaining(first.http) as string,
      });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  it('on the store of another namespace', async () => {
    const object = `file://${join(data, 'store')}`;
    const one = join(data, 'one');
    const two = join(data, 'two');
    await mkdir(join(data, 'store'));
    await (await start({ data: one, object })).terminate();
    await expect(start({ data: two, object })).rejects.toMatchObject({ message: expect.stringMatching(/namespace/) as string });
    expect(await isReady((await start({ data: one, object })).http)).toBe(true);
  });

  it('on a directory that holds something else', async () => {
    await writeFile(join(data, 'thesis.tex'), '');
    await expect(start()).rejects.toMatchObject({ code: 'unsupported-format' });
    expect(await readdir(data)).toEqual(['thesis.tex']);
  });
});

it('writes JSON lines to its log, without secrets', async () => {
  const server = await start();
  const client = await connect({ address: server.rpc });
  const { ways } = await client.metadata.access();
  const { result } = await client.metadata.mutate('begin-upload', { target: 'x', ttlMs: 60_000 });
  await client.close();
  await server.terminate();
  const log = server.log();
  for (const line of log.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg');
  expect(log).toContain('serving');
  expect(log).not.toContain(result.ticket);
  for (const way of ways) if (way.kind === 'proxied') expect(log).not.toContain(way.readToken);
});
