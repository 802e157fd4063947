/**
 * Whatever arguments arrive, the answer is a result or a typed error that says whose fault it is; what is refused has written nothing,
 * and the shard stays sound. Arguments are those of the golden vectors with parts of them replaced: first as values that pass the
 * schemas, against an engine, then as bytes, against a real server.
 */
import { createConnection } from 'node:net';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { MemoryKv, openShard, type OrderedKv, type ShardEngine } from '@nokv/meta';
import {
  FRAME_TYPES,
  FrameDecoder,
  MessageReader,
  MessageWriter,
  clientHello,
  definitionOf,
  readError,
  writeClientHello,
  writeRequest,
  type Frame,
} from '@nokv/protocol';
import { goldenMessages, type Message } from '@nokv/protocol/testing';
import {
  isNokvError,
  makeRequestId,
  parsePath,
  shardId,
  systemClock,
  systemRandom,
  toNokvError,
  type ErrorKind,
  type FsckItem,
  type MutationOperation,
  type ReadOperation,
  type RequestId,
} from '@nokv/types';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

type Request = Extract<Message, { readonly frame: 'request' }>;

const REQUESTS: readonly Request[] = goldenMessages()
  .map(({ message }) => message)
  .filter((message): message is Request => message.frame === 'request');
/** Nobody's mistake but ours, or damage: no argument may lead there. */
const NEVER: readonly ErrorKind[] = ['internal', 'corrupt', 'fenced', 'unavailable'];

const oddBytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .constantFrom('', '/', '//', '/.', '/..', '/a/../b', 'a', '/a/\0', '/d/f', '/d', '/d/link', '/loop/x', 'user.k', 'security.x')
    .map((text) => Buffer.from(text)),
  fc.integer({ min: 250, max: 5000 }).map((length) => Buffer.alloc(length, 0x61)),
  fc.integer({ min: 1000, max: 2100 }).map((depth) => Buffer.from('/x'.repeat(depth))),
);
const oddText = fc.oneof(
  fc.string({ maxLength: 40, unit: 'binary' }),
  fc.constantFrom('', '/', '../..', 'sha256:', `sha256:${'0'.repeat(64)}`, '0'.repeat(32), 'f'.repeat(32), 'inodes.', 'logs.00', 'v1', '*'),
  fc.integer({ min: 250, max: 9000 }).map((length) => 'n'.repeat(length)),
);
const oddNumber = fc.oneof(
  fc.constantFrom(
    0,
    1,
    2,
    3,
    4,
    5,
    -1,
    0.5,
    4096,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 41,
    2 ** 41 + 1,
    Number.MAX_SAFE_INTEGER,
    Number.NaN,
    Infinity,
  ),
  fc.integer({ min: 0, max: 60 }),
);

/** The arguments with one part in four replaced by something odd of the same type. */
function bent(args: unknown): fc.Arbitrary<unknown> {
  const whole = fc.constant(args);
  if (args instanceof Uint8Array)
    return fc.oneof({ weight: 2, arbitrary: whole }, { weight: 1, arbitrary: oddBytes.map((bytes) => Uint8Array.from(bytes)) });
  if (typeof args === 'string') return fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: oddText });
  if (typeof args === 'number') return fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: oddNumber });
  if (typeof args === 'boolean') return fc.boolean();
  if (Array.isArray(args)) return fc.tuple(...args.map(bent));
  if (typeof args !== 'object' || args === null) return whole;
  const entries = Object.entries(args);
  // A union member keeps its kind, or the schema would refuse it every time.
  return fc
    .tuple(...entries.map(([key, value]) => (key === 'kind' || key === 'operation' ? fc.constant(value) : bent(value))))
    .map((values) => Object.fromEntries(entries.map(([key], i) => [key, values[i]])));
}

const bentRequest = fc.constantFrom(...REQUESTS).chain((request) => bent(request.args).map((args) => ({ ...request, args }) as Request));

test('an engine refuses what cannot be with a typed error, and writes nothing then', { timeout: 120_000 }, async () => {
  const kv = countedKv(new MemoryKv());
  const engine = await openShard({ kv, shard: shardId(0), clock: systemClock, random: systemRandom });
  await fill(engine);
  const outcomes = { answered: 0, refused: 0, unsendable: 0 };
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(bentRequest, async ({ operation, args }) => {
      const { kind, args: schema } = definitionOf(operation);
      if ((kind !== 'read' && kind !== 'mutation') || operation === 'batch') return;
      const decoded = throughSchema(schema as never, args);
      if (decoded === undefined) return void (outcomes.unsendable += 1);
      const before = kv.commits();
      try {
        if (kind === 'read') await engine.read(operation as ReadOperation, decoded as never, { visible: false });
        else await engine.mutate(operation as MutationOperation, decoded as never, contextOf());
        outcomes.answered += 1;
      } catch (error) {
        expect(isNokvError(error), String(error)).toBe(true);
        const { code, message, kind: errorKind } = toNokvError(error);
        expect(NEVER, `${operation}: ${code}: ${message}`).not.toContain(errorKind);
        expect(kv.commits(), `${operation}: ${code}`).toBe(before);
        codes.add(code);
        outcomes.refused += 1;
      }
    }),
    { numRuns: 2500 },
  );
  for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(100);
  expect([...codes]).toEqual(expect.arrayContaining(['not-found', 'invalid-path', 'invalid-argument']));
  expect(await findings(engine.fsck({ repair: 'none', checksums: false }))).toEqual([]);
  await engine.close();
});

let fixture: ClientFixture | undefined;
afterEach(async () => await fixture?.close());

