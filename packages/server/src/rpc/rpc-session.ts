/**
 * The server's end of a connection.
 *
 * Invariants: every request gets exactly one answer unless the client cancelled it or went; what a handler still works
 * on counts as in flight even when nobody waits for it any more; a stream is pulled only while it has credit and the
 * client takes what was sent. Nothing that arrives makes it throw: a request that cannot be read is answered, bytes that
 * are no frames end the connection with a readable error.
 *
 * Bounds: requests beyond `inFlightMax`, `inFlightBytesMax` or `streamsMax` are answered `too-busy`. A client that does
 * not take its answers is not read beyond `unsentBytesMax`. One connection gets {@link TURN_MS} of the event loop at a
 * time, then the others have theirs.
 */
import type { Clock } from '@nokv/types';
import { NokvError, toNokvError } from '@nokv/types';
import type { AdaptivePoller, Frame, Request, Transport } from '@nokv/protocol';
import {
  Deadlines,
  FRAME_TYPES,
  FrameDecoder,
  HELLO_BYTES_MAX,
  MessageReader,
  MessageWriter,
  readClientHello,
  readCredit,
  readRequest,
  writeAnswer,
  writeControl,
  writeError,
  writePong,
  writeServerHello,
} from '@nokv/protocol';
import type { ClientInfo } from './handlers.js';
import { RpcCall } from './rpc-call.js';
import type { RpcCounters } from './rpc-counters.js';
import type { RpcLimits, RpcOptions } from './rpc-listener.js';
import { RpcStream } from './rpc-stream.js';

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

type Handler = (args: unknown, call: unknown) => unknown;

/** How long one connection's requests are worked on before others get their turn. */
const TURN_MS = 0.25;
/** The clock is looked at once in so many frames. */
const FRAMES_PER_LOOK = 16;
/** Answers that have gathered leave at this size, even within a turn. */
const WRITE_BYTES = 256 * 1024;
/** How long a refused or drained client gets to close its side. */
const LINGER_MS = 1000;

export class RpcSession {
  client: ClientInfo;
  readonly #host: SessionHost;
  readonly #transport: Transport;
  readonly #decoder = new FrameDecoder(HELLO_BYTES_MAX);
  readonly #reader = new MessageReader();
  readonly #writer = new MessageWriter();
  readonly #deadlines: Deadlines;
  readonly #calls = new Map<number, RpcCall>();
  readonly #streams = new Map<number, RpcStream>();
  #state: 'hello' | 'admitting' | 'open' | 'closing' | 'ended' = 'hello';
  /** When the state `hello` or `closing`, or waiting for the client to take its answers, may last no longer. */
  #stateEndsAt: number;
  #frameBytesMax = 0;
  /** Handlers at work, abandoned ones too. */
  #inFlight = 0;
  #inFlightBytes = 0;
  #isFlushing = false;
  #isBlocked = false;
  #isTurnQueued = false;
  #isPaused = false;

