/** Listing a big directory with attributes over the wire, page by page, beside a bare LMDB scan of as many rows. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { LIST_LIMIT_MAX, type InodeNumber } from '@nokv/types';
import { open } from 'lmdb';
import { startServer } from './child.js';
import { interleaved, rounds, type Bench } from './figure.js';
import { makeDirectory, makeFiles, openBenchShard } from './load/load-shard.js';

const ENTRIES = 65_000;

export const listBench: Bench = {
  name: 'list',
  about: '65,000 entries of one directory with attributes over the wire',
  async run(context) {
    const data = join(context.directory, 'list');
    const shard = await openBenchShard(data);
    const directory = await makeDirectory(shard.engine, '/big');
    await makeFiles(shard.engine, directory, ENTRIES);
    await shard.close();
    const scan = await rawScan(join(context.directory, 'raw'), ENTRIES);
    const server = await startServer(data);
    const client = await connect(server.rpc);
    try {
      await listAll(client, directory, ENTRIES);
      const { floor, value } = await interleaved(context, scan.perSecond, () => perSecond(() => listAll(client, directory, ENTRIES)));
      context.report({
        bench: 'list',
        case: 'entries-65000',
        value,
        unit: 'ent/s',
        floor,
        floorName: 'LMDB range, no wire',
        ratio: value / floor,
        conditions: { entries: ENTRIES, attributes: 'yes', page: LIST_LIMIT_MAX, rounds: rounds(context) },
      });
    } finally {
      await client.close();
      await server.stop();
      await scan.close();
    }
  },
};

export async function listAll(client: NokvClient, directory: InodeNumber, expected: number): Promise<number> {
  let after: Uint8Array | undefined;
  let count = 0;
  // Ends with the last page.
  for (;;) {
    const node = { ino: directory };
    const page = await client.metadata.read('list', {
      node,
      ...(after === undefined ? {} : { after }),
      limit: LIST_LIMIT_MAX,
      attributes: true,
    });
    count += page.entries.length;
    after = page.entries.at(-1)?.name;
    if (!page.more) break;
  }
  if (count !== expected) throw new Error(`listed ${count} entries of ${expected}`);
  return count;
}

export async function perSecond(work: () => Promise<number>): Promise<number> {
  const start = performance.now();
  return ((await work()) / (performance.now() - start)) * 1000;
}

async function rawScan(path: string, rows: number): Promise<{ perSecond: () => Promise<number>; close: () => Promise<void> }> {
  mkdirSync(path);
  const env = open<Buffer, Buffer>({ path, keyEncoding: 'binary', encoding: 'binary' });
  await env.batch(() => {
    for (let i = 0; i < rows; i++) {
      const key = Buffer.alloc(23, 1);
      key.writeUInt32BE(i, 19);
      void env.put(key, Buffer.alloc(34, i));
    }
  });
  return {
    perSecond: () =>
      perSecond(async () => {
        let bytes = 0;
        let count = 0;
        for (const { key, value } of env.getRange()) {
          bytes += key.length + value.length;
          count += 1;
        }
        if (bytes === 0) throw new Error('nothing was read');
        return count;
      }),
    close: () => env.close(),
  };
}