test('a server answers requests with changed bytes, and lives; the shard stays sound', { timeout: 120_000 }, async () => {
  fixture = await startClientFixture();
  const { client, server } = fixture;
  await client.put('/d/f', 'body', { parents: true });
  const peer = await openPeer(server.rpc);
  const messages = REQUESTS.filter(({ operation }) => definitionOf(operation).kind !== 'stream').map(bytesOf);
  const kinds = new Set<string>();
  let stream = 1;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...messages),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      async (message, changes) => {
        const bytes = Buffer.from(message);
        // The header stays: what is changed is what a handler might see.
        for (const [at, value] of changes) bytes[HEADER_BYTES + (at % (bytes.length - HEADER_BYTES))] = value;
        stream += 1;
        bytes.writeUInt32BE(stream, STREAM_AT);
        const answer = await peer.ask(bytes, stream);
        if (answer.type !== FRAME_TYPES.error) return void kinds.add('answer');
        const error = readError(new MessageReader(answer.payload));
        kinds.add(error.kind);
        // A deadline may have been made short, a time to live may end a wait.
        if (error.code !== 'deadline-exceeded') expect(NEVER, `${error.code}: ${error.message}`).not.toContain(error.kind);
      },
    ),
    { numRuns: 2000 },
  );
  peer.close();
  expect([...kinds]).toEqual(expect.arrayContaining(['answer', 'invalid', 'not-found']));
  expect(await (await client.get('/d/f')).text()).toBe('body');
  expect(await findings(client.metadata.fsck({ repair: 'none', checksums: true }))).toEqual([]);
});

const HEADER_BYTES = 9;
const STREAM_AT = 5;

function bytesOf({ operation, envelope, args, stream }: Request): Uint8Array {
  const to = new MessageWriter();
  writeRequest(to, stream, operation, args as never, envelope as never, 4_194_304);
  return Uint8Array.from(to.take());
}

interface Peer {
  ask(bytes: Uint8Array, stream: number): Promise<Frame>;
  close(): void;
}

async function openPeer(address: string): Promise<Peer> {
  const [host, port] = address.split(':');
  const socket = createConnection({ host, port: Number(port) });
  const decoder = new FrameDecoder(64 * 1024 * 1024);
  const waiting = new Map<number, { resolve(frame: Frame): void; reject(error: Error): void }>();
  socket.on('data', (bytes) => {
    decoder.push(bytes);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      // Frames lend their bytes.
      waiting.get(frame.stream)?.resolve({ ...frame, payload: Uint8Array.from(frame.payload) });
      waiting.delete(frame.stream);
    }
  });
  const end = (): void => {
    for (const each of waiting.values()) each.reject(new Error('the server closed the connection'));
  };
  socket.on('close', end).on('error', end);
  const ask = (bytes: Uint8Array, stream: number): Promise<Frame> =>
    new Promise((resolve, reject) => {
      waiting.set(stream, { resolve, reject });
      socket.write(bytes);
    });
  const hello = new MessageWriter();
  writeClientHello(hello, clientHello('fuzz'));
  await ask(Uint8Array.from(hello.take()), 0);
  return { ask, close: () => socket.destroy() };
}

/** As a server would see the arguments; undefined where the schema refuses them. */
function throughSchema(
  schema: { write(to: MessageWriter, value: unknown): void; read(from: MessageReader): unknown },
  args: unknown,
): unknown {
  const to = new MessageWriter();
  try {
    schema.write(to, args);
    return schema.read(new MessageReader().reset(Uint8Array.from(to.take())));
  } catch (error) {
    expect(toNokvError(error).kind, String(error)).toBe('invalid');
    return undefined;
  }
}

let drawn = 0;

function contextOf(): { requestId: RequestId; actor: string; acknowledgement: 'durable' } {
  drawn += 1;
  return { requestId: makeRequestId(drawn, new Uint8Array(10)), actor: 'fuzz', acknowledgement: 'durable' };
}

async function fill(engine: ShardEngine): Promise<void> {
  const owner = { uid: 1000, gid: 100 };
  const at = (path: string): { readonly path: Uint8Array } => ({ path: parsePath(path) });
  await engine.mutate('mkdir', { entry: at('/d'), mode: 0o755, ...owner }, contextOf());
  const body = { kind: 'inline', bytes: Buffer.from('body') } as const;
  await engine.mutate('publish', { node: at('/d/f'), body, mode: 0o644, ...owner }, contextOf());
  await engine.mutate('publish', { node: at('/d/f'), body, mode: 0o644, ...owner }, contextOf());
  await engine.mutate('link', { node: at('/d/f'), entry: at('/hard') }, contextOf());
  await engine.mutate('symlink', { entry: at('/loop'), target: Buffer.from('loop'), ...owner }, contextOf());
  await engine.mutate('symlink', { entry: at('/d/link'), target: Buffer.from('f'), ...owner }, contextOf());
}

/** A store that counts what is written to it. */
function countedKv(kv: OrderedKv): OrderedKv & { commits(): number } {
  let commits = 0;
  return {
    get: (key) => kv.get(key),
    range: (start, end, options) => kv.range(start, end, options),
    snapshot: () => kv.snapshot(),
    resume: () => kv.resume(),
    close: () => kv.close(),
    commit: (writes) => {
      commits += 1;
      return kv.commit(writes);
    },
    commits: () => commits,
  };
}

async function findings(items: AsyncIterable<FsckItem>): Promise<FsckItem[]> {
  const found: FsckItem[] = [];
  for await (const item of items) if (item.kind === 'finding') found.push(item);
  return found;
}
