/** The lean client beside the SDK: both pass the same suite, send the same words, and sign what they send alike. */
import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { objectStoreConformance, startS3Double, type S3Double, type SeenRequest } from '../testing/index.js';
import { openS3Store, type S3ClientKind } from './s3-object-store.js';
import { SigV4Signer, UNSIGNED_PAYLOAD } from './sigv4.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token/+=', HOME: '/nonexistent' };

objectStoreConformance('S3 adapter through the SDK, over the double', async () => {
  const own = await startS3Double();
  return { store: await openS3Store(own.url, { env: { ...env, NOKV_S3_CLIENT: 'sdk' } }), remove: () => own.stop() };
});

let double: S3Double | undefined;
afterEach(() => double?.stop());

async function sentBy(client: S3ClientKind, options = ''): Promise<readonly SeenRequest[]> {
  double = await startS3Double();
  const store = await openS3Store(`${double.url}&region=eu-west-3${options}`, { env, client });
  const bytes = randomBytes(1000);
  await store.putIfAbsent("blocks/~a!b'(c)*+,;=@$&:[d]", bytes);
  await store.putIfAbsent("blocks/~a!b'(c)*+,;=@$&:[d]", bytes);
  await store.get("blocks/~a!b'(c)*+,;=@$&:[d]", { offset: 10, length: 20 });
  await store.head("blocks/~a!b'(c)*+,;=@$&:[d]");
  await store.close();
  return double.seen;
}

/** The signature that our signer gives to what was sent. */
function signedByUs({ method, url, headers }: SeenRequest): string {
  const { pathname, searchParams } = new URL(url, 'http://h');
  const authorization = headers.authorization ?? '';
  const names = (/SignedHeaders=([^,]+)/.exec(authorization)?.[1] ?? '').split(';');
  const own = new Set(['x-amz-date', 'x-amz-content-sha256', 'x-amz-security-token']);
  const stated = Object.fromEntries(names.filter((name) => !own.has(name)).map((name) => [name, String(headers[name])]));
  const date = String(headers['x-amz-date']).replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)$/, '$1-$2-$3:$4:$5');
  const request = {
    method,
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: stated,
    payloadHash: String(headers['x-amz-content-sha256']),
  };
  const keys = { accessKeyId: 'key', secretAccessKey: 'secret', sessionToken: 'token/+=' };
  return new SigV4Signer('eu-west-3').sign(request, keys, Date.parse(date))['authorization'] ?? '';
}

describe('request by request', () => {
  test('our signer gives every request of the SDK the signature that the SDK gave it', async () => {
    const seen = await sentBy('sdk');
    expect(seen.map(({ method }) => method)).toEqual(['GET', 'PUT', 'PUT', 'GET', 'HEAD']);
    for (const request of seen) expect(signedByUs(request)).toBe(request.headers.authorization);
  });

  test('and our own requests are signed as they say', async () => {
    const seen = await sentBy('lean');
    expect(seen.map(({ method }) => method)).toEqual(['GET', 'PUT', 'PUT', 'GET', 'HEAD']);
    for (const request of seen) {
      expect(signedByUs(request)).toBe(request.headers.authorization);
      expect(request.headers['x-amz-content-sha256']).toBe(UNSIGNED_PAYLOAD);
    }
  });

  test('both ask for the same objects under the same conditions, with the options of the URL', async () => {
    const options = '&storageClass=STANDARD_IA&sse=aws:kms&sseKmsKeyId=alias/nokv';
    const words = (seen: readonly SeenRequest[]) =>
      seen.map(({ method, url, headers }) => [
        method,
        decodeURIComponent(new URL(url, 'http://h').pathname),
        ...['if-none-match', 'range', 'content-length', 'content-type', 'x-amz-checksum-mode', 'x-amz-storage-class'].map(
          (name) => headers[name],
        ),
        headers['x-amz-server-side-encryption'],
        headers['x-amz-server-side-encryption-aws-kms-key-id'],
        headers['x-amz-security-token'],
        headers['x-amz-checksum-crc32c'] !== undefined,
      ]);
    const lean = words(await sentBy('lean', options)).slice(1);
    await double?.stop();
    expect(words(await sentBy('sdk', options)).slice(1)).toEqual(lean);
    expect(lean[0]).toContain('aws:kms');
    expect(lean[0]).toContain('STANDARD_IA');
  });
});

test('a client that is none is refused by name', async () => {
  double = await startS3Double();
  await expect(openS3Store(double.url, { env: { ...env, NOKV_S3_CLIENT: 'fast' } })).rejects.toMatchObject({
    code: 'bad-configuration',
    message: expect.stringContaining('lean or sdk'),
  });
});
