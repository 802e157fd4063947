/**
 * kill -9 of the server or of the client at every step of a publish: readers find the old body or the new one, a check of the shard and
 * its store finds nothing, and once everything that was left has come due the store has the blocks of the current body and no others.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { BLOCK_BYTES_DEFAULT, ID_RANDOM_BYTES, isNokvError, makeRequestId, systemRandom } from '@nokv/types';
import { blocksNamedBy, findingsOf } from '../services/known-blocks.js';
import { startServerProcess, until, type ServerProcess } from '../services/server.js';
import { keysOfDirectory } from '../services/store-keys.js';
import { bodyFor, digestOf, sha256 } from './bodies.js';

const isLong = process.env['NOKV_TEST_LONG'] === '1';
/** Where a put of two blocks through the server passes, in this order, and how often before the step that is meant. */
const STEPS = [
  'before-commit=crash:1',
  'before-flush=crash:1',
  'after-begin-upload=crash',
  'before-block-put=crash:1',
  'after-block-put=crash:1',
  'before-block-put=crash:2',
  'after-block-put=crash:2',
  'before-publish-verification=crash',
  'before-publish-commit=crash',
  'before-commit=crash:2',
  'before-flush=crash:2',
  'after-publish-commit=crash',
  'after-commit-before-reply=crash:1',
  'after-commit-before-reply=crash:2',
] as const;
const STEPS_SHORT: readonly string[] = ['after-block-put=crash:1', 'before-flush=crash:2', 'after-publish-commit=crash'];

let data: string;
const servers: ServerProcess[] = [];
const clients: NokvClient[] = [];
const children: ChildProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-steps-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startServerProcess>[0]> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, logLevel: 'warn', uploadGraceMs: 100, ...options });
  servers.push(server);
  return server;
}

async function client(of: ServerProcess): Promise<NokvClient> {
  const opened = await connect({ address: of.rpc, timeoutMs: 60_000, ways: ['proxied'] });
  clients.push(opened);
  return opened;
}

const SIZE = BLOCK_BYTES_DEFAULT + 1000;
const keys = (): Promise<string[]> => keysOfDirectory(join(data, 'objects'), 'blocks/');

/** Two days later, on a server that was started then: nothing but the current body is left. */
async function expectOnlyCurrent(last: ServerProcess, path: string): Promise<void> {
  // Superseded bodies go now, so that their blocks are due two days later.
  const before = await client(last);
  await until('no superseded body', async () =>
    (await before.collect({ dryRun: false, limit: 1000 })).rows.every(({ kind }) => kind !== 'body'),
  );
  await last.terminate();
  const later = await start({ env: { NOKV_TEST_HOURS_AHEAD: '48' } });
  const reader = await client(later);
  const wanted = (await blocksNamedBy(reader, path)).sort();
  await until('the store to have the current body alone', async () => JSON.stringify(await keys()) === JSON.stringify(wanted)).catch(
    async () => expect(await keys()).toEqual(wanted),
  );
  expect(await findingsOf(reader)).toEqual([]);
}

it('the server dies at each step of a publish', { timeout: isLong ? 900_000 : 180_000 }, async () => {
  let server = await start();
  const address = { listen: server.rpc, http: server.http };
  const one = await client(server);
  await one.mkdir('/d');
  await one.retention.set('/d', { keepLast: 0, keepMs: 0 });
  let current = bodyFor('start', SIZE);
  await one.put('/d/body', current);
  for (const step of isLong ? STEPS : STEPS_SHORT) {
    await server.terminate();
    const doomed = await start({ ...address, env: { NOKV_FAILPOINTS: step } });
    const next = bodyFor(step, SIZE);
    const put = one.put('/d/body', next, { requestId: makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES)) });
    const outcome = put.catch((error: unknown) => error);
    await doomed.exited;
    server = await start(address);
    // The client goes on under its request id; the next server answers.
    const answer = await outcome;
    const digest = await digestOf(one, '/d/body');
    if (isNokvError(answer)) expect([sha256(current), sha256(next)], step).toContain(digest);
    else expect(digest, step).toBe(sha256(next));
    expect(await findingsOf(one), step).toEqual([]);
    if (digest === sha256(next)) current = next;
  }
  await expectOnlyCurrent(server, '/d/body');
});

/** A client process; resolves once it was killed where `where` says so, or had its answer. */
async function putAndDie(server: ServerProcess, seed: string, where: { stop: string } | { failpoint: string; nth: number }): Promise<void> {
  const script = fileURLToPath(new URL('./put-and-die.mjs', import.meta.url));
  const file = join(data, 'body');
  await writeFile(file, bodyFor(seed, SIZE));
  const args = [script, server.rpc, '/d/body', file, 'proxied', ...('stop' in where ? [where.stop] : [])];
  const seenBefore = 'stop' in where ? 0 : hitsOf(server, where.failpoint);
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const exited = once(child, 'exit');
  if ('stop' in where) await Promise.race([once(child.stdout, 'data'), exited]);
  else await until(`the step ${where.failpoint}`, async () => hitsOf(server, where.failpoint) >= seenBefore + where.nth);
  child.kill('SIGKILL');
  await exited;
}

function hitsOf(server: ServerProcess, failpoint: string): number {
  return server.log().split(`failpoint ${failpoint}\n`).length - 1;
}

it('the client dies at each step of a publish, and nothing of what it sent stays', { timeout: isLong ? 900_000 : 180_000 }, async () => {
  const names = isLong ? [...new Set(STEPS.map((step) => step.slice(0, step.indexOf('='))))] : ['after-block-put', 'before-publish-commit'];
  const server = await start({ env: { NOKV_FAILPOINTS: names.map((name) => `${name}=delay:150`).join(',') } });
  const one = await client(server);
  await one.mkdir('/d');
  await one.retention.set('/d', { keepLast: 0, keepMs: 0 });
  let current = sha256(bodyFor('start', SIZE));
  await one.put('/d/body', bodyFor('start', SIZE));
  const baseline = await keys();
  const everywhere = [
    { stop: 'begin' },
    { stop: 'middle' },
    { stop: 'staged' },
    ...names.flatMap((failpoint) => [
      { failpoint, nth: 1 },
      { failpoint, nth: 2 },
    ]),
  ].filter((where) => !('failpoint' in where) || where.nth === 1 || STEPS.some((step) => step === `${where.failpoint}=crash:2`));
  const short = [{ stop: 'middle' }, { failpoint: 'after-block-put', nth: 2 }, { failpoint: 'before-publish-commit', nth: 1 }];
  for (const where of isLong ? everywhere : short) {
    const seed = JSON.stringify(where);
    await putAndDie(server, seed, where);
    // What had reached the server is finished there.
    let digest = '';
    await until('nothing more to happen', async () => {
      const before = digest;
      digest = await digestOf(one, '/d/body');
      return digest === before;
    });
    expect([current, sha256(bodyFor(seed, SIZE))], seed).toContain(digest);
    current = digest;
  }
  expect((await keys()).length).toBeGreaterThan(baseline.length);
  expect(await findingsOf(one)).toEqual([]);
  await expectOnlyCurrent(server, '/d/body');
  expect((await keys()).length).toBe(baseline.length);
});
