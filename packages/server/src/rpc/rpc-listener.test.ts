import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InodeNumber, NokvError, RequestId, Version } from '@nokv/types';
import { systemClock } from '@nokv/types';
import {
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  MessageReader,
  memoryTransportPair,
  readError,
  readServerHello,
  clientHello,
  writeClientHello,
  writeControl,
  writeCredit,
  writePing,
  writeRequest,
  type Frame,
  type WatchItem,
} from '@nokv/protocol';
import { FramePeer } from '@nokv/protocol/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { RpcHandlers } from './handlers.js';
import { listenRpc, serveRpc } from './listen-rpc.js';
import type { RpcLimits, RpcListener, RpcOptions } from './rpc-listener.js';

const open: RpcListener[] = [];
const peers: FramePeer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.transport.destroy();
  await Promise.all(open.splice(0).map((listener) => listener.drain(0)));
});

const incarnation = { id: 'test', opened: 3 as Version };
const READ = { deadlineMs: 0, traceId: '', visible: false };
const MUTATION = {
  deadlineMs: 0,
  traceId: '',
  requestId: 'r' as RequestId,
  actor: 'me',
  acknowledgement: 'durable',
  attemptAgeMs: 0,
} as const;
const LIMIT = 1 << 22;
const TARGET = { target: Uint8Array.of(0x61) };

function serve(handlers: Partial<RpcHandlers>, limits: Partial<RpcLimits> = {}, options: Partial<RpcOptions> = {}): RpcListener {
  const listener = serveRpc({ handlers: handlers as RpcHandlers, clock: systemClock, software: 'test', incarnation, limits, ...options });
  open.push(listener);
  return listener;
}

function join1(listener: RpcListener, chunkBytes = Number.POSITIVE_INFINITY): FramePeer {
  const [ours, theirs] = memoryTransportPair({ chunkBytes });
  listener.attach(theirs);
  const peer = new FramePeer(ours);
  peers.push(peer);
  return peer;
}

async function greeted(listener: RpcListener): Promise<FramePeer> {
  const peer = join1(listener);
  expect((await peer.hello()).type).toBe(FRAME_TYPES.helloAck);
  return peer;
}

const readlink = (peer: FramePeer, stream: number): void =>
  peer.send((to) => writeRequest(to, stream, 'readlink', { node: { ino: 1 as InodeNumber } }, READ, LIMIT));
const errorOf = (frame: Frame): NokvError => {
  expect(frame.type).toBe(FRAME_TYPES.error);
  return readError(new MessageReader(frame.payload));
};

