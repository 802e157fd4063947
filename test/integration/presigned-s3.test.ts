/** Presigned URLs on a real server: they do what they were signed for, once, until they expire, and nothing else. */
import { openS3Store, type PresignedRequest, type S3Store } from '@nokv/object';
import { systemClock } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startS3, type S3Service } from '../services/s3.js';

const CHECK_CRC32C = 0xe3069283; // of "123456789"
const BYTES = Buffer.from('123456789');
const TTL_MS = 60_000;

let service: S3Service;
let store: S3Store;
beforeAll(async () => {
  service = await startS3();
  store = await openS3Store(service.url, { env: service.env });
}, 600_000);
afterAll(async () => {
  await store?.close();
  await service?.stop();
});

async function send(
  { url, method, headers }: PresignedRequest,
  body?: Buffer,
  more: Readonly<Record<string, string>> = {},
): Promise<Response> {
  // fetch sets the length itself.
  const { 'content-length': _length, ...rest } = headers;
  return fetch(url, { method, headers: { ...rest, ...more }, ...(body === undefined ? {} : { body: new Uint8Array(body) }) });
}

describe('a URL to put', () => {
  test('stores the bytes once; whoever comes second is told, and changes nothing', async () => {
    const put = await store.presigner.put('once', { crc32c: CHECK_CRC32C, length: 9 }, TTL_MS);
    expect((await send(put, BYTES)).status).toBe(200);
    expect((await send(put, BYTES)).status).toBe(412);
    expect(await store.head('once')).toEqual({ size: 9, crc32c: CHECK_CRC32C });
  });

  test('takes no other bytes and no other length', async () => {
    const put = await store.presigner.put('other', { crc32c: CHECK_CRC32C, length: 9 }, TTL_MS);
    expect((await send(put, Buffer.from('987654321'))).status).toBe(400);
    expect((await send(put, Buffer.from('1234567890'))).ok).toBe(false);
    expect(await store.head('other')).toBeUndefined();
  });

  test('does not go without the headers that were signed, nor for another key', async () => {
    const put = await store.presigner.put('strict', { crc32c: CHECK_CRC32C }, TTL_MS);
    const { 'if-none-match': _condition, ...without } = put.headers;
    expect((await send({ ...put, headers: without }, BYTES)).status).toBe(403);
    expect((await send({ ...put, url: put.url.replace('/strict?', '/sneaky?') }, BYTES)).status).toBe(403);
    for (const name of ['X-Amz-Expires', 'X-Amz-Date', 'X-Amz-Credential', 'X-Amz-Signature']) {
      const url = new URL(put.url);
      const value = url.searchParams.get(name) ?? '';
      url.searchParams.set(
        name,
        value.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 1) % 10)),
      );
      expect((await send({ ...put, url: url.href }, BYTES)).ok, name).toBe(false);
    }
    expect((await store.list('s', { limit: 10 })).objects).toEqual([]);
  });
});

test('a URL to get gives the whole or a range, and does not let others be read', async () => {
  await store.putIfAbsent('read', BYTES);
  const get = await store.presigner.get('read', TTL_MS);
  expect(await (await send(get)).text()).toBe('123456789');
  const part = await send(get, undefined, { range: 'bytes=2-4' });
  expect([part.status, await part.text()]).toEqual([206, '345']);
  expect((await send({ ...get, method: 'PUT' }, BYTES)).status).toBe(403);
  expect((await send(await store.presigner.get('absent', TTL_MS))).status).toBe(404);
});

test('a URL ends', async () => {
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() - 3_600_000 };
  const past = await openS3Store(service.url, { env: service.env, check: false, clock });
  const put = await past.presigner.put('late', {}, TTL_MS);
  expect(put.expiresAtMs).toBeLessThan(Date.now());
  expect((await send(put, BYTES)).status).toBe(403);
  expect(await store.head('late')).toBeUndefined();
  await past.close();
});
