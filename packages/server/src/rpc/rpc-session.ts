/**
 * The server's end of a connection: bytes in and out, the hello, turns, the end.
 *
 * Nothing that arrives makes it throw: bytes that are no frames end the connection with a readable error, requests are
 * {@link RpcRequests}' affair. A client that does not take its answers is not read beyond `unsentBytesMax`, and let go
 * after `untakenMsMax`. One connection gets {@link TURN_MS} of the event loop at a time, then the others have theirs.
 * All answers of one tick leave in one write.
 */
import type { Clock } from '@nokv/types';
import { NokvError, toNokvError } from '@nokv/types';
import type { AdaptivePoller, Frame, Transport } from '@nokv/protocol';
import {
  Deadlines,
  FRAME_TYPES,
  FrameDecoder,
  HELLO_BYTES_MAX,
  MessageWriter,
  readClientHello,
  writeError,
  writePong,
  writeServerHello,
} from '@nokv/protocol';
import type { ClientInfo } from './handlers.js';
import type { RpcCounters } from './rpc-counters.js';
import { shuttingDown } from './rpc-errors.js';
import type { RpcLimits, RpcOptions } from './rpc-listener.js';
import { RpcRequests, type RequestCarrier } from './rpc-requests.js';

/** What sessions share: the listener. */
export interface SessionHost {
  readonly options: RpcOptions;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly counters: RpcCounters;
  readonly poller: AdaptivePoller | undefined;
  readonly isDraining: boolean;
  /** The session is over. */
  onEnd(session: RpcSession): void;
}

/** How long one connection's requests are worked on before others get their turn. */
const TURN_MS = 0.25;
/** The clock is looked at once in so many frames. */
const FRAMES_PER_LOOK = 16;
/** Answers that have gathered leave at this size, even within a turn. */
const WRITE_BYTES = 256 * 1024;
/** How long a refused or drained client gets to close its side. */
const LINGER_MS = 1000;

export class RpcSession implements RequestCarrier {
  client: ClientInfo;
  readonly writer = new MessageWriter();
  frameBytesMax = 0;
  isBlocked = false;
  readonly #host: SessionHost;
  readonly #transport: Transport;
  readonly #decoder = new FrameDecoder(HELLO_BYTES_MAX);
  readonly #deadlines: Deadlines;
  readonly #requests: RpcRequests;
  #state: 'hello' | 'admitting' | 'open' | 'closing' | 'ended' = 'hello';
  /** When the state `hello` or `closing`, or waiting for the client to take its answers, may last no longer. */
  #stateEndsAt: number;
  #isFlushing = false;
  #isTurnQueued = false;
  #isPaused = false;

  constructor(transport: Transport, id: number, host: SessionHost) {
    this.#transport = transport;
    this.#host = host;
    this.client = { id, name: '', peer: transport.peer, isLocal: transport.isLocal, features: [] };
    this.#deadlines = new Deadlines(host.clock, (now) => this.#expire(now));
    this.#requests = new RpcRequests(host, this);
    this.#stateEndsAt = host.clock.monotonicMs() + host.limits.helloTimeoutMs;
  }

