/** What every object store must do; run by each adapter's tests. */
import { randomBytes } from 'node:crypto';
import { isNokvError, type ErrorCode } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import type { ObjectStore } from '../object-store.js';

export interface OpenedStore {
  readonly store: ObjectStore;
  /** Removes what the store keeps. */
  readonly remove?: (() => Promise<void>) | undefined;
}

/** @param open makes an empty store. */
export function objectStoreConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`object store: ${name}`, () => {
    let opened: OpenedStore;
    let store: ObjectStore;
    let prefixes = 0;
    /** Tests share the store: each has a directory of its own. */
    const fresh = (): string => `t${(prefixes += 1)}`;

    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(async () => {
      await opened?.store.close();
      await opened?.remove?.();
    });

    describe('put and get', () => {
      test('an object comes back byte for byte, at every size', async () => {
        const base = fresh();
        for (const size of [0, 1, 4095, 65_536, 1_000_001, 4 * 1024 * 1024]) {
          const bytes = randomBytes(size);
          expect(await store.putIfAbsent(`${base}/${size}`, bytes, { crc32c: crc32c(bytes) })).toBe('created');
          expect(Buffer.compare(await store.get(`${base}/${size}`), bytes)).toBe(0);
          expect(await store.head(`${base}/${size}`)).toMatchObject({ size });
        }
      });

      test('the bytes are the store’s own: later changes of the buffer do not show', async () => {
        const key = `${fresh()}/own`;
        const bytes = Buffer.from('before');
        await store.putIfAbsent(key, bytes);
        bytes.write('after!');
        expect(Buffer.from(await store.get(key)).toString()).toBe('before');
      });

      test('bytes over shared memory and views with an offset are stored as they are', async () => {
        const key = `${fresh()}/shared`;
        const bytes = new Uint8Array(new SharedArrayBuffer(100_000), 1000, 70_000);
        bytes.set(randomBytes(70_000));
        await store.putIfAbsent(key, bytes, { crc32c: crc32c(bytes) });
        expect(Buffer.compare(await store.get(key), Buffer.from(bytes))).toBe(0);
      });

      test('a second put is told that the object exists and changes nothing', async () => {
        const key = `${fresh()}/twice`;
        expect(await store.putIfAbsent(key, Buffer.from('first'))).toBe('created');
        expect(await store.putIfAbsent(key, Buffer.from('second'))).toBe('exists');
        expect(Buffer.from(await store.get(key)).toString()).toBe('first');
      });

      test('of 20 puts of one key at once exactly one is told that it made it, and its bytes stay', async () => {
        for (const size of [4, 100_000]) {
          const key = `${fresh()}/race`;
          const bodies = Array.from({ length: 20 }, () => randomBytes(size));
          const outcomes = await Promise.all(bodies.map((body) => store.putIfAbsent(key, body)));
          const winners = bodies.filter((_, at) => outcomes[at] === 'created');
          expect(winners).toHaveLength(1);
          expect(Buffer.compare(await store.get(key), winners[0] ?? Buffer.alloc(0))).toBe(0);
        }
      });

      test('an absent object is undefined to head and no-object to get', async () => {
        const key = `${fresh()}/absent`;
        expect(await store.head(key)).toBeUndefined();
        expect(await codeOf(store.get(key))).toBe('no-object');
        expect(await codeOf(store.get(key, { offset: 0, length: 1 }))).toBe('no-object');
      });

      test('what lies above or below an object is absent', async () => {
        const base = fresh();
        await store.putIfAbsent(`${base}/a/b`, Buffer.from('x'));
        expect(await store.head(`${base}/a`)).toBeUndefined();
        expect(await store.head(`${base}/a/b/c`)).toBeUndefined();
        expect(await codeOf(store.get(`${base}/a`))).toBe('no-object');
      });
    });

    describe('ranges', () => {
      test('every range gives its bytes', async () => {
        const key = `${fresh()}/range`;
        const bytes = randomBytes(10_000);
        await store.putIfAbsent(key, bytes);
        for (const [offset, length] of [
          [0, 1],
          [0, 10_000],
          [9999, 1],
          [5000, 4999],
          [17, 0],
          [10_000, 0],
        ] as const) {
          expect(Buffer.compare(await store.get(key, { offset, length }), bytes.subarray(offset, offset + length))).toBe(0);
        }
        expect(Buffer.compare(await store.get(key, { offset: 4000 }), bytes.subarray(4000))).toBe(0);
        expect(await store.get(key, { offset: 10_000 })).toHaveLength(0);
      });

      test('a range beyond the end is corrupt, never short', async () => {
        const key = `${fresh()}/short`;
        await store.putIfAbsent(key, Buffer.alloc(100, 1));
        for (const [offset, length] of [
          [0, 101],
          [99, 2],
          [100, 1],
          [200, 5],
        ] as const) {
          expect(await codeOf(store.get(key, { offset, length }))).toBe('corrupt');
        }
        expect(await codeOf(store.get(key, { offset: 101 }))).toBe('corrupt');
      });

      test('a buffer of the caller may be used and holds the bytes that are answered', async () => {
        const key = `${fresh()}/into`;
        const bytes = randomBytes(5000);
        await store.putIfAbsent(key, bytes);
        const into = new Uint8Array(8000);
        expect(Buffer.compare(await store.get(key, { offset: 1000, length: 2000, into }), bytes.subarray(1000, 3000))).toBe(0);
        expect(Buffer.compare(await store.get(key, { offset: 0, length: 5000, into: new Uint8Array(10) }), bytes)).toBe(0);
      });
    });

    describe('list and delete', () => {
      test('a listing shows every object in byte order of keys, in pages', async () => {
        const base = fresh();
        const names = ['a', 'a.b', 'b/c', 'b/c.d', 'b!', 'b0', 'B', 'c/1/2/3', 'c/1/20', 'z'].map((name) => `${base}/${name}`);
        await Promise.all(names.map((key) => store.putIfAbsent(key, Buffer.from(key))));
        const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        const whole = await store.list(`${base}/`, { limit: 1000 });
        expect(whole.objects).toEqual(sorted.map((key) => ({ key, size: key.length })));
        expect(whole.more).toBe(false);
        const paged: string[] = [];
        for (let after: string | undefined, more = true; more; after = paged.at(-1)) {
          const page = await store.list(`${base}/`, { limit: 3, after });
          expect(page.objects.length).toBeLessThanOrEqual(3);
          paged.push(...page.objects.map(({ key }) => key));
          more = page.more;
        }
        expect(paged).toEqual(sorted);
      });

      test('a prefix need not end at a slash', async () => {
        const base = fresh();
        for (const name of ['log-1', 'log-2/x', 'lot']) await store.putIfAbsent(`${base}/${name}`, Buffer.from('x'));
        expect((await store.list(`${base}/log`, { limit: 10 })).objects.map(({ key }) => key)).toEqual([
          `${base}/log-1`,
          `${base}/log-2/x`,
        ]);
        expect((await store.list(`${base}/none`, { limit: 10 })).objects).toEqual([]);
      });

      test('an exact page says whether there is more', async () => {
        const base = fresh();
        for (const name of ['1', '2']) await store.putIfAbsent(`${base}/${name}`, Buffer.from('x'));
        expect((await store.list(`${base}/`, { limit: 1 })).more).toBe(true);
        expect((await store.list(`${base}/`, { limit: 1, after: `${base}/1` })).more).toBe(false);
      });

      test('deletion removes many keys at once; absent ones count as removed', async () => {
        const base = fresh();
        const keys = Array.from({ length: 50 }, (_, at) => `${base}/${at % 5}/${at}`);
        await Promise.all(keys.map((key) => store.putIfAbsent(key, Buffer.from('x'))));
        await store.delete([...keys.slice(1), `${base}/never`, `${base}/0/5/below`]);
        expect((await store.list(`${base}/`, { limit: 100 })).objects.map(({ key }) => key)).toEqual([`${base}/0/0`]);
        await store.delete(keys);
        await store.delete([]);
        expect((await store.list(`${base}/`, { limit: 100 })).objects).toEqual([]);
      });

      test('a key can be written again after its deletion, also while its neighbours come and go', async () => {
        const base = fresh();
        for (let round = 0; round < 5; round += 1) {
          await Promise.all(
            Array.from({ length: 8 }, async (_, at) => {
              expect(await store.putIfAbsent(`${base}/d/${at}`, Buffer.from('x'))).toBe('created');
              await store.delete([`${base}/d/${at}`]);
            }),
          );
        }
        expect((await store.list(`${base}/`, { limit: 100 })).objects).toEqual([]);
      });
    });

    describe('bad input', () => {
      test('keys that some store would misread are refused', async () => {
        for (const key of [
          '',
          '/',
          'a/',
          '/a',
          'a//b',
          '.',
          'a/../b',
          'a/.',
          'a b',
          'ä',
          'a\n',
          'x'.repeat(201),
          'ab/'.repeat(300) + 'c',
        ]) {
          expect(await codeOf(store.putIfAbsent(key, Buffer.from('x'))), key).toBe('invalid-argument');
          expect(await codeOf(store.get(key)), key).toBe('invalid-argument');
          expect(await codeOf(store.head(key)), key).toBe('invalid-argument');
          expect(await codeOf(store.delete([key])), key).toBe('invalid-argument');
        }
      });

      test('keys of printable ASCII work', async () => {
        const base = fresh();
        for (const name of ['with+plus', 'per%20cent', '~tilde', "quote'", '(b)', '!*', '&amp;', '<x>', '#frag?query=1', 'a'.repeat(200)]) {
          const key = `${base}/${name}`;
          await store.putIfAbsent(key, Buffer.from(name));
          expect(Buffer.from(await store.get(key)).toString()).toBe(name);
        }
        expect((await store.list(`${base}/`, { limit: 100 })).objects).toHaveLength(10);
      });

      test('bad ranges and limits are refused', async () => {
        const key = `${fresh()}/k`;
        await store.putIfAbsent(key, Buffer.from('x'));
        expect(await codeOf(store.get(key, { offset: -1, length: 1 }))).toBe('invalid-argument');
        expect(await codeOf(store.get(key, { offset: 0.5, length: 1 }))).toBe('invalid-argument');
        expect(await codeOf(store.list('', { limit: 0 }))).toBe('invalid-argument');
        expect(await codeOf(store.list('', { limit: 1001 }))).toBe('invalid-argument');
        expect(await codeOf(store.delete(Array.from({ length: 1001 }, (_, at) => `k${at}`)))).toBe('invalid-argument');
      });

      test('a call whose signal has fired does nothing', async () => {
        const key = `${fresh()}/aborted`;
        const signal = AbortSignal.abort();
        expect(await codeOf(store.putIfAbsent(key, Buffer.from('x'), { signal }))).toBe('cancelled');
        expect(await codeOf(store.get(key, { signal }))).toBe('cancelled');
        expect(await store.head(key)).toBeUndefined();
      });
    });
  });
}

/** The code that a call fails with; `none` when it succeeds. */
export async function codeOf(call: Promise<unknown>): Promise<ErrorCode | 'none' | 'foreign'> {
  try {
    await call;
    return 'none';
  } catch (error) {
    return isNokvError(error) ? error.code : 'foreign';
  }
}
