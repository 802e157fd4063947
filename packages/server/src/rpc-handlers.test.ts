import {
  FRAME_TYPES,
  MessageReader,
  definitionOf,
  memoryTransportPair,
  readAnswer,
  readError,
  writeControl,
  writeCredit,
  writeRequest,
  type Operation,
} from '@nokv/protocol';
import { FramePeer } from '@nokv/protocol/testing';
import { NokvError, systemClock, version, type DiffArgs, type DiffItem } from '@nokv/types';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { rpcHandlers } from './rpc-handlers.js';
import { serveRpc } from './rpc/listen-rpc.js';
import type { RpcListener } from './rpc/rpc-listener.js';
import type { Service } from './service.js';

const LIMIT = 1 << 22;
const ARGS: DiffArgs = { a: { node: { path: Buffer.from('/a') } }, b: { node: { path: Buffer.from('/b') } } };
const item = (at: number): DiffItem => ({ rows: [], versions: { a: version(at), b: version(at) } });

let listener: RpcListener | undefined;
afterEach(async () => await listener?.drain(0));

/** A connection to a service that only compares. */
async function peerOf(diff: Service['diff']): Promise<FramePeer> {
  const service = { diff } as Service;
  const info = () => {
    throw new NokvError('unsupported', 'not here');
  };
  const incarnation = { id: 'test', opened: version(0) };
  listener = serveRpc({ handlers: rpcHandlers(service, systemClock, info), clock: systemClock, software: 'test', incarnation, limits: {} });
  const [ours, theirs] = memoryTransportPair();
  listener.attach(theirs);
  const peer = new FramePeer(ours);
  await peer.hello();
  return peer;
}

const ask = (peer: FramePeer, credit: number): void =>
  peer.send((to) => writeRequest(to, 1, 'diff', ARGS, { deadlineMs: 0, traceId: '', credit }, LIMIT));

describe('diff', () => {
  it('pulls the comparison as far as there is credit, and no further', async () => {
    let pulled = 0;
    const peer = await peerOf(async function* () {
      for (;;) yield item((pulled += 1));
    });
    ask(peer, 2);
    const frames = [await peer.next(), await peer.next()];
    expect(frames.map(({ payload }) => readAnswer(new MessageReader(payload), definitionOf<Operation>('diff')))).toEqual([
      item(1),
      item(2),
    ]);
    expect(pulled).toBe(2);
    peer.send((to) => writeCredit(to, 1, 1));
    expect((await peer.next()).type).toBe(FRAME_TYPES.item);
    expect(pulled).toBe(3);
  });

  it('ends the comparison when the client cancels', async () => {
    const ended = vi.fn();
    const peer = await peerOf(async function* (args) {
      expect(args).toEqual({
        a: { node: { path: Uint8Array.from(Buffer.from('/a')) } },
        b: { node: { path: Uint8Array.from(Buffer.from('/b')) } },
      });
      try {
        for (let at = 1; ; at++) yield item(at);
      } finally {
        ended();
      }
    });
    ask(peer, 1);
    await peer.next();
    peer.send((to) => writeControl(to, FRAME_TYPES.cancel, 1));
    await vi.waitFor(() => expect(ended).toHaveBeenCalledOnce());
  });

  it.each([
    [
      'at once',
      () => {
        throw new NokvError('snapshot-expired', 'snapshot 4 has expired');
      },
    ],
    [
      'while it is under way',
      async function* () {
        yield item(1);
        throw new NokvError('snapshot-expired', 'snapshot 4 has expired');
      },
    ],
  ])('tells the error that ends the comparison %s', async (_name, diff) => {
    const peer = await peerOf(diff as Service['diff']);
    ask(peer, 8);
    let frame = await peer.next();
    if (frame.type === FRAME_TYPES.item) frame = await peer.next();
    expect(frame.type).toBe(FRAME_TYPES.error);
    expect(readError(new MessageReader(frame.payload)).code).toBe('snapshot-expired');
  });
});
