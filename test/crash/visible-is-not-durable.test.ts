/**
 * A real server is killed between its reply that something is visible and the moment when that would have been durable. What it may
 * have lost is never called durable, however far above the next server's versions are; what is known to have survived is.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { ID_RANDOM_BYTES, makeRequestId, systemRandom, type RequestId, type Version } from '@nokv/types';
import { readMetric, startServerProcess, until, type ServerProcess } from '../services/server.js';

/** Commits are shown and never reach the store. */
const HELD = { NOKV_FAILPOINTS: 'before-commit=delay:3600000' };

let data: string;
let server: ServerProcess;
let client: NokvClient;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-visible-'));
});
afterEach(async () => {
  await client.close();
  await server.kill();
  await rm(data, { recursive: true, force: true });
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
  server = await startServerProcess({ data, logLevel: 'warn', env });
  client = await connect({ address: server.rpc, timeoutMs: 30_000 });
}

/** kill -9, and another process on the same data and address. */
async function killAndRestart(env: Readonly<Record<string, string>> = {}): Promise<void> {
  const { rpc, http } = server;
  await server.kill();
  server = await startServerProcess({ data, logLevel: 'warn', listen: rpc, http, env });
}

const freshRequest = (): RequestId => makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));

async function mkdir(path: string, requestId: RequestId): Promise<Version> {
  const args = { entry: { path: Buffer.from(path) }, mode: 0o755, uid: 0, gid: 0 };
  return (await client.metadata.mutate('mkdir', args, { acknowledgement: 'visible', requestId })).version;
}

const isThere = (path: string, visible = false): Promise<boolean> =>
  client.metadata.read('stat', { node: { path: Buffer.from(path) } }, { visible }).then(
    () => true,
    () => false,
  );

const maybeLost = { code: 'connection-lost', outcome: 'unknown', message: expect.stringMatching(/started anew.*request id/) as string };

it('does not call durable what was lost with the server, and does once it was sent again', { timeout: 60_000 }, async () => {
  await start(HELD);
  const request = freshRequest();
  const shown = await mkdir('/lost', request);
  expect(await isThere('/lost', true)).toBe(true);
  const waiting = client.metadata.durable(shown).then(
    () => 'resolved',
    (error: unknown) => error,
  );
  await killAndRestart();
  expect(await waiting).toMatchObject(maybeLost);
  expect(await isThere('/lost')).toBe(false);

  // The server announces versions far above: they say nothing about the one that was lost.
  await client.mkdir('/other');
  expect(client.metadata.durableVersion).toBeGreaterThan(shown);
  await expect(client.metadata.durable(shown)).rejects.toMatchObject(maybeLost);

  const again = await mkdir('/lost', request);
  expect(again).toBeGreaterThan(shown);
  await client.metadata.durable(again);
  expect(await isThere('/lost')).toBe(true);
  await expect(client.metadata.durable(shown)).rejects.toMatchObject(maybeLost);
});

it('keeps to that when several servers followed, the last of which is the first that the client meets', { timeout: 60_000 }, async () => {
  await start(HELD);
  const shown = await mkdir('/lost', freshRequest());
  await killAndRestart();
  await killAndRestart();
  await expect(client.metadata.durable(shown)).rejects.toMatchObject(maybeLost);
  expect(await isThere('/lost')).toBe(false);
});

it('still says so of what was durable before the server was killed', { timeout: 60_000 }, async () => {
  await start();
  const shown = await mkdir('/kept', freshRequest());
  await client.metadata.durable(shown);
  await killAndRestart(HELD);
  const held = await mkdir('/held', freshRequest());
  await killAndRestart();
  await expect(client.metadata.durable(held)).rejects.toMatchObject(maybeLost);
  await client.metadata.durable(shown);
  expect(await isThere('/kept')).toBe(true);
});

it('learns by sending it again that a change survived which it had not heard of', { timeout: 60_000 }, async () => {
  await start();
  const request = freshRequest();
  const shown = await mkdir('/survives', request);
  await until('the flush', async () => (await readMetric(server.http, 'nokv_shard_durable_version')) >= shown);
  await killAndRestart();
  expect(await isThere('/survives')).toBe(true);
  await expect(client.metadata.durable(shown)).rejects.toMatchObject(maybeLost);
  expect(await mkdir('/survives', request)).toBe(shown);
  await client.metadata.durable(shown);
});
