/** Bodies over a real S3 server on loopback, through the TypeScript client, beside a raw client of the same parallelism on the same server. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { startServer, type BenchServer } from './child.js';
import { drive } from './drive.js';
import { interleaved, rounds, type Bench, type BenchContext, type Figure } from './figure.js';
import { RawS3 } from './floors/raw-s3.js';
import { startS3Server, type S3Server } from './load/s3-server.js';
import { slowWay } from './load/slow-way.js';

const MIB = 1024 * 1024;
const BLOCK = 4 * MIB;
/** Blocks on their way at once in one transfer of the client; the raw client has as many. */
const PARALLEL = 6;
const DELAY_MS = 20;
const WRITERS = 16;
const ARTIFACT = MIB;
const PIECE = 16 * 1024;

interface Stage {
  readonly s3: S3Server;
  readonly server: BenchServer;
  readonly client: NokvClient;
  readonly raw: RawS3;
  close(): Promise<void>;
}

/** A server over a bucket, a client with keys of its own and the raw client; all reach the bucket by `way`. */
async function setUp(context: BenchContext, name: string, connections: number, way?: (s3: S3Server) => string): Promise<Stage> {
  mkdirSync(join(context.directory, `${name}-objects`));
  const s3 = await startS3Server(join(context.directory, `${name}-objects`));
  const endpoint = way?.(s3) ?? s3.endpoint;
  const server = await startServer(join(context.directory, name), ['--object', s3.url('nokv', endpoint)], s3.env);
  const client = await connect({ address: server.rpc, env: s3.env });
  const raw = new RawS3({ ...s3, endpoint }, connections);
  return {
    s3,
    server,
    client,
    raw,
    async close() {
      await client.close();
      raw.close();
      await server.stop();
      await s3.stop();
    },
  };
}

export const s3Bench: Bench = {
  name: 's3',
  about: 'put and get of a big body, 1 MiB artifacts and small ranges over an S3 server, beside a raw client',
  async run(context) {
    const stage = await setUp(context, 's3', WRITERS);
    try {
      await bigBodies(context, stage, 's3');
      await artifacts(context, stage);
      await ranges(context, stage);
    } finally {
      await stage.close();
    }
  },
};

export const latencyBench: Bench = {
  name: 'latency',
  about: `the big body with ${DELAY_MS} ms added to every request, beside one raw stream`,
  async run(context) {
    let way: Awaited<ReturnType<typeof slowWay>> | undefined;
    mkdirSync(join(context.directory, 'latency-objects'));
    const s3 = await startS3Server(join(context.directory, 'latency-objects'));
    try {
      way = await slowWay(s3.endpoint, DELAY_MS);
      const server = await startServer(join(context.directory, 'latency'), ['--object', s3.url('nokv', way.endpoint)], s3.env);
      const client = await connect({ address: server.rpc, env: s3.env });
      const raw = new RawS3({ ...s3, endpoint: way.endpoint }, 1);
      try {
        await bigBodies(context, { client, raw }, 'latency', 1);
      } finally {
        await client.close();
        raw.close();
        await server.stop();
      }
    } finally {
      way?.close();
      await s3.stop();
    }
  },
};

/** One body of many blocks in, and out again; nothing of it is cached. */
async function bigBodies(
  context: BenchContext,
  { client, raw }: Pick<Stage, 'client' | 'raw'>,
  bench: string,
  parallel = PARALLEL,
): Promise<void> {
  const bytes = (context.quick ? 128 : 1024) * MIB;
  const blocks = bytes / BLOCK;
  const block = randomBlock();
  const source = (): AsyncIterable<Uint8Array> => repeated(block, blocks);
  const conditions = { bytes, blockBytes: BLOCK, parallel, rounds: rounds(context), delayMs: bench === 'latency' ? DELAY_MS : 0 };
  const floorName = parallel === 1 ? 'raw, one stream' : `raw, ${parallel} at once`;
  let round = 0;
  const rawAll = (work: (i: number) => Promise<unknown>) => async () => rateOf(bytes, () => lanes(parallel, blocks, work));
  const put = await interleaved(
    context,
    () => rawAll((i) => raw.put(`raw/${round}/${i}`, block))(),
    () => rateOf(bytes, () => client.put(`/big-${round++}`, source())),
  );
  report(context, bench, `put-${bytes / MIB}MiB`, 'MiB/s', put, floorName, conditions);
  let turn = 0;
  const cat = await interleaved(
    context,
    rawAll((i) => raw.get(`raw/${turn}/${i}`)),
    () => rateOf(bytes, async () => drain(client, `/big-${turn++}`, bytes)),
  );
  report(context, bench, `cat-${bytes / MIB}MiB`, 'MiB/s', cat, floorName, conditions);
}

