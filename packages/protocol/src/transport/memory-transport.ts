/** Two transports joined in memory: for tests, for simulation and for clients inside the server's process. */
import type { Transport, TransportHandlers } from './transport.js';

export interface MemoryTransportOptions {
  /** Cuts what arrives into chunks of so many bytes; default: as written. */
  readonly chunkBytes?: number;
  /** Unsent bytes above which `write` says false; default 16 KiB, as sockets have it. */
  readonly highWaterBytes?: number;
}

/** Bytes arrive in later turns of the event loop, in order; a paused reader makes the other side's bytes wait. */
export function memoryTransportPair(options: MemoryTransportOptions = {}): [Transport, Transport] {
  const a = new MemoryTransport(options);
  const b = new MemoryTransport(options);
  a.join(b);
  b.join(a);
  return [a, b];
}

class MemoryTransport implements Transport {
  readonly peer = 'memory';
  readonly isLocal = true;
  readonly #chunkBytes: number;
  readonly #highWaterBytes: number;
  #other: MemoryTransport | undefined;
  #handlers: TransportHandlers | undefined;
  /** What this side wrote and the other has not taken. */
  #queue: Uint8Array[] = [];
  #unsent = 0;
  #wantsDrain = false;
  #isPaused = false;
  #isEnding = false;
  #isClosed = false;
  #isScheduled = false;

  constructor(options: MemoryTransportOptions) {
    this.#chunkBytes = options.chunkBytes ?? Number.POSITIVE_INFINITY;
    this.#highWaterBytes = options.highWaterBytes ?? 16 * 1024;
  }

  join(other: MemoryTransport): void {
    this.#other = other;
  }

  get unsentBytes(): number {
    return this.#unsent;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.#other?.schedule();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#isEnding || bytes.length === 0) return true;
    this.#queue.push(bytes);
    this.#unsent += bytes.length;
    this.schedule();
    this.#wantsDrain = this.#unsent > this.#highWaterBytes;
    return !this.#wantsDrain;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#other?.schedule();
  }

  end(): void {
    this.#isEnding = true;
    this.schedule();
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#queue = [];
    this.#unsent = 0;
    this.#close();
    const other = this.#other;
    setImmediate(() => other?.endOfPeer());
  }

  schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  endOfPeer(): void {
    if (!this.#isClosed) this.#close();
  }

  /** Hands over everything that is queued now. */
  #deliver(): void {
    const other = this.#other;
    if (other === undefined || other.#handlers === undefined) return;
    while (this.#queue.length > 0 && !other.#isPaused && !other.#isClosed && !this.#isClosed) {
      const first = this.#queue[0] as Uint8Array;
      const chunk = first.subarray(0, Math.min(this.#chunkBytes, first.length));
      if (chunk.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(chunk.length);
      this.#unsent -= chunk.length;
      // A copy that is spoilt afterwards: a reader that keeps lent bytes is found out.
      const lent = Uint8Array.from(chunk);
      other.#handlers.onData(lent);
      lent.fill(0xee);
    }
    if (this.#wantsDrain && this.#unsent <= this.#highWaterBytes / 2) {
      this.#wantsDrain = false;
      this.#handlers?.onDrain();
    }
    if (this.#isEnding && this.#queue.length === 0 && !this.#isClosed) {
      this.#close();
      setImmediate(() => other.endOfPeer());
    }
  }

  #close(): void {
    this.#isClosed = true;
    const handlers = this.#handlers;
    setImmediate(() => handlers?.onClose(undefined));
  }
}
