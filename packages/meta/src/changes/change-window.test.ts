import { expect, test } from 'vitest';
import { FAMILY, familyEnd, familyStart } from '../key.js';
import { MemoryKv } from '../memory-kv.js';
import { TestShard } from '../testing/test-shard.js';

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

test('the log of changes keeps to its bytes: the oldest go first, and a cursor among them is told where to go on', async () => {
  const bytesMax = 10_000;
  const shard = await TestShard.open(new MemoryKv(), { window: { changeBytesMax: bytesMax } });
  for (let i = 0; i < 400; i++) await shard.mkdir(`/directory-${i}`);
  const before = logged(shard);
  expect(before.bytes).toBeGreaterThan(bytesMax * 1.5);
  await shard.maintain();
  const kept = logged(shard);
  expect(kept.bytes).toBeLessThanOrEqual(bytesMax);
  // No more went than had to.
  expect(kept.bytes).toBeGreaterThan(bytesMax - 2 * (before.bytes / before.rows));
  const next = shard.engine.durableVersion;
  await expect(shard.read('changes', { since: 1 as never, limit: 10 })).rejects.toMatchObject({
    code: 'cursor-too-old',
    details: { next },
  });
  // What the shard counts is what is there, also after it was opened again.
  await shard.engine.close();
  const again = await TestShard.open((shard.kv as MemoryKv).powerCut(), { window: { changeBytesMax: bytesMax }, prefix: 'again' });
  for (let i = 0; i < 50; i++) await again.mkdir(`/again-${i}`);
  await again.maintain();
  expect(logged(again).bytes).toBeLessThanOrEqual(bytesMax);
  expect(logged(again).bytes).toBeGreaterThan(bytesMax - 2 * (before.bytes / before.rows));
});

test('the log of changes keeps to its number of versions', async () => {
  const shard = await TestShard.open(new MemoryKv(), { window: { requestVersionsMax: 5, changeVersionsMax: 20 } });
  for (let i = 0; i < 50; i++) await shard.mkdir(`/d${i}`);
  await shard.maintain();
  expect(logged(shard).rows).toBeLessThanOrEqual(20);
  expect(logged(shard).rows).toBeGreaterThan(15);
});

function logged({ kv }: TestShard): { readonly rows: number; readonly bytes: number } {
  let [rows, bytes] = [0, 0];
  for (const { key, value } of kv.range(familyStart(FAMILY.change), familyEnd(FAMILY.change))) {
    rows += 1;
    bytes += key.length + value.length;
  }
  return { rows, bytes };
}
