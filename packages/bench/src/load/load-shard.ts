/** Fills a shard through its engine, as callers would in batches, without wire and server. */
import { randomBytes } from 'node:crypto';
import { openLmdbKv, openShard, type ShardEngine } from '@nokv/meta';
import {
  epoch,
  makeRequestId,
  parsePath,
  shardId,
  systemClock,
  systemRandom,
  type BatchItem,
  type InodeNumber,
  type RequestId,
} from '@nokv/types';

import { startServer } from '../child.js';

const BATCH = 512;
const BATCHES_IN_FLIGHT = 4;

export interface OpenedShard {
  readonly engine: ShardEngine;
  close(): Promise<void>;
}

/** The engine over the environment that a server with this data directory opens. */
export async function openBenchShard(data: string): Promise<OpenedShard> {
  // A server makes the data directory, so that one can be started on it afterwards.
  await (await startServer(data)).stop();
  const directory = `${data}/meta`;
  const kv = await openLmdbKv({ directory, clock: systemClock });
  const engine = await openShard({ kv, shard: shardId(0), clock: systemClock, random: systemRandom });
  await engine.adoptEpoch(epoch(engine.epoch + 1));
  return { engine, close: () => engine.close() };
}

export function fileName(i: number): Buffer {
  return Buffer.from(`file-${String(i).padStart(9, '0')}`);
}

export async function makeDirectory(engine: ShardEngine, path: string): Promise<InodeNumber> {
  const context = { requestId: freshId(), actor: 'bench', acknowledgement: 'durable' } as const;
  const args = { entry: { path: parsePath(path) }, mode: 0o755, uid: 0, gid: 0 };
  const { result } = await engine.mutate('mkdir', args, context);
  return result.attributes.ino;
}

/** Makes `count` empty files named by {@link fileName} in a directory; returns creates a second. */
export async function makeFiles(engine: ShardEngine, parent: InodeNumber, count: number): Promise<number> {
  const start = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    // Ends when every file is made.
    while (next < count) {
      const items: BatchItem[] = [];
      for (const end = Math.min(next + BATCH, count); next < end; next++) {
        const args = { entry: { parent, name: fileName(next) }, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 } as const;
        items.push({ operation: 'create', args });
      }
      const answers = await engine.mutateMany(items, { requestId: freshId(), actor: 'bench', acknowledgement: 'durable' });
      for (const answer of answers) if (!answer.ok) throw answer.error;
    }
  };
  await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, lane));
  return (count / (performance.now() - start)) * 1000;
}

/** Makes `count` files in directories of `perDirectory` each, `d0`, `d1` and so on under `root` ('' or '/name'); returns creates a second. */
export async function makeTree(engine: ShardEngine, root: string, count: number, perDirectory: number): Promise<number> {
  if (root !== '') await makeDirectory(engine, root);
  const start = performance.now();
  for (let made = 0, directory = 0; made < count; made += perDirectory, directory++) {
    await makeFiles(engine, await makeDirectory(engine, `${root}/d${directory}`), Math.min(perDirectory, count - made));
  }
  return (count / (performance.now() - start)) * 1000;
}

function freshId(): RequestId {
  return makeRequestId(Date.now(), randomBytes(10));
}