describe('the handshake', () => {
  it('tells the version, the limits and the shard map', async () => {
    const peer = join1(serve({}, { inFlightMax: 7, frameBytesMax: 1 << 20 }, { shardMapRevision: () => 5 }));
    expect(readServerHello((await peer.hello()).payload)).toMatchObject({
      version: 4,
      server: 'test',
      incarnation: { id: 'test', opened: 3 },
      inFlightMax: 7,
      frameBytesMax: 1 << 20,
      shardMapRevision: 5,
    });
  });

  it('refuses a client of another version readably and closes', async () => {
    const peer = join1(serve({}));
    peer.send((to) => writeClientHello(to, { ...clientHello('old'), versions: { min: 7, max: 9 } }));
    expect(errorOf(await peer.next())).toMatchObject({
      code: 'unsupported-version',
      message: 'this server speaks 4, this client 7 to 9: upgrade the server or use an older client',
    });
    await peer.closed;
  });

  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['zeros', new Uint8Array(100)],
    ['a frame that is no hello', Uint8Array.of(0, 0, 0, 0, FRAME_TYPES.request, 0, 0, 0, 1)],
    ['an oversize hello', Uint8Array.of(0, 1, 0, 0, FRAME_TYPES.hello, 0, 0, 0, 0)],
    ['a hello without magic', Uint8Array.of(0, 0, 0, 4, FRAME_TYPES.hello, 0, 0, 0, 0, 1, 2, 3, 4)],
  ])('answers %s with a readable error, closes, and serves the next client', async (_name, bytes) => {
    const listener = serve({ readlink: () => TARGET });
    const peer = join1(listener);
    peer.sendBytes(bytes);
    expect(errorOf(await peer.next()).code).toBe('malformed-frame');
    await peer.closed;
    readlink(await greeted(listener), 1);
  });

  it('gives up on a client that says nothing', async () => {
    const peer = join1(serve({}, { helloTimeoutMs: 10 }));
    expect(errorOf(await peer.next()).code).toBe('deadline-exceeded');
    await peer.closed;
  });

  it('asks who may come in', async () => {
    const { NokvError } = await import('@nokv/types');
    const listener = serve(
      { readlink: () => TARGET },
      {},
      {
        admit: async (hello) => {
          if (hello.token !== 'right') throw new NokvError('bad-token', 'expected a valid token');
        },
      },
    );
    const bad = join1(listener);
    expect(errorOf(await bad.hello()).code).toBe('bad-token');
    await bad.closed;
    const good = join1(listener);
    // The first request comes with the hello, before the answer.
    good.send((to) => {
      writeClientHello(to, clientHello('c', 'right'));
      writeRequest(to, 1, 'readlink', { node: { ino: 1 as InodeNumber } }, READ, LIMIT);
    });
    expect((await good.next()).type).toBe(FRAME_TYPES.helloAck);
    expect((await good.next()).type).toBe(FRAME_TYPES.response);
  });

  it('refuses connections beyond the most it may have', async () => {
    const listener = serve({}, { connectionsMax: 1 });
    const first = await greeted(listener);
    const second = join1(listener);
    expect(errorOf(await second.next()).code).toBe('too-busy');
    await second.closed;
    first.transport.end();
    await until(() => listener.stats.connections === 0);
    await greeted(listener);
    expect(listener.stats.connectionsRefused).toBe(1);
  });
});

