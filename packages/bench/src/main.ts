/** `bench [NAME…] [--json] [--quick]`: runs benchmarks and prints their figures with the floors beside them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { latencyBench, s3Bench } from './bodies.js';
import { cachedBench } from './cached.js';
import { fsckBench } from './check.js';
import { createBench } from './create.js';
import type { Bench, Figure } from './figure.js';
import { listBench } from './list.js';
import { bodyMemoryBench } from './memory-of-bodies.js';
import { memoryBench } from './memory.js';
import { mountBench } from './mount.js';
import { objectRequestsBench } from './object-requests.js';
import { publishBench } from './publish.js';
import { rewriteBench } from './rewrite.js';
import { rpcBench } from './rpc.js';
import { scaleBench } from './scale.js';
import { smallBodiesBench } from './small-bodies.js';
import { stallBench } from './stall.js';
import { startBench } from './start.js';
import { transferBench } from './transfer.js';
import { cloneBench, diffBench, growthBench, rollbackBench } from './trees.js';
import { watchBench } from './watch.js';

const BENCHES: readonly Bench[] = [
  startBench,
  rpcBench,
  createBench,
  publishBench,
  listBench,
  scaleBench,
  memoryBench,
  stallBench,
  fsckBench,
  cloneBench,
  diffBench,
  rollbackBench,
  growthBench,
  transferBench,
  cachedBench,
  s3Bench,
  latencyBench,
  smallBodiesBench,
  rewriteBench,
  bodyMemoryBench,
  objectRequestsBench,
  mountBench,
  watchBench,
];

const args = process.argv.slice(2);
const json = args.includes('--json');
const quick = args.includes('--quick');
const names = args.filter((arg) => !arg.startsWith('--'));
const unknown = [
  ...names.filter((name) => !BENCHES.some((bench) => bench.name === name)),
  ...args.filter((arg) => arg.startsWith('--') && arg !== '--json' && arg !== '--quick'),
];

if (unknown.length > 0) {
  process.stderr.write(`bench: unknown: ${unknown.join(' ')}\n`);
  for (const { name, about } of BENCHES) process.stderr.write(`  ${name.padEnd(10)} ${about}\n`);
  process.exit(2);
}

const machine = { node: process.version, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) };

function report(figure: Figure): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...figure, conditions: { ...figure.conditions, ...machine } })}\n`);
    return;
  }
  const number = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1));
  const beside =
    figure.floor === undefined ? '' : `${number(figure.floor).padStart(12)} ${figure.floorName ?? ''}  x${(figure.ratio ?? 0).toFixed(2)}`;
  process.stdout.write(
    `${figure.bench.padEnd(9)} ${figure.case.padEnd(22)} ${number(figure.value).padStart(12)} ${figure.unit.padEnd(6)} ${beside}\n`,
  );
}

if (!json)
  process.stdout.write(
    `${Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}${quick ? ', quick' : ''}\n`,
  );
for (const bench of BENCHES) {
  if (names.length > 0 && !names.includes(bench.name)) continue;
  const directory = mkdtempSync(join(tmpdir(), `nokv-bench-${bench.name}-`));
  try {
    await bench.run({ quick, directory, report });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
process.exit(0);
