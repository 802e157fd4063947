/** What refusals teach: region, clock and keys are put right once, by the first of many requests, for whoever asks next. */
import { systemClock } from '@nokv/types';
import { afterEach, describe, expect, test } from 'vitest';
import { codeOf, startS3Double, type S3Double, type S3DoubleOptions } from '../testing/index.js';
import type { CredentialSource } from './s3-credentials.js';
import { openS3Store, type S3ClientKind } from './s3-object-store.js';
import { S3Signing } from './s3-signing.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', HOME: '/nonexistent' };
const retry = { firstDelayMs: 1, attemptsMax: 3, deadlineMs: 5000 };
const HOUR_MS = 3_600_000;

let double: S3Double;
afterEach(() => double.stop());
const start = async (options: S3DoubleOptions): Promise<void> => {
  double = await startS3Double(options);
};

describe.each<S3ClientKind>(['lean', 'sdk'])('with the %s client', (client) => {
  const open = (more: { readonly clock?: typeof systemClock; readonly region?: string } = {}) =>
    openS3Store(`${double.url}&region=${more.region ?? 'us-east-1'}`, { env, retry, client, check: false, ...more });

  test('the region that the store names is followed once, for reads, listings and URLs', async () => {
    await start({ region: 'eu-west-3' });
    await using store = disposable(await open());
    expect(await store.head('absent')).toBeUndefined();
    expect(store.location.region).toBe('eu-west-3');
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
    expect((await store.list('', { limit: 10 })).objects).toHaveLength(1);
    expect(double.requests).toHaveLength(4);
    expect((await store.presigner.get('k', 60_000)).url).toContain('eu-west-3');
  });

  test('a store that sends on and on is not followed; the error names the region', async () => {
    let turn = 0;
    await start({
      get region() {
        turn += 1;
        return `eu-west-${turn}`;
      },
    });
    await using store = disposable(await open());
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringMatching(/in region eu-west-\d/),
    });
    expect(double.requests).toHaveLength(2);
  });

  test('a clock that is an hour off is corrected by the store’s', async () => {
    await start({ nowMs: () => Date.now() });
    await using store = disposable(await open({ clock: { ...systemClock, nowMs: () => Date.now() - HOUR_MS } }));
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
    expect(Buffer.from(await store.get('k')).toString()).toBe('x');
    expect(double.requests).toHaveLength(3);
    await store.delete(['k']);
    expect(double.objects.size).toBe(0);
  });
});

test('a clock that the store refuses though it is right is named', async () => {
  await start({});
  double.inject({ method: 'GET', times: 9, effect: { kind: 'status', status: 403, code: 'RequestTimeTooSkewed' } });
  await using store = disposable(await openS3Store(double.url, { env, retry, check: false }));
  await expect(store.get('k')).rejects.toMatchObject({ code: 'bad-credentials', message: expect.stringContaining('clock') });
  expect(double.requests).toHaveLength(1);
});

describe('keys that have expired', () => {
  const location = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', bucket: 'b', prefix: '', pathStyle: true };
  const expired = { status: 400, code: 'ExpiredToken' };

  function renewable(keys: readonly string[]): CredentialSource & { renewals: number } {
    const source = {
      renewals: 0,
      get: async () => ({ accessKeyId: keys[source.renewals] ?? '', secretAccessKey: 's' }),
      renew: async () => {
        source.renewals += 1;
        return keys[source.renewals] !== keys[source.renewals - 1];
      },
    };
    return source;
  }

  test('are renewed once, however many requests find out', async () => {
    await start({});
    const source = renewable(['a', 'b']);
    const signing = new S3Signing(location, source, systemClock);
    const { generation } = signing;
    expect(await Promise.all(Array.from({ length: 50 }, () => signing.learn(expired, generation)))).toEqual(Array(50).fill('keys'));
    expect(await signing.learn(expired, generation)).toBe('keys');
    expect(source.renewals).toBe(1);
    expect((await signing.sign({ method: 'GET' }))['authorization']).toContain('Credential=b/');
  });

  test('are not asked for again and again when there are no others', async () => {
    await start({});
    const source = renewable(['a', 'a', 'a']);
    const signing = new S3Signing(location, source, systemClock);
    for (let at = 0; at < 5; at += 1) expect(await signing.learn(expired, signing.generation)).toBeUndefined();
    expect(await signing.learn({ status: 403 }, signing.generation)).toBeUndefined();
    expect(source.renewals).toBe(1);
  });

  test('of the environment cannot be renewed: the error says what to do, at once', async () => {
    await start({ key: () => ({ accessKeyId: 'other' }) });
    await using store = disposable(await openS3Store(double.url, { env, retry, check: false }));
    expect(await codeOf(store.get('k'))).toBe('bad-credentials');
    expect(double.requests).toHaveLength(1);
  });
});

test('a URL ends with the keys that signed it, if they end first', async () => {
  await start({});
  const expiresAtMs = Date.now() + 100_000;
  const keys: CredentialSource = { get: async () => ({ accessKeyId: 'a', secretAccessKey: 's', expiresAtMs }), renew: async () => false };
  const location = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', bucket: 'b', prefix: '', pathStyle: true };
  const signing = new S3Signing(location, keys, systemClock);
  expect((await signing.presign({ method: 'GET', key: 'k' }, 3600)).expiresAtMs).toBe(expiresAtMs);
  expect((await signing.presign({ method: 'GET', key: 'k' }, 10)).expiresAtMs).toBeLessThan(expiresAtMs);
});

test('a region of Amazon’s has its own endpoint; another server keeps the one it has', async () => {
  await start({});
  const keys: CredentialSource = { get: async () => ({ accessKeyId: 'a', secretAccessKey: 's' }), renew: async () => false };
  for (const [endpoint, moved] of [
    ['https://s3.us-east-1.amazonaws.com', 'https://b.s3.eu-west-3.amazonaws.com'],
    ['https://s3.dualstack.us-east-1.amazonaws.com', 'https://b.s3.dualstack.eu-west-3.amazonaws.com'],
    ['https://us-east-1.example.com', 'https://b.us-east-1.example.com'],
  ] as const) {
    const location = { endpoint, region: 'us-east-1', bucket: 'b', prefix: '', pathStyle: false };
    const signing = new S3Signing(location, keys, systemClock);
    expect(await signing.learn({ status: 301, code: 'PermanentRedirect', region: 'eu-west-3' }, 0)).toBe('region');
    expect(signing.origin.origin).toBe(moved);
  }
});

function disposable<T extends { close(): Promise<void> }>(store: T): T & AsyncDisposable {
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}
