/** Where keys come from, and what happens when they end: the SDK's own chain, against metadata services in this process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { startS3Double, type S3Double } from '../testing/index.js';
import { credentialSource, hasOwnCredentials } from './s3-credentials.js';
import { openS3Store, type S3ClientKind } from './s3-object-store.js';

const HOUR_MS = 3_600_000;
const AWS = /^AWS_/;

let directory: string;
const servers: Server[] = [];
let double: S3Double | undefined;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-keys-'));
  // The SDK reads the environment of the process.
  for (const name of Object.keys(process.env)) if (AWS.test(name)) vi.stubEnv(name, undefined);
  vi.stubEnv('HOME', directory);
  vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'config'));
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'credentials'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await double?.stop();
  double = undefined;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(directory, { recursive: true, force: true });
});

async function serve(answer: (request: IncomingMessage) => string): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    const body = answer(request);
    response.writeHead(body === '' ? 404 : 200, { 'content-length': body.length }).end(body);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const temporary = (name: string, expiresAtMs = Date.now() + HOUR_MS) =>
  JSON.stringify({
    Code: 'Success',
    AccessKeyId: name,
    SecretAccessKey: `secret of ${name}`,
    Token: `token of ${name}`,
    Expiration: new Date(expiresAtMs).toISOString(),
  });

const writeProfile = (name: string, keys: string): Promise<void> =>
  writeFile(join(directory, 'credentials'), `[${name}]\naws_access_key_id = ${keys}\naws_secret_access_key = s\n`);

describe('keys come from', () => {
  test('the environment, session token included', async () => {
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's', AWS_SESSION_TOKEN: 't' };
    expect(await credentialSource(env, 'us-east-1').get()).toEqual({ accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't' });
  });

  test('a profile of the credentials file', async () => {
    await writeProfile('work', 'of-work');
    vi.stubEnv('AWS_PROFILE', 'work');
    expect(hasOwnCredentials(process.env)).toBe(true);
    expect(await credentialSource(process.env, 'us-east-1').get()).toMatchObject({ accessKeyId: 'of-work' });
  });

  test('a program that a profile names', async () => {
    const script = join(directory, 'keys.sh');
    const printed = JSON.stringify({ Version: 1, AccessKeyId: 'of-program', SecretAccessKey: 's' });
    await writeFile(script, `#!/bin/sh\necho '${printed}'\n`, { mode: 0o755 });
    await writeFile(join(directory, 'config'), `[profile tool]\ncredential_process = ${script}\n`);
    vi.stubEnv('AWS_PROFILE', 'tool');
    expect(await credentialSource(process.env, 'us-east-1').get()).toMatchObject({ accessKeyId: 'of-program' });
  });

  test('a container’s metadata service', async () => {
    const url = await serve(() => temporary('of-container'));
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${url}/keys`);
    const keys = await credentialSource(process.env, 'us-east-1').get();
    expect(keys).toMatchObject({ accessKeyId: 'of-container', sessionToken: 'token of of-container' });
    expect(keys.expiresAtMs).toBeGreaterThan(Date.now());
  });

  test('an instance’s metadata service', async () => {
    const url = await serve(({ url: path = '', method }) => {
      if (method === 'PUT') return 'imds-token';
      return path.endsWith('/security-credentials/') ? 'role' : path.endsWith('/role') ? temporary('of-instance') : '';
    });
    vi.stubEnv('AWS_EC2_METADATA_SERVICE_ENDPOINT', url);
    expect(await credentialSource(process.env, 'us-east-1').get()).toMatchObject({ accessKeyId: 'of-instance' });
  });

  test('a web identity, exchanged at the token service', async () => {
    const asked: string[] = [];
    const url = await serve((request) => {
      asked.push(request.method ?? '');
      const until = new Date(Date.now() + HOUR_MS).toISOString();
      const keys = `<AccessKeyId>of-role</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>`;
      return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>${keys}<Expiration>${until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
    });
    await writeFile(join(directory, 'token'), 'a.jwt.token');
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(directory, 'token'));
    vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::123456789012:role/nokv');
    vi.stubEnv('AWS_ENDPOINT_URL_STS', url);
    expect(await credentialSource(process.env, 'us-east-1').get()).toMatchObject({ accessKeyId: 'of-role', sessionToken: 't' });
    expect(asked).toEqual(['POST']);
  });
});

describe.each<S3ClientKind>(['lean', 'sdk'])('keys that the store says have expired, %s client', (client) => {
  const open = (url: string) => openS3Store(url, { env: process.env, client, check: false, retry: { attemptsMax: 1 } });

  test('are asked for anew, once for many requests, and the call goes on', async () => {
    let now = 'first';
    const issued: string[] = [];
    const url = await serve(() => {
      issued.push(now);
      return temporary(now);
    });
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${url}/keys`);
    double = await startS3Double({ key: () => ({ accessKeyId: now, sessionToken: `token of ${now}` }) });
    const store = await open(double.url);
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
    now = 'second';
    const found = await Promise.all(Array.from({ length: 20 }, () => store.get('k')));
    expect(found.every((bytes) => Buffer.from(bytes).toString() === 'x')).toBe(true);
    expect((await store.list('', { limit: 10 })).objects).toHaveLength(1);
    expect(issued).toEqual(['first', 'second']);
    await store.close();
  });

  test('of a file that somebody wrote anew are read again', async () => {
    await writeProfile('default', 'old');
    double = await startS3Double({ key: () => ({ accessKeyId: 'new' }) });
    const store = await open(double.url);
    await expect(store.get('k')).rejects.toMatchObject({ code: 'bad-credentials' });
    await store.close();
    const again = await open(double.url);
    const reading = again.get('k').catch((error: unknown) => error);
    expect(await reading).toMatchObject({ code: 'bad-credentials' });
    await writeProfile('default', 'new');
    const fresh = await open(double.url);
    await expect(fresh.get('k')).rejects.toMatchObject({ code: 'no-object' });
    await Promise.all([again.close(), fresh.close()]);
  });
});

test('keys that end soon are replaced before the store refuses them', async () => {
  let served = 0;
  const url = await serve(() => {
    served += 1;
    return served === 1 ? temporary('short', Date.now() + 1000) : temporary('long');
  });
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${url}/keys`);
  const source = credentialSource(process.env, 'us-east-1');
  await source.get();
  await vi.waitFor(async () => expect(await source.get()).toMatchObject({ accessKeyId: 'long' }), { timeout: 5000 });
});

test('keys that come to be after a failure are found by the next call', async () => {
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  const source = credentialSource(process.env, 'us-east-1');
  await expect(source.get()).rejects.toMatchObject({ code: 'bad-credentials', message: expect.stringContaining('AWS_PROFILE') });
  await writeProfile('default', 'late');
  expect(await source.get()).toMatchObject({ accessKeyId: 'late' });
});
