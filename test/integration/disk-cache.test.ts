/** What a client keeps on its disk, against real servers: restarts, a store that is gone, flipped bytes, pins; and ranges in few requests. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { connect, type CacheOptions, type NokvClient } from '@nokv/client';
import { startS3, type S3Service } from '../services/s3.js';
import { readMetric, startServerProcess, type ServerProcess } from '../services/server.js';
import { patternBytes, startClientFixture, type ClientFixture } from './client-fixture.js';

const MIB = 1024 * 1024;
let directory: string;
const clients: NokvClient[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-disk-cache-'));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await rm(directory, { recursive: true, force: true });
});

function cacheFiles(): string[] {
  const data = join(directory, 'cache/data');
  return existsSync(data)
    ? readdirSync(data).flatMap((shard) => readdirSync(join(data, shard)).map((name) => join(data, shard, name)))
    : [];
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('over S3', () => {
  let s3: S3Service;
  let server: ServerProcess;
  beforeAll(async () => {
    s3 = await startS3();
    server = await startServerProcess({
      data: await mkdtemp(join(tmpdir(), 'nokv-disk-cache-s3-')),
      object: s3.url,
      env: s3.env,
      logLevel: 'silent',
    });
  }, 600_000);
  afterAll(async () => {
    await server?.kill();
    await rm(server?.data ?? '', { recursive: true, force: true });
    await s3?.stop();
  });

  /** As a process that has just begun. */
  async function open(cache: CacheOptions = {}, env: Readonly<Record<string, string>> = s3.env): Promise<NokvClient> {
    const client = await connect({ address: server.rpc, env, cache: { directory: join(directory, 'cache'), freeBytesMin: 0, ...cache } });
    clients.push(client);
    return client;
  }

  const read = async (client: NokvClient, path: string): Promise<Uint8Array> => (await client.get(path)).bytes();

  test('a second read after a restart makes no get, directly and through the server', async () => {
    const body = patternBytes(9 * MIB + 5, 1);
    const writer = await open();
    await writer.put('/restart', body);
    expect(writer.cacheFigures.store.gets).toBe(0);
    for (const env of [s3.env, {}]) {
      await rm(join(directory, 'cache'), { recursive: true, force: true });
      const first = await open({}, env);
      expect(Buffer.compare(await read(first, '/restart'), body)).toBe(0);
      expect(first.cacheFigures.store).toEqual({ gets: 3, bytes: body.length });
      await first.close();
      const second = await open({}, env);
      expect(Buffer.compare(await read(second, '/restart'), body)).toBe(0);
      expect(second.cacheFigures).toMatchObject({ store: { gets: 0 }, disk: { hits: 3, misses: 0, problem: undefined } });
    }
  });

  test('32 cold readers of one block make one get, of all of it or of ranges far apart', async () => {
    const body = patternBytes(3 * MIB, 2);
    const client = await open();
    await client.put('/cold', body);
    const handle = await client.get('/cold');
    const readers = Array.from({ length: 32 }, async (_, at) =>
      at % 2 === 0
        ? Buffer.compare(await handle.read(at * 90_000, 500), body.subarray(at * 90_000, at * 90_000 + 500))
        : Buffer.compare(await handle.bytes(), body),
    );
    expect(new Set(await Promise.all(readers))).toEqual(new Set([0]));
    expect(client.cacheFigures.store.gets).toBe(1);
    const ranges = await open({ directory: undefined });
    const other = await ranges.get('/cold');
    const apart = Array.from({ length: 32 }, async (_, at) =>
      Buffer.compare(await other.read(at * 90_000, 500), body.subarray(at * 90_000, at * 90_000 + 500)),
    );
    expect(new Set(await Promise.all(apart))).toEqual(new Set([0]));
    expect(ranges.cacheFigures.store.gets).toBe(1);
  });

  test(
    'a tree that was warmed or pinned is read while the store is stopped; what was not is told as unavailable',
    { timeout: 90_000 },
    async () => {
      const big = patternBytes(5 * MIB, 3);
      const local = join(directory, 'tree');
      execFileSync('mkdir', ['-p', join(local, 'deep/er')]);
      const files = {
        'big.bin': big,
        'deep/packed': patternBytes(60_000, 4),
        'deep/er/packed': patternBytes(50_000, 5),
        small: patternBytes(100, 6),
      };
      for (const [name, bytes] of Object.entries(files)) writeFileSync(join(local, name), bytes);
      const writer = await open();
      await writer.putTree(local, '/warm');
      await writer.put('/cold-one', patternBytes(MIB, 7));
      const phases = new Set<string>();
      const blockBytes = 5 * MIB + 110_000;
      const report = await writer.tiers.pin('/warm', { onProgress: ({ phase }) => phases.add(phase) });
      expect(report).toEqual({
        files: 4,
        bytes: blockBytes + 100,
        inlineBytes: 100,
        blockBytes,
        cachedBytes: blockBytes,
        pinnedBytes: blockBytes,
        fetchedBytes: blockBytes,
      });
      expect([...phases]).toEqual(['scan', 'transfer', 'done']);
      expect(await writer.tiers.warm('/warm')).toMatchObject({ fetchedBytes: 0, cachedBytes: blockBytes });
      await writer.close();

      await s3.stop('keep');
      try {
        const reader = await open();
        for (const [name, bytes] of Object.entries(files)) expect(Buffer.compare(await read(reader, `/warm/${name}`), bytes)).toBe(0);
        const restored = join(directory, 'restored');
        await reader.getTree('/warm', restored);
        expect(execFileSync('diff', ['-r', local, restored]).toString()).toBe('');
        expect(reader.cacheFigures.store.gets).toBe(0);
        await expect((await reader.get('/cold-one')).bytes({ timeoutMs: 700 })).rejects.toMatchObject({ kind: 'unavailable' });
        expect(await reader.tiers.status('/cold-one')).toMatchObject({ cachedBytes: 0, blockBytes: MIB });
        expect(await reader.tiers.evict('/warm')).toMatchObject({ evictedBytes: 0, cachedBytes: blockBytes });
        expect((await reader.tiers.directory()).pins).toMatchObject([{ path: '/warm', files: 4 }]);
        await reader.tiers.unpin('/warm');
        await expect(reader.tiers.unpin('/warm')).rejects.toMatchObject({ code: 'not-found' });
        expect(await reader.tiers.evict('/warm')).toMatchObject({ evictedBytes: blockBytes, cachedBytes: 0, pinnedBytes: 0 });
        await expect(reader.tiers.pin('/warm', { timeoutMs: 700 })).rejects.toMatchObject({ kind: 'unavailable' });
        expect((await reader.tiers.directory()).pins).toEqual([]);
      } finally {
        await s3.restart();
      }
      const after = await open();
      expect(Buffer.compare(await read(after, '/warm/big.bin'), big)).toBe(0);
      expect(after.cacheFigures.store.gets).toBe(2);
    },
  );

  test('a server that was given a cache answers clients from it, verified; /metrics counts', { timeout: 60_000 }, async () => {
    const data = await mkdtemp(join(tmpdir(), 'nokv-server-cache-'));
    const cache = { directory: join(directory, 'cache'), freeBytesMin: 0, memoryBytes: 0 };
    const caching = await startServerProcess({ data, object: s3.url, env: s3.env, logLevel: 'silent', cache });
    try {
      const body = patternBytes(5 * MIB, 11);
      const openProxied = async (): Promise<NokvClient> => {
        const client = await connect({ address: caching.rpc, ways: ['proxied'] });
        clients.push(client);
        return client;
      };
      await (await openProxied()).put('/served', body);
      const gets = async (): Promise<number> => await readMetric(caching.http, 'nokv_store_request_seconds_count', 'call="get"');
      const before = await gets();
      const cold = await Promise.all(
        Array.from({ length: 8 }, async () => Buffer.compare(await read(await openProxied(), '/served'), body)),
      );
      expect(new Set(cold)).toEqual(new Set([0]));
      expect((await gets()) - before).toBe(2);
      await vi.waitUntil(() => cacheFiles().length === 2);
      for (const file of cacheFiles()) flip(file, MIB / 2);
      const again = await gets();
      expect(Buffer.compare(await read(await openProxied(), '/served'), body)).toBe(0);
      expect((await gets()) - again).toBe(2);
      expect(await readMetric(caching.http, 'nokv_block_cache_corrupt_total')).toBe(2);
      await read(await openProxied(), '/served');
      expect(await readMetric(caching.http, 'nokv_block_cache_hits_total')).toBeGreaterThanOrEqual(2);
      expect((await gets()) - again).toBe(2);
      expect(await readMetric(caching.http, 'nokv_block_cache_bytes', 'place="disk"')).toBeGreaterThan(5 * MIB);
    } finally {
      await caching.kill();
      await rm(data, { recursive: true, force: true });
    }
  });

  test('a byte that flips in the cache is fetched again; what cannot fit is refused and pins stay through pressure', async () => {
    const [a, b] = [patternBytes(4 * MIB, 8), patternBytes(4 * MIB, 9)];
    const limits = { bytesMax: 9 * MIB };
    const client = await open(limits);
    await client.put('/p/a', a, { parents: true });
    await client.put('/p/b', b);
    await client.put('/p3', patternBytes(9 * MIB, 10));
    await client.tiers.pin('/p/a');
    const refused = client.tiers.pin('/p3');
    await expect(refused).rejects.toMatchObject({ code: 'quota-exceeded', details: { bytesMax: 9 * MIB } });
    await expect(client.tiers.warm('/p3')).rejects.toMatchObject({ code: 'quota-exceeded' });
    expect(Buffer.compare(await read(client, '/p3'), patternBytes(9 * MIB, 10))).toBe(0);
    expect(Buffer.compare(await read(client, '/p/b'), b)).toBe(0);
    await client.close();
    const other = await open(limits);
    expect(await other.tiers.status('/p/a')).toMatchObject({ cachedBytes: 4 * MIB, pinnedBytes: 4 * MIB });
    const sizes = cacheFiles().map((file) => readFileSync(file).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(9 * MIB);
    for (const file of cacheFiles()) flip(file, 2 * MIB);
    expect(Buffer.compare(await read(other, '/p/a'), a)).toBe(0);
    expect(other.cacheFigures).toMatchObject({ store: { gets: 1 }, disk: { corrupt: 1 } });
    await other.close();
    const last = await open(limits);
    expect(Buffer.compare(await read(last, '/p/a'), a)).toBe(0);
    expect(last.cacheFigures.store.gets).toBe(0);
  });
});

