/** A port in front of an S3 server that passes everything on and counts the requests that delete. */
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

export interface CountingProxy {
  readonly endpoint: string;
  /** Requests that delete: bulk deletions and single ones. */
  readonly deletes: number;
  /** Keys in bulk deletions. */
  readonly keysDeleted: number;
  close(): Promise<void>;
}

const DELETES = /^(?:POST [^ ]*[?&]delete[= &]|DELETE )/gm;

export async function countingProxy(endpoint: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(endpoint);
  const sockets = new Set<Socket>();
  let deletes = 0;
  let keysDeleted = 0;
  const proxy = createServer((inbound) => {
    const outbound = createConnection(Number(port), hostname);
    inbound.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      deletes += text.match(DELETES)?.length ?? 0;
      keysDeleted += text.match(/<Key>/g)?.length ?? 0;
    });
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
      one.pipe(other);
      sockets.add(one);
      one.once('close', () => sockets.delete(one));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    get deletes() {
      return deletes;
    },
    get keysDeleted() {
      return keysDeleted;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
