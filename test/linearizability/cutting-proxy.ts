/** A port between clients and a server that moves: connections are cut when told, and go to wherever the server is now. */
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

export interface MovingProxy {
  readonly address: string;
  /** Where the server is; undefined: connections are refused. */
  target: string | undefined;
  /** Destroys about this share of the connections, in the middle of whatever is on its way. */
  cut(share: number): void;
  readonly cuts: number;
  close(): Promise<void>;
}

export async function movingProxy(): Promise<MovingProxy> {
  const sockets = new Set<Socket>();
  let target: string | undefined;
  let cuts = 0;
  const proxy = createServer((inbound) => {
    inbound.on('error', () => undefined);
    if (target === undefined) {
      inbound.destroy();
      return;
    }
    const outbound = createConnection(Number(target.slice(target.lastIndexOf(':') + 1)), '127.0.0.1');
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      one.setNoDelay(true);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
      one.pipe(other);
    }
    sockets.add(inbound);
    inbound.on('close', () => sockets.delete(inbound));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    get target() {
      return target;
    },
    set target(value) {
      target = value;
    },
    cut(share) {
      for (const socket of sockets) {
        if (Math.random() >= share) continue;
        cuts += 1;
        socket.destroy();
      }
    },
    get cuts() {
      return cuts;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