describe('requests', () => {
  it('are served when they arrive byte by byte', async () => {
    const peer = join1(serve({ readlink: () => TARGET }), 1);
    await peer.hello();
    readlink(peer, 1);
    expect((await peer.next()).type).toBe(FRAME_TYPES.response);
  });

  it('over the frame limit are refused by type, and the connection lives', async () => {
    const peer = await greeted(serve({ readlink: () => TARGET }));
    const oversize = new Uint8Array(FRAME_HEADER_BYTES + LIMIT + 1);
    new DataView(oversize.buffer).setUint32(0, LIMIT + 1);
    oversize[4] = FRAME_TYPES.request;
    oversize[8] = 9;
    peer.sendBytes(oversize);
    const refusal = await peer.next();
    expect([refusal.stream, errorOf(refusal).code]).toEqual([9, 'frame-too-large']);
    readlink(peer, 10);
    expect(await peer.next()).toMatchObject({ type: FRAME_TYPES.response, stream: 10 });
  });

  it('that cannot be read are refused one by one, and the connection lives', async () => {
    const listener = serve({ readlink: () => TARGET });
    const peer = await greeted(listener);
    for (const [stream, payload] of [
      [1, [0x95, 0x00, 0, 0, 0, 0]],
      [2, [0xc1]],
      [3, []],
    ] as const) {
      peer.sendBytes(Uint8Array.of(0, 0, 0, payload.length, FRAME_TYPES.request, 0, 0, 0, stream, ...payload));
      const answer = await peer.next();
      expect([answer.stream, errorOf(answer).kind]).toEqual([stream, 'invalid']);
    }
    readlink(peer, 4);
    expect((await peer.next()).type).toBe(FRAME_TYPES.response);
    expect(listener.stats.operations.get('unreadable')?.errors.get('unknown-operation')).toBe(1);
  });

  it.each([
    [
      'a stream id in use',
      (peer: FramePeer) => {
        readlink(peer, 5);
        readlink(peer, 5);
      },
    ],
    ['stream 0', (peer: FramePeer) => readlink(peer, 0)],
    ['a frame that only servers send', (peer: FramePeer) => peer.send((to) => writeControl(to, FRAME_TYPES.end, 1))],
    ['a ping of 3 bytes', (peer: FramePeer) => peer.sendBytes(Uint8Array.of(0, 0, 0, 3, FRAME_TYPES.ping, 0, 0, 0, 0, 1, 2, 3))],
  ])('with %s end the connection with a readable error', async (_name, wrong) => {
    const peer = await greeted(serve({ readlink: () => new Promise(() => undefined) }));
    wrong(peer);
    const frame = await peer.next();
    expect([frame.stream, errorOf(frame).code]).toEqual([0, 'malformed-frame']);
    await peer.closed;
  });

  it('beyond the in-flight limit are refused, and the rest is served', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const listener = serve({ readlink: () => gate.then(() => TARGET) }, { inFlightMax: 3 });
    const peer = await greeted(listener);
    for (let stream = 1; stream <= 5; stream++) readlink(peer, stream);
    for (const stream of [4, 5]) {
      const frame = await peer.next();
      expect([frame.stream, errorOf(frame).code]).toEqual([stream, 'too-busy']);
    }
    expect(listener.stats.inFlight).toBe(3);
    release();
    for (const stream of [1, 2, 3]) expect(await peer.next()).toMatchObject({ type: FRAME_TYPES.response, stream });
    expect(listener.stats.inFlight).toBe(0);
  });

  it('beyond the limit of bytes in flight are refused', async () => {
    const peer = await greeted(serve({ 'xattr-set': () => new Promise(() => undefined) }, { inFlightBytesMax: 50_000 }));
    for (let stream = 1; stream <= 3; stream++) {
      peer.send((to) => {
        const args = { node: { ino: 1 as InodeNumber }, name: Uint8Array.of(1), value: new Uint8Array(20_000), mode: 'set' } as const;
        writeRequest(to, stream, 'xattr-set', args, MUTATION, LIMIT);
      });
    }
    const frame = await peer.next();
    expect([frame.stream, errorOf(frame).message]).toEqual([3, expect.stringMatching(/bytes of requests in flight/)]);
  });

  it('of a client that does not take its answers are no longer read', async () => {
    let served = 0;
    const listener = serve(
      {
        'xattr-get': () => {
          served += 1;
          return { value: new Uint8Array(60_000) };
        },
      },
      { unsentBytesMax: 1 << 20 },
    );
    const peer = await greeted(listener);
    peer.transport.pause();
    for (let stream = 1; stream <= 1000; stream++) {
      peer.send((to) => writeRequest(to, stream, 'xattr-get', { node: { ino: 1 as InodeNumber }, name: Uint8Array.of(1) }, READ, LIMIT));
    }
    await turns(200);
    expect(served).toBeGreaterThan(10);
    expect(served).toBeLessThan(100);
    peer.transport.resume();
    for (let stream = 1; stream <= 1000; stream++) expect((await peer.next()).stream).toBe(stream);
  });

  it('of a client that does not take its answers for too long end the connection', async () => {
    const problems: NokvError[] = [];
    const limits = { unsentBytesMax: 1 << 20, untakenMsMax: 30 };
    const listener = serve({ 'xattr-get': () => ({ value: new Uint8Array(60_000) }) }, limits, {
      onProblem: (error) => problems.push(error),
    });
    const peer = await greeted(listener);
    peer.transport.pause();
    for (let stream = 1; stream <= 100; stream++) {
      peer.send((to) => writeRequest(to, stream, 'xattr-get', { node: { ino: 1 as InodeNumber }, name: Uint8Array.of(1) }, READ, LIMIT));
    }
    await until(() => listener.stats.connections === 0);
    expect(problems.map(({ message }) => message)).toEqual([expect.stringMatching(/bytes of answers have not been taken for 30 ms/)]);
  });

  it('of one flooding connection leave room for another between them', async () => {
    let flood = 0;
    let floodWhenServed = -1;
    const listener = serve({
      readlink: () => {
        flood += 1;
        return TARGET;
      },
      statfs: () => {
        floodWhenServed = flood;
        return { bytesUsed: 0, inodesUsed: 0, bytesFree: 0, inodesFree: 0 };
      },
    });
    const flooder = await greeted(listener);
    const other = await greeted(listener);
    flooder.send((to) => {
      for (let stream = 1; stream <= 50_000; stream++)
        writeRequest(to, stream, 'readlink', { node: { ino: 1 as InodeNumber } }, READ, LIMIT);
    });
    other.send((to) => writeRequest(to, 1, 'statfs', {}, READ, LIMIT));
    expect((await other.next()).type).toBe(FRAME_TYPES.response);
    expect(floodWhenServed).toBeLessThan(25_000);
    for (let stream = 1; stream <= 50_000; stream++) expect((await flooder.next()).stream).toBe(stream);
  });

  it('answered in one tick leave in one write', async () => {
    const [ours, theirs] = memoryTransportPair();
    let writes = 0;
    const write = theirs.write.bind(theirs);
    theirs.write = (bytes) => {
      writes += 1;
      return write(bytes);
    };
    serve({ readlink: () => TARGET, 'path-of': async () => ({ path: Uint8Array.of(0x2f) }) }).attach(theirs);
    const peer = new FramePeer(ours);
    peers.push(peer);
    await peer.hello();
    writes = 0;
    peer.send((to) => {
      // Fewer than after which a turn looks at the clock: on a slow machine it might be over.
      for (let stream = 1; stream <= 8; stream++) writeRequest(to, stream, 'readlink', { node: { ino: 1 as InodeNumber } }, READ, LIMIT);
      for (let stream = 9; stream <= 15; stream++) writeRequest(to, stream, 'path-of', { ino: 1 as InodeNumber }, READ, LIMIT);
    });
    for (let i = 0; i < 15; i++) await peer.next();
    expect(writes).toBe(2);
  });

  it('that handlers fail foreignly are internal, with unknown outcome, and counted', async () => {
    const problems: string[] = [];
    const listener = serve(
      {
        readlink: () => {
          throw new TypeError('oops');
        },
        'path-of': () => Promise.reject(new RangeError('later')),
      },
      {},
      { onProblem: (error) => problems.push(error.message) },
    );
    const peer = await greeted(listener);
    readlink(peer, 1);
    expect(errorOf(await peer.next())).toMatchObject({ code: 'internal', outcome: 'unknown', message: 'unexpected failure: oops' });
    peer.send((to) => writeRequest(to, 2, 'path-of', { ino: 1 as InodeNumber }, READ, LIMIT));
    expect(errorOf(await peer.next()).message).toBe('unexpected failure: later');
    expect(problems).toEqual(['unexpected failure: oops', 'unexpected failure: later']);
    expect(listener.stats.operations.get('readlink')).toMatchObject({ requests: 1, errors: new Map([['internal', 1]]) });
  });

  it('whose answer is over the frame limit get a typed error, and what was written of it leaves no trace', async () => {
    const names = Array.from({ length: 4000 }, () => new Uint8Array(100));
    const peer = await greeted(serve({ 'xattr-list': () => ({ names }), readlink: () => TARGET }, { frameBytesMax: 128 * 1024 }));
    peer.send((to) => writeRequest(to, 1, 'xattr-list', { node: { ino: 1 as InodeNumber } }, READ, LIMIT));
    expect(errorOf(await peer.next()).code).toBe('frame-too-large');
    readlink(peer, 2);
    expect(await peer.next()).toMatchObject({ type: FRAME_TYPES.response, stream: 2 });
  });

  it('past their deadline are answered, their work told to stop, and their late answer is dropped', async () => {
    let aborted: unknown;
    let release: (answer: typeof TARGET) => void = () => undefined;
    const listener = serve({
      readlink: (_args, call) => {
        call.signal.addEventListener('abort', () => {
          aborted = call.signal.reason;
        });
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
    const peer = await greeted(listener);
    peer.send((to) => writeRequest(to, 1, 'readlink', { node: { ino: 1 as InodeNumber } }, { ...READ, deadlineMs: 20 }, LIMIT));
    expect(errorOf(await peer.next())).toMatchObject({ code: 'deadline-exceeded', outcome: 'not-applied' });
    expect(aborted).toMatchObject({ code: 'deadline-exceeded' });
    expect(listener.stats.inFlight).toBe(1);
    release(TARGET);
    await turns(5);
    expect(listener.stats.inFlight).toBe(0);
    peer.send((to) => writePing(to, 3));
    expect((await peer.next()).type).toBe(FRAME_TYPES.pong);
  });

  it('that are cancelled tell their work to stop and get no answer', async () => {
    let signal: AbortSignal | undefined;
    const listener = serve({
      readlink: (_args, call) => {
        signal = call.signal;
        return new Promise((_resolve, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)));
      },
    });
    const peer = await greeted(listener);
    readlink(peer, 1);
    peer.send((to) => writeControl(to, FRAME_TYPES.cancel, 1));
    peer.send((to) => writePing(to, 3));
    expect((await peer.next()).type).toBe(FRAME_TYPES.pong);
    expect(signal?.aborted).toBe(true);
    expect(listener.stats.inFlight).toBe(0);
    // The id is free again.
    readlink(peer, 1);
    await turns(5);
    expect(listener.stats.inFlight).toBe(1);
    expect(peer.waiting).toEqual([]);
  });

  it('tell their work to stop when the client goes', async () => {
    let signal: AbortSignal | undefined;
    const listener = serve({
      readlink: (_args, call) => {
        signal = call.signal;
        return new Promise((_resolve, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)));
      },
    });
    const peer = await greeted(listener);
    readlink(peer, 1);
    await until(() => signal !== undefined);
    peer.transport.destroy();
    await until(() => signal?.aborted === true);
    await until(() => listener.stats.inFlight === 0 && listener.stats.connections === 0);
  });
});

