/** Anonymous memory of a server by the size of its shard: what is left once caches are full is the slope. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { startServer, type Child } from './child.js';
import { drive } from './drive.js';
import type { Bench } from './figure.js';
import { fileName, makeTree, openBenchShard } from './load/load-shard.js';

const SIZES = [10_000, 1_000_000];
const SIZES_QUICK = [10_000, 200_000];
const PER_DIRECTORY = 10_000;
const LOAD_MS = 3000;

export const memoryBench: Bench = {
  name: 'memory',
  about: 'anonymous memory of the server after the same load over shards of 10,000 and 1,000,000 inodes',
  async run(context) {
    const found: number[] = [];
    const sizes = context.quick ? SIZES_QUICK : SIZES;
    for (const inodes of sizes) {
      const data = join(context.directory, `memory-${inodes}`);
      const shard = await openBenchShard(data);
      await makeTree(shard.engine, '', inodes, PER_DIRECTORY);
      await shard.close();
      const server = await startServer(data);
      const client = await connect(server.rpc);
      try {
        const directories = inodes / PER_DIRECTORY;
        const stat = (i: number) => {
          const name = fileName((i * 7919) % PER_DIRECTORY).toString();
          return client.metadata.read('stat', { node: { path: parsePath(`/d${i % directories}/${name}`) } });
        };
        await drive(stat, 64, LOAD_MS);
        const value = anonymousMiB(server);
        found.push(value);
        context.report({
          bench: 'memory',
          case: `anonymous-${inodes}`,
          value,
          unit: 'MiB',
          conditions: { inodes, loadMs: LOAD_MS, depth: 64 },
        });
      } finally {
        await client.close();
        await server.stop();
      }
    }
    const [few = 0, many = 0] = found;
    const [small = 1, big = 1] = sizes;
    const value = ((many - few) * 2 ** 20) / (big - small);
    context.report({ bench: 'memory', case: 'slope', value, unit: 'B/ino', conditions: { from: small, to: big } });
  },
};

export function anonymousMiB(child: Child): number {
  const rollup = readFileSync(`/proc/${child.process.pid}/smaps_rollup`, 'utf8');
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
}
