/** A server in this process over a file store in a temporary directory, and a connection that can be cut at will. */
import { connect, type ConnectOptions, type NokvClient } from '@nokv/client';
import { startServer, type RunningServer } from '@nokv/server';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ClientFixture {
  readonly directory: string;
  readonly server: RunningServer;
  readonly client: NokvClient;
  /** Stops the server and starts another one on the same data directory and port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startClientFixture(options: ConnectOptions = {}): Promise<ClientFixture> {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-client-'));
  let server = await start(directory, '127.0.0.1:0');
  const client = await connect({ address: server.rpc, ...options });
  return {
    directory,
    get server() {
      return server;
    },
    client,
    async restart() {
      await server.stop(1000);
      server = await start(directory, server.rpc);
    },
    async close() {
      await client.close();
      await server.stop(1000);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function start(directory: string, listen: string): Promise<RunningServer> {
  return startServer({
    data: join(directory, 'data'),
    listen,
    http: '127.0.0.1:0',
    object: undefined,
    control: 'embedded:',
    durability: 'local',
    nodeId: undefined,
    leaseTtlMs: 3000,
    logLevel: 'silent',
  });
}

export interface CuttingProxy {
  readonly address: string;
  /** Connections made through it so far. */
  readonly connections: number;
  /** Replies that were swallowed. */
  readonly cuts: number;
  /** Lets the next `count` answers of the server be lost: the connection is cut instead of forwarding them. */
  cutReplies(count: number): void;
  /** Ends every connection now. */
  cutAll(): void;
  /** Refuses new connections while true. */
  refuse(isRefusing: boolean): void;
  close(): Promise<void>;
}

/**
 * A TCP proxy in front of a server. The hello of each connection passes; what is cut is the answer to a call that has been
 * forwarded, so the server has done what it was asked.
 */
export async function cuttingProxy(target: string): Promise<CuttingProxy> {
  const port = Number(target.slice(target.lastIndexOf(':') + 1));
  const sockets = new Set<Socket>();
  let toCut = 0;
  let cuts = 0;
  let connections = 0;
  let isRefusing = false;
  const proxy = createServer((inbound) => {
    if (isRefusing) {
      inbound.destroy();
      return;
    }
    connections += 1;
    const outbound = createConnection(port, '127.0.0.1');
    let isGreeted = false;
    for (const socket of [inbound, outbound]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        inbound.destroy();
        outbound.destroy();
      });
    }
    inbound.on('data', (bytes) => outbound.write(bytes));
    outbound.on('data', (bytes) => {
      if (isGreeted && toCut > 0) {
        toCut -= 1;
        cuts += 1;
        inbound.destroy();
        return;
      }
      isGreeted = true;
      inbound.write(bytes);
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    get cuts() {
      return cuts;
    },
    cutReplies(count) {
      toCut = count;
    },
    cutAll() {
      for (const socket of sockets) socket.destroy();
    },
    refuse(value) {
      isRefusing = value;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

/** Reproducible bytes without short periods. */
export function patternBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4));
  let state = (0x9e3779b9 ^ seed) >>> 0;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state ^ (state >>> 15);
  }
  for (let i = words.length * 4; i < length; i++) bytes[i] = (i * 7 + seed) & 0xff;
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