async function artifacts(context: BenchContext, { client, raw }: Stage): Promise<void> {
  const body = randomBlock().subarray(0, ARTIFACT);
  const durationMs = context.quick ? 1000 : 4000;
  let next = 0;
  const perSecond = async (call: () => Promise<unknown>) => ((await drive(call, WRITERS, durationMs)).perSecond * ARTIFACT) / MIB;
  const figure = await interleaved(
    context,
    () => perSecond(() => raw.put(`artifacts/${next++}`, body)),
    () => perSecond(() => client.put(`/artifact-${next++}`, body)),
  );
  report(context, 's3', 'put-1MiB-artifacts', 'MiB/s', figure, `raw, ${WRITERS} writers`, { writers: WRITERS, durationMs });
}

/** Ranges at random places: of a body that nobody has read yet, and of one that fits the client's memory. */
async function ranges(context: BenchContext, { client, raw, server, s3 }: Stage): Promise<void> {
  const bytes = (context.quick ? 128 : 512) * MIB;
  const block = randomBlock();
  await client.put('/ranges', repeated(block, bytes / BLOCK));
  for (let i = 0; i < bytes / BLOCK; i++) await raw.put(`ranges/${i}`, block);
  const durationMs = context.quick ? 500 : 2000;
  const pieces = bytes / PIECE;
  let at = 0;
  /** Every place once before any comes again, far from the one before. */
  const nextOffset = () => ((at++ * 7919) % pieces) * PIECE;
  const readers: NokvClient[] = [];
  try {
    const cold = await interleaved(
      context,
      async () =>
        (
          await drive(
            () => {
              const offset = nextOffset();
              return raw.get(`ranges/${Math.floor(offset / BLOCK)}`, offset % BLOCK, PIECE);
            },
            WRITERS,
            durationMs,
          )
        ).perSecond,
      async () => {
        const reader = await connect({ address: server.rpc, env: s3.env });
        readers.push(reader);
        const body = await reader.get('/ranges');
        return (await drive(() => body.read(nextOffset(), PIECE), WRITERS, durationMs)).perSecond;
      },
    );
    const conditions = { pieceBytes: PIECE, readers: WRITERS, bodyBytes: bytes, durationMs };
    report(context, 's3', 'range-16KiB-cold', 'op/s', cold, 'raw GETs of 16 KiB', conditions);
    const few = 32 * MIB;
    const body = await client.get('/ranges');
    for (let offset = 0; offset < few; offset += BLOCK) await body.read(offset, BLOCK);
    const { perSecond: value } = await drive((i) => body.read((i * 7919 * PIECE) % few, PIECE), WRITERS, durationMs);
    context.report({ bench: 's3', case: 'range-16KiB-warm', value, unit: 'op/s', conditions: { ...conditions, bodyBytes: few } });
  } finally {
    for (const reader of readers) await reader.close();
  }
}

function report(
  context: BenchContext,
  bench: string,
  name: string,
  unit: string,
  { floor, value }: { readonly floor: number; readonly value: number },
  floorName: string,
  conditions: Figure['conditions'],
): void {
  context.report({ bench, case: name, value, unit, floor, floorName, ratio: value / floor, conditions });
}

async function rateOf(bytes: number, work: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await work();
  return bytes / MIB / ((performance.now() - before) / 1000);
}

/** Runs `count` calls, so many at a time. */
async function lanes(parallel: number, count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

async function drain(client: NokvClient, path: string, expected: number): Promise<void> {
  const body = await client.get(path);
  let bytes = 0;
  for await (const chunk of body.stream({ reuse: true })) bytes += chunk.length;
  if (bytes !== expected) throw new Error(`${path}: expected ${expected} bytes, found ${bytes}`);
}

async function* repeated(block: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield block;
}

function randomBlock(): Uint8Array {
  const block = new Uint8Array(BLOCK);
  for (let at = 0; at < BLOCK; at += 65536) crypto.getRandomValues(block.subarray(at, at + 65536));
  return block;
}
