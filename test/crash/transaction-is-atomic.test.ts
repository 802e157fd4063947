/** Three puts and a remove in one transaction, with the server killed at every step: all of them or none. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient, type StagedBody } from '@nokv/client';
import { isNokvError, requestId, type RequestId } from '@nokv/types';
import { startServerProcess, type ServerProcess } from '../services/server.js';
import { bodyFor, digestOf, sha256 } from './bodies.js';

let data: string;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-transaction-'));
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

const big = bodyFor('big', 100_000);
const OLD = { a: 'old a', gone: 'will go' };

async function fill(client: NokvClient): Promise<void> {
  await client.mkdir('/t');
  for (const [name, text] of Object.entries(OLD)) await client.put(`/t/${name}`, text);
}

/** Replaces a small body, makes a small and a large file, removes another. */
function commit(client: NokvClient, id: RequestId) {
  return client.transaction().put('/t/a', 'new a').put('/t/b', 'new b').put('/t/c', big).unlink('/t/gone').commit({ requestId: id });
}

/** `none` or `all`; anything between fails. */
async function state(client: NokvClient): Promise<'none' | 'all'> {
  const names = (await client.listPage('/t')).entries.map(({ name }) => name);
  const a = await (await client.get('/t/a')).text();
  if (a === OLD.a) {
    expect(names).toEqual(['a', 'gone']);
    return 'none';
  }
  expect(a).toBe('new a');
  expect(names).toEqual(['a', 'b', 'c']);
  expect(await digestOf(client, '/t/c')).toBe(sha256(big));
  const generations = await Promise.all(['a', 'b', 'c'].map(async (name) => (await client.stat(`/t/${name}`)).generation));
  expect(new Set(generations).size).toBe(1);
  return 'all';
}

/** Where the server is killed, and what may be there when it comes back; the client then asks again under its id. */
const STEPS = [
  ['after-begin-upload', ['none']],
  ['before-transact-commit', ['none']],
  ['before-commit', ['none']],
  ['before-flush', ['none', 'all']],
  ['after-transact-commit', ['all']],
  ['after-commit-before-reply', ['all']],
] as const;

for (const [failpoint, possible] of STEPS) {
  it(`killed at ${failpoint}: ${possible.join(' or ')}, and all once it is asked again`, { timeout: 60_000 }, async () => {
    const healthy = await start();
    const address = { listen: healthy.rpc, http: healthy.http };
    const client = await connect({ address: healthy.rpc, timeoutMs: 30_000 });
    await fill(client);
    expect(await healthy.terminate()).toBe(0);
    // A failpoint on every commit would meet the begin of the upload first; the upload is begun by a healthy server then.
    const isOfCommits = failpoint === 'before-commit' || failpoint === 'before-flush' || failpoint === 'after-commit-before-reply';
    const id = requestId(`transaction-${failpoint}`);
    let staged: StagedBody | undefined;
    if (isOfCommits) {
      const between = await start(address);
      staged = await client.stage(big);
      expect(await between.terminate()).toBe(0);
    }
    const transact = () =>
      staged === undefined
        ? commit(client, id)
        : client.transaction().put('/t/a', 'new a').put('/t/b', 'new b').put('/t/c', staged).unlink('/t/gone').commit({ requestId: id });
    const doomed = await start({ ...address, env: { NOKV_FAILPOINTS: `${failpoint}=crash` } });
    const first = transact().catch((error: unknown) => error);
    await doomed.exited;
    const looking = await start(address);
    const reader = await connect({ address: looking.rpc });
    const outcome = await first;
    if (isNokvError(outcome)) expect(possible).toContain(await state(reader));
    const again = await transact();
    if (!isNokvError(outcome)) expect(again).toEqual(outcome);
    expect(await state(reader)).toBe('all');
    expect((await reader.stat('/t/b')).generation).toBe(again.version);
    await reader.close();
    await client.close();
  });
}

it('killed at any moment of many transactions: each of them is there whole, or not at all', { timeout: 120_000 }, async () => {
  const ROUNDS = 5;
  let server = await start();
  const address = { listen: server.rpc, http: server.http };
  const acknowledged: number[] = [];
  let next = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const client = await connect({ address: server.rpc, timeoutMs: 5000 });
    if (round === 0) await client.mkdir('/many');
    const target = acknowledged.length + 20 + round * 7;
    let isKilled = false;
    const work = Array.from({ length: 16 }, async () => {
      for (;;) {
        const n = next++;
        const list = client.transaction();
        for (const part of ['a', 'b', 'c']) list.put(`/many/${n}-${part}`, `${n}`);
        // The fourth removes what the transaction of 16 before made, when that is there.
        if (acknowledged.includes(n - 16)) list.unlink(`/many/${n - 16}-a`);
        try {
          await list.commit({ timeoutMs: 1000 });
          acknowledged.push(n);
        } catch (error) {
          // What is not acknowledged may be there or not, whole either way.
          if (!isNokvError(error)) throw error;
          if (isKilled) return;
        }
      }
    });
    while (acknowledged.length < target) await new Promise((resolve) => setTimeout(resolve, 1));
    isKilled = true;
    await server.kill();
    await Promise.all(work);
    await client.close();
    server = await start(address);
    const reader = await connect({ address: server.rpc });
    const names = new Set<string>();
    for await (const { name } of reader.list('/many')) names.add(name);
    for (let n = 0; n < next; n++) {
      const [b, c] = [names.has(`${n}-b`), names.has(`${n}-c`)];
      expect([n, b]).toEqual([n, c]);
      if (acknowledged.includes(n)) expect([n, b]).toEqual([n, true]);
      // Its first file went with the later transaction, and with nothing else.
      if (names.has(`${n}-a`) !== b) expect([n, names.has(`${n + 16}-b`)]).toEqual([n, true]);
      if (names.has(`${n}-a`)) expect([n, b]).toEqual([n, true]);
    }
    await reader.close();
  }
});
