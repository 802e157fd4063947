/** TCP and unix sockets as transports: the one file that wraps `node:net`. */
import { connect as connectSocket, type Socket } from 'node:net';
import { NokvError } from '@nokv/types';
import type { Address } from '../address.js';
import { formatAddress } from '../address.js';
import type { Transport, TransportHandlers } from './transport.js';

/** Finds peers that vanished without a word while nothing is sent. */
const KEEP_ALIVE_MS = 30_000;

/** 127.0.0.0/8 (also mapped into IPv6) and ::1. */
const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

export class SocketTransport implements Transport {
  readonly peer: string;
  readonly isLocal: boolean;
  readonly #socket: Socket;
  #cause: Error | undefined;

  constructor(socket: Socket, peer: string) {
    this.peer = peer;
    // A unix socket has no remote address.
    const remote = socket.remoteAddress;
    this.isLocal = remote === undefined || LOOPBACK.test(remote);
    this.#socket = socket;
    // From the first moment on: an error that nobody hears ends the process.
    socket.on('error', (error) => {
      this.#cause = error;
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  start(handlers: TransportHandlers): void {
    const socket = this.#socket;
    socket.on('data', (bytes: Buffer) => handlers.onData(bytes));
    socket.on('drain', () => handlers.onDrain());
    socket.on('close', () => handlers.onClose(this.#cause));
    // A peer that ended its side wants no more: what is queued still leaves.
    socket.on('end', () => socket.end());
    if (socket.closed) queueMicrotask(() => handlers.onClose(this.#cause));
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(bytes) : true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Connects, or rejects with `unavailable` (nothing listens, no route) or the signal's reason. */
export function connectTransport(address: Address, signal?: AbortSignal): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const text = formatAddress(address);
    const socket =
      address.kind === 'unix'
        ? connectSocket({ path: address.path })
        : connectSocket({ host: address.host, port: address.port, noDelay: true });
    const onAbort = (): void => {
      socket.destroy();
      reject(signal?.reason instanceof Error ? signal.reason : new NokvError('cancelled', `connecting to ${text} was cancelled`));
    };
    const onError = (cause: NodeJS.ErrnoException): void => {
      signal?.removeEventListener('abort', onAbort);
      const why = cause.code ?? cause.message;
      reject(
        new NokvError('unavailable', `cannot connect to ${text} (${why}); is the server running there?`, {
          cause,
          details: { address: text, reason: why },
        }),
      );
    };
    if (signal?.aborted === true) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once('connect', () => {
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener('error', onError);
      resolve(new SocketTransport(socket, text));
    });
  });
}
