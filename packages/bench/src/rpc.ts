/** The smallest useful calls, one at a time and many in flight, beside an echo of the same runtime under the same polling. */
import { connect } from '@nokv/client';
import { parsePath, type InodeNumber } from '@nokv/types';
import { join } from 'node:path';
import { startServer } from './child.js';
import { drive, type DriveResult } from './drive.js';
import { median, rounds, type Bench, type BenchContext } from './figure.js';
import { EchoFloor } from './floors/echo.js';

type Call = (i: number) => Promise<unknown>;

export const rpcBench: Bench = {
  name: 'rpc',
  about: 'stat and lookup over the wire at 1, 64 and 256 in flight',
  async run(context) {
    const server = await startServer(join(context.directory, 'rpc'));
    const sleeping = await EchoFloor.start({ polls: false });
    const polling = await EchoFloor.start({ polls: true });
    const looking = await EchoFloor.start({ polls: true, getIn: join(context.directory, 'echo') });
    const client = await connect(server.rpc);
    try {
      const owner = { uid: 0, gid: 0 };
      const made = await client.metadata.mutate('mkdir', { entry: { path: parsePath('/bench') }, mode: 0o755, ...owner });
      const parent = made.result.attributes.ino;
      const entry = { parent, name: Buffer.from('file') };
      await client.metadata.mutate('create', { entry, mode: 0o644, type: 'file', exclusive: true, ...owner });
      const node = { path: parsePath('/bench/file') };
      const ours: Record<string, Call> = {
        stat: () => client.metadata.read('stat', { node }),
        lookup: () => client.metadata.read('lookup', { parent: parent as InodeNumber, name: entry.name }),
      };
      for (const [name, call] of Object.entries(ours)) {
        await oneInFlight(context, name, call, sleeping, polling);
        for (const depth of [64, 256]) await inFlight(context, name, call, depth, looking);
      }
    } finally {
      await client.close();
      await Promise.all([server.stop(), sleeping.stop(), polling.stop(), looking.stop()]);
    }
  },
};

async function oneInFlight(context: BenchContext, name: string, call: Call, sleeping: EchoFloor, polling: EchoFloor): Promise<void> {
  const runs = await turns(context, 1, [sleeping.call, polling.call, call]);
  const [asleep, awake, p50] = runs.map((results) => median(results.map(({ p50Us }) => p50Us))) as [number, number, number];
  const conditions = conditionsOf(context, 1);
  const figure = { bench: 'rpc', value: p50, unit: 'us', conditions };
  context.report({ ...figure, case: `${name}-p50`, floor: awake, floorName: 'echo, same polling', ratio: awake / p50 });
  context.report({ ...figure, case: `${name}-p50-vs-sleeping`, floor: asleep, floorName: 'echo, asleep', ratio: asleep / p50 });
}

async function inFlight(context: BenchContext, name: string, call: Call, depth: number, looking: EchoFloor): Promise<void> {
  const runs = await turns(context, depth, [looking.call, call]);
  const [floor, value] = runs.map((results) => median(results.map(({ perSecond }) => perSecond))) as [number, number];
  const conditions = conditionsOf(context, depth);
  const figure = { bench: 'rpc', case: `${name}-depth-${depth}`, value, unit: 'op/s', conditions };
  context.report({ ...figure, floor, floorName: 'echo with an LMDB get', ratio: value / floor });
}

/** Each of `calls` in turn, round by round. */
async function turns(context: BenchContext, depth: number, calls: readonly Call[]): Promise<DriveResult[][]> {
  const runs: DriveResult[][] = calls.map(() => []);
  for (let round = 0; round < rounds(context); round++) {
    for (const [at, call] of calls.entries()) runs[at]?.push(await drive(call, depth, durationMs(context)));
  }
  return runs;
}

function durationMs(context: BenchContext): number {
  return context.quick ? 250 : 1000;
}

function conditionsOf(context: BenchContext, depth: number): Record<string, string | number> {
  return { depth, rounds: rounds(context), durationMs: durationMs(context), transport: 'tcp loopback' };
}
