/** What every adapter of `OrderedKv` must do. Import it in a test file and call it with a way to make stores. */
import { describe, expect, test } from 'vitest';
import type { KvEntry, KvWrite, OrderedKv } from '../ordered-kv.js';

export interface OrderedKvFixture {
  readonly kv: OrderedKv;
  /** Closes the store and opens what it left; absent where nothing stays. */
  readonly reopen?: () => Promise<OrderedKv>;
  readonly dispose: () => Promise<void>;
}

export function orderedKvConformance(name: string, make: () => Promise<OrderedKvFixture>): void {
  const withKv = (body: (kv: OrderedKv, fixture: OrderedKvFixture) => Promise<void>) => async () => {
    const fixture = await make();
    try {
      await body(fixture.kv, fixture);
    } finally {
      await fixture.dispose();
    }
  };

  describe(`OrderedKv: ${name}`, () => {
    test(
      'a committed write is read back, an absent key is not',
      withKv(async (kv) => {
        await kv.commit([put('a', 'one')]).committed;
        expect(read(kv, 'a')).toBe('one');
        expect(kv.get(bytes('b'))).toBeUndefined();
      }),
    );

    test(
      'flushed resolves after committed',
      withKv(async (kv) => {
        const order: string[] = [];
        const { committed, flushed } = kv.commit([put('a', '1')]);
        await Promise.all([committed.then(() => order.push('committed')), flushed.then(() => order.push('flushed'))]);
        expect(order).toEqual(['committed', 'flushed']);
      }),
    );

    test(
      'commits apply in the order of calls',
      withKv(async (kv) => {
        const commits = Array.from({ length: 50 }, (_, i) => kv.commit([put('a', String(i)), put(`k${i}`, 'x')]));
        await Promise.all(commits.map(({ flushed }) => flushed));
        expect(read(kv, 'a')).toBe('49');
        expect([...kv.range(bytes('k'), bytes('l'))]).toHaveLength(50);
      }),
    );

    test(
      'within a commit the last write of a key counts',
      withKv(async (kv) => {
        await kv.commit([put('a', '1'), remove('a'), put('a', '2'), put('b', '1'), remove('b')]).flushed;
        expect(read(kv, 'a')).toBe('2');
        expect(kv.get(bytes('b'))).toBeUndefined();
      }),
    );

    test(
      'removing what is not there is no error',
      withKv(async (kv) => {
        await kv.commit([remove('nothing'), put('a', '1')]).flushed;
        expect(read(kv, 'a')).toBe('1');
      }),
    );

    test(
      'keys order byte by byte, prefixes first, high bytes last',
      withKv(async (kv) => {
        const keys = [[0x61], [0x61, 0x00], [0x61, 0x62], [0x61, 0xff], [0x62], [0x7f], [0x80], [0xff, 0xff]].map((key) =>
          Uint8Array.from(key),
        );
        await kv.commit([...keys].reverse().map((key) => ({ key, value: key }))).flushed;
        const found = [...kv.range(Uint8Array.of(0), Uint8Array.of(0xff, 0xff, 0xff))].map(({ key }) => hex(key));
        expect(found).toEqual(keys.map(hex));
      }),
    );

    test(
      'a range includes its start, excludes its end, and honours its limit',
      withKv(async (kv) => {
        await kv.commit(['a', 'b', 'c', 'd'].map((key) => put(key, key))).flushed;
        expect(texts(kv.range(bytes('b'), bytes('d')))).toEqual(['b', 'c']);
        expect(texts(kv.range(bytes('aa'), bytes('cc')))).toEqual(['b', 'c']);
        expect(texts(kv.range(bytes('a'), bytes('z'), { limit: 2 }))).toEqual(['a', 'b']);
        expect(texts(kv.range(bytes('x'), bytes('z')))).toEqual([]);
      }),
    );

    test(
      'a reverse range gives the same rows the other way round',
      withKv(async (kv) => {
        await kv.commit(['a', 'b', 'c', 'd'].map((key) => put(key, key))).flushed;
        for (const [start, end] of [
          ['b', 'd'],
          ['a', 'cc'],
          ['aa', 'z'],
          ['x', 'z'],
        ] as const) {
          const forwards = texts(kv.range(bytes(start), bytes(end)));
          expect(texts(kv.range(bytes(start), bytes(end), { reverse: true }))).toEqual(forwards.reverse());
        }
        expect(texts(kv.range(bytes('a'), bytes('d'), { reverse: true, limit: 1 }))).toEqual(['c']);
      }),
    );

    test(
      'a range over all first bytes gives every key once, in order, both ways, and honours its limit',
      withKv(async (kv) => {
        const keys = Array.from({ length: 255 }, (_, first) => [Uint8Array.of(first), Uint8Array.of(first, 1)]).flat();
        await kv.commit([...keys].reverse().map((key) => ({ key, value: key }))).flushed;
        const found = (start: number[], end: number[], options = {}) =>
          [...kv.range(Uint8Array.from(start), Uint8Array.from(end), options)].map(({ key }) => hex(key));
        expect(found([0], [0xff])).toEqual(keys.map(hex));
        expect(found([0], [0xff], { reverse: true })).toEqual([...keys].reverse().map(hex));
        expect(found([0x0f, 1], [0x51, 1])).toEqual(keys.slice(0x0f * 2 + 1, 0x51 * 2 + 1).map(hex));
        for (const limit of [0, 1, 33, 40, 161, 600]) {
          expect(found([0], [0xff], { limit })).toEqual(keys.slice(0, limit).map(hex));
          expect(found([0], [0xff], { limit, reverse: true })).toEqual([...keys].reverse().slice(0, limit).map(hex));
        }
      }),
    );

    test(
      'a range that is left early holds nothing up',
      withKv(async (kv) => {
        await kv.commit(['a', 'b', 'c'].map((key) => put(key, key))).flushed;
        for (let round = 0; round < 500; round++) for (const { key } of kv.range(bytes('a'), bytes('z'))) if (key.length > 0) break;
        await kv.commit([put('d', 'd')]).flushed;
        expect(texts(kv.range(bytes('a'), bytes('z')))).toEqual(['a', 'b', 'c', 'd']);
      }),
    );

    test(
      'values of any length from 0 bytes to 1 MiB come back as they were',
      withKv(async (kv) => {
        for (const length of [0, 1, 255, 4096, 70_000, 1 << 20]) {
          const value = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff);
          await kv.commit([{ key: bytes(`v${length}`), value }]).flushed;
          const found = kv.get(bytes(`v${length}`));
          expect(found?.length).toBe(length);
          expect(Buffer.compare(Buffer.from(found?.slice(0, length) ?? []), value)).toBe(0);
        }
      }),
    );

    test(
      'keys may have 1,978 bytes',
      withKv(async (kv) => {
        const key = new Uint8Array(1978).fill(7);
        await kv.commit([{ key, value: bytes('long') }]).flushed;
        expect(kv.get(key)?.length).toBe(4);
      }),
    );

    test(
      'a snapshot stays as it was while commits go on',
      withKv(async (kv) => {
        await kv.commit([put('a', '1'), put('b', '1')]).flushed;
        const snapshot = kv.snapshot();
        try {
          await kv.commit([put('a', '2'), remove('b'), put('c', '1')]).flushed;
          expect(Buffer.from(snapshot.get(bytes('a')) ?? []).toString()).toBe('1');
          expect(texts(snapshot.range(bytes('a'), bytes('z')))).toEqual(['a', 'b']);
          expect(texts(kv.range(bytes('a'), bytes('z')))).toEqual(['a', 'c']);
        } finally {
          snapshot.release();
        }
      }),
    );

    test(
      'a closed store refuses commits and says so',
      withKv(async (kv) => {
        await kv.close();
        await expect(kv.commit([put('a', '1')]).flushed).rejects.toMatchObject({ code: 'unavailable', outcome: 'not-applied' });
      }),
    );

    test(
      'what was flushed is there after closing and opening again',
      withKv(async (kv, { reopen }) => {
        if (reopen === undefined) return;
        await kv.commit([put('a', '1'), put('b', '2')]).flushed;
        await kv.commit([remove('a')]).flushed;
        const again = await reopen();
        expect(texts(again.range(bytes('a'), bytes('z')))).toEqual(['b']);
      }),
    );
  });
}

function put(key: string, value: string): KvWrite {
  return { key: bytes(key), value: bytes(value) };
}

function remove(key: string): KvWrite {
  return { key: bytes(key), value: undefined };
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text));
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function read(kv: OrderedKv, key: string): string | undefined {
  const value = kv.get(bytes(key));
  return value === undefined ? undefined : Buffer.from(value.slice(0, value.length)).toString();
}

function texts(entries: Iterable<KvEntry>): string[] {
  return [...entries].map(({ key }) => Buffer.from(key).toString());
}
