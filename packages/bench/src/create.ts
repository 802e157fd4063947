/** Creates over the wire, acknowledged as durable and as visible, alone and in batches, beside raw LMDB with as many puts. */
import { connect } from '@nokv/client';
import { parsePath, type Acknowledgement, type BatchItem, type InodeNumber } from '@nokv/types';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { interleaved, rounds, type Bench, type BenchContext } from './figure.js';
import { RawLmdbFloor } from './floors/raw-lmdb.js';

const WARM_UP_MS = 1500;
const BATCH = 256;
/** Batches on their way at once: the next is formed while the last are flushed, as the floor does. */
const BATCHES_IN_FLIGHT = 3;

type Call = () => Promise<unknown>;

export const createBench: Bench = {
  name: 'create',
  about: 'creates over one connection at 1, 16, 64 and 256 in flight and in batches of 256, durable and visible',
  async run(context) {
    const server = await startServer(join(context.directory, 'create'));
    mkdirSync(join(context.directory, 'raw'));
    const raw = new RawLmdbFloor(join(context.directory, 'raw'));
    const client = await connect(server.rpc);
    try {
      const directory = await client.metadata.mutate('mkdir', { entry: { path: parsePath('/bench') }, mode: 0o755, uid: 0, gid: 0 });
      const nextArgs = createArgs(directory.result.attributes.ino);
      const single =
        (acknowledgement: Acknowledgement): Call =>
        () =>
          client.metadata.mutate('create', nextArgs(), { acknowledgement });
      const batch =
        (acknowledgement: Acknowledgement): Call =>
        async () => {
          const items = Array.from({ length: BATCH }, (): BatchItem => ({ operation: 'create', args: nextArgs() }));
          const answers = await client.metadata.mutateMany(items, { acknowledgement });
          for (const answer of answers) if (!answer.ok) throw answer.error;
        };
      // Both as they run in a server that has been up for a few seconds: compiled, with trees of some depth.
      await drive(raw.create, 64, WARM_UP_MS);
      await drive(single('durable'), 64, WARM_UP_MS);
      await drive(batch('durable'), BATCHES_IN_FLIGHT, WARM_UP_MS);
      for (const depth of [1, 16, 64, 256]) {
        const floor = depth === 256 ? rawBatches(raw, context) : rateOf(raw.create, depth, context);
        await report(context, `durable-depth-${depth}`, depth, single('durable'), floor);
      }
      await report(context, 'durable-batch-256', BATCHES_IN_FLIGHT, batch('durable'), rawBatches(raw, context), BATCH);
      for (const depth of [1, 256]) {
        const floor = depth === 256 ? rawBatches(raw, context) : rateOf(raw.create, depth, context);
        await report(context, `visible-depth-${depth}`, depth, single('visible'), floor);
      }
      await report(context, 'visible-batch-256', BATCHES_IN_FLIGHT, batch('visible'), rawBatches(raw, context), BATCH);
    } finally {
      await client.close();
      await raw.close();
      await server.stop();
    }
  },
};

function createArgs(parent: InodeNumber) {
  let next = 0;
  return () => {
    const name = Buffer.from(`file-${String(next++).padStart(9, '0')}`);
    return { entry: { parent, name }, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 } as const;
  };
}

async function report(
  context: BenchContext,
  name: string,
  depth: number,
  call: Call,
  floor: () => Promise<number>,
  perCall = 1,
): Promise<void> {
  const { floor: base, value } = await interleaved(context, floor, rateOf(call, depth, context, perCall));
  context.report({
    bench: 'create',
    case: name,
    value,
    unit: 'op/s',
    floor: base,
    floorName: depth >= 256 || perCall > 1 ? 'raw LMDB, 5 puts, batches of 256' : 'raw LMDB, 5 puts',
    ratio: value / base,
    conditions: { depth, perCall, rounds: rounds(context), durationMs: durationMs(context), warmUpMs: WARM_UP_MS, parents: 1 },
  });
}

function rateOf(call: Call, depth: number, context: BenchContext, perCall = 1): () => Promise<number> {
  return async () => (await drive(call, depth, durationMs(context))).perSecond * perCall;
}

function rawBatches(raw: RawLmdbFloor, context: BenchContext): () => Promise<number> {
  return () => raw.batches(BATCH, durationMs(context));
}

function durationMs(context: BenchContext): number {
  return context.quick ? 200 : 1000;
}
