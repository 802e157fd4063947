/** Readers of a file that is published again and again see one of the published bodies, whoever is killed when. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { ID_RANDOM_BYTES, BLOCK_BYTES_DEFAULT, isNokvError, makeRequestId, systemRandom } from '@nokv/types';
import { movingProxy } from '../linearizability/cutting-proxy.js';
import { blocksNamedBy, findingsOf } from '../services/known-blocks.js';
import { startServerProcess, until, type ServerProcess } from '../services/server.js';
import { keysOfDirectory } from '../services/store-keys.js';
import { bodyFor, digestOf, sha256, whichBody } from './bodies.js';

let data: string;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-atomic-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startServerProcess>[0]> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, logLevel: 'warn', ...options });
  servers.push(server);
  return server;
}

const bodies = [bodyFor('a', BLOCK_BYTES_DEFAULT + 12_345), bodyFor('b', 100_000)] as const;

const isLong = process.env['NOKV_TEST_LONG'] === '1';
const PUTS = isLong ? 200 : 50;
const READERS = isLong ? 8 : 4;

it(
  `shows ${READERS} readers only the two bodies that are put in turn, across a kill -9 of the server`,
  { timeout: isLong ? 1_200_000 : 240_000 },
  async () => {
    let server = await start();
    const address = { listen: server.rpc, http: server.http };
    const writer = await connect({ address: server.rpc, timeoutMs: 60_000 });
    await writer.put('/body', bodies[0]);
    let isDone = false;
    let reads = 0;
    const readers = Array.from({ length: READERS }, async () => {
      const reader = await connect({ address: server.rpc, timeoutMs: 60_000 });
      try {
        while (!isDone) {
          expect(await whichBody(reader, '/body', bodies)).not.toBe(-1);
          reads += 1;
        }
      } finally {
        await reader.close();
      }
    });
    const restarted = (async () => {
      while (reads < 8) await new Promise((resolve) => setTimeout(resolve, 5));
      await server.kill();
      server = await start(address);
    })();
    let last = 0;
    for (let i = 1; i <= PUTS; i++) {
      const outcome = await writer.put('/body', bodies[i % 2] as Uint8Array, {
        requestId: makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES)),
      });
      expect(outcome.generation).toBeGreaterThan(last);
      last = outcome.generation;
    }
    await restarted;
    isDone = true;
    await Promise.all(readers);
    expect(await digestOf(writer, '/body')).toBe(sha256(bodies[PUTS % 2] as Uint8Array));
    expect(await findingsOf(writer)).toEqual([]);
    await writer.close();
  },
);

it(
  'deletes nothing when the answer of a publish got lost: the file is readable and the same request id tells its generation',
  { timeout: 60_000 },
  async () => {
    const doomed = await start({ env: { NOKV_FAILPOINTS: 'after-publish-commit=crash' } });
    const address = { listen: doomed.rpc, http: doomed.http };
    const client = await connect({ address: doomed.rpc, timeoutMs: 30_000 });
    const staged = await client.stage(bodies[1]);
    const requestId = makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));
    const lost = client.publish('/body', staged, { requestId, timeoutMs: 2000 }).catch((error: unknown) => error);
    await doomed.exited;
    const outcome = await lost;
    expect(isNokvError(outcome) && outcome.outcome).toBe('unknown');
    const before = await blockFiles();
    await start(address);
    expect(await digestOf(client, '/body')).toBe(sha256(bodies[1]));
    const again = await client.publish('/body', staged, { requestId });
    expect(again.generation).toBe((await client.stat('/body')).generation);
    expect((await client.stat('/body')).ordinal).toBe(1);
    expect(await blockFiles()).toEqual(before);
    await client.close();
  },
);

it(
  'a connection that is cut between the commit and its answer leaves a readable file, published once, and nothing beside it',
  { timeout: 60_000 },
  async () => {
    const server = await start({ env: { NOKV_FAILPOINTS: 'after-publish-commit=delay:500' } });
    const proxy = await movingProxy();
    proxy.target = server.rpc;
    const client = await connect({ address: proxy.address, timeoutMs: 30_000 });
    try {
      const staged = await client.stage(bodies[0]);
      const before = await blockFiles();
      const hits = (): number => server.log().split('failpoint after-publish-commit').length;
      const seen = hits();
      const published = client.publish('/body', staged);
      // The commit is durable, and its answer is held back.
      await until('the commit', async () => hits() > seen);
      proxy.cut(1);
      expect((await published).created).toBe(true);
      expect(proxy.cuts).toBeGreaterThan(0);
      expect((await client.stat('/body')).ordinal).toBe(1);
      expect(await digestOf(client, '/body')).toBe(sha256(bodies[0]));
      expect(await findingsOf(client)).toEqual([]);
      expect(await blockFiles()).toEqual(before);
      expect((await keysOfDirectory(join(data, 'objects'), 'blocks/')).sort()).toEqual((await blocksNamedBy(client, '/body')).sort());
    } finally {
      await client.close();
      await proxy.close();
    }
  },
);

async function blockFiles(): Promise<string[]> {
  const names = await readdir(join(data, 'objects', 'data'), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