  start(): void {
    this.#deadlines.watch(this.#stateEndsAt);
    this.#transport.start({
      onData: (bytes) => this.#onData(bytes),
      onDrain: () => this.#onDrain(),
      onClose: () => this.#onClose(),
    });
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Says why, then closes. */
  refuse(error: NokvError): void {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    this.#host.options.onProblem?.(error, this.client);
    writeError(this.writer, FRAME_TYPES.error, 0, error);
    this.#close();
  }

  /** Tells the client to go when it has its answers; streams end now, to be resumed elsewhere. */
  goaway(): void {
    if (this.#state === 'hello' || this.#state === 'admitting') return this.refuse(shuttingDown());
    if (this.#state !== 'open') return;
    writeError(this.writer, FRAME_TYPES.goaway, 0, shuttingDown());
    this.#requests.stopStreams(shuttingDown());
    this.flushSoon();
  }

  /** Ends the connection whatever is in flight. */
  destroy(): void {
    this.#flush();
    this.#transport.destroy();
  }

  /* ------------------------------------------------------------- incoming */

  #onData(bytes: Uint8Array): void {
    this.#host.counters.bytesIn += bytes.length;
    this.#host.poller?.received();
    if (this.#state === 'closing' || this.#state === 'ended') return;
    this.#decoder.push(bytes);
    this.#turn();
  }

  /** Works through what has arrived, for a bounded time. */
  readonly #turn = (): void => {
    this.#isTurnQueued = false;
    const { clock } = this.#host;
    let now = clock.monotonicMs();
    const endsAt = now + TURN_MS;
    try {
      for (let frames = 1; this.#mayRead(); frames++) {
        const frame = this.#decoder.next();
        if (frame === undefined) break;
        this.#onFrame(frame, now);
        if (this.writer.length > WRITE_BYTES) this.#flush();
        if (frames % FRAMES_PER_LOOK !== 0) continue;
        now = clock.monotonicMs();
        if (now >= endsAt) break;
      }
    } catch (error) {
      this.refuse(toNokvError(error));
    }
    this.#flush();
    this.#planTurn();
  };

  /** Bytes that wait are kept and the peer is not read meanwhile. */
  #planTurn(): void {
    const hasMore = !this.#decoder.isDrained && this.#state !== 'closing' && this.#state !== 'ended';
    if (hasMore) this.#decoder.keep();
    const mayRead = this.#mayRead();
    if (hasMore && mayRead && !this.#isTurnQueued) {
      this.#isTurnQueued = true;
      setImmediate(this.#turn);
    }
    const wantsPause = hasMore || !mayRead;
    if (this.#state === 'open') this.#timeUntaken(!mayRead);
    if (wantsPause === this.#isPaused || this.#state === 'closing' || this.#state === 'ended') return;
    this.#isPaused = wantsPause;
    if (wantsPause) this.#transport.pause();
    else this.#transport.resume();
  }

  /** Starts or stops the time that the client has to take its answers. */
  #timeUntaken(isUntaken: boolean): void {
    if (isUntaken === Number.isFinite(this.#stateEndsAt)) return;
    this.#stateEndsAt = isUntaken ? this.#host.clock.monotonicMs() + this.#host.limits.untakenMsMax : Number.POSITIVE_INFINITY;
    this.#deadlines.watch(this.#stateEndsAt);
  }

  #mayRead(): boolean {
    return (this.#state === 'open' || this.#state === 'hello') && this.#transport.unsentBytes <= this.#host.limits.unsentBytesMax;
  }

  #onFrame(frame: Frame, now: number): void {
    if (this.#state === 'hello') return this.#onHello(frame);
    switch (frame.type) {
      case FRAME_TYPES.request:
        return this.#requests.onRequest(frame, now);
      case FRAME_TYPES.cancel:
        return this.#requests.onCancel(frame.stream);
      case FRAME_TYPES.credit:
        return this.#requests.onCredit(frame);
      case FRAME_TYPES.ping:
        return writePong(this.writer, frame.payload);
      case FRAME_TYPES.pong:
        return;
      case FRAME_TYPES.hello:
      case FRAME_TYPES.helloAck:
      case FRAME_TYPES.response:
      case FRAME_TYPES.error:
      case FRAME_TYPES.item:
      case FRAME_TYPES.end:
      case FRAME_TYPES.goaway:
        throw new NokvError('malformed-frame', `a client sends no frame of type ${frame.type} after its hello`);
    }
  }

  /* ---------------------------------------------------------------- hello */

  #onHello(frame: Frame): void {
    if (frame.type !== FRAME_TYPES.hello || frame.oversize !== undefined) {
      throw new NokvError(
        'malformed-frame',
        `expected a hello first, found a frame of type ${frame.type} and ${frame.oversize ?? frame.payload.length} bytes`,
      );
    }
    const { hello, version } = readClientHello(frame.payload);
    const { options, limits, isDraining } = this.#host;
    if (isDraining) throw shuttingDown();
    const features = hello.features.filter((feature) => options.features?.includes(feature) ?? false);
    this.client = { ...this.client, name: hello.client, features };
    this.frameBytesMax = Math.min(hello.frameBytesMax, limits.frameBytesMax);
    const open = (): void => {
      writeServerHello(this.writer, {
        version,
        features,
        server: options.software,
        frameBytesMax: this.frameBytesMax,
        inFlightMax: limits.inFlightMax,
        streamsMax: limits.streamsMax,
        shardMapRevision: options.shardMapRevision?.() ?? 0,
        incarnation: options.incarnation,
      });
      this.#decoder.payloadBytesMax = this.frameBytesMax;
      this.#state = 'open';
      this.#stateEndsAt = Number.POSITIVE_INFINITY;
    };
    const admission = options.admit?.(hello, this.client);
    if (admission === undefined) return open();
    this.#state = 'admitting';
    admission.then(
      () => {
        if (this.#state !== 'admitting') return;
        if (this.#host.isDraining) return this.refuse(shuttingDown());
        open();
        this.#turn();
      },
      (error: unknown) => this.refuse(toNokvError(error)),
    );
  }

  #expire(now: number): number {
    if (this.#stateEndsAt <= now) {
      if (this.#state === 'closing') this.#transport.destroy();
      else if (this.#state === 'open') this.#giveUpOnUntaken();
      else this.refuse(new NokvError('deadline-exceeded', `expected a hello within ${this.#host.limits.helloTimeoutMs} ms`));
      return this.#stateEndsAt <= now ? Number.POSITIVE_INFINITY : this.#stateEndsAt;
    }
    return Math.min(this.#stateEndsAt, this.#requests.expire(now));
  }

  #giveUpOnUntaken(): void {
    const message = `${this.#transport.unsentBytes} bytes of answers have not been taken for ${this.#host.limits.untakenMsMax} ms`;
    this.#host.options.onProblem?.(new NokvError('connection-lost', message), this.client);
    this.#transport.destroy();
  }

  /* ------------------------------------------------------------- outgoing */

  watch(deadlineAt: number): void {
    this.#deadlines.watch(deadlineAt);
  }

  /** At the end of this tick, so that all its answers leave in one write. */
  flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    const { length } = this.writer;
    if (length === 0 || this.#state === 'ended') return;
    this.#host.counters.bytesOut += length;
    this.#host.poller?.sent();
    if (!this.#transport.write(this.writer.take())) this.isBlocked = true;
    if (this.#transport.unsentBytes === 0) this.writer.rewind();
  };

  #onDrain(): void {
    this.isBlocked = false;
    this.#requests.onDrain();
    if (this.#isPaused) this.#turn();
  }

  #close(): void {
    this.#flush();
    this.#state = 'closing';
    this.#stateEndsAt = this.#host.clock.monotonicMs() + LINGER_MS;
    this.#deadlines.watch(this.#stateEndsAt);
    this.#transport.end();
    // What still comes is read and dropped, so that the peer's close is seen.
    this.#transport.resume();
    this.#requests.abandonAll(new NokvError('connection-lost', 'the client went'));
  }

  #onClose(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#deadlines.close();
    this.#requests.abandonAll(new NokvError('connection-lost', 'the client went'));
    this.#host.onEnd(this);
  }
}
