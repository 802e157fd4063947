/** What an operator asks of a server: checks of the shard and its store, figures, background work. */
import { readdir, rm, truncate, writeFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeUploadId, type FsckArgs, type FsckFinding, type FsckItem } from '@nokv/types';
import { cuttingProxy, patternBytes, startClientFixture, type ClientFixture } from './client-fixture.js';
import { connect } from '@nokv/client';

const REPORT: FsckArgs = { repair: 'none', checksums: false };

let fixture: ClientFixture;
beforeEach(async () => {
  fixture = await startClientFixture();
});
afterEach(async () => await fixture?.close());

async function check(args: Partial<FsckArgs> = {}): Promise<{ items: FsckItem[]; findings: FsckFinding[] }> {
  const items: FsckItem[] = [];
  for await (const item of fixture.client.metadata.fsck({ ...REPORT, ...args })) items.push(item);
  return { items, findings: items.filter((item) => item.kind === 'finding') };
}

/** Files of blocks, sorted. */
async function blockFiles(): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(fixture.directory, 'data'), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && /\/blocks\/[0-9a-f]{2}\/[0-9a-f]{32}\/\d+$/.test(path)) found.push(path);
  }
  return found.sort();
}

test('a check over the wire finds nothing in a sound namespace, and says how far it is', async () => {
  const { client } = fixture;
  await client.put('/runs/model', patternBytes(5_000_000, 1), { parents: true });
  await client.put('/runs/small', 'small');
  const { items, findings } = await check({ checksums: true });
  expect(findings).toEqual([]);
  const passes = items.filter((item) => item.kind === 'progress').map(({ pass }) => pass);
  expect(passes).toEqual([
    'inodes',
    'entries',
    'names',
    'tree',
    'counters',
    'extents',
    'bodies',
    'pins',
    'holds',
    'logs',
    'blocks',
    'checksums',
  ]);
  expect(items.at(-1)).toMatchObject({ kind: 'done', findings: 0, repaired: 0 });
});

test('a block that is gone, one that was changed and one that nothing knows are named', async () => {
  const { client } = fixture;
  await client.put('/runs/gone', patternBytes(100_000, 1), { parents: true });
  const [gone] = await blockFiles();
  await client.put('/runs/changed', patternBytes(100_000, 2));
  const changed = (await blockFiles()).find((path) => path !== gone);
  await rm(gone as string);
  await writeFile(changed as string, patternBytes(100_000, 3));
  const upload = makeUploadId(Date.now() - 86_400_000, new Uint8Array(10).fill(7));
  const stray = join(dirname(dirname(dirname(changed as string))), upload.slice(-2), upload, '0');
  await mkdir(dirname(stray), { recursive: true });
  await writeFile(stray, 'left over');
  expect((await check()).findings.map(({ class: kind, path, repair }) => [kind, path, repair])).toEqual([
    ['stray-object', undefined, 'possible'],
    ['block-missing', '/runs/gone', 'none'],
  ]);
  const read = (await check({ checksums: true })).findings.filter(({ class: kind }) => kind === 'block-checksum');
  expect(read.map(({ path }) => path).sort()).toEqual(['/runs/changed', '/runs/gone']);
  await truncate(changed as string, 50_000);
  expect((await check({ checksums: true })).findings.find(({ path }) => path === '/runs/changed')).toMatchObject({
    found: 'no such bytes',
  });
  expect((await check({ repair: 'drop' })).findings[0]).toMatchObject({ class: 'stray-object', repair: 'done' });
  expect((await check()).findings.map(({ class: kind }) => kind)).toEqual(['block-missing']);
  expect(await blockFiles()).not.toContain(stray);
});

test('a check goes on over another connection when its own is cut', async () => {
  await Promise.all(Array.from({ length: 600 }, (_, i) => fixture.client.put(`/f${i}`, 'x')));
  const proxy = await cuttingProxy(fixture.server.rpc);
  const client = await connect({ address: proxy.address });
  const passes: string[] = [];
  for await (const item of client.metadata.fsck(REPORT)) {
    if (item.kind === 'progress') passes.push(item.pass);
    if (item.kind === 'progress' && item.pass === 'tree' && proxy.connections === 1) proxy.cutAll();
    if (item.kind === 'done') passes.push('done');
  }
  expect(proxy.connections).toBeGreaterThan(1);
  expect(passes.at(-1)).toBe('done');
  expect(passes.filter((pass) => pass === 'inodes')).toEqual(['inodes']);
  await client.close();
  await proxy.close();
});

