/** The S3 adapter against a second real server, in the long tests: what passes on one server alone tests that server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { admissionProbe, blocksOf, examineStore, openS3Store } from '@nokv/object';
import { blockStoreConformance, objectStoreConformance, s3FaultConformance } from '@nokv/object/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { nokv, startCliServer } from '../e2e/cli-runner.js';
import { startCephRgw } from '../services/ceph-rgw.js';
import { startFaultyS3 } from '../services/s3-fault-proxy.js';

const running = startCephRgw();
running.catch(() => undefined); // Shown by the first test that awaits it.

describe('Ceph', { timeout: 120_000 }, () => {
  afterAll(async () => (await running).stop(), 60_000);

  for (const client of ['lean', 'sdk'] as const) {
    objectStoreConformance(`S3 (Ceph), ${client} client`, async () => {
      const { url, env } = await running;
      return { store: await openS3Store(url, { env, client }) };
    });
  }
  blockStoreConformance('over S3 (Ceph)', async () => {
    const { url, env } = await running;
    return { blocks: blocksOf(await openS3Store(url, { env })) };
  });

  test('is admitted and left empty; that it keeps no checksums is told', async () => {
    const { url, env } = await running;
    const store = await openS3Store(url, { env });
    expect(Object.values(await admissionProbe(store))).toEqual([true, true, true, true, true]);
    const findings: string[] = [];
    for await (const { capability, result } of examineStore(store)) findings.push(`${capability} ${result}`);
    expect(findings).toContain('one-winner there');
    expect(findings).toContain('checksums lacking');
    expect((await store.list('', { limit: 10 })).objects).toEqual([]);
    await store.close();
  });

  test('serves a server and its clients, with keys and without', async () => {
    const { url, env } = await running;
    const directory = await mkdtemp(join(tmpdir(), 'nokv-ceph-tree-'));
    try {
      await using server = await startCliServer({ data: join(directory, 'data'), flags: ['--object', url], env });
      const body = 'x'.repeat(9_000_000);
      for (const [path, more] of [
        ['/with', env],
        ['/without', { HOME: '/nonexistent' }],
      ] as const) {
        await server.must(['put', '-', path], { input: body, env: more });
        expect((await server.must(['cat', path], { env: more })) === body).toBe(true);
      }
      expect((await nokv(['doctor', '--object', url], { env })).code).toBe(0);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  s3FaultConformance('Ceph', 'lean', () => startFaultyS3(startCephRgw));
});
