import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BodyReader } from '../body/body-reader.js';
import { blocksOf } from '../store-blocks.js';
import { cachedBody } from '../testing/cached-body.js';
import { codeOf } from '../testing/index.js';
import { entryDiskBytes, entryName } from './cache-entry.js';

const isRoot = process.getuid?.() === 0;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nokv-cache-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function entries(): string[] {
  const data = join(directory, 'data');
  if (!existsSync(data)) return [];
  return readdirSync(data).flatMap((shard) => readdirSync(join(data, shard)).map((name) => join(data, shard, name)));
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new Error(`expected an item ${index}`);
  return item;
}

function fileBytes(): number {
  return entries().reduce((sum, path) => sum + statSync(path).size, 0);
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('a second process', () => {
  test('reads everything without a get, by every way of reading', async () => {
    const { store, body, bytes, open } = await cachedBody(directory, 5, 300_000);
    const first = open();
    expect(Buffer.compare(await first.reader.read(body, 0, bytes.length), bytes)).toBe(0);
    await first.disk.settle();
    expect(store.calls.get).toBe(5);
    const { reader } = open();
    expect(Buffer.compare(await reader.read(body, 0, bytes.length), bytes)).toBe(0);
    for (const reuse of [true, false]) {
      let at = 0;
      for await (const chunk of open().reader.stream(body, { reuse })) {
        expect(Buffer.compare(chunk, bytes.subarray(at, at + chunk.length))).toBe(0);
        at += chunk.length;
      }
      expect(at).toBe(bytes.length);
    }
    expect(Buffer.compare(await open().reader.read(body, 290_000, 20_000), bytes.subarray(290_000, 310_000))).toBe(0);
    expect(store.calls.get).toBe(5);
    expect(reader.figures).toMatchObject({ store: { gets: 0 }, disk: { hits: 5, misses: 0 } });
  });

  test('reads small ranges by their chunks, which then are in memory', async () => {
    const { store, body, bytes, open } = await cachedBody(directory, 2, 1_000_000);
    const first = open();
    await first.reader.read(body, 0, bytes.length);
    await first.disk.settle();
    const { reader } = open();
    for (const offset of [0, 70_000, 130_000, 999_000, 1_500_123]) {
      expect(Buffer.compare(await reader.read(body, offset, 1000), bytes.subarray(offset, offset + 1000))).toBe(0);
    }
    const hits = reader.figures.disk?.hits;
    expect(reader.figures.memory.bytes).toBeLessThan(500_000);
    await reader.read(body, 71_000, 500);
    expect(reader.figures.disk?.hits).toBe(hits);
    expect(store.calls.get).toBe(2);
  });
});

test('what is being written is waited for, not fetched again', async () => {
  const { store, body, bytes, open } = await cachedBody(directory, 3, 500_000);
  const { disk } = open();
  const reader = new BodyReader({ store: blocksOf(store), disk, cacheBytes: 0 });
  for (let round = 0; round < 5; round += 1) expect(Buffer.compare(await reader.read(body, 0, bytes.length), bytes)).toBe(0);
  expect(store.calls.get).toBe(3);
});

describe('verification', () => {
  test('a byte that flips in the cache is fetched again and replaced, in whole reads and in small ones', async () => {
    const { store, body, bytes, open } = await cachedBody(directory, 1, 400_000);
    for (const [at, length] of [
      [300_000, 400_000],
      [30, 400_000],
      [200_500, 1000],
      [9, 1000],
    ] as const) {
      const first = open();
      await first.reader.read(body, 0, 400_000);
      await first.disk.settle();
      const before = store.calls.get;
      const [path = ''] = entries();
      flip(path, at);
      const { reader, disk } = open();
      const offset = length === 1000 ? 200_000 : 0;
      expect(Buffer.compare(await reader.read(body, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
      await disk.settle();
      expect(store.calls.get - before).toBe(1);
      expect(disk.figures.corrupt).toBe(1);
      expect(Buffer.compare(await open().reader.read(body, 0, 400_000), bytes)).toBe(0);
      expect(store.calls.get - before).toBe(1);
    }
  });

  test('an entry that was cut, emptied or written over with something else is absent', async () => {
    const { store, body, bytes, pieces, open } = await cachedBody(directory, 1, 200_000);
    for (const wrong of [Buffer.alloc(0), Buffer.alloc(150_000), randomBytes(300_000)]) {
      const { reader, disk } = open();
      await reader.read(body, 0, 200_000);
      await disk.settle();
      const before = store.calls.get;
      const [path = ''] = entries();
      writeFileSync(path, wrong);
      for (const [offset, length] of [
        [50_000, 100],
        [0, 200_000],
      ] as const) {
        const fresh = open();
        expect(Buffer.compare(await fresh.reader.read(body, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
        await fresh.disk.settle();
      }
      expect(store.calls.get - before).toBe(1);
      await disk.remove(pieces);
    }
  });

  test('what is wrong in the store too is corrupt with key and path, and never enters the cache', async () => {
    const { store, body, open } = await cachedBody(directory, 1, 200_000);
    store.inject({ on: 'get', times: 2, effect: { kind: 'flip' } });
    const { reader, disk } = open();
    const failed = reader.read(body, 0, 10, { path: '/runs/7' });
    await expect(failed).rejects.toMatchObject({ code: 'corrupt', details: { key: store.keys[0], path: '/runs/7' } });
    await disk.settle();
    expect(entries()).toEqual([]);
  });
});

describe('bounds', () => {
  test('the least recently used go first, and the directory never holds more than its bytes', async () => {
    const { store, body, pieces, open } = await cachedBody(directory, 8, 100_000);
    const bytesMax = 4 * entryDiskBytes(100_000);
    for (let block = 0; block < 4; block += 1) {
      const { reader, disk } = open({ bytesMax });
      await reader.read(body, block * 100_000, 100_000);
      await disk.settle();
    }
    // Used longer ago than they can be told apart.
    for (const path of entries()) utimesSync(path, 1, path.includes(entryName(at(pieces, 1))) ? 1 : 1000);
    const { reader, disk } = open({ bytesMax });
    await reader.read(body, 100_000, 100_000);
    await reader.read(body, 500_000, 100_000);
    await disk.settle();
    expect(await disk.has(at(pieces, 1))).toBe(true);
    expect(await disk.has(at(pieces, 5))).toBe(true);
    expect(disk.figures.evictions).toBe(1);
    for (let block = 0; block < 8; block += 1) {
      await reader.read(body, block * 100_000, 100_000);
      await disk.settle();
      expect(fileBytes()).toBeLessThanOrEqual(bytesMax);
    }
    expect((await disk.measure()).bytes).toBeLessThanOrEqual(bytesMax);
    expect(store.calls.get).toBeGreaterThan(8);
  });

  test('two caches over one directory stay within its bytes together', async () => {
    const { body, open } = await cachedBody(directory, 40, 50_000);
    const bytesMax = 16 * entryDiskBytes(50_000);
    const both = [open({ bytesMax }), open({ bytesMax })];
    for (let block = 0; block < 40; block += 1) {
      const { reader, disk } = at(both, block % 2);
      await reader.read(body, block * 50_000, 50_000);
      await disk.settle();
      expect(fileBytes()).toBeLessThanOrEqual(bytesMax);
    }
  });

  test('however many entries are written at once, the directory never holds more than its bytes', async () => {
    const { body, bytes, open } = await cachedBody(directory, 60, 20_000);
    const bytesMax = 7 * entryDiskBytes(20_000);
    for (let round = 0; round < 5; round += 1) {
      const { reader, disk } = open({ bytesMax });
      expect(Buffer.compare(await reader.read(body, 0, bytes.length), bytes)).toBe(0);
      await disk.settle();
      expect(fileBytes()).toBeLessThanOrEqual(bytesMax);
      expect(entries().length).toBeGreaterThan(2);
    }
  });

  test('pinned entries stay; when all is pinned nothing is written, and reads go on', async () => {
    const { body, pieces, open } = await cachedBody(directory, 6, 100_000);
    const bytesMax = 2 * entryDiskBytes(100_000);
    const { reader, disk } = open({ bytesMax });
    await disk.pins.set({ namespace: 'n', path: '/a', files: 1, bytes: 1, pinnedAtMs: 0, entries: pieces.slice(0, 2).map(entryName) });
    for (let block = 0; block < 6; block += 1) {
      expect(await reader.read(body, block * 100_000, 100_000)).toHaveLength(100_000);
      await disk.settle();
    }
    expect(await Promise.all(pieces.map((piece) => disk.has(piece)))).toEqual([true, true, false, false, false, false]);
    expect(disk.figures.problem).toContain('pinned');
  });

  test('the floor of free space is kept: nothing is written below it', async () => {
    const { body, bytes, open } = await cachedBody(directory, 2, 100_000);
    const notes: string[] = [];
    const { reader, disk } = open({ freeBytesMin: Number.MAX_SAFE_INTEGER, note: (line) => notes.push(line) });
    expect(Buffer.compare(await reader.read(body, 0, bytes.length), bytes)).toBe(0);
    await disk.settle();
    expect(entries()).toEqual([]);
    expect(notes).toEqual([expect.stringContaining('nearly full')]);
  });

  test('no more than a few blocks wait for the disk, however fast the store is', async () => {
    const { body, bytes, open } = await cachedBody(directory, 24, 4 * 1024 * 1024);
    const { reader, disk } = open();
    let got = 0;
    for await (const chunk of reader.stream(body, { reuse: true })) got += chunk.length;
    expect(got).toBe(bytes.length);
    await disk.settle();
    expect(disk.figures).toMatchObject({ writes: 24, refused: 0 });
  });
});

describe('a directory that cannot be used', () => {
  test('costs the caching, is noted once, and never fails a read', async () => {
    const { store, body, bytes, open } = await cachedBody(join(directory, 'file', 'below'), 3, 100_000);
    writeFileSync(join(directory, 'file'), 'no directory');
    const notes: string[] = [];
    const { reader, disk } = open({ note: (line) => notes.push(line) });
    for (let block = 0; block < 3; block += 1) {
      const found = await reader.read(body, block * 100_000, 100_000);
      expect(Buffer.compare(found, bytes.subarray(block * 100_000, (block + 1) * 100_000))).toBe(0);
      await disk.settle();
    }
    expect(store.calls.get).toBe(3);
    expect(notes).toEqual([expect.stringContaining('ENOTDIR')]);
    expect(disk.figures).toMatchObject({ writes: 0, refused: 3 });
  });

  test('that is removed while it is in use is made again', async () => {
    const { body, pieces, open } = await cachedBody(join(directory, 'c'), 2, 100_000);
    const { reader, disk } = open();
    await reader.read(body, 0, 100_000);
    await disk.settle();
    rmSync(join(directory, 'c'), { recursive: true });
    await reader.read(body, 100_000, 100_000);
    await disk.settle();
    expect(await disk.has(at(pieces, 1))).toBe(true);
  });

  test('that is full or read-only serves without it', async ({ skip }) => {
    if (!isRoot) return skip('a small disk is a tmpfs, and only root may mount one');
    const disk = join(directory, 'small');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'nokv-test', disk]);
    try {
      const { store, body, bytes, open } = await cachedBody(disk, 4, 400_000);
      const notes: string[] = [];
      const full = open({ note: (line) => notes.push(line) });
      // Written in one go, so that no look at the free space comes between.
      expect(Buffer.compare(await full.reader.read(body, 0, bytes.length), bytes)).toBe(0);
      await full.disk.settle();
      expect(notes).toHaveLength(1);
      expect(readdirSync(join(disk, 'tmp'))).toEqual([]);
      const kept = full.disk.figures.writes;
      expect(kept).toBeLessThan(4);
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      const readOnly = open({ note: (line) => notes.push(line) });
      expect(Buffer.compare(await readOnly.reader.read(body, 0, bytes.length), bytes)).toBe(0);
      await readOnly.disk.settle();
      expect(readOnly.disk.figures).toMatchObject({ hits: kept, writes: 0 });
      expect(store.calls.get).toBe(4 + 4 - kept);
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });
});

test('a failing store is told as what it is, with a cache and without', async () => {
  const { store, body, open } = await cachedBody(directory, 1, 1000);
  store.inject({ on: 'get', effect: { kind: 'fail' } });
  expect(await codeOf(open().reader.read(body, 0, 10))).toBe('store-unavailable');
});