test('a check that is left makes room for the next; a cursor of nowhere is refused', async () => {
  const running = fixture.client.metadata.fsck(REPORT)[Symbol.asyncIterator]();
  await running.next();
  await running.return?.();
  await expect(check({ resume: 'nowhere.00' })).rejects.toMatchObject({ code: 'invalid-argument' });
  expect((await check()).findings).toEqual([]);
});

test('figures say what the shard holds', async () => {
  const { client } = fixture;
  for (let i = 0; i < 20; i++) await client.put(`/d/f${i}`, 'four', { parents: true });
  await client.snapshots.create('/d');
  const figures = await client.metadata.shardFigures({ rows: true });
  expect(figures).toMatchObject({ shard: 0, inodes: 21, bytes: 80, pins: 1, forks: 0, queued: 0 });
  expect(figures.durable).toBeGreaterThan(20);
  expect(figures.commands).toBeGreaterThanOrEqual(21);
  expect(figures.store.rows).toBeGreaterThan(80);
  expect(figures.store.mapBytes).toBeGreaterThan(figures.store.fileBytes);
  const rows = new Map(figures.families.map(({ family, rows: count, isExact }) => [family, isExact ? count : -1]));
  expect([rows.get('inode'), rows.get('dentry'), rows.get('body'), rows.get('pin'), rows.get('link')]).toEqual([24, 21, 20, 1, 0]);
  expect([...rows.values()].reduce((sum, count) => sum + count, 0)).toBe(figures.store.rows);
  expect((await client.metadata.shardFigures({ rows: false })).families).toEqual([]);
});

test('a dry run says what waits and why, and does nothing; a run does what is due', async () => {
  const { client } = fixture;
  await client.put('/f', patternBytes(100_000, 1));
  await client.put('/f', patternBytes(100_000, 2));
  const { result } = await client.metadata.mutate('begin-upload', { target: '/later', ttlMs: 1 });
  const dry = await client.metadata.collect({ dryRun: true, limit: 100 });
  expect(dry).toMatchObject({ more: false, slices: 0, blocksRemoved: 0, isUnfinished: false });
  expect(dry.rows.map(({ kind, state, why }) => [kind, state, why])).toContainEqual([
    'body',
    'waiting',
    'it was superseded; its retention goes on',
  ]);
  const open = dry.rows.find(({ what }) => what === `upload ${result.upload}`);
  expect(open?.why ?? 'it has expired').toMatch(/^it (has expired|is open for \/later)$/);
  // The background may have been there first: what counts is that nothing due is left.
  const run = await client.metadata.collect({ dryRun: false, limit: 100 });
  expect(run.slices).toBeGreaterThan(0);
  expect(run.rows.filter(({ state }) => state === 'due')).toEqual([]);
  expect((await client.metadata.collect({ dryRun: true, limit: 1 })).more).toBe(true);
  expect((await check()).findings).toEqual([]);
});

test(
  'while bodies are put, copied, pruned and collected at once, every block that a body names stays, and the rest waits for its end',
  { timeout: 120_000 },
  async () => {
    const { client } = fixture;
    await client.mkdir('/work');
    let isOver = false;
    const collecting = (async () => {
      let removed = 0;
      // Ends with the writers.
      while (!isOver) removed += (await client.metadata.collect({ dryRun: false, limit: 1 })).blocksRemoved;
      return removed;
    })();
    const writer = async (writerNumber: number): Promise<void> => {
      for (let i = 0; i < 12; i++) {
        await client.put(`/work/${writerNumber}`, patternBytes(40_000 + i, writerNumber));
        if (i % 3 === 0) await client.copy(`/work/${writerNumber}`, `/work/${writerNumber}-${i}`);
        for await (const pruned of client.prune(`/work/${writerNumber}`, { keepLast: 0, keepMs: 0 }))
          expect(pruned.generation).toBeGreaterThan(0);
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(writer));
    isOver = true;
    await collecting;
    expect((await check({ checksums: true })).findings).toEqual([]);
    for (let i = 0; i < 6; i++) {
      const last = await (await client.get(`/work/${i}`, { verify: true })).bytes();
      expect(Buffer.compare(last, patternBytes(40_011, i))).toBe(0);
      const copied = await (await client.get(`/work/${i}-3`, { verify: true })).bytes();
      expect(Buffer.compare(copied, patternBytes(40_003, i))).toBe(0);
    }
    // Extents of pruned bodies wait for readers under way; none of them is lost from the queue.
    const { rows } = await client.metadata.collect({ dryRun: true, limit: 1000 });
    expect(rows.filter(({ kind, state }) => kind === 'extent' && state === 'waiting').length).toBeGreaterThan(6 * 6);
  },
);
