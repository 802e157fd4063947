import { expect, test } from 'vitest';
import { MemoryKv } from './memory-kv.js';
import { TestShard } from './testing/test-shard.js';

test('a cursor is too old from the moment that rows after it are gone, flushed or not', async () => {
  const first = await TestShard.open(new MemoryKv(), { window: { requestMs: 1000, changeMs: 1000 } });
  for (let i = 0; i < 3; i++) await first.put('/f', String(i));
  const { changes, next } = await first.read('changes', { since: 0 as never, limit: 100 });
  const cursor = changes[0]?.version;
  expect(cursor).toBeLessThan(next);
  await first.engine.close();

  const kv = (first.kv as MemoryKv).powerCut({ manual: true });
  const opening = TestShard.open(kv, { clock: first.clock, window: { requestMs: 1000, changeMs: 1000 } });
  await store(kv, true);
  const shard = await opening;
  shard.clock.ms += 10_000;
  const slice = shard.engine.maintain(() => Promise.resolve());
  // Requests are forgotten first, then the changes of their versions; of the latter nothing is flushed yet.
  await store(kv, true);
  await store(kv, false);
  const read = async () => shard.engine.read('changes', { since: cursor as never, limit: 100 }, { visible: false });
  await expect(read()).rejects.toMatchObject({ code: 'cursor-too-old' });
  // Ends: the rest of the slice is a few commits more.
  const isOver = slice.then(() => true);
  while (!(await Promise.race([isOver, store(kv, true)])));
  await expect(read()).rejects.toMatchObject({ code: 'cursor-too-old' });
});

/** Applies what waits, and flushes it or leaves it to a loss of power. */
async function store(kv: MemoryKv, flushes: boolean): Promise<false> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
  // Ends: each turn takes one waiting commit.
  while (kv.applyNext());
  if (flushes) kv.flush();
  return false;
}
