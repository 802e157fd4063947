/** The listener: accepts connections, keeps their number bounded, drains them. */
import { createServer, connect as probe, type Server, type Socket } from 'node:net';
import { unlink } from 'node:fs/promises';
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { Address, Transport } from '@nokv/protocol';
import { AdaptivePoller, FRAME_BYTES_MAX_DEFAULT, SocketTransport, formatAddress, parseAddress } from '@nokv/protocol';
import { RpcCounters } from './rpc-counters.js';
import type { RpcLimits, RpcListener, RpcOptions, RpcStats } from './rpc-listener.js';
import type { SessionHost } from './rpc-session.js';
import { RpcSession } from './rpc-session.js';

export const RPC_LIMITS_DEFAULT: RpcLimits = {
  connectionsMax: 12_000,
  inFlightMax: 4096,
  inFlightBytesMax: 64 * 1024 * 1024,
  streamsMax: 256,
  unsentBytesMax: 8 * 1024 * 1024,
  untakenMsMax: 60_000,
  frameBytesMax: FRAME_BYTES_MAX_DEFAULT,
  helloTimeoutMs: 10_000,
};

/** Connections that the kernel keeps while the process is busy. */
const BACKLOG = 1024;

/** Binds `host:port` (port 0: a free one) or `unix:/path` and serves until drained. */
export async function listenRpc(address: string, options: RpcOptions): Promise<RpcListener> {
  const parsed = parseAddress(address);
  const server = createServer({ noDelay: true });
  const listener = new Listener(server, options);
  server.on('connection', (socket: Socket) => listener.attach(new SocketTransport(socket, peerOf(socket, parsed))));
  await bind(server, parsed);
  listener.address = boundAddress(server, parsed);
  return listener;
}

/** A listener without a socket: connections come by `attach` alone. */
export function serveRpc(options: RpcOptions): RpcListener {
  return new Listener(undefined, options);
}

class Listener implements RpcListener, SessionHost {
  address = 'memory';
  readonly options: RpcOptions;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly counters: RpcCounters;
  readonly poller: AdaptivePoller | undefined;
  isDraining = false;
  readonly #server: Server | undefined;
  readonly #sessions = new Set<RpcSession>();
  #lastId = 0;
  #onEmpty: (() => void) | undefined;

  constructor(server: Server | undefined, options: RpcOptions) {
    this.#server = server;
    this.options = options;
    this.limits = { ...RPC_LIMITS_DEFAULT, ...options.limits };
    this.clock = options.clock;
    this.poller = options.poller === false ? undefined : (options.poller ?? new AdaptivePoller(options.clock));
    this.counters = new RpcCounters(this.poller);
  }

  get stats(): RpcStats {
    return this.counters;
  }

  attach(transport: Transport): void {
    this.#lastId += 1;
    const session = new RpcSession(transport, this.#lastId, this);
    const isFull = this.#sessions.size >= this.limits.connectionsMax;
    this.#sessions.add(session);
    this.counters.connections += 1;
    session.start();
    if (isFull) {
      this.counters.connectionsRefused += 1;
      session.refuse(
        new NokvError(
          'too-busy',
          `this server has ${this.limits.connectionsMax} connections already, the most allowed; close some or try again later`,
        ),
      );
    }
  }

  onEnd(session: RpcSession): void {
    this.#sessions.delete(session);
    this.counters.connections -= 1;
    if (this.#sessions.size === 0) this.#onEmpty?.();
  }

  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    const closed = this.#stopListening();
    for (const session of this.#sessions) session.goaway();
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#sessions.size === 0) resolve();
    });
    const timer = new AbortController();
    await Promise.race([empty, this.clock.sleep(graceMs, timer.signal).catch(() => undefined)]);
    timer.abort();
    for (const session of this.#sessions) session.destroy();
    await empty;
    await closed;
  }

  async #stopListening(): Promise<void> {
    const server = this.#server;
    if (server === undefined || !server.listening) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

async function bind(server: Server, address: Address): Promise<void> {
  try {
    await listen(server, address);
  } catch (error) {
    if (address.kind !== 'unix' || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || (await isServed(address.path))) {
      throw cannotBind(address, error as NodeJS.ErrnoException);
    }
    // Nobody answers there: the socket of a process that died.
    await unlink(address.path);
    await listen(server, address).catch((again: NodeJS.ErrnoException) => {
      throw cannotBind(address, again);
    });
  }
}

function listen(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const where = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    server.listen({ ...where, backlog: BACKLOG }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = probe({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

function cannotBind(address: Address, cause: NodeJS.ErrnoException): NokvError {
  const advice =
    cause.code === 'EADDRINUSE'
      ? 'something listens there already: stop it or choose another address'
      : 'choose an address of this machine that you may bind';
  return new NokvError('bad-configuration', `cannot listen on ${formatAddress(address)} (${cause.code ?? cause.message}); ${advice}`, {
    cause,
    details: { address: formatAddress(address), reason: cause.code ?? 'unknown' },
  });
}

function boundAddress(server: Server, address: Address): string {
  const bound = server.address();
  if (address.kind === 'unix' || bound === null || typeof bound === 'string') return formatAddress(address);
  return formatAddress({ kind: 'tcp', host: address.host, port: bound.port });
}

function peerOf(socket: Socket, address: Address): string {
  if (address.kind === 'unix') return formatAddress(address);
  return formatAddress({ kind: 'tcp', host: socket.remoteAddress ?? 'gone', port: socket.remotePort ?? 0 });
}
