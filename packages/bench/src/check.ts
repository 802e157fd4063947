/** A check of a big shard while it serves: how long it takes, and how long a stat of others takes meanwhile. */
import { join } from 'node:path';
import { connect } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { startServer } from './child.js';
import { drive } from './drive.js';
import type { Bench } from './figure.js';
import { fileName, makeTree, openBenchShard } from './load/load-shard.js';

const PER_DIRECTORY = 100_000;
const LONGEST_MS = 600_000;

export const fsckBench: Bench = {
  name: 'fsck',
  about: 'a check of 1 million inodes (quick: 200,000), online',
  async run(context) {
    const inodes = context.quick ? 200_000 : 1_000_000;
    const data = join(context.directory, 'fsck');
    const shard = await openBenchShard(data);
    await makeTree(shard.engine, '', inodes, PER_DIRECTORY);
    await shard.close();
    const server = await startServer(data);
    const [checking, watched] = [await connect(server.rpc), await connect(server.rpc)];
    try {
      const ended = new AbortController();
      const stat = (i: number) => {
        if (ended.signal.aborted) return Promise.reject(ended.signal.reason);
        const path = `/d0/${fileName((i * 7919) % PER_DIRECTORY).toString()}`;
        return watched.metadata.read('stat', { node: { path: parsePath(path) } });
      };
      const times: number[] = [];
      const stats = drive(
        async (i) => {
          const start = performance.now();
          await stat(i);
          times.push(performance.now() - start);
        },
        1,
        LONGEST_MS,
      ).catch(() => undefined);
      const start = performance.now();
      const findings: string[] = [];
      for await (const item of checking.metadata.fsck({ repair: 'none', checksums: false }, { timeoutMs: LONGEST_MS })) {
        if (item.kind === 'finding') findings.push(JSON.stringify(item));
      }
      const seconds = (performance.now() - start) / 1000;
      ended.abort();
      await stats;
      if (findings.length > 0) throw new Error(`a check of a sound shard found ${findings.slice(0, 3).join(', ')}`);
      const conditions = { inodes, online: 'with stats one at a time' };
      context.report({ bench: 'fsck', case: 'check', value: seconds, unit: 's', conditions });
      const p99 = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
      context.report({ bench: 'fsck', case: 'stat-p99-meanwhile', value: p99, unit: 'ms', conditions });
    } finally {
      await Promise.all([checking.close(), watched.close()]);
      await server.stop();
    }
  },
};
