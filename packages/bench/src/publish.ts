/** The metadata part of publishing a body of 1 MiB: the commit over the wire, without moving a block. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@nokv/client';
import { parsePath, type Extent } from '@nokv/types';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { interleaved, rounds, type Bench } from './figure.js';
import { RawLmdbFloor } from './floors/raw-lmdb.js';

const BODY_BYTES = 1024 * 1024;
const DEPTH = 64;

export const publishBench: Bench = {
  name: 'publish',
  about: 'publish commits of a 1 MiB body whose block is in the store already, 64 in flight',
  async run(context) {
    const server = await startServer(join(context.directory, 'publish'));
    mkdirSync(join(context.directory, 'raw'));
    const raw = new RawLmdbFloor(join(context.directory, 'raw'));
    const client = await connect(server.rpc);
    try {
      await client.put('/first', new Uint8Array(BODY_BYTES).fill(7));
      const plan = await client.metadata.read('open-read', { node: { path: parsePath('/first') } });
      if (plan.body.kind !== 'blocks') throw new Error('a body of 1 MiB lies in blocks');
      const extents: readonly Extent[] = plan.body.manifest.extents;
      const body = { kind: 'blocks', manifest: { size: BODY_BYTES, extents } } as const;
      let next = 0;
      const publish = () =>
        client.metadata.mutate('publish', {
          node: { path: parsePath(`/copy-${next++}`) },
          body,
          base: plan.attributes.ino,
          mode: 0o644,
          uid: 0,
          gid: 0,
        });
      const durationMs = context.quick ? 300 : 1000;
      await drive(publish, DEPTH, 1500);
      const { floor, value } = await interleaved(
        context,
        async () => (await drive(raw.create, DEPTH, durationMs)).perSecond,
        async () => (await drive(publish, DEPTH, durationMs)).perSecond,
      );
      const conditions = { depth: DEPTH, bodyBytes: BODY_BYTES, blocks: extents.length, rounds: rounds(context), durationMs };
      const floorName = 'raw LMDB, 5 puts';
      context.report({ bench: 'publish', case: 'commit-1MiB', value, unit: 'op/s', floor, floorName, ratio: value / floor, conditions });
    } finally {
      await client.close();
      await raw.close();
      await server.stop();
    }
  },
};
