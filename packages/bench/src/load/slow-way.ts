/** A way to a server on loopback that is as far as one in another region: answers come later, none comes slower. Counts requests. */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

export interface SlowWay {
  readonly endpoint: string;
  /** Requests seen since the last look, by method. */
  takeRequests(): { readonly puts: number; readonly gets: number };
  close(): void;
}

/** @param delayMs added to every answer. */
export async function slowWay(target: string, delayMs: number): Promise<SlowWay> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let puts = 0;
  let gets = 0;
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
    }
    near.on('data', (chunk) => {
      // A request begins a chunk: clients wait for an answer before they ask again.
      const method = chunk.latin1Slice(0, 4);
      if (method === 'PUT ') puts += 1;
      else if (method === 'GET ') gets += 1;
      if (!far.write(chunk)) {
        near.pause();
        far.once('drain', () => near.resume());
      }
    });
    far.on('data', (chunk) => {
      if (delayMs === 0) near.write(chunk);
      else setTimeout(() => near.writable && near.write(chunk), delayMs);
    });
    near.once('close', () => far.destroy());
    far.once('close', () => setTimeout(() => near.destroy(), delayMs));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    takeRequests() {
      const seen = { puts, gets };
      puts = 0;
      gets = 0;
      return seen;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
