/** docs/fleet.md as a person follows it: two `nokv serve` on one etcd and one store, a client that knows both, a kill -9. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { startEtcd, type Etcd } from '../services/etcd.js';
import { isReady, until } from '../services/server.js';
import { nokv, startCliServer } from './cli-runner.js';

let etcd: Etcd;
let directory: string;
beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(async () => await etcd.stop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-fleet-'));
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

it('a standby says so, serves when the owner is killed, and the same command finds it', { timeout: 60_000 }, async () => {
  const flags = ['--durability', 'shared', '--control', `etcd://${etcd.endpoint}/prod`, '--object', `file://${join(directory, 'store')}`];
  const start = (name: string) =>
    startCliServer({ data: join(directory, name), flags: [...flags, '--lease-ttl', '2s', '--node-id', name] });
  await using owner = await start('a');
  await using standby = await start('b');
  checkSchema('serve-ready', owner.ready);
  checkSchema('serve-ready', standby.ready);
  expect([owner.ready, standby.ready]).toMatchObject([{ state: 'serving' }, { state: 'standby' }]);
  expect((await fetch(`http://${standby.http}/readyz`)).status).toBe(503);
  expect((await fetch(`http://${standby.http}/healthz`)).status).toBe(200);
  const page = await fetch(`http://${standby.http}/metrics`);
  expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('nokv_shard_serving{shard="0"} 0')]);

  // One that stands by has nothing to finish.
  await using third = await start('c');
  expect(await third.end('SIGTERM')).toBe(0);

  const both = ['--server', `${standby.rpc},${owner.rpc}`];
  const must = async (words: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await nokv([...words, ...both], input === undefined ? {} : { input });
    expect(stderr).toBe('');
    expect(code).toBe(0);
    return stdout;
  };
  await must(['put', '-', '/kept'], 'acknowledged');
  await owner.end('SIGKILL');
  await until('the standby serves', () => isReady(standby.http));
  expect(await must(['cat', '/kept'])).toBe('acknowledged');
  await must(['put', '-', '/after'], 'x');
  expect((await must(['ls', '/'])).split('\n').filter((line) => line !== '')).toHaveLength(2);
});
