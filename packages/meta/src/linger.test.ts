import { describe, expect, test } from 'vitest';
import { LINGER_MS } from './commit-pipeline.js';
import { MemoryKv } from './memory-kv.js';
import { ManualClock, OWNER, TestShard, at } from './testing/test-shard.js';

/** A clock whose sleepers wake when they are told to. */
class StandingClock extends ManualClock {
  readonly sleepers: { readonly ms: number; readonly wake: () => void }[] = [];

  override sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.sleepers.push({ ms, wake: () => resolve() }));
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
}

async function standingShard(): Promise<{ shard: TestShard; clock: StandingClock; flushes: () => number }> {
  const clock = new StandingClock();
  const shard = await TestShard.open(new MemoryKv(), { clock });
  const before = shard.engine.stats.flushes;
  return { shard, clock, flushes: () => shard.engine.stats.flushes - before };
}

const create = (shard: TestShard, path: string, acknowledgement: 'durable' | 'visible') =>
  shard.do('create', { entry: at(path), mode: 0o644, type: 'file', exclusive: true, ...OWNER }, acknowledgement);

describe('a batch that nobody waits for', () => {
  test('gathers what comes in its time and is one commit', async () => {
    const { shard, clock, flushes } = await standingShard();
    for (let i = 0; i < 20; i++) {
      await create(shard, `/f${i}`, 'visible');
      await turns();
    }
    expect(flushes()).toBe(0);
    expect(clock.sleepers.map(({ ms }) => ms)).toEqual([LINGER_MS]);
    clock.sleepers[0]?.wake();
    await turns();
    expect(flushes()).toBe(1);
    expect(shard.engine.durableVersion).toBe(shard.engine.visibleVersion);
  });

  test('is closed by a durable command, which shares its commit', async () => {
    const { shard, flushes } = await standingShard();
    await create(shard, '/a', 'visible');
    await turns();
    await create(shard, '/b', 'durable');
    expect(flushes()).toBe(1);
    expect(shard.engine.durableVersion).toBe(shard.engine.visibleVersion);
  });

  test('is closed by a read that waits for what it saw', async () => {
    const { shard, flushes } = await standingShard();
    await create(shard, '/a', 'visible');
    await turns();
    await expect(shard.stat('/a')).resolves.toMatchObject({ type: 'file' });
    expect(flushes()).toBe(1);
  });

  test('is closed by the same request asked again with a durable reply', async () => {
    const { shard, flushes } = await standingShard();
    const args = { entry: at('/a'), mode: 0o644, type: 'file', exclusive: true, ...OWNER } as const;
    const { version } = await shard.as('again', 'create', args, 'visible');
    await turns();
    await expect(shard.as('again', 'create', args, 'durable')).resolves.toMatchObject({ version });
    expect(flushes()).toBe(1);
  });

  test('is committed by an orderly end', async () => {
    const { shard } = await standingShard();
    await create(shard, '/a', 'visible');
    await turns();
    await shard.engine.close();
    const again = await TestShard.open((shard.kv as MemoryKv).powerCut());
    await expect(again.names('/')).resolves.toEqual(['a']);
  });
});
