import { expect, test } from 'vitest';
import type { PinId } from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { runLoad } from './testing/random-load.js';
import { TestShard, at } from './testing/test-shard.js';
import { dump } from './testing/tree-dump.js';

const FROM = Number(process.env['SEED'] ?? 1);
const COUNT = Number(process.env['COUNT'] ?? 40);
test.each(Array.from({ length: COUNT }, (_, i) => FROM + i))('seed %i', { timeout: 60000 }, async (seed) => {
  const shard = await TestShard.open(new MemoryKv(), { retention: { bodyMs: 3000, bodiesKept: 1, uploadMs: 500, extentMs: 500 }, window: { requestMs: 4000, requestVersionsMax: 200, changeMs: 8000, changeVersionsMax: 400 } });
  const kept: { id: PinId; tree: unknown }[] = [];
  for (let round = 0; round < 8; round++) {
    await runLoad({ engine: shard.engine, clock: shard.clock, seed: seed * 1000 + round, steps: 60 });
    const id = (await shard.do('snapshot-create', { node: at('/'), ttlMs: 1e11 })).result.pin.id;
    kept.push({ id, tree: await dump(shard, '/', { at: { snapshot: id } }) });
    const live = (await dump(shard, '/')) as { children: unknown };
    expect(live.children).toEqual((kept.at(-1)?.tree as { children: unknown }).children);
    shard.clock.ms += 70_000;
    await shard.maintain();
    for (const { id, tree } of kept) expect(await dump(shard, '/', { at: { snapshot: id } })).toEqual(tree);
    expect(contradictions(shard.kv)).toEqual([]);
    const a = kept[Math.max(0, kept.length - 2)] as { id: PinId };
    const rows: unknown[] = [];
    for await (const item of shard.engine.diff({ a: { node: at('/'), at: { snapshot: a.id } }, b: { node: at('/'), at: { snapshot: id } } })) rows.push(...item.rows);
    for await (const item of shard.engine.diff({ a: { node: at('/'), at: { snapshot: id } }, b: { node: at('/') } })) expect(item.rows).toEqual([]);
  }
});
