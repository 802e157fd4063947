/** Durable creates over the wire beside raw LMDB with as many puts, both acknowledged after the flush. */
import { connect } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { interleaved, rounds, type Bench } from './figure.js';
import { RawLmdbFloor } from './floors/raw-lmdb.js';

const WARM_UP_MS = 1500;

export const createBench: Bench = {
  name: 'create',
  about: 'durable creates over the wire at 1, 16, 64 and 256 in flight, as single requests',
  async run(context) {
    const server = await startServer(join(context.directory, 'create'));
    mkdirSync(join(context.directory, 'raw'));
    const raw = new RawLmdbFloor(join(context.directory, 'raw'));
    const client = await connect(server.rpc);
    try {
      const directory = await client.metadata.mutate('mkdir', { entry: { path: parsePath('/bench') }, mode: 0o755, uid: 0, gid: 0 });
      const parent = directory.result.attributes.ino;
      let next = 0;
      const create = () => {
        const name = Buffer.from(`file-${String(next++).padStart(9, '0')}`);
        return client.metadata.mutate('create', { entry: { parent, name }, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 });
      };
      const durationMs = context.quick ? 300 : 1000;
      // Both as they run in a server that has been up for a few seconds: compiled, with trees of some depth.
      await drive(raw.create, 64, WARM_UP_MS);
      await drive(create, 64, WARM_UP_MS);
      for (const depth of [1, 16, 64, 256]) {
        const { floor, value } = await interleaved(
          context,
          async () => (await drive(raw.create, depth, durationMs)).perSecond,
          async () => (await drive(create, depth, durationMs)).perSecond,
        );
        context.report({
          bench: 'create',
          case: `durable-depth-${depth}`,
          value,
          unit: 'op/s',
          floor,
          floorName: 'raw LMDB, 5 puts',
          ratio: value / floor,
          conditions: { depth, rounds: rounds(context), durationMs, warmUpMs: WARM_UP_MS, parents: 1 },
        });
      }
    } finally {
      await client.close();
      await raw.close();
      await server.stop();
    }
  },
};
