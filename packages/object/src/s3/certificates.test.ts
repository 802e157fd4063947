/** Stores behind https with certificates of one's own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TEST_CERTIFICATE, startS3Double, type S3Double } from '../testing/index.js';
import { openS3Store, type S3ClientKind } from './s3-object-store.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', HOME: '/nonexistent' };
const retry = { attemptsMax: 1, firstDelayMs: 1 };

let directory: string;
let ca: string;
let double: S3Double;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-ca-'));
  ca = join(directory, 'ours.pem');
  await writeFile(ca, TEST_CERTIFICATE.cert);
  double = await startS3Double({ tls: TEST_CERTIFICATE });
});
afterAll(async () => {
  await double.stop();
  await rm(directory, { recursive: true, force: true });
});

describe.each<S3ClientKind>(['lean', 'sdk'])('https, %s client', (client) => {
  test('works with the authority of the URL or of AWS_CA_BUNDLE', async () => {
    for (const [url, more] of [
      [`${double.url}&ca=${ca}`, {}],
      [double.url, { AWS_CA_BUNDLE: ca }],
    ] as const) {
      const store = await openS3Store(url, { env: { ...env, ...more }, client, retry });
      await store.putIfAbsent('k', Buffer.from('x'));
      expect((await store.list('k', { limit: 1 })).objects).toHaveLength(1);
      await store.close();
    }
  });

  test('is refused without it, before anything is sent', async () => {
    double.requests.length = 0;
    await expect(openS3Store(double.url, { env, client, retry })).rejects.toMatchObject({
      code: 'store-unavailable',
      outcome: 'not-applied',
      message: expect.stringMatching(/self-signed certificate.*(ca=|AWS_CA_BUNDLE)/),
    });
    expect(double.requests).toEqual([]);
  });
});

test('a file that is not there or holds no certificate is named', async () => {
  const other = join(directory, 'other.pem');
  await writeFile(other, 'nothing');
  for (const [path, why] of [
    [join(directory, 'absent'), /absent.*ENOENT/],
    [other, /expected certificates in PEM/],
  ] as const)
    await expect(openS3Store(`${double.url}&ca=${path}`, { env, retry })).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringMatching(why),
    });
});
