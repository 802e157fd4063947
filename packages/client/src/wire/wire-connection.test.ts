import type { Attributes, Generation, InodeNumber, RequestId, Version } from '@nokv/types';
import { NokvError, systemClock } from '@nokv/types';
import {
  FRAME_BYTES_MAX_LEAST,
  FRAME_TYPES,
  MessageReader,
  definitionOf,
  memoryTransportPair,
  readRequest,
  readClientHello,
  writeAnswer,
  writeControl,
  writeError,
  writeServerHello,
  type Frame,
  type Operation,
  type Request,
  type ServerHello,
  type Transport,
} from '@nokv/protocol';
import { FramePeer } from '@nokv/protocol/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { Connection } from './connection.js';
import { openConnection, openConnectionOver } from './open-connection.js';

const ATTRIBUTES: Attributes = {
  ino: 5 as InodeNumber,
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  nlink: 1,
  size: 0,
  blocks: 0,
  atime: { sec: 0, nsec: 0 },
  mtime: { sec: 0, nsec: 0 },
  ctime: { sec: 0, nsec: 0 },
  rdev: 0,
  revision: 1,
  generation: 0 as Generation,
  ordinal: 0,
  children: 0,
};
const HELLO: ServerHello = {
  version: 4,
  features: [],
  server: 'by hand',
  incarnation: { id: 'by hand', opened: 0 as Version },
  frameBytesMax: 1 << 22,
  inFlightMax: 100,
  streamsMax: 10,
  shardMapRevision: 0,
};
const LIMIT = 1 << 22;
const mkdirArgs = { uid: 0, gid: 0, entry: { parent: 1 as InodeNumber, name: Uint8Array.of(65) }, mode: 0o755 };
const id = (text: string): { requestId: RequestId } => ({ requestId: text as RequestId });

/** A server that says only what the test says. */
class Server {
  readonly peer: FramePeer;

  constructor(transport: Transport) {
    this.peer = new FramePeer(transport);
  }

  async greet(hello: Partial<ServerHello> = {}): Promise<void> {
    readClientHello((await this.peer.next(FRAME_TYPES.hello)).payload);
    this.peer.send((to) => writeServerHello(to, { ...HELLO, ...hello }));
  }

  async request(): Promise<Request & { stream: number }> {
    const frame = await this.peer.next(FRAME_TYPES.request);
    return { ...readRequest(new MessageReader(frame.payload)), stream: frame.stream };
  }

  answer(stream: number, operation: Operation, answer: unknown): void {
    this.peer.send((to) => writeAnswer(to, FRAME_TYPES.response, stream, definitionOf<Operation>(operation), answer, LIMIT));
  }

  item(stream: number, version: number): void {
    this.peer.send((to) =>
      writeAnswer(to, FRAME_TYPES.item, stream, definitionOf<Operation>('watch'), { kind: 'durable', version }, LIMIT),
    );
  }
}

const open: { connection?: Connection; server: Server }[] = [];
afterEach(async () => {
  for (const { connection, server } of open.splice(0)) {
    server.peer.transport.destroy();
    await connection?.close();
  }
});

async function joined(hello: Partial<ServerHello> = {}): Promise<{ connection: Connection; server: Server; clientTransport: Transport }> {
  const [ours, theirs] = memoryTransportPair();
  const server = new Server(theirs);
  const [connection] = await Promise.all([
    openConnectionOver(ours, { clock: systemClock, client: 'test', poller: false }),
    server.greet(hello),
  ]);
  open.push({ connection, server });
  return { connection, server, clientTransport: ours };
}

