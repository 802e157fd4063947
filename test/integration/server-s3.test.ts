/** A server over a real S3 server: clients with and without credentials of their own, sweeps, outages, refusals at the start. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect, type ConnectOptions, type NokvClient } from '@nokv/client';
import { crc32c, openObjectStore, type ObjectStore } from '@nokv/object';
import { isNokvError, uploadPrefix } from '@nokv/types';
import { bodyFor, digestOf, sha256 } from '../crash/bodies.js';
import { startS3, type S3Service } from '../services/s3.js';
import { readMetric, startServerProcess, until, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

let s3: S3Service;
let data: string;
let url: string;
const servers: ServerProcess[] = [];
const clients: NokvClient[] = [];
beforeAll(async () => {
  s3 = await startS3();
}, 600_000);
afterAll(async () => {
  await s3.stop();
});
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-s3-'));
  url = s3.url;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<ServerProcessOptions> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, object: url, logLevel: 'warn', uploadGraceMs: 100, env: s3.env, ...options });
  servers.push(server);
  return server;
}

async function open(server: ServerProcess, env: Readonly<Record<string, string>> = {}, ways?: ConnectOptions['ways']): Promise<NokvClient> {
  const client = await connect({ address: server.rpc, timeoutMs: 20_000, env, ways });
  clients.push(client);
  return client;
}

async function keys(): Promise<string[]> {
  const store: ObjectStore = await openObjectStore(url, { env: s3.env });
  try {
    return (await store.list('', { limit: 1000 })).objects.map(({ key }) => key);
  } finally {
    await store.close();
  }
}

const body = bodyFor('on s3', 5 * 1024 * 1024);

describe('a server on S3', () => {
  it('changes parts of bodies, compresses and shares blocks by every way to them', { timeout: 90_000 }, async () => {
    const server = await start();
    const ways = { direct: await open(server, s3.env), signed: await open(server), proxied: await open(server, {}, ['proxied']) };
    for (const [way, client] of Object.entries(ways)) {
      const text = Buffer.alloc(5 * 1024 * 1024, `${way} step loss\n`);
      const path = `/parts-${way}`;
      await client.put(path, text, { compress: 'brotli', dedup: true });
      const before = (await keys()).length;
      await client.put(`${path}-again`, text, { dedup: true });
      await client.copy(path, `${path}-copy`);
      expect((await keys()).length).toBe(before);
      let expected = Buffer.from(text);
      // Often enough that a part is written anew.
      for (let i = 0; i < 6; i++) {
        const patch = Buffer.from(`patched ${i}`);
        expected.set(patch, 1000 + 5000 * i);
        await client.patch(path, 1000 + 5000 * i, patch);
        await client.append(path, `line ${i}\n`);
        expected = Buffer.concat([expected, Buffer.from(`line ${i}\n`)]);
      }
      expect(await digestOf(ways.direct, path)).toBe(sha256(expected));
      expect(await digestOf(ways.proxied, `${path}-copy`)).toBe(sha256(text));
    }
    const findings: unknown[] = [];
    for await (const item of ways.direct.fsck({ checksums: true })) if (item.kind === 'finding') findings.push(item);
    expect(findings).toEqual([]);
  });

  it(
    'serves clients with credentials directly and others by signed URLs or through its own port, and keeps bodies over a kill',
    { timeout: 90_000 },
    async () => {
      const server = await start();
      const direct = await open(server, s3.env);
      await direct.put('/direct', body);
      expect(await readMetric(server.http, 'nokv_http_request_seconds_count', 'route="/objects/"')).toBe(0);
      const signed = await open(server);
      await signed.put('/signed', body);
      expect(await readMetric(server.http, 'nokv_http_request_seconds_count', 'route="/objects/"')).toBe(0);
      expect(await digestOf(direct, '/signed')).toBe(sha256(body));
      const proxied = await open(server, {}, ['proxied']);
      await proxied.put('/proxied', body);
      expect(await readMetric(server.http, 'nokv_http_request_seconds_count', 'route="/objects/"')).toBeGreaterThanOrEqual(2);
      expect(await digestOf(proxied, '/direct')).toBe(sha256(body));
      expect(await digestOf(direct, '/proxied')).toBe(sha256(body));
      await server.kill();
      const again = await open(await start(), s3.env);
      expect(await digestOf(again, '/direct')).toBe(sha256(body));
    },
  );

  it('sweeps what an expired upload left in the bucket, and nothing else', { timeout: 60_000 }, async () => {
    const client = await open(await start(), s3.env);
    await client.put('/kept', body);
    const baseline = await keys();
    const { upload } = (await client.metadata.mutate('begin-upload', { target: 'x', ttlMs: 500 })).result;
    const blocks = await client.blocks();
    for (let index = 0; index < 3; index++)
      await blocks.putBlock(upload, index, body.subarray(0, 1000), { crc32c: crc32c(body.subarray(0, 1000)) });
    expect((await keys()).filter((key) => key.startsWith(uploadPrefix(upload)))).toHaveLength(3);
    await until('the sweep', async () => (await keys()).length === baseline.length);
    expect(await keys()).toEqual(baseline);
    expect(await digestOf(client, '/kept')).toBe(sha256(body));
  });

  it('fails cleanly while the store is down, and goes on when it is back', { timeout: 120_000 }, async () => {
    const server = await start();
    const client = await open(server, s3.env);
    await client.put('/before', body);
    await s3.stop('keep');
    const failed = await client.put('/during', body, { timeoutMs: 2000 }).catch((error: unknown) => error);
    expect(isNokvError(failed) && failed.kind).toBe('unavailable');
    // Metadata does not need the store.
    await client.mkdir('/meanwhile');
    expect(await client.exists('/during')).toBe(false);
    await s3.restart();
    await client.put('/after', body);
    expect(await digestOf(client, '/before')).toBe(sha256(body));
    expect(await digestOf(client, '/after')).toBe(sha256(body));
  });
});

describe('a start on S3 is refused', () => {
  it.each<[string, () => string, () => Readonly<Record<string, string>>, string]>([
    ['with wrong keys', () => url, () => ({ ...s3.env, AWS_SECRET_ACCESS_KEY: 'wrong' }), 'bad-credentials'],
    ['without keys', () => url, () => ({ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', HOME: '/nonexistent' }), 'bad-credentials'],
    ['on a bucket that does not exist', () => url.replace('s3://nokv-test', 's3://no-such-bucket'), () => s3.env, 'no-bucket'],
    [
      'on an endpoint that nobody serves',
      () => 's3://nokv-test/x?endpoint=http://127.0.0.1:1&pathStyle=true',
      () => s3.env,
      'store-unavailable',
    ],
    ['with a parameter that is none', () => `${url}&colour=blue`, () => s3.env, 'bad-configuration'],
  ])('%s', { timeout: 60_000 }, async (_what, object, env, code) => {
    const refused = await start({ object: object(), env: env() }).catch((error: unknown) => error);
    expect(isNokvError(refused) ? refused.code : refused).toBe(code);
    expect(String(refused)).not.toContain(s3.env['AWS_SECRET_ACCESS_KEY']);
  });

  it('on the bucket and prefix of another namespace', { timeout: 60_000 }, async () => {
    await (await start()).terminate();
    const other = await mkdtemp(join(tmpdir(), 'nokv-s3-other-'));
    try {
      await expect(start({ data: other })).rejects.toMatchObject({
        code: 'bad-configuration',
        message: expect.stringContaining('namespace') as string,
      });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  it('on another store than the one that the data directory was used with', { timeout: 60_000 }, async () => {
    await (await start()).terminate();
    await expect(start({ object: s3.url })).rejects.toMatchObject({ code: 'bad-configuration' });
  });
});
