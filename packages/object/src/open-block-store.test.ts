import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeUploadId, type BlockAccess } from '@nokv/types';
import { afterEach, expect, test, vi } from 'vitest';
import { crc32c } from './block-checksum.js';
import { openFileStore } from './file/file-object-store.js';
import { claimNamespace } from './namespace-marker.js';
import { openBlockStore } from './open-block-store.js';
import { openS3Store } from './s3/s3-object-store.js';
import { startS3Double, type S3Double } from './testing/index.js';

const doubles: S3Double[] = [];
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const noEnv = { HOME: '/nonexistent' };
const keys = { ...noEnv, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
const proxied: BlockAccess = { kind: 'proxied', url: 'http://127.0.0.1:9/objects', readToken: 't', expiresAtMs: Number.MAX_SAFE_INTEGER };

async function fileWay(): Promise<BlockAccess & { kind: 'file' }> {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-way-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return { kind: 'file', directory, marker: await claimNamespace(await openFileStore(directory)) };
}

async function s3Way(): Promise<BlockAccess & { kind: 's3' }> {
  const double = await startS3Double();
  doubles.push(double);
  cleanups.push(() => double.stop());
  const store = await openS3Store(double.url, { env: keys });
  const marker = await claimNamespace(store);
  await store.close();
  return { kind: 's3', endpoint: double.endpoint, region: 'us-east-1', bucket: 'double', prefix: 'some/prefix', pathStyle: true, marker };
}

async function chosen(ways: readonly BlockAccess[], env: Readonly<Record<string, string>> = noEnv): Promise<string> {
  const blocks = await openBlockStore(ways, { env });
  cleanups.push(() => blocks.close());
  return blocks.description.slice(0, 5);
}

test('the store’s directory is used where it can be, and blocks go both ways', async () => {
  const way = await fileWay();
  const blocks = await openBlockStore([way, proxied], { env: noEnv });
  const upload = makeUploadId(1, randomBytes(10));
  const bytes = randomBytes(1000);
  await blocks.putBlock(upload, 0, bytes, { crc32c: crc32c(bytes) });
  expect(Buffer.compare(await blocks.getBlock(upload, 0, 0, 1000), bytes)).toBe(0);
});

test('a directory that is not there, or is another namespace’s, is passed over', async () => {
  const way = await fileWay();
  expect(await chosen([way, proxied])).toBe('file:');
  expect(await chosen([{ ...way, marker: '0'.repeat(32) }, proxied])).toBe('block');
  expect(await chosen([{ ...way, directory: join(way.directory, 'none') }, proxied])).toBe('block');
});

test('the bucket is used only with keys of one’s own and the right marker', async () => {
  const way = await s3Way();
  expect(await chosen([way, proxied], keys)).toBe('s3://');
  expect(await chosen([way, proxied], noEnv)).toBe('block');
  expect(await chosen([{ ...way, marker: '0'.repeat(32) }, proxied], keys)).toBe('block');
  expect(await chosen([{ ...way, endpoint: 'http://127.0.0.1:9' }, proxied], keys)).toBe('block');
});

test('when no way works the error says why for each', async () => {
  const way = await fileWay();
  const ways = [{ ...way, marker: '0'.repeat(32) }, await s3Way()];
  await expect(openBlockStore(ways, { env: noEnv })).rejects.toMatchObject({
    code: 'store-unavailable',
    message: expect.stringMatching(/file: .*marker.*s3: .*credentials/),
  });
  await expect(openBlockStore([], { env: noEnv })).rejects.toMatchObject({ code: 'store-unavailable' });
});

test('a read token that is about to expire is renewed before it is used, once for all who wait', async () => {
  let renewals = 0;
  const renew = async (): Promise<readonly BlockAccess[]> => {
    renewals += 1;
    return [{ ...proxied, readToken: 'fresh' }];
  };
  const blocks = await openBlockStore([{ ...proxied, expiresAtMs: 1 }], { env: noEnv, renew });
  cleanups.push(() => blocks.close());
  const abort = AbortSignal.timeout(200);
  const upload = makeUploadId(1, randomBytes(10));
  await Promise.all([0, 1, 2].map((index) => blocks.getBlock(upload, index, 0, 1, { signal: abort }).catch(() => undefined)));
  expect(renewals).toBe(1);
});

test('an opening that is given up ends at once and tries no other way', async () => {
  const way = await s3Way();
  const double = doubles.at(-1);
  double?.inject({ method: 'GET', times: 100, effect: { kind: 'hang' } });
  const abort = new AbortController();
  const opening = openBlockStore([way, proxied], { env: keys, signal: abort.signal });
  const before = double?.requests.length ?? 0;
  await vi.waitFor(() => expect(double?.requests.length).toBeGreaterThan(before));
  abort.abort();
  await expect(opening).rejects.toMatchObject({ code: 'cancelled' });
});
