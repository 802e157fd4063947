/** The mount beside the disk that its store lies on: the same program on both, turn by turn. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNode, startServer } from './child.js';
import { interleaved, rounds, type Bench } from './figure.js';

const cli = fileURLToPath(new URL('../../cli/bin/nokv.mjs', import.meta.url));

const CASES: readonly { readonly name: string; readonly unit: string }[] = [
  { name: 'stat', unit: 'op/s' },
  { name: 'create-close', unit: 'op/s' },
  { name: 'sequential-write', unit: 'MiB/s' },
];

export const mountBench: Bench = {
  name: 'mount',
  about: 'stat of cached entries, create and close, sequential write with fsync',
  async run(context) {
    const server = await startServer(join(context.directory, 'mount-data'));
    const target = join(context.directory, 'mnt');
    const disk = join(context.directory, 'disk');
    mkdirSync(target);
    mkdirSync(disk);
    const nokv = (args: readonly string[]) => {
      const { status, stderr } = spawnSync(process.execPath, [cli, '--server', server.rpc, ...args], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      if (status !== 0) throw new Error(`nokv ${args.join(' ')} ended with ${status}: ${stderr.toString()}`);
    };
    try {
      nokv(['mount', target]);
      const durationMs = context.quick ? 500 : 1500;
      const measure = (name: string, directory: string) => async () => {
        const child = startNode(new URL('./load/mount-load.js', import.meta.url), [name, directory, String(durationMs)]);
        return Number(await child.line());
      };
      for (const { name, unit } of CASES) {
        const { floor, value } = await interleaved(context, measure(name, disk), measure(name, target));
        const conditions = { rounds: rounds(context), durationMs, callers: 1, store: 'file' };
        context.report({ bench: 'mount', case: name, value, unit, floor, floorName: 'the disk itself', ratio: value / floor, conditions });
      }
    } finally {
      spawnSync(process.execPath, [cli, 'umount', target]);
      await server.stop();
    }
  },
};