describe('opening', () => {
  it.each([
    [
      'its refusal as it said it',
      (server: Server) =>
        server.peer.send((to) => writeError(to, FRAME_TYPES.error, 0, new NokvError('bad-token', 'expected a valid token'))),
      'bad-token',
      'expected a valid token',
    ],
    [
      'that it is no nokv',
      (server: Server) => server.peer.sendBytes(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')),
      'malformed-frame',
      /not the nokv protocol/,
    ],
    ['that it went', (server: Server) => server.peer.transport.destroy(), 'connection-lost', /ended/],
    [
      'a version that was not offered',
      (server: Server) => server.peer.send((to) => writeServerHello(to, { ...HELLO, version: 5 })),
      'unsupported-version',
      /offered 4 and the server chose 5/,
    ],
  ])('fails with what the server said: %s', async (_name, say, code, message) => {
    const [ours, theirs] = memoryTransportPair();
    const server = new Server(theirs);
    open.push({ server });
    const opening = openConnectionOver(ours, { clock: systemClock, client: 'test' });
    opening.catch(() => undefined);
    await server.peer.next();
    say(server);
    const error = (await opening.catch((thrown: unknown) => thrown)) as NokvError;
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('gives up on a server that says nothing, and when the caller says so', async () => {
    const [ours, theirs] = memoryTransportPair();
    open.push({ server: new Server(theirs) });
    await expect(openConnectionOver(ours, { clock: systemClock, client: 'test', connectTimeoutMs: 10 })).rejects.toMatchObject({
      code: 'deadline-exceeded',
    });
    const [again, silent] = memoryTransportPair();
    open.push({ server: new Server(silent) });
    const abort = new AbortController();
    const opening = openConnectionOver(again, { clock: systemClock, client: 'test', signal: abort.signal });
    abort.abort();
    await expect(opening).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('says where nobody listens', async () => {
    await expect(openConnection('127.0.0.1:1', { clock: systemClock, client: 'test' })).rejects.toMatchObject({
      code: 'unavailable',
      outcome: 'not-applied',
      details: { address: '127.0.0.1:1', reason: 'ECONNREFUSED' },
    });
  });
});

describe('calls', () => {
  it('are answered in any order', async () => {
    const { connection, server } = await joined();
    const calls = [1, 2, 3].map((ino) => connection.call('getattr', { ino: ino as InodeNumber }));
    const requests = [await server.request(), await server.request(), await server.request()];
    for (const { stream, args } of requests.reverse()) server.answer(stream, 'getattr', { ...ATTRIBUTES, ...(args as object) });
    expect((await Promise.all(calls)).map(({ ino }) => ino)).toEqual([1, 2, 3]);
  });

  it('made in one tick leave in one write', async () => {
    const { connection, server, clientTransport } = await joined();
    let writes = 0;
    const write = clientTransport.write.bind(clientTransport);
    clientTransport.write = (bytes) => {
      writes += 1;
      return write(bytes);
    };
    const calls = Array.from({ length: 50 }, () => connection.call('getattr', { ino: 1 as InodeNumber }));
    for (let i = 0; i < 50; i++) server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await Promise.all(calls);
    expect(writes).toBe(1);
  });

  it('carry what was asked beside the arguments', async () => {
    const { connection, server } = await joined();
    void connection.call('getattr', { ino: 1 as InodeNumber }, { visible: true, timeoutMs: 5000, traceId: 't1' }).catch(() => undefined);
    expect(await server.request()).toMatchObject({ visible: true, deadlineMs: 5000, traceId: 't1' });
    void connection.call('mkdir', mkdirArgs, { ...id('r1'), acknowledgement: 'visible' }).catch(() => undefined);
    const request = await server.request();
    expect(request).toMatchObject({ requestId: 'r1', actor: 'test', acknowledgement: 'visible', deadlineMs: 30_000 });
    expect(request.attemptAgeMs).toBe(0);
    const firstAttemptMs = Date.now() - 60_000;
    void connection.call('mkdir', mkdirArgs, { ...id('r1'), actor: 'me', firstAttemptMs }).catch(() => undefined);
    const again = await server.request();
    expect(again).toMatchObject({ actor: 'me', acknowledgement: 'durable' });
    expect(again.attemptAgeMs).toBeGreaterThanOrEqual(60_000);
    void connection.call('mkdir', mkdirArgs, { ...id('r1'), firstAttemptMs: Date.now() + 60_000 }).catch(() => undefined);
    expect((await server.request()).attemptAgeMs).toBe(0);
  });

  it('that cannot be sent fail here, and the connection lives', async () => {
    const { connection, server } = await joined({ frameBytesMax: FRAME_BYTES_MAX_LEAST });
    await expect(connection.call('lookup', { parent: 1 as InodeNumber, name: new Uint8Array(300) })).rejects.toMatchObject({
      code: 'name-too-long',
    });
    const extents = Array.from({ length: 20_000 }, () => ({ hole: true, take: 2 ** 40 }) as const);
    const body = { kind: 'blocks', manifest: { size: 0, extents } } as const;
    await expect(
      connection.call('publish', { uid: 0, gid: 0, node: { ino: 1 as InodeNumber }, body, mode: 0 }, id('p')),
    ).rejects.toMatchObject({
      code: 'frame-too-large',
      outcome: 'not-applied',
    });
    const call = connection.call('getattr', { ino: 1 as InodeNumber });
    server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await call;
  });

  it("beyond the server's limit wait their turn", async () => {
    const { connection, server } = await joined({ inFlightMax: 2 });
    const calls = Array.from({ length: 10 }, () => connection.call('getattr', { ino: 1 as InodeNumber }));
    for (let i = 0; i < 5; i++) {
      const pair = [await server.request(), await server.request()];
      await turns(5);
      expect(server.peer.waiting).toEqual([]);
      for (const { stream } of pair) server.answer(stream, 'getattr', ATTRIBUTES);
    }
    await Promise.all(calls);
    expect(connection.inFlight).toBe(0);
  });

  it('have unknown outcome only if they were mutations and were sent, when the connection is lost', async () => {
    const { connection, server } = await joined({ inFlightMax: 2 });
    const outcomes = Promise.allSettled([
      connection.call('mkdir', mkdirArgs, id('sent')),
      connection.call('getattr', { ino: 1 as InodeNumber }),
      connection.call('mkdir', mkdirArgs, id('waiting')),
    ]);
    await server.request();
    server.peer.transport.destroy();
    expect(
      (await outcomes).map((result) => [(result as PromiseRejectedResult).reason.code, (result as PromiseRejectedResult).reason.outcome]),
    ).toEqual([
      ['connection-lost', 'unknown'],
      ['connection-lost', 'not-applied'],
      ['connection-lost', 'not-applied'],
    ]);
    expect((await connection.closed).code).toBe('connection-lost');
    await expect(connection.call('mkdir', mkdirArgs, id('late'))).rejects.toMatchObject({
      code: 'connection-lost',
      outcome: 'not-applied',
    });
  });

  it('past their deadline fail, tell the server, and ignore the late answer', async () => {
    const { connection, server } = await joined({ inFlightMax: 2 });
    const outcomes = Promise.allSettled([
      connection.call('mkdir', mkdirArgs, { ...id('a'), timeoutMs: 60 }),
      connection.call('getattr', { ino: 1 as InodeNumber }, { timeoutMs: 60 }),
      // Waits for a place, and its time is over before one of the others' is.
      connection.call('mkdir', mkdirArgs, { ...id('b'), timeoutMs: 20 }),
    ]);
    const { stream } = await server.request();
    expect(
      (await outcomes).map((result) => [(result as PromiseRejectedResult).reason.code, (result as PromiseRejectedResult).reason.outcome]),
    ).toEqual([
      ['deadline-exceeded', 'unknown'],
      ['deadline-exceeded', 'not-applied'],
      ['deadline-exceeded', 'not-applied'],
    ]);
    expect((await server.peer.next(FRAME_TYPES.cancel)).stream).toBe(stream);
    server.answer(stream, 'mkdir', { version: 1, result: { attributes: ATTRIBUTES, created: true } });
    const call = connection.call('getattr', { ino: 1 as InodeNumber });
    server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await call;
  });

  it('may have no deadline', async () => {
    const { connection, server } = await joined();
    const call = connection.call('getattr', { ino: 1 as InodeNumber }, { timeoutMs: Number.POSITIVE_INFINITY });
    const { stream, deadlineMs } = await server.request();
    expect(deadlineMs).toBe(0);
    server.answer(stream, 'getattr', ATTRIBUTES);
    await call;
  });

  it('are cancelled by their signal, before and after they were sent', async () => {
    const { connection, server } = await joined();
    await expect(connection.call('mkdir', mkdirArgs, { ...id('a'), signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'cancelled',
      outcome: 'not-applied',
    });
    const abort = new AbortController();
    const call = connection.call('mkdir', mkdirArgs, { ...id('b'), signal: abort.signal });
    call.catch(() => undefined);
    const { stream } = await server.request();
    abort.abort();
    await expect(call).rejects.toMatchObject({ code: 'cancelled', outcome: 'unknown' });
    expect((await server.peer.next(FRAME_TYPES.cancel)).stream).toBe(stream);
    expect(connection.inFlight).toBe(0);
  });

  it('whose answer makes no sense fail alone, with the outcome of a lost answer', async () => {
    const { connection, server } = await joined();
    const call = connection.call('mkdir', mkdirArgs, id('a'));
    call.catch(() => undefined);
    server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await expect(call).rejects.toMatchObject({ outcome: 'unknown', message: expect.stringMatching(/the answer to mkdir cannot be read/) });
    const other = connection.call('getattr', { ino: 1 as InodeNumber });
    server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await other;
  });

  it('whose answer is over the frame limit fail alone', async () => {
    const { connection, server } = await joined({ frameBytesMax: FRAME_BYTES_MAX_LEAST });
    const call = connection.call('xattr-list', { node: { ino: 1 as InodeNumber } });
    call.catch(() => undefined);
    server.answer((await server.request()).stream, 'xattr-list', { names: Array.from({ length: 4000 }, () => new Uint8Array(100)) });
    await expect(call).rejects.toMatchObject({ code: 'frame-too-large', outcome: 'not-applied' });
    const other = connection.call('getattr', { ino: 1 as InodeNumber });
    server.answer((await server.request()).stream, 'getattr', ATTRIBUTES);
    await other;
  });
});

describe('streams', () => {
  it('give back credit as items are consumed, and never more', async () => {
    const { connection, server } = await joined();
    const seen: unknown[] = [];
    const done = (async () => {
      for await (const item of connection.stream('watch', {}, { window: 4 })) seen.push(item);
    })();
    const { stream, credit } = await server.request();
    expect(credit).toBe(4);
    for (let version = 1; version <= 4; version++) server.item(stream, version);
    const grants = [await server.peer.next(FRAME_TYPES.credit), await server.peer.next(FRAME_TYPES.credit)];
    expect(grants.map(grantOf)).toEqual([2, 2]);
    server.item(stream, 5);
    server.peer.send((to) => writeControl(to, FRAME_TYPES.end, stream));
    await done;
    expect(seen).toHaveLength(5);
  });

  it('cancel when the consumer leaves', async () => {
    const { connection, server } = await joined();
    const first = (async () => {
      for await (const item of connection.stream('watch', { since: 3 as Version })) return item;
      return undefined;
    })();
    const { stream, args } = await server.request();
    expect(args).toEqual({ since: 3 });
    server.item(stream, 4);
    expect(await first).toEqual({ kind: 'durable', version: 4 });
    expect((await server.peer.next(FRAME_TYPES.cancel)).stream).toBe(stream);
    expect(connection.inFlight).toBe(0);
  });

  it('end with the error of the server, of the connection, of the signal', async () => {
    const { connection, server } = await joined();
    const abort = new AbortController();
    const ends = [
      connection.stream('watch', {}),
      connection.stream('watch', {}, { signal: abort.signal }),
      connection.stream('watch', {}),
    ].map(async (items) => {
      for await (const item of items) void item;
    });
    for (const end of ends) end.catch(() => undefined);
    const streams = [await server.request(), await server.request(), await server.request()];
    server.peer.send((to) => writeError(to, FRAME_TYPES.error, streams[0]?.stream ?? 0, new NokvError('cursor-too-old', 'list again')));
    await expect(ends[0]).rejects.toMatchObject({ code: 'cursor-too-old' });
    abort.abort();
    await expect(ends[1]).rejects.toMatchObject({ code: 'cancelled' });
    server.peer.transport.destroy();
    await expect(ends[2]).rejects.toMatchObject({ code: 'connection-lost', outcome: 'not-applied' });
  });

  it('that send more than was granted end the connection', async () => {
    const { connection, server } = await joined();
    const items = connection.stream('watch', {}, { window: 2 })[Symbol.asyncIterator]();
    const first = items.next();
    const { stream } = await server.request();
    for (let version = 1; version <= 3; version++) server.item(stream, version);
    await first;
    expect((await connection.closed).message).toMatch(/more items of watch than it was granted/);
  });
});

describe('the end', () => {
  it('comes after what is in flight when the server says goaway', async () => {
    const { connection, server } = await joined();
    const call = connection.call('getattr', { ino: 1 as InodeNumber });
    const { stream } = await server.request();
    server.peer.send((to) => writeError(to, FRAME_TYPES.goaway, 0, new NokvError('draining', 'bye')));
    await connection.draining;
    expect(connection.isDraining).toBe(true);
    await expect(connection.call('mkdir', mkdirArgs, id('x'))).rejects.toMatchObject({ code: 'draining', outcome: 'not-applied' });
    server.answer(stream, 'getattr', ATTRIBUTES);
    await call;
    await connection.closed;
    await server.peer.closed;
  });

  it('waits for calls as long as the grace says', async () => {
    const { connection, server } = await joined();
    const call = connection.call('getattr', { ino: 1 as InodeNumber });
    const stuck = connection.call('mkdir', mkdirArgs, id('stuck'));
    stuck.catch(() => undefined);
    const { stream } = await server.request();
    const closing = connection.close(50);
    server.answer(stream, 'getattr', ATTRIBUTES);
    await call;
    await closing;
    await expect(stuck).rejects.toMatchObject({ code: 'connection-lost', outcome: 'unknown' });
  });

  it('answers pings both ways', async () => {
    const { connection, server } = await joined();
    const ping = connection.ping();
    const asked = await server.peer.next(FRAME_TYPES.ping);
    server.peer.sendBytes(Uint8Array.of(0, 0, 0, 8, FRAME_TYPES.pong, 0, 0, 0, 0, ...asked.payload));
    expect(await ping).toBeGreaterThan(0);
    server.peer.sendBytes(Uint8Array.of(0, 0, 0, 8, FRAME_TYPES.ping, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
    expect((await server.peer.next(FRAME_TYPES.pong)).payload).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    await expect(connection.ping(10)).rejects.toMatchObject({ code: 'deadline-exceeded' });
  });

  it('comes at once when the server sends what makes no sense', async () => {
    const { connection, server } = await joined();
    server.peer.sendBytes(Uint8Array.of(0, 0, 0, 0, 99, 0, 0, 0, 0));
    expect(await connection.closed).toMatchObject({ code: 'malformed-frame' });
  });
});

function grantOf(frame: Frame): number {
  return new DataView(frame.payload.buffer).getUint32(0);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
