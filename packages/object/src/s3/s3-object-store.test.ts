import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { admissionProbe } from '../admission-probe.js';
import type { ObjectStore } from '../object-store.js';
import type { RetryPolicy } from '../retries.js';
import { codeOf, objectStoreConformance, startS3Double, type S3Double, type S3DoubleOptions } from '../testing/index.js';
import { openS3Store } from './s3-object-store.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', HOME: '/nonexistent' };
const QUICK: Partial<RetryPolicy> = { firstDelayMs: 1, attemptsMax: 4, deadlineMs: 5000 };

let double: S3Double;
let store: ObjectStore;

async function start(options?: S3DoubleOptions): Promise<void> {
  double = await startS3Double(options);
  store = await openS3Store(double.url, { env, retry: QUICK });
  double.requests.length = 0;
}

async function stop(): Promise<void> {
  await store.close();
  await double.stop();
}

objectStoreConformance('S3 adapter over the double', async () => {
  const own = await startS3Double();
  return { store: await openS3Store(own.url, { env }), remove: () => own.stop() };
});

describe('faults on the way', () => {
  beforeEach(() => start());
  afterEach(stop);

  test('a 503 is tried again, after as long as the server asks', async () => {
    double.inject({ method: 'PUT', effect: { kind: 'status', status: 503, code: 'SlowDown', headers: { 'retry-after': '1' } } });
    const begin = performance.now();
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
    expect(performance.now() - begin).toBeGreaterThanOrEqual(950);
    expect(double.requests).toEqual(['PUT some/prefix/k', 'PUT some/prefix/k']);
  });

  test('a put that took effect though its answer was lost is reported as created', async () => {
    double.inject({ method: 'PUT', effect: { kind: 'lose-reply' } });
    expect(await store.putIfAbsent('k', Buffer.from('mine'))).toBe('created');
    expect(double.requests).toEqual(['PUT some/prefix/k', 'PUT some/prefix/k', 'HEAD some/prefix/k']);
  });

  test('after a lost answer another’s bytes are not taken for ours', async () => {
    double.objects.set('some/prefix/k', Buffer.from('theirs'));
    double.inject({ method: 'PUT', effect: { kind: 'lose-reply' } });
    expect(await store.putIfAbsent('k', Buffer.from('mine!!'))).toBe('exists');
    expect(double.objects.get('some/prefix/k')?.toString()).toBe('theirs');
  });

  test('a 500 after which nothing was stored is written by the repeat', async () => {
    double.inject({ method: 'PUT', effect: { kind: 'status', status: 500, code: 'InternalError' } });
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
  });

  test('when every answer is lost the object itself is the last word', async () => {
    double.inject({ method: 'PUT', times: 4, effect: { kind: 'lose-reply' } });
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
  });

  test('when nothing can be learnt the outcome is unknown, and nothing is deleted', async () => {
    double.inject({ method: 'PUT', times: 4, effect: { kind: 'lose-reply' } }, { method: 'HEAD', times: 4, effect: { kind: 'reset' } });
    await expect(store.putIfAbsent('k', Buffer.from('x'))).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'unknown' });
    expect(double.objects.has('some/prefix/k')).toBe(true);
    expect(double.requests.some((request) => /^(DELETE|POST)/.test(request))).toBe(false);
  });

  test('refusals that were never applied say so', async () => {
    double.inject({ method: 'PUT', times: 4, effect: { kind: 'status', status: 503, code: 'SlowDown' } });
    await expect(store.putIfAbsent('k', Buffer.from('x'))).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'not-applied' });
  });

  test('a body that is cut half-way, and a connection reset, are read again', async () => {
    const bytes = randomBytes(300_000);
    await store.putIfAbsent('k', bytes);
    double.inject({ method: 'GET', effect: { kind: 'cut' } }, { method: 'GET', effect: { kind: 'reset' } });
    expect(Buffer.compare(await store.get('k', { offset: 0, length: 300_000 }), bytes)).toBe(0);
    expect(double.requests.filter((request) => request.startsWith('GET'))).toHaveLength(3);
  });

  test('a server that never answers ends at the deadline, the write’s outcome unknown', async () => {
    const impatient = await openS3Store(double.url, { env, retry: { deadlineMs: 100 } });
    try {
      double.inject({ method: 'PUT', effect: { kind: 'hang' } }, { method: 'HEAD', effect: { kind: 'hang' } });
      await expect(impatient.putIfAbsent('k', Buffer.from('x'))).rejects.toMatchObject({ code: 'deadline-exceeded', outcome: 'unknown' });
      double.inject({ method: 'GET', effect: { kind: 'hang' } });
      await expect(impatient.get('k')).rejects.toMatchObject({ code: 'deadline-exceeded', outcome: 'not-applied' });
    } finally {
      await impatient.close();
    }
  });

  test('a signal ends a call under way', async () => {
    double.inject({ method: 'GET', effect: { kind: 'hang' } });
    const abort = new AbortController();
    const reading = codeOf(store.get('k', { signal: abort.signal }));
    abort.abort();
    expect(await reading).toBe('cancelled');
  });

  test('listing and deletion are tried again, too', async () => {
    await store.putIfAbsent('k', Buffer.from('x'));
    double.inject({ method: 'GET', times: 2, effect: { kind: 'status', status: 500, code: 'InternalError' } });
    expect((await store.list('', { limit: 10 })).objects).toEqual([{ key: 'k', size: 1 }]);
    double.inject({ method: 'POST', effect: { kind: 'reset' } });
    await store.delete(['k']);
    expect(double.objects.size).toBe(0);
  });
});

