/** A published tree: whole or not there for every reader and watcher, few requests for many files, and resumed when it was cut off. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect, type NokvClient } from '@nokv/client';
import { requestId } from '@nokv/types';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startS3, type S3Service } from '../services/s3.js';
import { startServerProcess } from '../services/server.js';
import { patternBytes, startClientFixture, type ClientFixture } from './client-fixture.js';

const run = promisify(execFile);
const isLong = process.env.NOKV_TEST_LONG === '1';
let local: string;

beforeEach(async () => {
  local = await mkdtemp(join(tmpdir(), 'nokv-put-tree-'));
});
afterEach(async () => await rm(local, { recursive: true, force: true }));

async function makeFiles(name: string, files: number, bytes: (index: number) => Uint8Array | string): Promise<string> {
  const source = join(local, name);
  for (let from = 0; from < files; from += 100) {
    const directory = join(source, `d${from / 100}`);
    await mkdir(directory, { recursive: true });
    await Promise.all(
      Array.from({ length: Math.min(100, files - from) }, (_, index) => writeFile(join(directory, `f${index}`), bytes(from + index))),
    );
  }
  return source;
}

describe('over a file store', () => {
  let fixture: ClientFixture;
  let trees = 0;
  let remote: string;
  beforeAll(async () => {
    fixture = await startClientFixture();
  });
  afterAll(async () => await fixture?.close());
  beforeEach(() => {
    remote = `/ckpt-${++trees}`;
  });

  test('readers see the old tree, or the new one, at every moment; a watcher hears of it once', async () => {
    const versions = await Promise.all(
      [0, 1, 2].map(async (round) =>
        makeFiles(`round-${round}`, 150, (index) => (index % 20 === 0 ? patternBytes(30_000, round) : `round ${round}`)),
      ),
    );
    const other = await connect({ address: fixture.server.rpc });
    let done = false;
    const seen = new Set<string>();
    const read = async (client: NokvClient): Promise<void> => {
      while (!done) {
        const entries = await client.listPage(remote).catch(() => undefined);
        if (entries === undefined) {
          seen.add('none');
          continue;
        }
        // What is found by one path lies in one tree: its inode says which.
        const answers = await client.statMany([`${remote}/d0/f1`, `${remote}/d1/f49`]);
        const [first, last] = answers.map((answer) => (answer.ok ? answer.value : undefined));
        expect(first?.size).toBe(7);
        expect(last?.size).toBe(7);
        const text = await (await client.get(`${remote}/d0/f1`)).text();
        seen.add(text);
        expect(['round 0', 'round 1', 'round 2']).toContain(text);
      }
    };
    const events: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      try {
        for await (const event of fixture.client.watch('/', { signal: stop.signal })) events.push(`${event.kind} ${event.path}`);
      } catch {
        // Ended by its signal.
      }
    })();
    const readers = [read(fixture.client), read(other), read(other)];
    await fixture.client.putTree(versions[0] ?? '', remote);
    await expect(fixture.client.putTree(versions[1] ?? '', remote)).rejects.toMatchObject({ code: 'exists' });
    await fixture.client.putTree(versions[1] ?? '', remote, { replace: true });
    await fixture.client.putTree(versions[2] ?? '', remote, { replace: true });
    await fixture.client.mkdir(`${remote}-last`);
    while (!events.includes(`created ${remote}-last`)) await new Promise((resolve) => setTimeout(resolve, 5));
    done = true;
    await Promise.all(readers);
    stop.abort();
    await watching;
    await other.close();
    expect(seen.has('none')).toBe(true);
    // The tree as a whole, never a file of it on its way.
    const told = events.filter((event) => event.includes(`${remote}`) && !event.endsWith('-last'));
    expect(told.filter((event) => event === `created ${remote}`)).toHaveLength(3);
    expect(told.filter((event) => event.startsWith('published'))).toEqual([]);
  });

  test(`${isLong ? '10,000' : '2,000'} files of 1 KiB put no object`, async () => {
    const source = await makeFiles('small', isLong ? 10_000 : 2000, (index) => patternBytes(1024, index));
    const before = await blocks(fixture);
    const report = await fixture.client.putTree(source, remote);
    expect(report).toMatchObject({ files: isLong ? 10_000 : 2000 });
    expect(await blocks(fixture)).toBe(before);
    expect((await fixture.client.stat(`${remote}/d3/f7`)).inline).toBe(true);
  }, 120_000);

  test('called again under its request id goes on with what was staged, and publishes once', async () => {
    const source = await makeFiles('resumed', 600, (index) => (index % 3 === 0 ? patternBytes(20_000, index) : `file ${index}`));
    const id = requestId('resume-1');
    const abort = new AbortController();
    const cut = fixture.client.putTree(source, remote, {
      requestId: id,
      signal: abort.signal,
      onProgress: ({ files }) => {
        if (files > 200) abort.abort();
      },
    });
    await expect(cut).rejects.toMatchObject({ code: 'cancelled' });
    expect(await fixture.client.exists(remote)).toBe(false);
    await rm(join(source, 'd5/f99'));
    const again = await fixture.client.putTree(source, remote, { requestId: id });
    expect(again.files).toBeLessThan(500);
    await fixture.client.getTree(remote, join(local, 'back'));
    expect((await run('diff', ['-r', source, join(local, 'back')])).stdout).toBe('');
    const asked = await fixture.client.putTree(source, remote, { requestId: id });
    expect(asked).toMatchObject({ version: again.version, files: 0 });
  });

  test('takes part by globs, and keeps what it is told to keep', async () => {
    const source = await makeFiles('globs', 10, (index) => `${index}`);
    await writeFile(join(source, 'd0/x.tmp'), 'tmp');
    await run('mkfifo', [join(source, 'pipe')]);
    await fixture.client.putTree(source, remote, { exclude: ['*.tmp', 'f[5-9]'], specialFiles: 'keep' });
    expect((await fixture.client.listPage(`${remote}/d0`)).entries.map(({ name }) => name)).toEqual(['f0', 'f1', 'f2', 'f3', 'f4']);
    expect((await fixture.client.stat(`${remote}/pipe`)).type).toBe('fifo');
    await expect(fixture.client.putTree(source, `${remote}-x`, { exclude: ['{a'] })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

async function blocks(fixture: ClientFixture): Promise<number> {
  return (await run('find', [join(fixture.directory, 'data/objects'), '-path', '*/blocks/*', '-type', 'f'])).stdout.split('\n').length - 1;
}

describe('over S3', () => {
  let s3: S3Service;
  beforeAll(async () => {
    s3 = await startS3();
  }, 600_000);
  afterAll(async () => await s3?.stop());

  test(`${isLong ? '10,000' : '500'} files of 64 KiB take a PUT for each four MiB or so`, { timeout: 300_000 }, async () => {
    const files = isLong ? 10_000 : 500;
    const source = await makeFiles('medium', files, (index) => patternBytes(65_536, index));
    await using counted = await countingProxy(s3.endpoint);
    const url = s3.url.replace(s3.endpoint, counted.endpoint);
    const server = await startServerProcess({ data: join(local, 'data'), object: url, logLevel: 'warn', env: s3.env });
    try {
      await using client = await connect({ address: server.rpc, env: s3.env });
      const before = counted.puts();
      const report = await client.putTree(source, '/medium');
      const puts = counted.puts() - before;
      expect(report.files).toBe(files);
      expect(puts).toBeGreaterThan(0);
      expect(puts).toBeLessThanOrEqual((files * 300) / 10_000);
      expect(Buffer.compare(await (await client.get('/medium/d4/f70')).bytes(), patternBytes(65_536, 470))).toBe(0);
    } finally {
      await server.kill();
    }
  });
});

/** Counts the PUT requests that pass to an HTTP server: a request line begins what a connection sends after an answer. */
async function countingProxy(endpoint: string): Promise<AsyncDisposable & { readonly endpoint: string; puts(): number }> {
  const { port, hostname } = new URL(endpoint);
  const sockets = new Set<Socket>();
  let puts = 0;
  const proxy = createServer((inbound) => {
    const outbound = createConnection(Number(port), hostname);
    for (const socket of [inbound, outbound]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        inbound.destroy();
        outbound.destroy();
      });
    }
    let isAnswered = true;
    inbound.on('data', (bytes: Buffer) => {
      if (isAnswered && bytes.subarray(0, 4).toString('latin1') === 'PUT ') puts += 1;
      isAnswered = false;
    });
    outbound.on('data', () => (isAnswered = true));
    inbound.pipe(outbound);
    outbound.pipe(inbound);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    puts: () => puts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
