/**
 * Reads the device on the event loop. A sleeping core takes 50 to 100 µs to wake, far longer than a request takes to answer, so
 * after each request the loop keeps asking the (non-blocking) descriptor for a bounded, learnt time, with one turn of the event
 * loop between the tries so that answers of the server come in meanwhile. Then it arms the loop's own readiness notification and
 * sleeps: an idle mount uses no CPU. No thread hands anything to another.
 *
 * Readiness comes from a stream handle over the descriptor (the runtime offers no other door to its poller). It reads straight
 * into our buffer. Where that handle cannot be had, `threadSource` does the same work with a thread that blocks.
 */
import { readSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { RequestListener, RequestSource } from './request-source.js';

/** Requests taken in one turn before other work of the loop gets its own. */
const BURST_REQUESTS = 64;
/** After a request or an answer: longer than a caller takes to come back, and than most answers of a server take. */
const SPIN_MS_MAX = 0.3;
/** When nothing has come so often that it does not pay: what a caller in a tight loop takes. */
const SPIN_MS_MIN = 0.05;
const MISSES_IN_ROW_MAX = 8;

interface PipeHandle {
  open(descriptor: number): number | undefined;
  readStart(): number;
  readStop(): number;
}
interface PipeBinding {
  readonly Pipe: new (kind: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

/** Undefined where the runtime gives no stream handle. `descriptor` is non-blocking and belongs to the source from here on. */
export function polledSource(descriptor: number, listener: RequestListener): RequestSource | undefined {
  const handle = openHandle(descriptor);
  return handle === undefined ? undefined : new PolledSource(descriptor, handle, listener);
}

class PolledSource implements RequestSource {
  readonly kind = 'polled';
  readonly #socket: Socket;
  #isEnded = false;
  #isArmed = true;
  #spinEndsAt = 0;
  #spinMs = SPIN_MS_MAX;
  #missesInRow = 0;

  constructor(
    readonly descriptor: number,
    readonly handle: PipeHandle,
    readonly listener: RequestListener,
  ) {
    const onread = { buffer: listener.buffer, callback: (bytes: number) => this.#wake(bytes) };
    this.#socket = new Socket({ handle, readable: true, writable: false, onread } as unknown as SocketConstructorOpts);
    this.#socket.on('error', () => this.#lostHandle());
    this.#socket.on('end', () => this.#lostHandle());
    this.#socket.resume();
  }

  async close(): Promise<void> {
    this.#isEnded = true;
    if (this.#socket.destroyed) return;
    await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()).destroy());
  }

  stir(): void {
    if (this.#isEnded) return;
    this.#spinEndsAt = performance.now() + this.#spinMs;
    if (!this.#isArmed) return;
    this.#isArmed = false;
    this.handle.readStop();
    setImmediate(this.#turn);
  }

  /** The poller read a request while the loop slept. */
  #wake(bytes: number): boolean {
    this.handle.readStop();
    this.#isArmed = false;
    this.listener.onRequest(bytes);
    this.#spinEndsAt = performance.now() + this.#spinMs;
    setImmediate(this.#turn);
    return true;
  }

  readonly #turn = (): void => {
    if (this.#isEnded) return;
    const taken = this.#takeBurst();
    if (taken < 0) return this.#end();
    const now = performance.now();
    if (taken > 0) {
      this.#missesInRow = 0;
      this.#spinMs = SPIN_MS_MAX;
      this.#spinEndsAt = now + this.#spinMs;
    } else if (now > this.#spinEndsAt) {
      this.#missesInRow += 1;
      if (this.#missesInRow > MISSES_IN_ROW_MAX) this.#spinMs = SPIN_MS_MIN;
      this.#isArmed = true;
      this.handle.readStart();
      return;
    }
    setImmediate(this.#turn);
  };

  /** Requests that were waiting, at most a burst; -1 when the device is gone. */
  #takeBurst(): number {
    const { buffer } = this.listener;
    const limit = Error.stackTraceLimit;
    for (let taken = 0; taken < BURST_REQUESTS; taken++) {
      let bytes: number;
      // "Nothing there" arrives as an exception many times a millisecond: it needs no stack.
      Error.stackTraceLimit = 0;
      try {
        bytes = readSync(this.descriptor, buffer, 0, buffer.length, null);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EAGAIN') return taken;
        if (code === 'EINTR' || code === 'ENOENT') continue;
        return -1;
      } finally {
        Error.stackTraceLimit = limit;
      }
      this.listener.onRequest(bytes);
    }
    return BURST_REQUESTS;
  }

  /** The handle reports an error once and is of no use afterwards; the device itself says whether it is gone. */
  #lostHandle(): void {
    if (this.#isArmed) this.#end();
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.listener.onEnd();
  }
}

function openHandle(descriptor: number): PipeHandle | undefined {
  try {
    const binding = (process as unknown as { binding(name: string): PipeBinding }).binding('pipe_wrap');
    const handle = new binding.Pipe(binding.constants.SOCKET);
    const status = handle.open(descriptor);
    return status === undefined || status === 0 ? handle : undefined;
  } catch {
    return undefined;
  }
}