describe('over a directory', () => {
  let fixture: ClientFixture;
  beforeAll(async () => {
    fixture = await startClientFixture();
  });
  afterAll(async () => await fixture?.close());

  async function rpcsOf(work: () => Promise<unknown>): Promise<number> {
    const count = async () => await readMetric(fixture.server.http, 'nokv_rpc_request_seconds_count');
    const before = await count();
    await work();
    return (await count()) - before;
  }

  test('1,000 ranges of 64 files take one request and few gets, also of generations that were replaced', async () => {
    const files = Array.from({ length: 64 }, (_, at) => patternBytes(at % 4 === 0 ? 9000 : 100_000 + at * 1000, at));
    const local = join(directory, 'local');
    execFileSync('mkdir', [local]);
    files.forEach((bytes, at) => writeFileSync(join(local, `${at}`), bytes));
    await fixture.client.putTree(local, '/ranges');
    const ranges = Array.from({ length: 1000 }, (_, at) => {
      const file = (at * 7) % 64;
      const offset = (at * 7919) % (files[file]?.length ?? 1);
      return { path: `/ranges/${file}`, offset, length: 1 + ((at * 31) % 4000) };
    });
    const client = await connect(fixture.server.rpc);
    clients.push(client);
    const wanted = ranges.map(({ path, offset, length }) => files[Number(path.slice(8))]?.subarray(offset, offset + length));
    const generations: number[] = [];
    const rpcs = await rpcsOf(async () => {
      const found = await client.readRanges(ranges);
      found.forEach((answer, at) => {
        expect(answer.ok && Buffer.compare(answer.value.bytes, wanted[at] ?? Buffer.alloc(0))).toBe(0);
        if (answer.ok) generations.push(answer.value.generation);
      });
    });
    // The plans, and where the blocks are.
    expect(rpcs).toBeLessThanOrEqual(2);
    // 48 files of 6 MiB together, packed side by side: no get takes more than 4 MiB.
    expect(client.cacheFigures.store.gets).toBeLessThanOrEqual(3);

    for (let at = 0; at < 64; at += 1) await fixture.client.put(`/ranges/${at}`, 'replaced');
    const fresh = await connect(fixture.server.rpc);
    clients.push(fresh);
    const pinned = ranges.map((range, at) => ({ ...range, generation: generations[at] }));
    const again = await rpcsOf(async () => {
      const found = await fresh.readRanges(pinned);
      found.forEach((answer, at) => expect(answer.ok && Buffer.compare(answer.value.bytes, wanted[at] ?? Buffer.alloc(0))).toBe(0));
    });
    expect(again).toBeLessThanOrEqual(2);
  });

  test('a range that is none is refused before anything is sent; one beyond the end fails alone', async () => {
    const { client } = fixture;
    await client.put('/end', patternBytes(20_000, 1));
    for (const [offset, length] of [
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const) {
      const sent = await rpcsOf(async () => {
        await expect(client.readRanges([{ path: '/end', offset, length }])).rejects.toMatchObject({ code: 'invalid-argument' });
      });
      expect(sent).toBe(0);
    }
    const found = await client.readRanges([
      { path: '/end', offset: 19_990, length: 100 },
      { path: '/end', offset: 20_000, length: 1 },
      { path: '/end', offset: 20_001, length: 1 },
      { path: '/none', offset: 0, length: 1 },
      { path: '/', offset: 0, length: 1 },
      { path: '/end', offset: 0, length: 5, generation: 999_999_999 },
    ]);
    expect(found.map((one) => (one.ok ? one.value.bytes.length : one.error.code))).toEqual([
      10,
      0,
      'invalid-argument',
      'not-found',
      'is-directory',
      'not-found',
    ]);
    await expect(client.readRanges([{ path: '/end', offset: 0, length: 100 }], { maxBytes: 99 })).rejects.toMatchObject({
      code: 'too-large',
    });
  });

  test('a byte that flips in the store is corrupt with key and path, unless the cache has it', async () => {
    const body = patternBytes(100_000, 3);
    await fixture.client.put('/flip', body);
    const cache = { directory: join(directory, 'cache'), freeBytesMin: 0 };
    const first = await connect({ address: fixture.server.rpc, cache });
    clients.push(first);
    await first.tiers.warm('/flip');
    const [entry = ''] = cacheFiles();
    const [upload = '', index = ''] = entry.slice(entry.lastIndexOf('/') + 1).split('.');
    const key = `blocks/${upload.slice(-2)}/${upload}/${index}`;
    flip(join(fixture.directory, 'data/objects/data', key), 50);
    const second = await connect({ address: fixture.server.rpc, cache });
    clients.push(second);
    expect(Buffer.compare(await (await second.get('/flip')).bytes(), body)).toBe(0);
    const bare = await connect(fixture.server.rpc);
    clients.push(bare);
    const error = { code: 'corrupt', details: { key, path: '/flip' } };
    await expect((await bare.get('/flip')).bytes()).rejects.toMatchObject(error);
    await expect((await bare.get('/flip')).read(1000, 10)).rejects.toMatchObject(error);
    expect((await bare.readRanges([{ path: '/flip', offset: 1, length: 1 }]))[0]).toMatchObject({ ok: false, error });
    expect((await bare.readMany(['/flip']))[0]).toMatchObject({ ok: false, error });
  });

  test('copies of what lies on this disk anyway are not made, unless asked for', async () => {
    await fixture.client.put('/local', patternBytes(100_000, 4));
    const client = await connect({
      address: fixture.server.rpc,
      cache: { directory: join(directory, 'cache'), freeBytesMin: 0, skipLocal: true },
    });
    clients.push(client);
    await (await client.get('/local')).bytes();
    expect(await client.tiers.status('/local')).toMatchObject({ cachedBytes: 0 });
    expect(await client.tiers.warm('/local')).toMatchObject({ cachedBytes: 100_000 });
    await expect(fixture.client.tiers.warm('/local')).rejects.toMatchObject({ code: 'unsupported' });
    await expect(connect({ address: fixture.server.rpc, cache: { directory: 'x', bytesMax: -1 } })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });
});
