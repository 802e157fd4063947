/** What the disk cache gives: a body from it by the command, beside `cat` of a local file; small ranges of a body that is larger than memory. */
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@nokv/client';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { interleaved, median, rounds, type Bench, type BenchContext } from './figure.js';

const MIB = 1024 * 1024;
const PIECE = 16 * 1024;
const READERS = 16;
const cli = fileURLToPath(new URL('../../cli/bin/nokv.mjs', import.meta.url));

export const cachedBench: Bench = {
  name: 'cached',
  about: '`nokv cat` from the disk cache beside `cat` of a local file, and ranges of 16 KiB from it',
  async run(context) {
    const bytes = (context.quick ? 256 : 1024) * MIB;
    const source = join(context.directory, 'source');
    writeFileSync(source, '');
    const part = Buffer.alloc(64 * MIB);
    for (let at = 0; at < bytes; at += part.length) writeFileSync(source, randomFillSync(part), { flag: 'a' });
    const cache = join(context.directory, 'cache');
    const server = await startServer(join(context.directory, 'cached'));
    try {
      const nokv = ['--server', server.rpc, '--cache-dir', cache];
      run(process.execPath, [cli, 'put', source, '/body', ...nokv]);
      run(process.execPath, [cli, 'tier', 'warm', '/body', ...nokv]);
      await cats(context, bytes, ['cat', source], [process.execPath, cli, 'cat', '/body', ...nokv]);
      await ranges(context, server.rpc, cache, bytes);
    } finally {
      await server.stop();
    }
  },
};

async function cats(context: BenchContext, bytes: number, local: readonly string[], cached: readonly string[]): Promise<void> {
  const target = join(context.directory, 'target');
  const toFile = (words: readonly string[]) => async () => {
    const fd = openSync(target, 'w');
    const rate = timed(bytes, () => run(words[0] ?? '', words.slice(1), fd));
    closeSync(fd);
    rmSync(target);
    return rate;
  };
  const toPipe = (words: readonly string[]) => async () => timed(bytes, () => run('sh', ['-c', '"$@" | cat > /dev/null', 'sh', ...words]));
  for (const [name, way] of [
    ['into-a-file', toFile],
    ['into-a-pipe', toPipe],
  ] as const) {
    const figure = await interleaved(context, way(local), way(cached));
    context.report({
      bench: 'cached',
      case: `cat-${name}`,
      unit: 'MiB/s',
      ...figure,
      floorName: 'cat of a local file',
      ratio: figure.value / figure.floor,
      conditions: { bytes, rounds: rounds(context), includes: 'process start' },
    });
  }
}

/** At random places, from a client that has just begun. */
async function ranges(context: BenchContext, address: string, directory: string, bytes: number): Promise<void> {
  const durationMs = context.quick ? 500 : 2000;
  const found: number[] = [];
  for (let round = 0; round < rounds(context); round += 1) {
    const client = await connect({ address, cache: { directory } });
    const body = await client.get('/body');
    const read = () => body.read(Math.floor(Math.random() * (bytes / PIECE)) * PIECE, PIECE);
    found.push((await drive(read, READERS, durationMs)).perSecond);
    await client.close();
  }
  context.report({
    bench: 'cached',
    case: 'range-16KiB-from-disk',
    unit: 'op/s',
    value: median(found),
    conditions: { bodyBytes: bytes, readers: READERS, durationMs, rounds: rounds(context), memoryBytes: 64 * MIB },
  });
}

function timed(bytes: number, work: () => void): number {
  const before = performance.now();
  work();
  return bytes / MIB / ((performance.now() - before) / 1000);
}

function run(program: string, words: readonly string[], stdout: number | 'ignore' = 'ignore'): void {
  const { status, stderr } = spawnSync(program, words, { stdio: ['ignore', stdout, 'pipe'] });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${status}: ${stderr.toString()}`);
}