  constructor(transport: Transport, id: number, host: SessionHost) {
    this.#transport = transport;
    this.#host = host;
    this.client = { id, name: '', peer: transport.peer, isLocal: transport.isLocal, features: [] };
    this.#deadlines = new Deadlines(host.clock, (now) => this.#expire(now));
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

  get isIdle(): boolean {
    return this.#inFlight === 0 && this.#streams.size === 0;
  }

  /** Says why, then closes. */
  refuse(error: NokvError): void {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    this.#host.options.onProblem?.(error, this.client);
    writeError(this.#writer, FRAME_TYPES.error, 0, error);
    this.#close();
  }

  /** Tells the client to go when it has its answers; streams end now, to be resumed elsewhere. */
  goaway(): void {
    if (this.#state === 'hello' || this.#state === 'admitting') return this.refuse(shuttingDown());
    if (this.#state !== 'open') return;
    writeError(this.#writer, FRAME_TYPES.goaway, 0, shuttingDown());
    for (const stream of this.#streams.values()) stream.stop(shuttingDown());
    this.#flushSoon();
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
        if (frames % FRAMES_PER_LOOK !== 0) continue;
        now = clock.monotonicMs();
        if (this.#writer.length > WRITE_BYTES) this.#flush();
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
        return this.#onRequest(frame, now);
      case FRAME_TYPES.cancel:
        return this.#onCancel(frame.stream);
      case FRAME_TYPES.credit:
        this.#streams.get(frame.stream)?.grant(readCredit(this.#reader.reset(frame.payload)));
        return;
      case FRAME_TYPES.ping:
        return writePong(this.#writer, frame.payload);
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
    this.#frameBytesMax = Math.min(hello.frameBytesMax, limits.frameBytesMax);
    const open = (): void => {
      writeServerHello(this.#writer, {
        version,
        features,
        server: options.software,
        frameBytesMax: this.#frameBytesMax,
        inFlightMax: limits.inFlightMax,
        streamsMax: limits.streamsMax,
        shardMapRevision: options.shardMapRevision?.() ?? 0,
      });
      this.#decoder.payloadBytesMax = this.#frameBytesMax;
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

  /* ------------------------------------------------------------- requests */

  #onRequest(frame: Frame, now: number): void {
    const { stream, payload } = frame;
    if (stream === 0 || this.#calls.has(stream) || this.#streams.has(stream)) {
      throw new NokvError(
        'malformed-frame',
        `stream ${stream} ${stream === 0 ? 'belongs to the connection' : 'is in use'}; each request takes a fresh number`,
      );
    }
    if (frame.oversize !== undefined) return this.#answerError(stream, undefined, tooLarge(frame.oversize, this.#frameBytesMax));
    let request: Request;
    try {
      request = readRequest(this.#reader.reset(payload));
    } catch (error) {
      return this.#answerError(stream, undefined, toNokvError(error));
    }
    const { operation, kind } = request.definition;
    this.#host.counters.request(operation);
    const call = new RpcCall(this.client, stream, request, payload.length, now);
    const refusal = this.#refusal(call);
    if (refusal !== undefined) return this.#answerError(stream, call, refusal);
    const handler = this.#host.options.handlers[operation] as Handler;
    try {
      if (kind === 'stream') return this.#openStream(call, handler(request.args, call) as AsyncIterable<unknown>, request.credit);
      const answer = handler(request.args, call);
      if (answer instanceof Promise) this.#await(call, answer);
      else this.#answer(call, answer);
    } catch (error) {
      this.#answerError(stream, call, toNokvError(error));
    }
  }

  #refusal(call: RpcCall): NokvError | undefined {
    const { limits, isDraining } = this.#host;
    if (isDraining) return shuttingDown();
    if (call.definition.kind === 'stream') {
      return this.#streams.size < limits.streamsMax ? undefined : tooBusy('streams', limits.streamsMax);
    }
    if (this.#inFlight >= limits.inFlightMax) return tooBusy('requests in flight', limits.inFlightMax);
    if (this.#inFlightBytes + call.bytes > limits.inFlightBytesMax) return tooBusy('bytes of requests in flight', limits.inFlightBytesMax);
    return undefined;
  }

  #await(call: RpcCall, answer: Promise<unknown>): void {
    this.#calls.set(call.stream, call);
    this.#inFlight += 1;
    this.#inFlightBytes += call.bytes;
    this.#host.counters.inFlight += 1;
    this.#deadlines.watch(call.deadlineAt);
    answer.then(
      (value) => {
        if (this.#settle(call)) this.#answer(call, value);
      },
      (error: unknown) => {
        if (this.#settle(call)) this.#answerError(call.stream, call, toNokvError(error));
      },
    );
  }

  /** The handler is done; true when somebody still waits for the answer. */
  #settle(call: RpcCall): boolean {
    this.#inFlight -= 1;
    this.#inFlightBytes -= call.bytes;
    this.#host.counters.inFlight -= 1;
    if (this.#calls.get(call.stream) === call) this.#calls.delete(call.stream);
    return !call.isAbandoned && this.#state === 'open';
  }

  #answer(call: RpcCall, answer: unknown): void {
    try {
      writeAnswer(this.#writer, FRAME_TYPES.response, call.stream, call.definition, answer, this.#frameBytesMax);
    } catch (thrown) {
      const { code, message, details } = toNokvError(thrown);
      const outcome = call.definition.kind === 'mutation' ? 'unknown' : 'not-applied';
      return this.#answerError(
        call.stream,
        call,
        new NokvError(code === 'frame-too-large' ? code : 'internal', message, { outcome, details, cause: thrown }),
      );
    }
    this.#flushSoon();
    const { onAnswer } = this.#host.options;
    if (onAnswer !== undefined) onAnswer(call.definition.operation, this.#host.clock.monotonicMs() - call.startedAt, undefined);
  }

  #answerError(stream: number, call: RpcCall | undefined, error: NokvError): void {
    const operation = call?.definition.operation ?? 'unreadable';
    writeError(this.#writer, FRAME_TYPES.error, stream, error);
    this.#flushSoon();
    const { counters, options, clock } = this.#host;
    counters.error(operation, error);
    if (error.code === 'internal' || call === undefined) options.onProblem?.(error, this.client);
    if (call !== undefined) options.onAnswer?.(operation, clock.monotonicMs() - call.startedAt, error);
  }

  #onCancel(stream: number): void {
    const call = this.#calls.get(stream);
    if (call !== undefined) {
      this.#calls.delete(stream);
      call.abandon(new NokvError('cancelled', 'the client cancelled the call'));
      return;
    }
    this.#streams.get(stream)?.cancel(new NokvError('cancelled', 'the client cancelled the stream'));
  }

  #openStream(call: RpcCall, items: AsyncIterable<unknown>, credit: number): void {
    const { counters } = this.#host;
    const { stream: id, definition } = call;
    counters.streams += 1;
    this.#deadlines.watch(call.deadlineAt);
    const stream: RpcStream = new RpcStream(call, items, credit, {
      isBlocked: () => this.#isBlocked,
      onItem: (item) => {
        writeAnswer(this.#writer, FRAME_TYPES.item, id, definition, item, this.#frameBytesMax);
        this.#flushSoon();
      },
      onEnd: (error, isWanted) => {
        counters.streams -= 1;
        this.#streams.delete(id);
        if (!isWanted || this.#state !== 'open') return;
        if (error !== undefined) return this.#answerError(id, call, error);
        writeControl(this.#writer, FRAME_TYPES.end, id);
        this.#flushSoon();
      },
    });
    this.#streams.set(id, stream);
    stream.start();
  }

  #expire(now: number): number {
    if (this.#stateEndsAt <= now) {
      if (this.#state === 'closing') this.#transport.destroy();
      else if (this.#state === 'open') this.#giveUpOnUntaken();
      else this.refuse(new NokvError('deadline-exceeded', `expected a hello within ${this.#host.limits.helloTimeoutMs} ms`));
      return this.#stateEndsAt <= now ? Number.POSITIVE_INFINITY : this.#stateEndsAt;
    }
    let next = this.#stateEndsAt;
    for (const call of this.#calls.values()) {
      if (call.deadlineAt <= now) this.#onDeadline(call);
      else if (call.deadlineAt < next) next = call.deadlineAt;
    }
    for (const stream of this.#streams.values()) {
      if (stream.deadlineAt <= now) stream.stop(new NokvError('deadline-exceeded', 'the stream was open until its deadline'));
      else if (stream.deadlineAt < next) next = stream.deadlineAt;
    }
    return next;
  }

  #giveUpOnUntaken(): void {
    const message = `${this.#transport.unsentBytes} bytes of answers have not been taken for ${this.#host.limits.untakenMsMax} ms`;
    this.#host.options.onProblem?.(new NokvError('connection-lost', message), this.client);
    this.#transport.destroy();
  }

  #onDeadline(call: RpcCall): void {
    const { operation, kind } = call.definition;
    this.#calls.delete(call.stream);
    const error = new NokvError('deadline-exceeded', `${operation} was not done within ${call.deadlineMs} ms`, {
      outcome: kind === 'mutation' ? 'unknown' : 'not-applied',
    });
    call.abandon(error);
    this.#answerError(call.stream, call, error);
  }

  /* ------------------------------------------------------------- outgoing */

  /** At the end of this tick, so that all its answers leave in one write. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    const { length } = this.#writer;
    if (length === 0 || this.#state === 'ended') return;
    this.#host.counters.bytesOut += length;
    this.#host.poller?.sent();
    if (!this.#transport.write(this.#writer.take())) this.#isBlocked = true;
    if (this.#transport.unsentBytes === 0) this.#writer.rewind();
  };

  #onDrain(): void {
    this.#isBlocked = false;
    for (const stream of this.#streams.values()) stream.unblocked();
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
    this.#abandonAll();
  }

  #onClose(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#deadlines.close();
    this.#abandonAll();
    this.#host.onEnd(this);
  }

  #abandonAll(): void {
    const reason = new NokvError('connection-lost', 'the client went');
    for (const call of this.#calls.values()) call.abandon(reason);
    this.#calls.clear();
    for (const stream of this.#streams.values()) stream.cancel(reason);
  }
}

function shuttingDown(): NokvError {
  return new NokvError('draining', 'this server is shutting down; connect to another or try again shortly');
}

function tooBusy(what: string, limit: number): NokvError {
  return new NokvError('too-busy', `this connection has ${limit} ${what} already, the most allowed; wait for answers first`, {
    details: { limit },
  });
}

function tooLarge(length: number, limit: number): NokvError {
  return new NokvError('frame-too-large', `a frame carries at most ${limit} bytes here, found ${length}; send less at a time`, {
    details: { limit, length },
  });
}
