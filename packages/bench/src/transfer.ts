/** A 200 MB file in and out of the file store by the command, beside `cp` with fsync and plain `cp`. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServer } from './child.js';
import { interleaved, rounds, type Bench } from './figure.js';

const BYTES = 200 * 1000 * 1000;
const cli = fileURLToPath(new URL('../../cli/bin/nokv.mjs', import.meta.url));

export const transferBench: Bench = {
  name: 'transfer',
  about: '`nokv put` and `nokv cat` of 200 MB on the file store',
  async run(context) {
    const source = join(context.directory, 'source');
    // Every round writes a new file on both sides: pages that the machine has not touched yet cost more than freed ones.
    let files = 0;
    const fresh = () => join(context.directory, `copy-${files++}`);
    const chunk = Buffer.alloc(BYTES);
    randomFillSync(chunk);
    writeFileSync(source, chunk);
    const server = await startServer(join(context.directory, 'transfer'));
    const nokv = (args: readonly string[], stdout: number | 'ignore') => {
      const { status, stderr } = spawnSync(process.execPath, [cli, '--server', server.rpc, ...args], { stdio: ['ignore', stdout, 'pipe'] });
      if (status !== 0) throw new Error(`nokv ${args.join(' ')} ended with ${status}: ${stderr.toString()}`);
    };
    const rate = async (work: () => void) => {
      const before = performance.now();
      work();
      return BYTES / 1048576 / ((performance.now() - before) / 1000);
    };
    const cpFsync = () => {
      const copy = fresh();
      execFileSync('cp', [source, copy]);
      const fd = openSync(copy, 'r+');
      fsyncSync(fd);
      closeSync(fd);
    };
    try {
      const conditions = { bytes: BYTES, rounds: rounds(context), store: 'file', includes: 'process start' };
      let round = 0;
      const put = await interleaved(
        context,
        () => rate(cpFsync),
        () => rate(() => nokv(['put', source, `/copy-${round++}`], 'ignore')),
      );
      const report = (name: string, figure: { floor: number; value: number }, floorName: string) =>
        context.report({
          bench: 'transfer',
          case: name,
          unit: 'MiB/s',
          ...figure,
          floorName,
          ratio: figure.value / figure.floor,
          conditions,
        });
      report('put-200MB', put, 'cp with fsync');
      const cat = await interleaved(
        context,
        () => rate(cpFsync),
        () =>
          rate(() => {
            const fd = openSync(fresh(), 'w');
            nokv(['cat', '/copy-0'], fd);
            closeSync(fd);
          }),
      );
      report('cat-200MB', cat, 'cp with fsync');
    } finally {
      await server.stop();
    }
  },
};
