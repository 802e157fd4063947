import { expect, test } from 'vitest';
import type { At, PinId } from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { TestShard, at } from './testing/test-shard.js';
import { dump } from './testing/tree-dump.js';

const HOUR_MS = 3600 * 1000;
const YEAR_MS = 365 * 24 * HOUR_MS;

test('a directory of a fork that nobody looked into stays at a snapshot as it was, long after it was removed', async () => {
  const window = { requestMs: 2 * HOUR_MS, changeMs: 2 * HOUR_MS };
  const shard = await TestShard.open(new MemoryKv(), { window, retention: { bodyMs: 2 * HOUR_MS, bodiesKept: 0 } });
  const snapshot = async (): Promise<PinId> => (await shard.do('snapshot-create', { node: at('/'), ttlMs: YEAR_MS })).result.pin.id;
  const hours = async (count: number): Promise<void> => {
    for (let hour = 0; hour < count; hour++) {
      shard.clock.ms += HOUR_MS;
      await shard.maintain();
    }
  };
  await shard.mkdir('/b');
  await shard.mkdir('/b/a');
  await shard.put('/b/a/f', 'text');
  const first = await snapshot();
  const before = await dump(shard, '/b');
  const back = async (): Promise<unknown> => shard.do('rollback', { node: at('/b'), at: { snapshot: first }, undoTtlMs: 1000 });
  await back();
  const second: At = { snapshot: await snapshot() };
  await back();
  await hours(1);
  await back();
  await hours(5);
  expect(await dump(shard, '/b', { at: second })).toEqual(before);
  expect(contradictions(shard.kv)).toEqual([]);
  // Once nothing holds it, nothing of it stays.
  await shard.do('snapshot-retire', { snapshot: second.snapshot });
  await shard.do('snapshot-retire', { snapshot: first });
  await shard.do('remove-tree', { entry: at('/b') });
  await hours(3);
  // The window of history moves on with the changes that come after.
  await shard.mkdir('/later');
  await hours(20);
  const left = (shard.kv as MemoryKv).dump().filter((row) => /^(13|15|17|30|82)/.test(row));
  expect(left.map((row) => row.slice(0, 50))).toEqual([]);
});