describe('streams', () => {
  const watch = (peer: FramePeer, stream: number, credit: number): void =>
    peer.send((to) => writeRequest(to, stream, 'watch', {}, { deadlineMs: 0, traceId: '', credit }, LIMIT));

  it('are pulled no further than their credit, and go on when there is more', async () => {
    let pulled = 0;
    const peer = await greeted(
      serve({
        watch: async function* (): AsyncGenerator<WatchItem> {
          while (pulled < 5) yield { kind: 'durable', version: ++pulled as Version };
        },
      }),
    );
    watch(peer, 1, 2);
    expect((await peer.next()).type).toBe(FRAME_TYPES.item);
    expect((await peer.next()).type).toBe(FRAME_TYPES.item);
    await turns(20);
    expect(pulled).toBe(2);
    peer.send((to) => writeCredit(to, 1, 10));
    for (const type of [FRAME_TYPES.item, FRAME_TYPES.item, FRAME_TYPES.item, FRAME_TYPES.end]) expect((await peer.next()).type).toBe(type);
  });

  it('free their work when they are cancelled, even while it waits for something', async () => {
    let returned = false;
    let aborted = false;
    const listener = serve({
      watch: async function* (_args, call): AsyncGenerator<WatchItem> {
        try {
          yield { kind: 'durable', version: 1 as Version };
          await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
          aborted = true;
        } finally {
          returned = true;
        }
      },
    });
    const peer = await greeted(listener);
    watch(peer, 1, 5);
    await peer.next();
    peer.send((to) => writeControl(to, FRAME_TYPES.cancel, 1));
    await until(() => returned);
    expect(aborted).toBe(true);
    expect(listener.stats.streams).toBe(0);
    expect(peer.waiting).toEqual([]);
  });

  it('end with the error that their work ended with', async () => {
    const peer = await greeted(
      serve({
        // oxlint-disable-next-line require-yield
        watch: async function* (): AsyncGenerator<WatchItem> {
          throw new (await import('@nokv/types')).NokvError('cursor-too-old', 'list again');
        },
      }),
    );
    watch(peer, 1, 5);
    expect(errorOf(await peer.next()).code).toBe('cursor-too-old');
  });

  it('beyond the limit are refused', async () => {
    const listener = serve(
      { watch: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }) },
      { streamsMax: 2 },
    );
    const peer = await greeted(listener);
    for (let stream = 1; stream <= 3; stream++) watch(peer, stream, 1);
    const frame = await peer.next();
    expect([frame.stream, errorOf(frame).code]).toEqual([3, 'too-busy']);
    expect(listener.stats.streams).toBe(2);
  });
});

