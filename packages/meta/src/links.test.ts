/** What names of one inode cost: rows read and written are counted, in shards and among names of different number. */
import { describe, expect, test } from 'vitest';
import type { InodeNumber } from '@nokv/types';
import { FAMILY, familyEnd, familyStart } from './key.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** A shard with so many files, and one file with so many more names. */
async function shardOf(files: number, names: number): Promise<TestShard> {
  const shard = await TestShard.open();
  await shard.mkdir('/files');
  await shard.mkdir('/names');
  for (let from = 0; from < files; from += 1000) {
    const operations = Array.from({ length: Math.min(1000, files - from) }, (_, i) => ({
      operation: 'create' as const,
      args: { entry: at(`/files/${from + i}`), mode: 0o644, type: 'file' as const, exclusive: true, ...OWNER },
    }));
    await shard.do('transact', { operations });
  }
  await shard.put('/f', 'body');
  for (let i = 0; i < names; i++) await shard.do('link', { node: at('/f'), entry: at(`/names/${i}`) });
  return shard;
}

/** Rows read and rows written by one command. */
async function cost(shard: TestShard, command: () => Promise<unknown>): Promise<{ readonly read: number; readonly written: number }> {
  const original = shard.kv.commit.bind(shard.kv);
  let written = 0;
  shard.kv.commit = (rows) => {
    written += rows.length;
    return original(rows);
  };
  const before = shard.engine.stats.rowsRead;
  try {
    await command();
  } finally {
    shard.kv.commit = original;
  }
  return { read: shard.engine.stats.rowsRead - before, written };
}

const rowsOf = (shard: TestShard, family: typeof FAMILY.link | typeof FAMILY.xattr): number =>
  [...shard.kv.range(familyStart(family), familyEnd(family))].length;

describe('a hard link', () => {
  test('costs the same in a shard of 20,000 files and 2,000 names as in one of 20 and 2', async () => {
    const costs = [];
    for (const [files, names] of [
      [20, 2],
      [20_000, 2000],
    ] as const) {
      const shard = await shardOf(files, names);
      const link = await cost(shard, () => shard.do('link', { node: at('/f'), entry: at('/l') }));
      const unlink = await cost(shard, () => shard.do('unlink', { entry: at('/l') }));
      const stat = await cost(shard, () => shard.stat('/names/1'));
      const ino = (await shard.stat('/f')).ino;
      const pathOf = await cost(shard, () => shard.read('path-of', { ino }));
      costs.push({ link, unlink, stat, pathOf });
      expect(contradictions(shard.kv)).toEqual([]);
    }
    expect(costs[1]).toEqual(costs[0]);
    expect(costs[0]?.link.written).toBeLessThan(16);
    expect(costs[0]?.link.read).toBeLessThan(16);
  });

  test('is read by inode, by each of its names and by its path, until the last name is gone', async () => {
    const shard = await shardOf(0, 3);
    const { ino } = await shard.stat('/f');
    for (const gone of ['/f', '/names/1', '/names/0']) {
      await shard.do('unlink', { entry: at(gone) });
      const path = Buffer.from((await shard.read('path-of', { ino })).path).toString();
      expect(await shard.stat(path)).toMatchObject({ ino });
      expect((await shard.read('open-read', { node: { ino } })).body).toEqual(inline('body'));
    }
    expect(rowsOf(shard, FAMILY.link)).toBe(0);
    await shard.do('unlink', { entry: at('/names/2') });
    await expect(shard.read('getattr', { ino })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('moves and is replaced like any name', async () => {
    const shard = await shardOf(0, 2);
    await shard.put('/g', 'other');
    await shard.do('rename', { from: at('/names/0'), to: at('/g'), mode: 'replace' });
    expect(await shard.stat('/g')).toMatchObject({ nlink: 3 });
    await shard.do('rename', { from: at('/f'), to: at('/names/1'), mode: 'replace' });
    // Two names of one inode: rename(2) does nothing.
    expect(await shard.names('/')).toEqual(['f', 'files', 'g', 'names']);
    await shard.put('/h', 'h');
    await shard.do('rename', { from: at('/h'), to: at('/f'), mode: 'exchange' });
    expect([await shard.text('/f'), await shard.text('/h'), await shard.text('/g')]).toEqual(['h', 'body', 'body']);
    expect(contradictions(shard.kv)).toEqual([]);
  });
});

describe('extended attributes', () => {
  const set = (shard: TestShard, path: string, name: string, value: Uint8Array): Promise<unknown> =>
    shard.do('xattr-set', { node: at(path), name: bytes(name), value, mode: 'set' });

  test('end at their limits with errors of their own', async () => {
    const shard = await TestShard.open();
    await shard.create('/f');
    await set(shard, '/f', 'x'.repeat(255), new Uint8Array(65_536));
    await expect(set(shard, '/f', 'user.big', new Uint8Array(65_537))).rejects.toMatchObject({ code: 'too-large' });
    await expect(set(shard, '/f', 'x'.repeat(256), new Uint8Array())).rejects.toMatchObject({ code: 'name-too-long' });
    await expect(set(shard, '/f', '', new Uint8Array())).rejects.toMatchObject({ code: 'invalid-name' });
    for (let i = 0; i < 255; i++) await set(shard, '/f', `${'n'.repeat(250)}${String(i).padStart(5, '0')}`, new Uint8Array());
    await expect(set(shard, '/f', `${'m'.repeat(255)}`, new Uint8Array())).rejects.toMatchObject({ code: 'too-large' });
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('go with the last name of their inode, however it goes', async () => {
    const shard = await TestShard.open();
    const ways: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['/a', () => shard.do('unlink', { entry: at('/a') })],
      ['/b', () => shard.do('rename', { from: at('/other'), to: at('/b'), mode: 'replace' })],
      ['/d', () => shard.do('rmdir', { entry: at('/d') })],
      ['/t', () => shard.do('remove-tree', { entry: at('/t') })],
    ];
    await shard.create('/a');
    await shard.create('/b');
    await shard.create('/other');
    await shard.mkdir('/d');
    await shard.mkdir('/t/u', true);
    await set(shard, '/t/u', 'user.k', bytes('v'));
    for (const [path] of ways) for (const name of ['user.1', 'user.2']) await set(shard, path, name, bytes('v'));
    await shard.do('link', { node: at('/a'), entry: at('/a2') });
    expect(rowsOf(shard, FAMILY.xattr)).toBe(9);
    for (const [, remove] of ways) await remove();
    await shard.maintain();
    expect(rowsOf(shard, FAMILY.xattr)).toBe(2);
    expect((await shard.stat('/a2')).xattrs).toHaveLength(2);
    await shard.do('unlink', { entry: at('/a2') });
    expect(rowsOf(shard, FAMILY.xattr)).toBe(0);
    await expect(shard.read('xattr-list', { node: at('/a') })).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('what a sparse file of 100 GiB is cut or extended by reads and writes rows alone, few of them', async () => {
  const shard = await TestShard.open();
  const ino: InodeNumber = await shard.create('/f');
  for (const size of [100 * 2 ** 30, 50 * 2 ** 30 + 1, 0, 2 ** 50, 7]) {
    const { read, written } = await cost(shard, () => shard.do('setattr', { node: { ino }, size }));
    expect(read).toBeLessThan(12);
    expect(written).toBeLessThan(16);
    expect(await shard.stat('/f')).toMatchObject({ size, blocks: 0 });
  }
});
