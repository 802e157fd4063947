/** The past under a load of many callers: what a snapshot showed when it was made it shows for ever, and so does every other. */
import { expect, test } from 'vitest';
import type { PinId } from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { runLoad } from './testing/random-load.js';
import { TestShard, at } from './testing/test-shard.js';
import { dump, type DumpedNode } from './testing/tree-dump.js';

const SEEDS = process.env['NOKV_TEST_LONG'] === undefined ? 10 : 300;
const FIRST = Number(process.env['NOKV_TEST_SEED'] ?? 1);
const ROUNDS = 8;
const STEPS = 60;
const YEARS_MS = 3 * 365 * 24 * 3600 * 1000;

interface Kept {
  readonly id: PinId;
  readonly tree: DumpedNode;
}

test.each(Array.from({ length: SEEDS }, (_, i) => FIRST + i))(
  'snapshots of a busy shard stay as they were, seed %i',
  async (seed) => {
    const shard = await TestShard.open(new MemoryKv(), {
      retention: { bodyMs: 3000, bodiesKept: 1, uploadMs: 500, extentMs: 500 },
      window: { requestMs: 4000, requestVersionsMax: 200, changeMs: 8000, changeVersionsMax: 400 },
    });
    const kept: Kept[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await runLoad({ engine: shard.engine, clock: shard.clock, seed: seed * 1000 + round, steps: STEPS });
      const { id } = (await shard.do('snapshot-create', { node: at('/'), ttlMs: YEARS_MS })).result.pin;
      kept.push({ id, tree: await dump(shard, '/', { at: { snapshot: id } }) });
      // The times of the root may have moved on; what is in it has not.
      expect((await dump(shard, '/')).children).toEqual(kept.at(-1)?.tree.children);
      expect(await differences(shard, id)).toBe(0);
      shard.clock.ms += 70_000;
      await shard.maintain();
      for (const each of kept) expect(await dump(shard, '/', { at: { snapshot: each.id } })).toEqual(each.tree);
      expect(contradictions(shard.kv)).toEqual([]);
    }
  },
  60_000,
);

async function differences(shard: TestShard, id: PinId): Promise<number> {
  let rows = 0;
  const sides = { a: { node: at('/'), at: { snapshot: id } }, b: { node: at('/') } };
  for await (const item of shard.engine.diff(sides)) rows += item.rows.length;
  return rows;
}