describe('draining', () => {
  it('says goaway, finishes what is in flight, refuses what is new, ends streams', async () => {
    let release: (answer: typeof TARGET) => void = () => undefined;
    const listener = serve({
      readlink: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
      watch: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    });
    const peer = await greeted(listener);
    readlink(peer, 1);
    peer.send((to) => writeRequest(to, 2, 'watch', {}, { deadlineMs: 0, traceId: '', credit: 1 }, LIMIT));
    await until(() => listener.stats.inFlight === 1 && listener.stats.streams === 1);
    const drained = listener.drain(10_000);
    const frames = [await peer.next(), await peer.next()];
    expect(frames.map((frame) => [frame.type, frame.stream])).toEqual([
      [FRAME_TYPES.goaway, 0],
      [FRAME_TYPES.error, 2],
    ]);
    readlink(peer, 3);
    const refused = await peer.next();
    expect([refused.stream, errorOf(refused).code]).toEqual([3, 'draining']);
    release(TARGET);
    expect(await peer.next()).toMatchObject({ type: FRAME_TYPES.response, stream: 1 });
    peer.transport.end();
    await drained;
    expect(listener.stats.connections).toBe(0);
  });

  it('closes those that do not go once the grace is over', async () => {
    const listener = serve({ readlink: () => new Promise(() => undefined) });
    const peer = await greeted(listener);
    readlink(peer, 1);
    await listener.drain(20);
    await peer.closed;
  });
});

