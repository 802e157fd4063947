/**
 * A big shard: how fast it fills, what an inode takes on disk and in memory, how fast it opens after `kill -9`, and whether lookups,
 * `ln` and the rename of a big directory cost what they cost in a small one.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { startServer, type BenchServer } from './child.js';
import { drive } from './drive.js';
import { median, rounds, type Bench, type BenchContext } from './figure.js';
import { fileName, makeTree, openBenchShard } from './load/load-shard.js';
import { anonymousMiB } from './memory.js';

const SMALL = 10_000;
const PER_DIRECTORY = 100_000;
/** Enough to have a 99th percentile that is not the slowest of them all. */
const LINKS = 500;
const RENAMES = 200;

interface Filled {
  readonly data: string;
  readonly inodes: number;
}

export const scaleBench: Bench = {
  name: 'scale',
  about: 'a shard of 10 million inodes (quick: 1 million) beside one of 10,000',
  async run(context) {
    const inodes = context.quick ? 1_000_000 : 10_000_000;
    const small = await fill(context, 'small', SMALL);
    const big = await fill(context, 'big', inodes);
    const smallServer = await startServer(small.data);
    const bigServer = await openAfterKill(context, big);
    const clients = [await connect(smallServer.rpc), await connect(bigServer.rpc)] as const;
    try {
      await lookups(context, clients, big);
      await links(context, clients[1], big);
      await renames(context, clients[1], big);
      await memory(context, bigServer, big);
    } finally {
      await Promise.all(clients.map((client) => client.close()));
      await Promise.all([smallServer.stop(), bigServer.stop()]);
    }
  },
};

async function fill(context: BenchContext, name: string, inodes: number): Promise<Filled> {
  const data = join(context.directory, name);
  const shard = await openBenchShard(data);
  const value = await makeTree(shard.engine, '', inodes, PER_DIRECTORY);
  await shard.close();
  if (inodes > SMALL) {
    const conditions = { inodes, perDirectory: PER_DIRECTORY, path: 'engine, batches of 512, durable' };
    context.report({ bench: 'scale', case: 'fill', value, unit: 'op/s', conditions });
    const bytes = statSync(join(data, 'meta', 'data.mdb')).blocks * 512;
    context.report({ bench: 'scale', case: 'disk-bytes-an-inode', value: bytes / inodes, unit: 'bytes', conditions });
  }
  return { data, inodes };
}

/** From spawn to ready after a server was killed that had just taken mutations. */
async function openAfterKill(context: BenchContext, { data, inodes }: Filled): Promise<BenchServer> {
  const doomed = await startServer(data);
  const client = await connect(doomed.rpc);
  const creates = drive((i) => create(client, `/killed-${i}`), 64, 500).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 300));
  doomed.process.kill('SIGKILL');
  await client.close();
  await creates;
  const server = await startServer(data);
  context.report({
    bench: 'scale',
    case: 'open-after-kill',
    value: server.startMs,
    unit: 'ms',
    conditions: { inodes, from: 'spawn to ready' },
  });
  return server;
}

/** Random files of each shard, one call in flight, turn by turn. */
async function lookups(context: BenchContext, [small, big]: readonly [NokvClient, NokvClient], { inodes }: Filled): Promise<void> {
  const durationMs = context.quick ? 300 : 1000;
  const directories = Math.ceil(inodes / PER_DIRECTORY);
  const parents = await Promise.all(
    Array.from({ length: directories }, async (_, i) => (await big.metadata.read('stat', { node: { path: parsePath(`/d${i}`) } })).ino),
  );
  const smallParent = (await small.metadata.read('stat', { node: { path: parsePath('/d0') } })).ino;
  const inSmall = (i: number) => small.metadata.read('lookup', { parent: smallParent, name: fileName((i * 7919) % SMALL) });
  const inBig = (i: number) => {
    const parent = parents[i % directories];
    if (parent === undefined) throw new Error('no such directory');
    return big.metadata.read('lookup', { parent, name: fileName((i * 7919) % PER_DIRECTORY) });
  };
  const floors: number[] = [];
  const values: number[] = [];
  for (let round = 0; round < rounds(context); round++) {
    floors.push((await drive(inSmall, 1, durationMs)).p50Us);
    values.push((await drive(inBig, 1, durationMs)).p50Us);
  }
  const [floor, value] = [median(floors), median(values)];
  context.report({
    bench: 'scale',
    case: 'lookup-p50',
    value,
    unit: 'us',
    floor,
    floorName: `${SMALL.toLocaleString('en-US')} inodes`,
    ratio: floor / value,
    conditions: { inodes, rounds: rounds(context), durationMs, depth: 1 },
  });
}

async function links(context: BenchContext, client: NokvClient, { inodes }: Filled): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < LINKS; i++) {
    const name = fileName((i * 7919) % PER_DIRECTORY).toString();
    const args = { node: { path: parsePath(`/d0/${name}`) }, entry: { path: parsePath(`/d0/link-${i}`) } };
    times.push(await timed(() => client.metadata.mutate('link', args)));
  }
  reportTimes(context, 'link', times, { inodes, links: LINKS, depth: 1 });
}

async function renames(context: BenchContext, client: NokvClient, { inodes }: Filled): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < RENAMES; i++) {
    const [from, to] = i % 2 === 0 ? ['/d1', '/moved'] : ['/moved', '/d1'];
    const args = { from: { path: parsePath(from) }, to: { path: parsePath(to) }, mode: 'no-replace' } as const;
    times.push(await timed(() => client.metadata.mutate('rename', args)));
  }
  reportTimes(context, 'rename-dir', times, { inodes, files: PER_DIRECTORY, renames: RENAMES, depth: 1 });
}

async function memory(context: BenchContext, server: BenchServer, { inodes }: Filled): Promise<void> {
  const anonymous = anonymousMiB(server);
  context.report({
    bench: 'scale',
    case: 'anonymous-memory',
    value: anonymous,
    unit: 'MiB',
    conditions: { inodes, after: 'the cases above' },
  });
}

function create(client: NokvClient, path: string): Promise<unknown> {
  return client.metadata.mutate('create', {
    entry: { path: parsePath(path) },
    mode: 0o644,
    type: 'file',
    exclusive: true,
    uid: 0,
    gid: 0,
  });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function reportTimes(context: BenchContext, name: string, times: readonly number[], conditions: Record<string, number>): void {
  const sorted = times.toSorted((a, b) => a - b);
  for (const percent of [50, 99]) {
    const value = sorted[Math.floor((sorted.length * percent) / 100)] ?? 0;
    context.report({ bench: 'scale', case: `${name}-p${percent}`, value, unit: 'ms', conditions });
  }
}
