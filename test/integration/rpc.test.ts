/** Client and listener of the wire against each other, over real sockets. */
import { openConnection, type Connection } from '@nokv/client';
import type { WatchItem } from '@nokv/protocol';
import { listenRpc, type RpcHandlers, type RpcListener, type RpcOptions } from '@nokv/server';
import type { Attributes, Generation, InodeNumber, RequestId, Version } from '@nokv/types';
import { systemClock } from '@nokv/types';
import { afterEach, describe, expect, it } from 'vitest';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const incarnation = { id: 'test', opened: 3 as Version };

async function serve(handlers: Partial<RpcHandlers>, options: Partial<RpcOptions> = {}): Promise<RpcListener> {
  const listener = await listenRpc('127.0.0.1:0', {
    handlers: handlers as RpcHandlers,
    clock: systemClock,
    software: 'test',
    incarnation,
    ...options,
  });
  open.push(() => listener.drain(0));
  return listener;
}

async function dial(listener: RpcListener): Promise<Connection> {
  const connection = await openConnection(listener.address, { clock: systemClock, client: 'test' });
  open.push(() => connection.close());
  return connection;
}

const time = { sec: 0, nsec: 0 };
const attributesOf = (ino: InodeNumber): Attributes => ({
  ino,
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  nlink: 1,
  size: 0,
  blocks: 0,
  atime: time,
  mtime: time,
  ctime: time,
  rdev: 0,
  revision: 1,
  generation: 0 as Generation,
  ordinal: 0,
  children: 0,
});

describe('one connection', () => {
  it('carries 1,000 calls in flight, answered in reverse order', async () => {
    const waiting: (() => void)[] = [];
    const order: number[] = [];
    const listener = await serve({
      getattr: (args) =>
        new Promise((resolve) => {
          waiting.push(() => resolve(attributesOf(args.ino)));
          if (waiting.length === 1000) setImmediate(() => waiting.reverse().forEach((answer) => answer()));
        }),
    });
    const connection = await dial(listener);
    const calls = Array.from({ length: 1000 }, async (_, index) => {
      const ino = (index + 1) as InodeNumber;
      expect((await connection.call('getattr', { ino })).ino).toBe(ino);
      order.push(ino);
    });
    await Promise.all(calls);
    expect(order).toEqual(Array.from({ length: 1000 }, (_, index) => 1000 - index));
  });

  it('has a stalled stream that holds only itself', async () => {
    let pulled = 0;
    const listener = await serve({
      getattr: (args) => attributesOf(args.ino),
      watch: async function* (): AsyncGenerator<WatchItem> {
        for (;;) yield { kind: 'durable', version: ++pulled as Version };
      },
    });
    const connection = await dial(listener);
    const stalled = connection.stream('watch', {}, { window: 8 })[Symbol.asyncIterator]();
    await stalled.next();
    const lively: unknown[] = [];
    for await (const item of connection.stream('watch', {}, { window: 8 })) if (lively.push(item) === 100) break;
    for (let ino = 1; ino <= 1000; ino++) await connection.call('getattr', { ino: ino as InodeNumber });
    // The stalled one got its window and no more; the lively one 100 and at most a window that was on its way.
    expect(pulled).toBeLessThanOrEqual(8 + 108);
    await stalled.return?.();
    expect(connection.inFlight).toBe(0);
  });

  it('keeps every byte of names, whatever they are', async () => {
    const names: Uint8Array[] = [];
    const listener = await serve({
      lookup: (args) => {
        names.push(args.name);
        return attributesOf(1 as InodeNumber);
      },
    });
    const connection = await dial(listener);
    const sent = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte, 0x80, byte)).filter(
      (name) => name[0] !== 0 && name[0] !== 0x2f,
    );
    await Promise.all(sent.map((name) => connection.call('lookup', { parent: 1 as InodeNumber, name })));
    expect(names.map((name) => Buffer.from(name).toString('hex'))).toEqual(sent.map((name) => Buffer.from(name).toString('hex')));
  });
});

describe('a rolling restart', () => {
  it('loses no call of a client that goes elsewhere when it is told to', async () => {
    const count = { mkdir: 0 };
    const handlers: Partial<RpcHandlers> = {
      mkdir: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        count.mkdir += 1;
        return { version: 1 as Version, result: { attributes: attributesOf(2 as InodeNumber), created: true } };
      },
    };
    const first = await serve(handlers);
    const second = await serve(handlers);
    let connection = await dial(first);
    const args = { uid: 0, gid: 0, entry: { parent: 1 as InodeNumber, name: Uint8Array.of(65) }, mode: 0o755 };
    let sent = 0;
    const worker = async (): Promise<void> => {
      while (sent < 2000) {
        sent += 1;
        if (connection.isDraining) connection = await dial(second);
        try {
          await connection.call('mkdir', args, { requestId: `r${sent}` as RequestId });
        } catch (error) {
          expect(error).toMatchObject({ code: 'draining', outcome: 'not-applied' });
          sent -= 1;
        }
      }
    };
    const workers = Array.from({ length: 20 }, worker);
    while (count.mkdir < 500) await new Promise((resolve) => setImmediate(resolve));
    await first.drain(5000);
    await Promise.all(workers);
    expect(count.mkdir).toBeGreaterThanOrEqual(2000);
    expect(first.stats.connections).toBe(0);
  });
});

describe('polling', () => {
  it('stops when nothing comes: connection and listener together use no CPU', async () => {
    const listener = await serve({ getattr: (args) => attributesOf(args.ino) });
    const connection = await dial(listener);
    for (let ino = 1; ino <= 2000; ino++) await connection.call('getattr', { ino: ino as InodeNumber });
    await systemClock.sleep(100);
    const before = process.cpuUsage();
    await systemClock.sleep(1000);
    const used = process.cpuUsage(before);
    expect((used.user + used.system) / 1000).toBeLessThan(150);
  });
});