describe('listening', () => {
  it('takes the socket of a dead process over, and leaves that of a living one alone', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'nokv-rpc-'));
    try {
      const path = join(directory, 'socket');
      await leaveDeadSocket(path);
      const options = { handlers: {} as RpcHandlers, clock: systemClock, software: 'test', incarnation };
      const listener = await listenRpc(`unix:${path}`, options);
      open.push(listener);
      expect(listener.address).toBe(`unix:${path}`);
      await expect(listenRpc(`unix:${path}`, options)).rejects.toMatchObject({
        code: 'bad-configuration',
        details: { reason: 'EADDRINUSE' },
      });
      await new Promise<void>((resolve) => {
        const socket = connectSocket({ path }, () => {
          socket.destroy();
          resolve();
        });
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('says which port it got and that a taken one is taken', async () => {
    const options = { handlers: {} as RpcHandlers, clock: systemClock, software: 'test', incarnation };
    const listener = await listenRpc('127.0.0.1:0', options);
    open.push(listener);
    expect(listener.address).toMatch(/^127\.0\.0\.1:[1-9]\d+$/);
    await expect(listenRpc(listener.address, options)).rejects.toThrow(
      /cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\); something listens there already/,
    );
  });
});

/** A socket file that nobody listens on, as a killed process leaves it. */
async function leaveDeadSocket(path: string): Promise<void> {
  const { rename } = await import('node:fs/promises');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path: `${path}.old` }, resolve));
  await rename(`${path}.old`, path);
  await new Promise((resolve) => server.close(resolve));
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for a state, turn by turn; the test's own timeout bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
