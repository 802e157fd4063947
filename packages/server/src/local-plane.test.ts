import { planeConformance } from '@nokv/agent/testing';
import { MemoryKv, openShard } from '@nokv/meta';
import { blocksOf, crc32c, memoryStore } from '@nokv/object';
import {
  BLOCK_BYTES_DEFAULT,
  ID_RANDOM_BYTES,
  INLINE_BYTES_MAX,
  epoch,
  makeRequestId,
  parsePath,
  shardId,
  systemClock,
  systemRandom,
  type Body,
  type MutationOperation,
  type MutationOperations,
  type UploadId,
} from '@nokv/types';
import { accessWays } from './access-ways.js';
import { localPlane } from './local-plane.js';
import { makePresigning } from './presigning.js';
import { makeService } from './service.js';
import { makeTickets } from './tickets.js';

/** Pieces of the bodies in blocks: small, so that reads cross them. */
const PIECE_BYTES = 64 * 1024;

planeConformance('in process', async () => {
  const store = memoryStore();
  const engine = await openShard({ kv: new MemoryKv(), shard: shardId(0), clock: systemClock, random: systemRandom });
  await engine.adoptEpoch(epoch(1));
  const tickets = makeTickets(systemRandom.bytes(32));
  const service = makeService({
    engine,
    store,
    readsBack: true,
    tickets,
    access: accessWays({
      direct: undefined,
      presigner: undefined,
      description: 'memory',
      tickets,
      clock: systemClock,
      http: () => '127.0.0.1:1',
    }),
    presigning: makePresigning({
      presigner: undefined,
      tickets,
      clock: systemClock,
      blockBytesMax: BLOCK_BYTES_DEFAULT,
      refusal: () => undefined,
      hasUpload: () => false,
    }),
    failpoint: undefined,
    backup: { engine, clock: systemClock, random: systemRandom, env: {}, namespace: '' },
    clock: systemClock,
  });
  const blocks = blocksOf(store);
  const owner = { uid: 0, gid: 0 };

  async function mutate<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args']) {
    const context = {
      requestId: makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES)),
      actor: 'test',
      acknowledgement: 'durable',
    } as const;
    return (await service.mutate(operation, args, context)).result;
  }

  async function stage(upload: UploadId, bytes: Uint8Array): Promise<Body> {
    const extents = [];
    for (let offset = 0, index = 0; offset < bytes.length; offset += PIECE_BYTES, index++) {
      const part = bytes.subarray(offset, offset + PIECE_BYTES);
      await blocks.putBlock(upload, index, part, { crc32c: crc32c(part) });
      extents.push({ upload, index, offset: 0, length: part.length, crc32c: crc32c(part), skip: 0, take: part.length });
    }
    return { kind: 'blocks', manifest: { size: bytes.length, extents } };
  }

  return {
    plane: localPlane({ service, store }),
    base: '/',
    mkdir: async (path) => void (await mutate('mkdir', { entry: { path: parsePath(path) }, mode: 0o755, ...owner })),
    symlink: async (path, target) =>
      void (await mutate('symlink', { entry: { path: parsePath(path) }, target: Buffer.from(target), ...owner })),
    remove: async (path) => void (await mutate('remove-tree', { entry: { path: parsePath(path) } })),
    async write(path, bytes, { contentType, mode = 0o644 } = {}) {
      const isInline = bytes.length <= INLINE_BYTES_MAX;
      const upload = isInline ? undefined : (await mutate('begin-upload', { target: path, ttlMs: 60_000 })).upload;
      const body: Body = upload === undefined ? { kind: 'inline', bytes } : await stage(upload, bytes);
      const published = await mutate('publish', {
        node: { path: parsePath(path) },
        body,
        mode,
        ...owner,
        ...(upload === undefined ? {} : { upload }),
        ...(contentType === undefined ? {} : { contentType }),
      });
      return published.generation;
    },
    close: () => engine.close(),
  };
});
