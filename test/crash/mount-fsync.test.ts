/**
 * A mount works on what is visible. Its server is killed before any of that is durable: an fsync that waits, and one that comes later,
 * succeed only once everything is made again and durable, as a second kill shows.
 */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startMounted, type Mounted } from '../e2e/fuse-mounted.js';
import { startServerProcess, until } from '../services/server.js';

/** Commits are shown and never reach the store. */
const HELD = { NOKV_FAILPOINTS: 'before-commit=delay:3600000' };

let mounted: Mounted;
beforeEach(async () => {
  mounted = await startMounted({ env: HELD });
});
afterEach(async () => await mounted?.close());

async function killAndRestart(): Promise<void> {
  const { rpc, http, data } = mounted.server;
  await mounted.server.kill();
  mounted.server = await startServerProcess({ data, logLevel: 'warn', listen: rpc, http });
}

const textOf = async (path: string): Promise<string> => (await mounted.client.get(path)).text();

it('an fsync over a kill -9 of the server is kept', { timeout: 90_000 }, async () => {
  const { directory } = await mounted.mount();
  await fs.mkdir(join(directory, 'd'));
  await fs.writeFile(join(directory, 'd/closed'), 'closed and not synced');
  const file = await fs.open(join(directory, 'd/synced'), 'w');
  let isSynced = false;
  try {
    await file.write('synced');
    const sync = file.sync().then(() => (isSynced = true));
    const node = { path: Buffer.from('/d/synced') };
    const seen = async () => (await mounted.client.metadata.read('stat', { node }, { visible: true })).size === 6;
    await until('the published file to be visible', seen);
    expect(isSynced).toBe(false);
    await killAndRestart();
    await sync;
    await killAndRestart();
    expect(await textOf('/d/synced')).toBe('synced');
    expect(await textOf('/d/closed')).toBe('closed and not synced');
    // The file that was open all the time goes on.
    await file.write(' twice', 6);
    await file.sync();
    await killAndRestart();
    expect(await textOf('/d/synced')).toBe('synced twice');
  } finally {
    await file.close();
  }
});
