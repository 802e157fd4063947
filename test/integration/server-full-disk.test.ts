/** The disk under a server runs full: typed errors, nothing acknowledged is lost, and it goes on when there is room again. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import { bodyFor, whichBody } from '../crash/bodies.js';
import { isReady, startServerProcess, type ServerProcess } from '../services/server.js';

const run = promisify(execFile);
const DISK_BYTES = 24 * 1024 * 1024;
const BALLAST_BYTES = 8 * 1024 * 1024;
const isRoot = process.getuid?.() === 0;

let disk: string;
let server: ServerProcess | undefined;
beforeEach(async () => {
  disk = await mkdtemp(join(tmpdir(), 'nokv-disk-'));
  if (isRoot) await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'nokv-test', disk]);
});
afterEach(async () => {
  await server?.kill();
  if (isRoot) await run('umount', ['-l', disk]);
  await rm(disk, { recursive: true, force: true });
});

it('refuses with no-space, keeps what it acknowledged, and goes on when there is room again', { timeout: 120_000 }, async ({ skip }) => {
  if (!isRoot) return skip('a small disk is a tmpfs, and only root may mount one');
  await writeFile(join(disk, 'ballast'), Buffer.alloc(BALLAST_BYTES, 1));
  server = await startServerProcess({ data: join(disk, 'data'), logLevel: 'warn' });
  const client = await connect({ address: server.rpc, timeoutMs: 5000 });

  const tooBig = await client.put('/too-big', bodyFor('too-big', DISK_BYTES)).catch((error: unknown) => error);
  expect(isNokvError(tooBig, 'no-space')).toBe(true);
  expect(await client.exists('/too-big')).toBe(false);

  const body = (i: number): Uint8Array => bodyFor(`/f${i}`, 16_000);
  let acknowledged = 0;
  let refusal: unknown;
  while (refusal === undefined) {
    await client.put(`/f${acknowledged}`, body(acknowledged)).then(
      () => (acknowledged += 1),
      (error: unknown) => (refusal = error),
    );
  }
  expect(isNokvError(refusal, 'no-space')).toBe(true);
  expect(isNokvError(refusal) && refusal.outcome).toBe('not-applied');
  expect(await client.exists(`/f${acknowledged}`)).toBe(false);
  for (let i = 0; i < acknowledged; i += 1) expect(await whichBody(client, `/f${i}`, [body(i)])).toBe(0);

  await rm(join(disk, 'ballast'));
  expect(await isReady(server.http)).toBe(true);
  await client.put('/after', body(-1));
  await client.close();

  // The same after a restart: what was acknowledged is on the disk, and what was refused is not.
  await server.kill();
  server = await startServerProcess({ data: join(disk, 'data'), logLevel: 'warn' });
  const again = await connect({ address: server.rpc, timeoutMs: 5000 });
  for (let i = 0; i < acknowledged; i += 1) expect(await whichBody(again, `/f${i}`, [body(i)])).toBe(0);
  expect(await again.exists(`/f${acknowledged}`)).toBe(false);
  expect(await whichBody(again, '/after', [body(-1)])).toBe(0);
  await again.close();
});
