/** Recursive removal of big trees: one small commit, then slices that are bounded in rows and bytes and let others through. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { InodeNumber } from '@nokv/types';
import { openLmdbKv } from './lmdb-kv.js';
import type { KvCommit, KvWrite, OrderedKv } from './ordered-kv.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at } from './testing/test-shard.js';

interface Committed {
  readonly rows: number;
  readonly bytes: number;
}

/** What a slice may write: its budget of 1,024 rows and 2 MiB, and what the last of its entries is over it. */
const ROWS_MAX = 1024 + 64;
const BYTES_MAX = 2 * 1024 * 1024 + 256 * 1024;

let directory: string;
let shard: TestShard;
let commits: Committed[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-removals-'));
  commits = [];
  shard = await TestShard.open(counted(await openLmdbKv({ directory }), commits));
});

afterEach(async () => {
  await shard.engine.close();
  await rm(directory, { recursive: true });
});

/** Notes what each commit writes. */
function counted(kv: OrderedKv, into: Committed[]): OrderedKv {
  const commit = (writes: readonly KvWrite[]): KvCommit => {
    let bytes = 0;
    for (const { key, value } of writes) bytes += key.length + (value?.length ?? 0);
    into.push({ rows: writes.length, bytes });
    return kv.commit(writes);
  };
  return new Proxy(kv, {
    get: (target, member) => {
      if (member === 'commit') return commit;
      const value: unknown = Reflect.get(target, member, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function fill(parent: InodeNumber, count: number): Promise<void> {
  const create = (i: number): Promise<unknown> =>
    shard.do('create', { entry: { parent, name: Buffer.from(`f${i}`) }, mode: 0o644, type: 'file', exclusive: true, ...OWNER });
  for (let from = 0; from < count; from += 1000) {
    await Promise.all(Array.from({ length: Math.min(1000, count - from) }, (_, i) => create(from + i)));
  }
}

/** Takes the trash apart; between two slices somebody else's call is answered. @returns the slices. */
async function reap(): Promise<readonly Committed[]> {
  const slices: Committed[] = [];
  for (let more = true; more;) {
    const before = commits.length;
    ({ more } = await shard.engine.maintain(() => Promise.resolve()));
    slices.push(...commits.slice(before));
    await shard.do('setattr', { node: at('/'), mtime: 'now' });
    expect(await shard.stat('/')).toMatchObject({ type: 'directory' });
  }
  return slices;
}

function expectBounded(slices: readonly Committed[]): void {
  expect(Math.max(...slices.map(({ rows }) => rows))).toBeLessThanOrEqual(ROWS_MAX);
  expect(Math.max(...slices.map(({ bytes }) => bytes))).toBeLessThanOrEqual(BYTES_MAX);
}

const inodesUsed = async (): Promise<number> => (await shard.read('statfs', {})).inodesUsed;

test('20,000 files in 21 directories go in one commit of a few rows and in bounded slices', { timeout: 120_000 }, async () => {
  await shard.mkdir('/t');
  for (let d = 0; d < 20; d++) await fill(await shard.mkdir(`/t/d${d}`), 1000);
  const before = commits.length;
  await shard.do('remove-tree', { entry: at('/t') });
  expect(commits.length).toBe(before + 1);
  expect(commits.at(-1)?.rows).toBeLessThan(20);
  expect(await shard.names('/')).toEqual([]);
  const slices = await reap();
  expectBounded(slices);
  // Five rows a file and about 200 files a slice: neither one by one nor all at once.
  expect(slices.length).toBeGreaterThan(80);
  expect(slices.length).toBeLessThan(160);
  expect(await inodesUsed()).toBe(0);
  expect(contradictions(shard.kv)).toEqual([]);
});

test('5,000 files in one directory, and as many directories with a file each, are taken apart alike', { timeout: 120_000 }, async () => {
  const flat = await shard.mkdir('/flat');
  await fill(flat, 5000);
  await shard.mkdir('/wide');
  const wide = (await shard.stat('/wide')).ino;
  for (let from = 0; from < 5000; from += 500) {
    const made = Array.from({ length: 500 }, async (_, i) => {
      const name = Buffer.from(`d${from + i}`);
      const { result } = await shard.do('mkdir', { entry: { parent: wide, name }, mode: 0o755, ...OWNER });
      await fill(result.attributes.ino, 1);
    });
    await Promise.all(made);
  }
  await shard.do('remove-tree', { entry: at('/flat') });
  await shard.do('remove-tree', { entry: at('/wide') });
  const slices = await reap();
  expectBounded(slices);
  expect(slices.length).toBeLessThan(160);
  expect(await inodesUsed()).toBe(0);
  expect(contradictions(shard.kv)).toEqual([]);
});

test('depth costs nothing: 10,000 directories inside each other go as fast as beside each other', { timeout: 120_000 }, async () => {
  let parent = await shard.mkdir('/deep');
  // Each is made inside the one before: visible replies need no flush between.
  for (let i = 0; i < 10_000; i++) {
    const made = await shard.do('mkdir', { entry: { parent, name: Buffer.from('d') }, mode: 0o755, ...OWNER }, 'visible');
    parent = made.result.attributes.ino;
  }
  await shard.do('setattr', { node: at('/'), mtime: 'now' });
  const before = commits.length;
  await shard.do('remove-tree', { entry: at('/deep') });
  expect(commits.length).toBe(before + 1);
  expect(commits.at(-1)?.rows).toBeLessThan(20);
  const slices = await reap();
  expectBounded(slices);
  expect(slices.length).toBeLessThan(110);
  expect(await inodesUsed()).toBe(0);
  expect(contradictions(shard.kv)).toEqual([]);
});

test(
  'large extended attributes are taken in slices too, of files that go with the tree and of no others',
  { timeout: 120_000 },
  async () => {
    await shard.mkdir('/t');
    await shard.create('/t/f');
    await shard.create('/t/kept');
    await shard.do('link', { node: at('/t/kept'), entry: at('/kept') });
    const value = new Uint8Array(64 * 1024).fill(1);
    for (let i = 0; i < 200; i++) {
      await shard.do('xattr-set', { node: at('/t/f'), name: Buffer.from(`user.${i}`), value, mode: 'set' });
    }
    await shard.do('xattr-set', { node: at('/kept'), name: Buffer.from('user.a'), value, mode: 'set' });
    await shard.do('remove-tree', { entry: at('/t') });
    const slices = await reap();
    // 12.5 MiB of values go to history with the file.
    expectBounded(slices);
    expect(slices.filter(({ bytes }) => bytes > 1024 * 1024).length).toBeGreaterThanOrEqual(6);
    expect(await inodesUsed()).toBe(1);
    expect(await shard.read('xattr-get', { node: at('/kept'), name: Buffer.from('user.a') })).toMatchObject({ value });
    expect(contradictions(shard.kv)).toEqual([]);
  },
);

test('many sessions that end at once, each with much that it holds, are swept in bounded commits', { timeout: 120_000 }, async () => {
  const SESSIONS = 10;
  const FILES = 300;
  const root = await shard.mkdir('/open');
  await fill(root, FILES);
  const opened = await Promise.all(
    Array.from({ length: SESSIONS }, () => {
      shard.clock.ms += 1;
      return shard.do('open-session', { name: '', ttlMs: 60_000 });
    }),
  );
  for (let i = 0; i < FILES; i++) {
    const node = at(`/open/f${i}`);
    await Promise.all(opened.map(({ result }) => shard.do('open-handle', { node, session: result.session })));
  }
  await shard.do('remove-tree', { entry: at('/open') });
  expectBounded(await reap());
  expect(await inodesUsed()).toBe(FILES);
  shard.clock.ms += 61_000;
  const slices = await reap();
  // Of a hold: its row, the count of its session and inode, and with the last one the inode.
  expect(Math.max(...slices.map(({ rows }) => rows))).toBeLessThanOrEqual(256 * 6 + 64);
  expect(await inodesUsed()).toBe(0);
  expect(contradictions(shard.kv)).toEqual([]);
});
