/**
 * What comes of each fault of an S3 server: the right bytes, or an error that says what is wrong and whether the write may have
 * happened. Run over the double and, through a proxy that breaks things, over a real server.
 */
import { randomBytes } from 'node:crypto';
import { makeUploadId, systemClock } from '@nokv/types';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BodyReader } from '../body/body-reader.js';
import { uploadBody } from '../body/upload-body.js';
import { UploadSession } from '../body/upload-session.js';
import type { RetryPolicy } from '../retries.js';
import { openS3Store, type S3ClientKind, type S3Store } from '../s3/s3-object-store.js';
import { blocksOf } from '../store-blocks.js';
import { codeOf } from './object-store-conformance.js';
import type { S3Fault, S3FaultEffect } from './s3-faults.js';

export interface FaultyS3 {
  /** A prefix of its own with every call. */
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  /** `METHOD key` of every request that arrived. */
  readonly requests: string[];
  inject(...faults: readonly S3Fault[]): void;
  healed(): void;
  dropBucket(): void | Promise<void>;
  stop(): Promise<void>;
}

const QUICK: Partial<RetryPolicy> = { firstDelayMs: 1, attemptsMax: 4, deadlineMs: 10_000, circuit: { coolDownMs: 10 } };

export function s3FaultConformance(name: string, client: S3ClientKind, start: () => Promise<FaultyS3>): void {
  describe(`faults: ${name}, ${client} client`, () => {
    let s3: FaultyS3;
    let store: S3Store;
    const open = (retry: Partial<RetryPolicy> = {}): Promise<S3Store> =>
      openS3Store(s3.url, { env: s3.env, client, retry: { ...QUICK, ...retry } });
    const sent = (method: string): number => s3.requests.filter((request) => request.startsWith(method)).length;

    beforeAll(async () => {
      s3 = await start();
    }, 600_000);
    afterAll(() => s3?.stop());
    beforeEach(async () => {
      store = await open();
      s3.requests.length = 0;
    });
    afterEach(async () => {
      s3.healed();
      await store.close();
    });

    test.each<[string, S3FaultEffect]>([
      ['500', { kind: 'status', status: 500, code: 'InternalError' }],
      ['503 without a word', { kind: 'status', status: 503 }],
      ['503 SlowDown', { kind: 'status', status: 503, code: 'SlowDown' }],
      ['a reset before the answer', { kind: 'reset' }],
      ['an answer lost after the write took effect', { kind: 'lose-reply' }],
      ['a reset within the headers', { kind: 'cut-headers' }],
    ])('%s: a put is made once, whatever it takes', async (_what, effect) => {
      const bytes = randomBytes(10_000);
      s3.inject({ method: 'PUT', effect });
      expect(await store.putIfAbsent('put', bytes)).toBe('created');
      expect(sent('PUT')).toBe(2);
      expect(await store.putIfAbsent('put', randomBytes(10_000))).toBe('exists');
      expect(Buffer.compare(await store.get('put'), bytes)).toBe(0);
    });

    test.each<[string, S3FaultEffect]>([
      ['500', { kind: 'status', status: 500, code: 'InternalError' }],
      ['503 SlowDown', { kind: 'status', status: 503, code: 'SlowDown' }],
      ['a reset before the answer', { kind: 'reset' }],
      ['a reset within the headers', { kind: 'cut-headers' }],
      ['a body cut short under a right Content-Length', { kind: 'cut' }],
    ])('%s: a get gives the right bytes', async (_what, effect) => {
      const bytes = randomBytes(100_000);
      await store.putIfAbsent('get', bytes);
      s3.inject({ method: 'GET', effect }, { method: 'GET', effect });
      expect(Buffer.compare(await store.get('get', { offset: 10, length: 90_000 }), bytes.subarray(10, 90_010))).toBe(0);
      expect(sent('GET')).toBe(3);
    });

    test('Retry-After is kept, by objects and listings', async () => {
      await store.putIfAbsent('k', Buffer.from('x'));
      const slowDown: S3FaultEffect = { kind: 'status', status: 503, code: 'SlowDown', headers: { 'retry-after': '1' } };
      for (const call of [() => store.get('k'), () => store.list('', { limit: 1 })]) {
        s3.inject({ method: 'GET', effect: slowDown });
        const begin = performance.now();
        await call();
        expect(performance.now() - begin).toBeGreaterThanOrEqual(950);
      }
    });

    test.each<[string, S3FaultEffect]>([
      ['a socket that stalls within a body', { kind: 'stall' }],
      ['a server that never answers', { kind: 'hang' }],
    ])('%s is given up and asked again; without another chance it costs the deadline', async (_what, effect) => {
      const bytes = randomBytes(100_000);
      await store.putIfAbsent('stall', bytes);
      const impatient = await openAt({ idleMs: 200 });
      s3.inject({ method: 'GET', effect });
      expect(Buffer.compare(await impatient.get('stall'), bytes)).toBe(0);
      await impatient.close();
      const bounded = await openAt({ deadlineMs: 200 });
      s3.inject({ method: 'GET', effect });
      await expect(bounded.get('stall')).rejects.toMatchObject({ code: 'deadline-exceeded', outcome: 'not-applied' });
      s3.inject({ method: 'PUT', effect: { kind: 'hang' } }, { method: 'HEAD', effect: { kind: 'hang' } });
      await expect(bounded.putIfAbsent('late', bytes)).rejects.toMatchObject({ code: 'deadline-exceeded', outcome: 'unknown' });
      await bounded.close();
    });

    /** The same prefix again, with another patience. */
    const openAt = async (retry: Partial<RetryPolicy>): Promise<S3Store> =>
      openS3Store(store.location, { env: s3.env, client, check: false, retry: { ...QUICK, ...retry } });

    test('listings and deletions are repeated, too', async () => {
      await store.putIfAbsent('d/1', Buffer.from('x'));
      s3.inject({ method: 'GET', effect: { kind: 'reset' } }, { method: 'GET', effect: { kind: 'status', status: 503, code: 'SlowDown' } });
      expect((await store.list('d/', { limit: 10 })).objects).toEqual([{ key: 'd/1', size: 1 }]);
      s3.inject({ method: 'POST', effect: { kind: 'lose-reply' } });
      await store.delete(['d/1']);
      expect((await store.list('d/', { limit: 10 })).objects).toEqual([]);
    });

    test('wrong bytes of the right length are fetched again, then corrupt; they are never shown', async () => {
      const session = new UploadSession({
        store: blocksOf(store),
        begin: async () => ({ upload: makeUploadId(systemClock.nowMs(), randomBytes(10)) }),
      });
      const bytes = randomBytes(200_000);
      const { body } = await uploadBody([bytes], { session });
      const read = async (): Promise<Buffer> => {
        const chunks: Buffer[] = [];
        for await (const chunk of new BodyReader({ store: blocksOf(store) }).stream(body)) chunks.push(Buffer.from(chunk));
        return Buffer.concat(chunks);
      };
      s3.inject({ method: 'GET', key: 'blocks/', effect: { kind: 'flip' } });
      expect(Buffer.compare(await read(), bytes)).toBe(0);
      s3.inject({ method: 'GET', key: 'blocks/', times: 100, effect: { kind: 'flip' } });
      expect(await codeOf(read())).toBe('corrupt');
    });

    test('a store that stays down is told as such, asked seldom, and used again once it is back', async () => {
      await store.putIfAbsent('k', Buffer.from('x'));
      const patient = await openAt({
        attemptsMax: 1000,
        deadlineMs: 1500,
        circuit: { failuresMax: 3, coolDownMs: 200, coolDownMsMax: 200 },
      });
      s3.requests.length = 0;
      for (const method of ['GET', 'PUT', 'HEAD'] as const)
        s3.inject({ method, times: 1e9, effect: { kind: 'status', status: 503, code: 'ServiceUnavailable' } });
      const calls = Array.from({ length: 40 }, (_, at) => patient.get(at % 2 === 0 ? 'k' : 'l'));
      for (const outcome of await Promise.allSettled(calls))
        expect(outcome).toMatchObject({
          status: 'rejected',
          reason: { code: expect.stringMatching(/^(store-unavailable|deadline-exceeded)$/) },
        });
      // The first 40 are on their way before anybody knows; then one asks in every 100 to 200 ms.
      expect(s3.requests.length).toBeLessThan(40 + 25);
      expect(patient.health()).toMatchObject({ circuit: expect.stringMatching(/open/), failure: expect.stringContaining('503') });
      s3.healed();
      expect(Buffer.from(await patient.get('k')).toString()).toBe('x');
      expect(patient.health()).toMatchObject({ circuit: 'closed', failure: undefined });
      await patient.close();
    });

    // Last: nothing is left afterwards.
    test('a bucket that was deleted is named at once, by whatever is done', async () => {
      await store.putIfAbsent('k', Buffer.from('x'));
      await s3.dropBucket();
      s3.requests.length = 0;
      expect(await codeOf(store.get('k'))).toBe('no-bucket');
      expect(await codeOf(store.putIfAbsent('l', Buffer.from('x')))).toBe('no-bucket');
      expect(await codeOf(store.list('', { limit: 1 }))).toBe('no-bucket');
      expect(await codeOf(store.delete(['k']))).toBe('no-bucket');
      expect(s3.requests).toHaveLength(4);
    });
  });
}
