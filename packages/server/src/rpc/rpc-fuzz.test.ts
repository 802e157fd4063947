/** Whatever arrives, the listener lives, answers typed or closes, and calls nothing that was not asked for. */
import type { InodeNumber, Version } from '@nokv/types';
import { systemClock } from '@nokv/types';
import {
  FRAME_TYPES,
  MessageReader,
  MessageWriter,
  clientHello,
  memoryTransportPair,
  readError,
  writeClientHello,
  writeRequest,
} from '@nokv/protocol';
import { FramePeer } from '@nokv/protocol/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { RpcHandlers } from './handlers.js';
import { serveRpc } from './listen-rpc.js';

const header = fc
  .tuple(fc.nat(40), fc.nat(14), fc.nat(3))
  .map(([length, type, stream]) => Uint8Array.of(0, 0, 0, length, type, 0, 0, 0, stream));
const request = new MessageWriter();
writeRequest(request, 1, 'readlink', { node: { ino: 1 as InodeNumber } }, { deadlineMs: 0, traceId: '', visible: false }, 1000);
const whole = Uint8Array.from(request.take());
const piece = fc.oneof(
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  { weight: 3, arbitrary: header },
  { weight: 1, arbitrary: fc.constant(whole) },
);

it('survives 300 connections of nonsense', async () => {
  let called = 0;
  const seen = new Set<number>();
  const listener = serveRpc({
    handlers: {
      readlink: () => {
        called += 1;
        return { target: Uint8Array.of(1) };
      },
    } as Partial<RpcHandlers> as RpcHandlers,
    clock: systemClock,
    software: 'test',
    incarnation: { id: 'test', opened: 0 as Version },
    poller: false,
  });
  const connect = (): FramePeer => {
    const [ours, theirs] = memoryTransportPair();
    listener.attach(theirs);
    return new FramePeer(ours);
  };
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(piece, { maxLength: 12 }), async (saysHello, pieces) => {
      const peer = connect();
      if (saysHello) peer.send((to) => writeClientHello(to, clientHello('fuzz')));
      for (const bytes of pieces) peer.sendBytes(Uint8Array.from(bytes));
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      peer.transport.end();
      await peer.closed;
      for (const frame of peer.waiting) {
        seen.add(frame.type);
        if (frame.type === FRAME_TYPES.error) expect(readError(new MessageReader(frame.payload)).kind).toBe('invalid');
        else expect([FRAME_TYPES.helloAck, FRAME_TYPES.response, FRAME_TYPES.pong]).toContain(frame.type);
      }
    }),
    { numRuns: 300 },
  );
  expect([...seen]).toEqual(expect.arrayContaining([FRAME_TYPES.helloAck, FRAME_TYPES.response, FRAME_TYPES.error]));
  expect(listener.stats.operations.get('readlink')?.requests ?? 0).toBe(called);
  const peer = connect();
  expect((await peer.hello()).type).toBe(FRAME_TYPES.helloAck);
  peer.sendBytes(whole);
  expect((await peer.next()).type).toBe(FRAME_TYPES.response);
  peer.transport.destroy();
  await listener.drain(0);
  expect(listener.stats).toMatchObject({ connections: 0, inFlight: 0, streams: 0 });
});
