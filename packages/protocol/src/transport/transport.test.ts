import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Address } from '../address.js';
import { transportConformance, type TransportPair } from '../testing/index.js';
import { memoryTransportPair } from './memory-transport.js';
import { SocketTransport, connectTransport } from './socket-transport.js';
import type { Transport } from './transport.js';

transportConformance('memory', async () => {
  const [a, b] = memoryTransportPair();
  return { a, b, dispose: async () => undefined };
});

transportConformance('memory, byte by byte', async () => {
  const [a, b] = memoryTransportPair({ chunkBytes: 4099 });
  return { a, b, dispose: async () => undefined };
});

transportConformance('TCP', () => socketPair({ kind: 'tcp', host: '127.0.0.1', port: 0 }, async () => undefined));

transportConformance('unix socket', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-transport-'));
  return socketPair({ kind: 'unix', path: join(directory, 's') }, () => rm(directory, { recursive: true }));
});

it('says who does not answer when nobody listens', async () => {
  await expect(connectTransport({ kind: 'unix', path: '/nonexistent/socket' })).rejects.toMatchObject({
    code: 'unavailable',
    details: { address: 'unix:/nonexistent/socket', reason: 'ENOENT' },
  });
});

it('stops connecting when the signal fires', async () => {
  await expect(connectTransport({ kind: 'tcp', host: '127.0.0.1', port: 1 }, AbortSignal.abort(new Error('enough')))).rejects.toThrow(
    'enough',
  );
});

async function socketPair(address: Address, clean: () => Promise<void>): Promise<TransportPair> {
  const server = createServer();
  const accepted = new Promise<Transport>((resolve) => {
    server.once('connection', (socket) => resolve(new SocketTransport(socket, 'accepted')));
  });
  await new Promise<void>((resolve) => {
    server.listen(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }, resolve);
  });
  const a = await connectTransport(boundTo(server, address));
  const b = await accepted;
  return {
    a,
    b,
    dispose: async () => {
      await new Promise((resolve) => server.close(resolve));
      await clean();
    },
  };
}

function boundTo(server: Server, address: Address): Address {
  const bound = server.address();
  return address.kind === 'tcp' && typeof bound === 'object' && bound !== null ? { ...address, port: bound.port } : address;
}
