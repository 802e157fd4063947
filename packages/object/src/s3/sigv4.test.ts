import { createHash, createHmac, randomBytes, type Hash, type Hmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import { expect, test } from 'vitest';
import { SigV4Signer, UNSIGNED_PAYLOAD, encodePath } from './sigv4.js';

/** What the SDK's signer wants of a hash. */
class NodeSha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', toBuffer(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(toBuffer(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
  reset(): void {}
}

function toBuffer(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data);
  return data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

const CASES = [
  { method: 'GET', path: '/bucket/key', query: {}, headers: {} },
  { method: 'GET', path: '/bucket/', query: { 'list-type': '2', prefix: 'a/b c', 'max-keys': '1', 'start-after': 'x+y&z=é' }, headers: {} },
  { method: 'HEAD', path: '/bucket/blocks/ab/0123/17', query: {}, headers: { 'x-amz-checksum-mode': 'ENABLED' } },
  {
    method: 'PUT',
    path: '/some/prefix/(odd)+%name~!*\'"',
    query: {},
    headers: { 'if-none-match': '*', 'x-amz-checksum-crc32c': 'AAAAAA==', 'content-length': '12' },
  },
  { method: 'GET', path: '/k', query: {}, headers: { range: 'bytes=0-99', 'x-spaces': '  a   b  ' } },
] as const;

test.each(CASES)('$method $path is signed as the SDK’s own signer does', async ({ method, path, query, headers }) => {
  for (const sessionToken of [undefined, 'token/with+signs==']) {
    const credentials = {
      accessKeyId: `AKIA${randomBytes(6).toString('hex')}`,
      secretAccessKey: randomBytes(20).toString('base64'),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    };
    const nowMs = Date.UTC(2026, 10, 21, 8, 5, 59, 123);
    const all = { host: '127.0.0.1:7480', ...headers };
    const oracle = new SignatureV4({
      credentials,
      region: 'eu-west-3',
      service: 's3',
      sha256: NodeSha256,
      uriEscapePath: false,
      applyChecksum: false,
    });
    const wanted = await oracle.sign(
      {
        method,
        protocol: 'http:',
        hostname: '127.0.0.1',
        port: 7480,
        path: encodePath(path),
        query: { ...query },
        headers: { ...all, 'x-amz-content-sha256': UNSIGNED_PAYLOAD },
      },
      { signingDate: new Date(nowMs), signableHeaders: new Set(Object.keys(all)) },
    );
    const found = new SigV4Signer('eu-west-3').sign(
      { method, path: encodePath(path), query, headers: all, payloadHash: UNSIGNED_PAYLOAD },
      credentials,
      nowMs,
    );
    expect(found['authorization']).toBe(wanted.headers['authorization']);
    expect(found['x-amz-date']).toBe(wanted.headers['x-amz-date']);
    expect(found['x-amz-security-token']).toBe(wanted.headers['x-amz-security-token']);
  }
});

test('the published example of a GET with a range has the published signature', () => {
  // Amazon S3 API Reference, "Signature Calculations for the Authorization Header", example "GET Object".
  const signed = new SigV4Signer('us-east-1').sign(
    {
      method: 'GET',
      path: '/test.txt',
      headers: { host: 'examplebucket.s3.amazonaws.com', range: 'bytes=0-9' },
      payloadHash: createHash('sha256').digest('hex'),
    },
    { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
    Date.UTC(2013, 4, 24),
  );
  expect(signed['authorization']).toMatch(/Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41$/);
});

test('the signing key follows the day and the secret', () => {
  const signer = new SigV4Signer('us-east-1');
  const request = { method: 'GET', path: '/k', headers: { host: 'h' }, payloadHash: UNSIGNED_PAYLOAD };
  const sign = (secretAccessKey: string, day: number) =>
    signer.sign(request, { accessKeyId: 'a', secretAccessKey }, Date.UTC(2026, 0, day))['authorization'];
  const first = sign('one', 1);
  expect(new Set([first, sign('two', 1), sign('one', 2)]).size).toBe(3);
  expect(sign('one', 1)).toBe(first);
});
