/** How long a stat of others takes at worst while the server does something big. */
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { startServer } from './child.js';
import { drive } from './drive.js';
import type { Bench, BenchContext } from './figure.js';
import { fileName, makeDirectory, makeFiles, openBenchShard } from './load/load-shard.js';

const SETTLE_MS = 200;

export const stallBench: Bench = {
  name: 'stall',
  about: 'p99 of stats while the map grows, a big tree is removed, and what it held is swept',
  async run(context) {
    const files = context.quick ? 50_000 : 200_000;
    const data = join(context.directory, 'stall');
    const shard = await openBenchShard(data);
    await makeFiles(shard.engine, await makeDirectory(shard.engine, '/doomed'), files);
    await makeFiles(shard.engine, await makeDirectory(shard.engine, '/kept'), 10_000);
    await shard.close();
    const server = await startServer(data);
    const [watched, busy] = [await connect(server.rpc), await connect(server.rpc)];
    try {
      const durationMs = context.quick ? 2000 : 10_000;
      await measure(context, 'idle', watched, durationMs, async () => undefined, { files });
      const grow = (until: Promise<unknown>) => growUntil(busy, until);
      await measure(context, 'map-growth', watched, durationMs, grow, { creates: '256 in flight' });
      const remove = async (until: Promise<unknown>) => {
        await busy.metadata.mutate('remove-tree', { entry: { path: parsePath('/doomed') } });
        await until;
      };
      await measure(context, 'remove-tree', watched, durationMs, remove, { files, sweep: 'background, from the first moment' });
    } finally {
      await Promise.all([watched.close(), busy.close()]);
      await server.stop();
    }
  },
};

/** Stats one at a time on a connection of their own, as long as `work` goes on. */
async function measure(
  context: BenchContext,
  name: string,
  client: NokvClient,
  durationMs: number,
  work: (until: Promise<unknown>) => Promise<unknown>,
  conditions: Record<string, string | number>,
): Promise<void> {
  const stat = (i: number) =>
    client.metadata.read('stat', { node: { path: parsePath(`/kept/${fileName((i * 7919) % 10_000).toString()}`) } });
  await drive(stat, 1, SETTLE_MS);
  const stats = drive(stat, 1, durationMs);
  const [{ p50Us, p99Us }] = await Promise.all([stats, work(stats)]);
  const common = { ...conditions, durationMs, depth: 1 };
  context.report({ bench: 'stall', case: `${name}-p50`, value: p50Us / 1000, unit: 'ms', conditions: common });
  context.report({ bench: 'stall', case: `${name}-p99`, value: p99Us / 1000, unit: 'ms', conditions: common });
}

/** Creates as fast as one connection can, so that the file grows all the time. */
async function growUntil(client: NokvClient, until: Promise<unknown>): Promise<void> {
  let isOver = false;
  let next = 0;
  void until.finally(() => (isOver = true));
  const lane = async (): Promise<void> => {
    // Ends with the stats.
    while (!isOver) {
      const entry = { path: parsePath(`/grown-${next++}`) };
      await client.metadata.mutate('create', { entry, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 });
    }
  };
  await Promise.all(Array.from({ length: 256 }, lane));
}
