import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PRESIGN_BLOCKS_MAX, makeUploadId, systemClock, type PresignResult, type SignedRequest } from '@nokv/types';
import { afterEach, expect, test } from 'vitest';
import { crc32c } from './block-checksum.js';
import { openBlockStore } from './open-block-store.js';
import { presignedBlockStore } from './presigned-block-store.js';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const upload = makeUploadId(1, randomBytes(10));
const bytes = Buffer.from('a block');
const put = { crc32c: crc32c(bytes), ticket: 't' };

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A bucket whose answers are scripted; what it is asked is kept. */
async function bucket(answer: (seen: Seen) => { readonly status: number; readonly body?: string | Buffer }) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) };
      seen.push(asked);
      const { status, body = '' } = answer(asked);
      response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { seen, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Signs with a number, so that a URL that was asked for anew is another one. */
function signerFor(origin: string, expiresAtMs = systemClock.nowMs() + 600_000) {
  const asked: { readonly method: 'put' | 'get'; readonly count: number }[] = [];
  const sign = (method: 'put' | 'get', indexes: readonly number[]): PresignResult => {
    asked.push({ method, count: indexes.length });
    const request = (index: number): SignedRequest => ({
      url: `${origin}/${index}?signature=${asked.length}`,
      headers: method === 'put' ? [{ name: 'if-none-match', value: '*' }] : [],
      expiresAtMs,
    });
    return { requests: indexes.map(request) };
  };
  return {
    asked,
    puts: async (args: { readonly blocks: readonly { readonly index: number }[] }) =>
      sign(
        'put',
        args.blocks.map(({ index }) => index),
      ),
    gets: async (blocks: readonly { readonly index: number }[]) =>
      sign(
        'get',
        blocks.map(({ index }) => index),
      ),
  };
}

function storeOver(signer: ReturnType<typeof signerFor>) {
  const blocks = presignedBlockStore({ description: 'bucket', signer, retry: { firstDelayMs: 1, attemptsMax: 4 } });
  cleanups.push(() => blocks.close());
  return blocks;
}

test('puts that want a URL at once share a call, at most 500 in each', async () => {
  const { seen, origin } = await bucket(() => ({ status: 200 }));
  const signer = signerFor(origin);
  const blocks = storeOver(signer);
  await Promise.all(Array.from({ length: PRESIGN_BLOCKS_MAX + 20 }, (_, index) => blocks.putBlock(upload, index, bytes, put)));
  expect(signer.asked.map(({ count }) => count)).toEqual([PRESIGN_BLOCKS_MAX, 20]);
  expect(seen).toHaveLength(PRESIGN_BLOCKS_MAX + 20);
  expect(seen[0]).toMatchObject({ method: 'PUT', body: bytes });
  expect(seen[0]?.headers).toMatchObject({ 'if-none-match': '*', 'content-length': String(bytes.length) });
});

test('a URL that the store refuses is asked for once more, then the refusal counts', async () => {
  const expired = { status: 403, body: '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>' };
  const late = await bucket(({ path }) => (path.endsWith('=1') ? expired : { status: 200 }));
  const signer = signerFor(late.origin);
  await storeOver(signer).putBlock(upload, 0, bytes, put);
  expect(signer.asked).toHaveLength(2);
  const never = await bucket(() => expired);
  await expect(storeOver(signerFor(never.origin)).putBlock(upload, 0, bytes, put)).rejects.toMatchObject({ kind: 'denied' });
  expect(never.seen).toHaveLength(2);
});

test('URLs that read serve many ranges, until they expire or are refused', async () => {
  const content = Buffer.from('0123456789');
  let isRefusing = false;
  const { origin } = await bucket(({ headers }) => {
    if (isRefusing) {
      isRefusing = false;
      return { status: 403 };
    }
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(headers.range ?? '') ?? [];
    return { status: 206, body: content.subarray(Number(from), Number(to) + 1) };
  });
  const signer = signerFor(origin);
  const blocks = storeOver(signer);
  for (let at = 0; at < 9; at++) expect(Buffer.from(await blocks.getBlock(upload, 0, at, 2)).toString()).toBe(`${at}${at + 1}`);
  expect(signer.asked).toEqual([{ method: 'get', count: 1 }]);
  isRefusing = true;
  await blocks.getBlock(upload, 0, 0, 2);
  expect(signer.asked).toHaveLength(2);
  const old = signerFor(origin, systemClock.nowMs() + 1000);
  const aged = storeOver(old);
  await aged.getBlock(upload, 0, 0, 2);
  await aged.getBlock(upload, 0, 0, 2);
  expect(old.asked).toHaveLength(2);
  await expect(blocks.getBlock(upload, 0, 9, 5)).rejects.toMatchObject({ code: 'corrupt' });
});

test('a block that is there already is compared: the same bytes count as written, others are an error', async () => {
  const other = await bucket(({ method }) => (method === 'PUT' ? { status: 412 } : { status: 206, body: Buffer.from('another') }));
  await expect(storeOver(signerFor(other.origin)).putBlock(upload, 0, bytes, put)).rejects.toMatchObject({ code: 'corrupt' });
  const same = await bucket(({ method }) => (method === 'PUT' ? { status: 412 } : { status: 206, body: bytes }));
  await storeOver(signerFor(same.origin)).putBlock(upload, 0, bytes, put);
});

test('a busy store is asked again; one that signs nothing ends every put that waited', async () => {
  let failures = 2;
  const busy = await bucket(() => ({ status: failures-- > 0 ? 503 : 200 }));
  await storeOver(signerFor(busy.origin)).putBlock(upload, 0, bytes, put);
  expect(busy.seen).toHaveLength(3);
  const signer = { ...signerFor(busy.origin), puts: () => Promise.reject(new Error('no')) };
  const blocks = presignedBlockStore({ description: 'bucket', signer });
  cleanups.push(() => blocks.close());
  const results = await Promise.allSettled([0, 1, 2].map((index) => blocks.putBlock(upload, index, bytes, put)));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  expect(() => blocks.putBlock(upload, 0, bytes, { crc32c: put.crc32c })).toThrow(/ticket/);
});

test('a bucket that cannot be reached, or is another namespace’s, is passed over for the server', async () => {
  const marker = 'ab'.repeat(16);
  const { origin } = await bucket(() => ({ status: 200, body: JSON.stringify({ format: 1, marker }) }));
  const proxied = { kind: 'proxied', url: 'http://127.0.0.1:9/objects', readToken: 't', expiresAtMs: Number.MAX_SAFE_INTEGER } as const;
  const way = {
    kind: 'presigned',
    description: 'bucket',
    markerUrl: `${origin}/m`,
    marker,
    readToken: 't',
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  } as const;
  const presign = { puts: () => Promise.reject(new Error()), gets: () => Promise.reject(new Error()) };
  const chosen = async (ways: Parameters<typeof openBlockStore>[0]) => {
    const blocks = await openBlockStore(ways, { env: { HOME: '/nonexistent' }, presign });
    cleanups.push(() => blocks.close());
    return blocks.description;
  };
  expect(await chosen([way, proxied])).toBe('bucket by signed URLs');
  expect(await chosen([{ ...way, marker: 'cd'.repeat(16) }, proxied])).toMatch(/^blocks through/);
  expect(await chosen([{ ...way, markerUrl: 'http://127.0.0.1:9/m' }, proxied])).toMatch(/^blocks through/);
  expect(await chosen([{ ...way, markerUrl: 'ftp://example/m' }, proxied])).toMatch(/^blocks through/);
});