describe('what a store that keeps no checksums costs', () => {
  beforeEach(() => start({ keepNoChecksums: true }));
  afterEach(stop);

  test('after a lost answer the bytes are read again and compared', async () => {
    double.inject({ method: 'PUT', effect: { kind: 'lose-reply' } });
    expect(await store.putIfAbsent('k', Buffer.from('mine'))).toBe('created');
    expect(double.requests.slice(-2)).toEqual(['HEAD some/prefix/k', 'GET some/prefix/k']);
    double.objects.set('some/prefix/other', Buffer.from('xxxx'));
    double.inject({ method: 'PUT', effect: { kind: 'lose-reply' } });
    expect(await store.putIfAbsent('other', Buffer.from('mine'))).toBe('exists');
  });
});

describe('admission', () => {
  afterEach(stop);

  test('a store that does what is needed is admitted and left empty', async () => {
    await start();
    expect(await admissionProbe(store)).toEqual({
      'create-if-absent': true,
      'one-winner': true,
      'range-read': true,
      'list-after-write': true,
      'bulk-delete': true,
    });
    expect(double.objects.size).toBe(0);
  });

  test('a store that ignores If-None-Match is refused by name, and left empty', async () => {
    await start({ conditions: 'ignored' });
    await expect(admissionProbe(store)).rejects.toMatchObject({
      code: 'store-unfit',
      message: expect.stringMatching(/create-if-absent.*one-winner/),
      details: { 'range-read': 'yes', 'create-if-absent': expect.stringContaining('second put') },
    });
    expect(double.objects.size).toBe(0);
  });
});

describe('opening', () => {
  test.each([
    [404, 'NoSuchBucket', 'no-bucket'],
    [403, 'InvalidAccessKeyId', 'bad-credentials'],
    [403, 'SignatureDoesNotMatch', 'bad-credentials'],
    [403, 'RequestTimeTooSkewed', 'bad-credentials'],
    [403, 'AccessDenied', 'permission-denied'],
    [301, 'PermanentRedirect', 'bad-configuration'],
  ] as const)('%i %s is %s, at once', async (status, code, expected) => {
    double = await startS3Double();
    double.inject({ method: 'GET', effect: { kind: 'status', status, code } });
    expect(await codeOf(openS3Store(double.url, { env }))).toBe(expected);
    expect(double.requests).toHaveLength(1);
    await double.stop();
  });

  test('nobody listening, and a name that does not resolve, are named with what to do', async () => {
    double = await startS3Double();
    await double.stop();
    await expect(openS3Store(double.url, { env, retry: QUICK })).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringMatching(/ECONNREFUSED.*endpoint/),
    });
    await expect(openS3Store('s3://bucket?endpoint=http://host.invalid', { env, retry: QUICK })).rejects.toMatchObject({
      code: 'store-unavailable',
      details: { errno: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) },
    });
  });

  test('missing credentials are named', async () => {
    double = await startS3Double();
    process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
    await expect(openS3Store(double.url, { env: { AWS_PROFILE: 'no-such-profile' } })).rejects.toMatchObject({
      code: 'bad-credentials',
      message: expect.stringContaining('AWS_ACCESS_KEY_ID'),
    });
    await double.stop();
  });

  test('no error holds the secret', async () => {
    double = await startS3Double();
    double.inject({ method: 'GET', effect: { kind: 'status', status: 403, code: 'SignatureDoesNotMatch' } });
    const error: unknown = await openS3Store(double.url, { env: { ...env, AWS_SECRET_ACCESS_KEY: 'hush-hush' } }).catch(
      (cause: unknown) => cause,
    );
    expect(JSON.stringify(error) + String(error)).not.toContain('hush-hush');
    await double.stop();
  });
});
