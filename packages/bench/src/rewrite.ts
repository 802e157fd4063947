/** Appends and patches of big bodies: what they upload, and what a body that was patched a thousand times costs to read. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { startServer } from './child.js';
import { interleaved, median, rounds, type Bench, type Figure } from './figure.js';
import { startS3Server } from './load/s3-server.js';
import { slowWay, type SlowWay } from './load/slow-way.js';

const MIB = 1024 * 1024;
const BLOCK = 4 * MIB;
const PATCH = Buffer.alloc(4096, 1);
const PATCHES = 1000;

export const rewriteBench: Bench = {
  name: 'rewrite',
  about: 'append of 1 KiB to 100 MiB, patches of 4 KiB in 256 MiB, and reading after a thousand of them',
  async run(context) {
    const objects = join(context.directory, 'rewrite-objects');
    mkdirSync(objects);
    const s3 = await startS3Server(objects);
    const way = await slowWay(s3.endpoint, 0);
    const server = await startServer(join(context.directory, 'rewrite'), ['--object', s3.url('nokv', way.endpoint)], s3.env);
    const client = await connect({ address: server.rpc, env: s3.env });
    try {
      await client.put('/log', repeated(100 * MIB));
      await measured(way, rounds(context), () => client.append('/log', Buffer.alloc(1024, 1)), 'append-1KiB', context.report);
      const bytes = 256 * MIB;
      await client.put('/plain', repeated(bytes));
      await client.put('/patched', repeated(bytes));
      let at = 0;
      // Far apart and over all of it.
      const patch = () => client.patch('/patched', (at++ * 40_503 * 4096) % bytes, PATCH);
      await measured(way, rounds(context), patch, 'patch-4KiB', context.report);
      while (at < PATCHES) await patch();
      const read = await interleaved(
        context,
        () => readRate(client, '/plain', bytes),
        () => readRate(client, '/patched', bytes),
      );
      context.report({
        bench: 'rewrite',
        case: 'read-after-1000-patches',
        value: read.value,
        unit: 'MiB/s',
        floor: read.floor,
        floorName: 'the same body unpatched',
        ratio: read.value / read.floor,
        conditions: { bytes, patches: PATCHES },
      });
    } finally {
      await client.close();
      await server.stop();
      way.close();
      await s3.stop();
    }
  },
};

async function measured(
  way: SlowWay,
  count: number,
  call: () => Promise<unknown>,
  name: string,
  report: (figure: Figure) => void,
): Promise<void> {
  const times: number[] = [];
  let puts = 0;
  for (let round = 0; round < count; round++) {
    await way.takeRequests();
    const before = performance.now();
    await call();
    times.push(performance.now() - before);
    puts = Math.max(puts, (await way.takeRequests()).puts);
  }
  report({ bench: 'rewrite', case: name, value: median(times), unit: 'ms', conditions: { puts } });
  report({ bench: 'rewrite', case: `${name}-puts`, value: puts, unit: 'PUTs', conditions: { rounds: count } });
}

async function readRate(client: NokvClient, path: string, bytes: number): Promise<number> {
  const before = performance.now();
  let read = 0;
  for await (const chunk of (await client.get(path)).stream({ reuse: true })) read += chunk.length;
  if (read !== bytes) throw new Error(`${path}: expected ${bytes} bytes, found ${read}`);
  return bytes / MIB / ((performance.now() - before) / 1000);
}

async function* repeated(bytes: number): AsyncGenerator<Uint8Array> {
  const block = Buffer.alloc(BLOCK);
  for (let left = bytes, i = 0; left > 0; left -= BLOCK, i++) {
    crypto.getRandomValues(block.subarray(0, 65536));
    yield block.subarray(0, Math.min(left, BLOCK));
  }
}
