/** What a dead client left in the store is swept after its upload expired; what was published stays. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import { startServerProcess, until, type ServerProcess } from '../services/server.js';
import { bodyFor, digestOf, sha256 } from './bodies.js';

let data: string;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-ledger-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, logLevel: 'warn', uploadGraceMs: 100, env });
  servers.push(server);
  return server;
}

async function keyCount(): Promise<number> {
  const entries = await readdir(join(data, 'objects'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

/** A client process that sends three blocks and is killed with its upload unpublished. */
async function uploadAndDie(rpc: string, ttlMs: number): Promise<void> {
  const script = fileURLToPath(new URL('./upload-and-die.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, rpc, String(ttlMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  child.kill('SIGKILL');
  await exited;
}

it('brings the key count back to the baseline after a client was killed in the middle of an upload', { timeout: 60_000 }, async () => {
  const server = await start();
  const client = await connect({ address: server.rpc });
  const body = bodyFor('kept', 300_000);
  await client.put('/kept', body);
  const baseline = await keyCount();
  await uploadAndDie(server.rpc, 1500);
  expect(await keyCount()).toBe(baseline + 3);
  await until('the sweep of the expired upload', async () => (await keyCount()) === baseline);
  expect(await digestOf(client, '/kept')).toBe(sha256(body));
  await client.close();
});

it('sweeps after a restart what expired while no server ran', { timeout: 60_000 }, async () => {
  const server = await start();
  const baseline = await keyCount();
  await uploadAndDie(server.rpc, 300);
  await server.kill();
  expect(await keyCount()).toBeGreaterThan(baseline);
  await start();
  await until('the sweep after the restart', async () => (await keyCount()) === baseline);
});

it('finishes what a server that died in its sweep had begun, before or after the blocks were gone', { timeout: 120_000 }, async () => {
  let baseline = -1;
  for (const [failpoint, left] of [
    ['before-remove-blocks', 3],
    ['after-remove-blocks', 0],
  ] as const) {
    const doomed = await start({ NOKV_FAILPOINTS: `${failpoint}=crash` });
    if (baseline < 0) baseline = await keyCount();
    await uploadAndDie(doomed.rpc, 300);
    await doomed.exited;
    expect(await keyCount(), failpoint).toBe(baseline + left);
    const server = await start();
    await using client = await connect({ address: server.rpc });
    await until('the end of the sweep', async () => (await client.collect({ dryRun: true })).rows.length === 0);
    expect(await keyCount(), failpoint).toBe(baseline);
    await server.terminate();
  }
});

it('refuses to publish from an upload that has ended, and shows nothing of it', { timeout: 60_000 }, async () => {
  const server = await start();
  const client = await connect({ address: server.rpc });
  const staged = await client.stage(bodyFor('late', 100_000));
  await client.discard(staged);
  const refused = await client.publish('/late', staged).catch((error: unknown) => error);
  expect(isNokvError(refused) && refused.code).toMatch(/^(no-upload|bad-upload)$/);
  expect(await client.exists('/late')).toBe(false);
  await client.close();
});
