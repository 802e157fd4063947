/** A server whose disk fails stops by itself and says why; clients are not told of anything as durable that is not. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { startServer, type RunningServer } from '@nokv/server';
import { isNokvError } from '@nokv/types';

let data: string;
let server: RunningServer;
let client: NokvClient;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-failed-'));
});
afterEach(async () => {
  await client.close();
  await server.stop(0);
  await rm(data, { recursive: true, force: true });
});

async function start(failpoints: string): Promise<void> {
  const address = { listen: '127.0.0.1:0', http: '127.0.0.1:0' };
  const rest = { object: undefined, control: 'embedded:', durability: 'local', nodeId: undefined, leaseTtlMs: 3000 } as const;
  const env = { NODE_ENV: 'test', NOKV_FAILPOINTS: failpoints };
  server = await startServer({ data, ...address, ...rest, logLevel: 'silent' }, { env });
  client = await connect({ address: server.rpc, timeoutMs: 1500 });
}

const root = { entry: { path: Buffer.from('/d') }, mode: 0o755, uid: 0, gid: 0 };

it('says that it failed when the metadata cannot be flushed, and stops without waiting for what never comes', async () => {
  await start('before-flush=error');
  const outcome = await client.metadata.mutate('mkdir', root).catch((error: unknown) => error);
  expect(isNokvError(outcome) && outcome.outcome).toBe('unknown');
  expect(await server.failed).toMatchObject({ message: expect.stringMatching(/could not be flushed.*start the server again/) as string });
  const begun = performance.now();
  await server.stop(60_000);
  expect(performance.now() - begun).toBeLessThan(20_000);
});

it('says that it failed when it loses what it has shown, and serves nobody any more', async () => {
  await start('before-commit=error');
  const { version } = await client.metadata.mutate('mkdir', root, { acknowledgement: 'visible' });
  const durable = client.metadata.durable(version).catch((error: unknown) => error);
  expect(await server.failed).toMatchObject({ message: expect.stringContaining('shown and could not be made durable') as string });
  expect(isNokvError(await durable)).toBe(true);
  expect(client.metadata.durableVersion).toBeLessThan(version);
  const stat = await client.metadata.read('stat', { node: { path: Buffer.from('/') } }).catch((error: unknown) => error);
  expect(isNokvError(stat) && stat.kind).toBe('unavailable');
});
