/** `nokv status` and the metrics beside it: who answers, and how the store is while it is there and while it is not. */
import { checkSchema } from '@nokv/cli/testing';
import { startS3Double, type S3Double } from '@nokv/object/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { readMetric, until } from '../services/server.js';
import { nokv, startCliServer } from './cli-runner.js';

const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
interface Status {
  readonly isServing: boolean;
  readonly store: { readonly circuit: string; readonly opened: number; readonly failure?: string };
}

let double: S3Double | undefined;
afterEach(() => double?.stop());

describe('nokv status', () => {
  it('names the server, its shard and its store', async () => {
    await using server = await startCliServer();
    const [status] = await server.json(['status']);
    checkSchema('status', status);
    expect(status).toMatchObject({
      isServing: true,
      durability: 'local',
      pid: server.pid,
      http: server.http,
      shards: [{ shard: 0, epoch: expect.any(Number) as number }],
      store: { description: `file://${server.data}/objects`, circuit: 'closed' },
    });
    const text = await server.must(['status']);
    for (const line of [/^server +nokv\/\d/, /^serving +yes$/, /^shard 0 +epoch \d+; version \d+ visible/, /^circuit +closed for \d/])
      expect(text).toMatch(new RegExp(line.source, 'm'));
    expect(await readMetric(server.http, 'nokv_store_circuit', 'state="closed"')).toBe(1);
  });

  it('shows a circuit that opens while the store fails and closes once it is back', { timeout: 60_000 }, async () => {
    const store = await startS3Double();
    double = store;
    await using server = await startCliServer({ flags: ['--object', store.url], env });
    const look = async (): Promise<Status> => (await server.json(['status']))[0] as Status;
    expect(await look()).toMatchObject({ isServing: true, store: { circuit: 'closed', opened: 0 } });
    const down = { kind: 'status', status: 503, code: 'ServiceUnavailable' } as const;
    for (const method of ['PUT', 'GET', 'HEAD'] as const) store.inject({ method, times: 1_000_000, effect: down });
    // Without keys of its own the client goes through the server, whose store it is then that fails.
    const putting = server.run(['put', '-', '/f', '--timeout', '4s'], { input: 'x'.repeat(100_000), env: { HOME: '/nonexistent' } });
    const failing = await until('an open circuit', async () => {
      const seen = await look();
      return seen.store.circuit !== 'closed' && seen;
    });
    checkSchema('status', failing);
    expect(failing).toMatchObject({ isServing: true, store: { opened: 1, failure: expect.stringContaining('503') as string } });
    expect(await readMetric(server.http, 'nokv_store_circuit', 'state="closed"')).toBe(0);
    expect(await readMetric(server.http, 'nokv_store_retries_total')).toBeGreaterThan(0);
    // Blocks may or may not be there; the file is not, and that is known.
    expect((await putting).code).toBe(9);
    expect((await server.run(['stat', '/f'])).code).toBe(3);
    // Metadata does not need the store.
    await server.must(['mkdir', '/meanwhile']);
    store.healed();
    await server.must(['put', '-', '/f'], { input: 'x'.repeat(100_000), env: { HOME: '/nonexistent' } });
    expect(await look()).toMatchObject({ store: { circuit: 'closed', opened: 1 } });
    expect(await readMetric(server.http, 'nokv_store_circuit', 'state="closed"')).toBe(1);
  });

  it('says that nobody answers', async () => {
    const { code, stderr } = await nokv(['status', '--server', '127.0.0.1:9']);
    expect(code).toBe(9);
    expect(stderr).toMatch(/127\.0\.0\.1:9/);
  });
});
