import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FAMILY, familyEnd, familyStart } from './key.js';
import { openLmdbKv } from './lmdb-kv.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at } from './testing/test-shard.js';

const MAP_BYTES = 1024 * 1024;
const FILES = 1000;
const AT_ONCE = 25;

test('a map that becomes too small grows: commits, reads and a snapshot from before go on meanwhile', { timeout: 60_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-map-'));
  try {
    const kv = await openLmdbKv({ directory, mapBytes: MAP_BYTES });
    const shard = await TestShard.open(kv);
    await shard.put('/first', 'there from the start');
    const snapshot = kv.snapshot();
    const sizes = new Set<number>();
    let reads = 0;
    let isOver = false;
    const reader = (async () => {
      // Ends with the writes beside it.
      while (!isOver) {
        expect(await shard.text('/first')).toBe('there from the start');
        reads += 1;
        sizes.add(kv.usage?.().mapBytes ?? 0);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    })();
    const put = (i: number): Promise<unknown> =>
      shard.do('publish', { node: at(`/f${i}`), body: { kind: 'inline', bytes: new Uint8Array(16_000).fill(i) }, mode: 0o644, ...OWNER });
    for (let i = 0; i < FILES; i += AT_ONCE) {
      const before = reads;
      await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => put(i + k)));
      // No commit keeps the reader from its turn, not the ones that map anew either.
      expect(reads).toBeGreaterThan(before);
    }
    isOver = true;
    await reader;
    expect(kv.usage?.().mapBytes).toBeGreaterThan(FILES * 16_000);
    expect(sizes.size).toBeGreaterThan(2);
    // The three roots and the first file.
    expect([...snapshot.range(familyStart(FAMILY.inode), familyEnd(FAMILY.inode))].length).toBe(4);
    snapshot.release();
    expect(contradictions(kv)).toEqual([]);
    await shard.engine.close();

    const again = await openLmdbKv({ directory, mapBytes: MAP_BYTES });
    const reopened = await TestShard.open(again, { prefix: 'again' });
    expect(await reopened.stat('/')).toMatchObject({ children: FILES + 1 });
    await reopened.put('/last', 'after');
    expect(await reopened.text('/last')).toBe('after');
    await reopened.engine.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});
