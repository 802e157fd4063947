/**
 * The client's end of a connection.
 *
 * Invariants: a call has exactly one answer; a stream id is used once until the ids run round; what was never written
 * is `not-applied` when it fails, what was written is `unknown` if it is a mutation. After the end of the connection
 * nothing waits: every call and stream has been told. Unsent calls and buffered items are bounded.
 */
import type { Clock, ErrorCode } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type {
  AdaptivePoller,
  AnswerOf,
  ArgsOf,
  ClientHello,
  Envelope,
  EnvelopeOf,
  Frame,
  FrameType,
  ItemOf,
  Operation,
  OperationDefinition,
  ServerHello,
  StreamOperation,
  Transport,
  UnaryOperation,
} from '@nokv/protocol';
import {
  CREDIT_MAX,
  Deadlines,
  FRAME_TYPES,
  FrameDecoder,
  HELLO_BYTES_MAX,
  MessageReader,
  MessageWriter,
  definitionOf,
  readAnswer,
  readError,
  readPong,
  readServerHello,
  writeClientHello,
  writeControl,
  writeCredit,
  writePing,
  writePong,
  writeRequest,
} from '@nokv/protocol';
import type { CallRest, Connection, WireMutationOptions, WireReadOptions, WireStreamOptions } from './connection.js';
import type { PendingCall } from './pending.js';
import { PendingStream } from './pending.js';

/** Calls that may wait for their turn; beyond it: `too-busy`. */
const WAITING_MAX = 65_536;
const WINDOW_DEFAULT = 32;
/** A silent server is asked after this long, and given up after as long again. */
const SILENCE_MS_MAX = 15_000;
/** How long the peer gets to close its side. */
const LINGER_MS = 1000;

export interface WireConnectionOptions {
  readonly clock: Clock;
  readonly actor: string;
  readonly timeoutMs: number;
  readonly poller: AdaptivePoller | undefined;
}

type Pending = PendingCall | PendingStream;

export class WireConnection implements Connection {
  readonly peer: string;
  readonly closed: Promise<NokvError>;
  readonly draining: Promise<void>;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #options: WireConnectionOptions;
  readonly #poller: AdaptivePoller | undefined;
  readonly #writer = new MessageWriter();
  readonly #reader = new MessageReader();
  readonly #decoder = new FrameDecoder(HELLO_BYTES_MAX);
  readonly #deadlines: Deadlines;
  readonly #pending = new Map<number, Pending>();
  #callsInFlight = 0;
  /** Calls beyond the server's limit, or beyond what the transport takes, in order. */
  readonly #waiting = new Set<PendingCall>();
  readonly #pings = new Map<number, (cause: NokvError | undefined) => void>();
  readonly #stop = new AbortController();
  readonly #linger = new AbortController();
  #hello: ServerHello | undefined;
  #onHello: ((outcome: ServerHello | NokvError) => void) | undefined;
  #resolveClosed: (reason: NokvError) => void = () => undefined;
  #resolveDraining: () => void = () => undefined;
  #onIdle: (() => void) | undefined;
  #end: NokvError | undefined;
  #isDraining = false;
  #isFlushing = false;
  #isBlocked = false;
  #lastStream = 0;
  #lastPing = 0;
  #lastReceivedAt: number;

  constructor(transport: Transport, options: WireConnectionOptions) {
    this.peer = transport.peer;
    this.#transport = transport;
    this.#options = options;
    this.#clock = options.clock;
    this.#poller = options.poller;
    this.#lastReceivedAt = options.clock.monotonicMs();
    this.#deadlines = new Deadlines(options.clock, (now) => this.#expire(now));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.draining = new Promise((resolve) => {
      this.#resolveDraining = resolve;
    });
  }

  /** Says hello and waits for the answer. Called once, before anything else. */
  open(hello: ClientHello): Promise<ServerHello> {
    return new Promise((resolve, reject) => {
      this.#onHello = (outcome) => (outcome instanceof NokvError ? reject(outcome) : resolve(outcome));
      this.#transport.start({
        onData: (bytes) => this.#onData(bytes),
        onDrain: () => this.#onDrain(),
        onClose: (cause) => {
          this.#fail(lost(this.peer, cause));
          this.#linger.abort();
        },
      });
      writeClientHello(this.#writer, hello);
      this.#flush();
    });
  }

  get server(): ServerHello {
    if (this.#hello === undefined) throw new NokvError('internal', 'invariant broken: a connection is handed out after its hello');
    return this.#hello;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  get inFlight(): number {
    return this.#pending.size + this.#waiting.size;
  }

  call<Op extends UnaryOperation>(operation: Op, args: ArgsOf<Op>, ...rest: CallRest<Op>): Promise<AnswerOf<Op>> {
    const definition = definitionOf<Operation>(operation);
    const options = rest[0] as (WireReadOptions & Partial<WireMutationOptions>) | undefined;
    const timeoutMs = options?.timeoutMs ?? this.#options.timeoutMs;
    const envelope: Envelope = { deadlineMs: Math.max(1, Math.ceil(timeoutMs)), traceId: options?.traceId ?? '' };
    return new Promise<AnswerOf<Op>>((resolve, reject) => {
      this.#begin({
        kind: 'call',
        definition,
        args,
        envelope: this.#envelope(definition, envelope, options),
        deadlineAt: this.#clock.monotonicMs() + timeoutMs,
        resolve: resolve as (answer: never) => void,
        reject,
        stream: 0,
        signal: options?.signal,
        onAbort: undefined,
      });
    });
  }

  async *stream<Op extends StreamOperation>(
    operation: Op,
    args: ArgsOf<Op>,
    options: WireStreamOptions = {},
  ): AsyncGenerator<ItemOf<Op>, void, undefined> {
    const { signal } = options;
    if (signal?.aborted === true) throw cancelled(operation, 'not-applied');
    const stream = this.#openStream(operation, args, options);
    const onAbort = (): void => stream.abort(cancelled(operation, 'not-applied'));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        await stream.ready();
        const items = stream.take();
        if (items === undefined) return;
        for (const item of items) {
          yield item as ItemOf<Op>;
          if (stream.isOver) continue;
          const credit = stream.consumed();
          if (credit > 0) {
            writeCredit(this.#writer, stream.stream, credit);
            this.#flushSoon();
          }
        }
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#forgetStream(stream);
    }
  }

  ping(timeoutMs = SILENCE_MS_MAX): Promise<number> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const mark = (this.#lastPing = (this.#lastPing + 1) >>> 0);
    const start = this.#clock.monotonicMs();
    return new Promise((resolve, reject) => {
      const timer = new AbortController();
      this.#pings.set(mark, (cause) => {
        this.#pings.delete(mark);
        timer.abort();
        if (cause === undefined) resolve(this.#clock.monotonicMs() - start);
        else reject(cause);
      });
      this.#clock.sleep(timeoutMs, timer.signal).then(
        () => this.#pings.get(mark)?.(new NokvError('deadline-exceeded', `${this.peer} did not answer a ping within ${timeoutMs} ms`)),
        () => undefined,
      );
      writePing(this.#writer, mark);
      this.#flushSoon();
    });
  }

  async close(graceMs = 0): Promise<void> {
    this.#startDraining();
    if (this.#end === undefined && this.inFlight > 0 && graceMs > 0) {
      const timer = new AbortController();
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      await Promise.race([idle, this.closed, this.#clock.sleep(graceMs, timer.signal).catch(() => undefined)]);
      timer.abort();
    }
    if (this.#end === undefined) {
      this.#flush();
      this.#transport.end();
      this.#fail(new NokvError('connection-lost', `the connection to ${this.peer} was closed by this side`));
    }
    await this.closed;
  }

  /* ------------------------------------------------------------- outgoing */

  #envelope(
    definition: OperationDefinition,
    common: Envelope,
    options: Partial<WireMutationOptions> & WireReadOptions = {},
  ): EnvelopeOf<Operation> {
    if (definition.kind === 'read') return { ...common, visible: options.visible ?? false } as EnvelopeOf<'stat'>;
    if (definition.kind !== 'mutation') return common as EnvelopeOf<'access'>;
    return {
      ...common,
      requestId: options.requestId as EnvelopeOf<'mkdir'>['requestId'],
      actor: options.actor ?? this.#options.actor,
      acknowledgement: options.acknowledgement ?? 'durable',
      firstAttemptMs: options.firstAttemptMs ?? this.#clock.nowMs(),
    } as EnvelopeOf<'mkdir'>;
  }

  #begin(call: PendingCall): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) return call.reject(refusal);
    if (call.signal?.aborted === true) return call.reject(cancelled(call.definition.operation, 'not-applied'));
    if (this.#waiting.size > 0 || this.#isBlocked || this.#callsInFlight >= this.server.inFlightMax) {
      if (this.#waiting.size >= WAITING_MAX) {
        return call.reject(new NokvError('too-busy', `${WAITING_MAX} calls wait for ${this.peer} already; make fewer at a time`));
      }
      this.#waiting.add(call);
    } else {
      this.#send(call);
      if (call.stream === 0) return;
    }
    if (call.signal !== undefined) {
      call.onAbort = () => this.#giveUp(call, 'cancelled');
      call.signal.addEventListener('abort', call.onAbort, { once: true });
    }
    this.#deadlines.watch(call.deadlineAt);
  }

  /** Why no new call can be made, if so. */
  #refusal(): NokvError | undefined {
    if (this.#end !== undefined) return notApplied(this.#end);
    return this.#isDraining ? new NokvError('draining', `the connection to ${this.peer} takes no more calls; open another`) : undefined;
  }

  #send(call: PendingCall): void {
    const stream = this.#nextStream();
    try {
      writeRequest(this.#writer, stream, call.definition.operation, call.args, call.envelope, this.server.frameBytesMax);
    } catch (error) {
      return call.reject(error as NokvError);
    }
    call.stream = stream;
    this.#pending.set(stream, call);
    this.#callsInFlight += 1;
    this.#flushSoon();
  }

  #sendWaiting(): void {
    const now = this.#waiting.size > 0 ? this.#clock.monotonicMs() : 0;
    for (const call of this.#waiting) {
      if (this.#isBlocked || this.#callsInFlight >= this.server.inFlightMax) return;
      this.#waiting.delete(call);
      const deadlineMs = Math.max(1, Math.ceil(call.deadlineAt - now));
      this.#send(Object.assign(call, { envelope: { ...call.envelope, deadlineMs } }));
      if (call.stream === 0) this.#unlisten(call);
    }
  }

  #openStream(operation: StreamOperation, args: unknown, options: WireStreamOptions): PendingStream {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const credit = Math.min(Math.max(1, Math.floor(options.window ?? WINDOW_DEFAULT)), CREDIT_MAX);
    const stream = new PendingStream(definitionOf<Operation>(operation), this.#nextStream(), credit);
    writeRequest(
      this.#writer,
      stream.stream,
      operation,
      args,
      { deadlineMs: 0, traceId: options.traceId ?? '', credit },
      this.server.frameBytesMax,
    );
    this.#pending.set(stream.stream, stream);
    this.#flushSoon();
    return stream;
  }

  /** The consumer left: if the server did not end the stream, it is told to. */
  #forgetStream(stream: PendingStream): void {
    if (this.#pending.get(stream.stream) !== stream) return;
    this.#pending.delete(stream.stream);
    this.#control(FRAME_TYPES.cancel, stream.stream);
    this.#checkIdle();
  }

  /** Ends a call before its answer came, and tells the server if it knows of it. */
  #giveUp(call: PendingCall, why: 'cancelled' | 'deadline-exceeded'): void {
    const { operation, kind } = call.definition;
    const wasSent = call.stream !== 0;
    if (wasSent) {
      this.#control(FRAME_TYPES.cancel, call.stream);
      this.#forgetCall(call);
    } else {
      this.#waiting.delete(call);
      this.#unlisten(call);
    }
    const outcome = wasSent && kind === 'mutation' ? 'unknown' : 'not-applied';
    const what = why === 'cancelled' ? cancelled(operation, outcome) : timedOut(operation, this.peer, outcome);
    call.reject(what);
    this.#checkIdle();
  }

  #forgetCall(call: PendingCall): void {
    this.#pending.delete(call.stream);
    this.#callsInFlight -= 1;
    this.#unlisten(call);
    if (this.#waiting.size > 0) this.#sendWaiting();
  }

  #unlisten(call: PendingCall): void {
    if (call.onAbort !== undefined) call.signal?.removeEventListener('abort', call.onAbort);
    call.onAbort = undefined;
  }

  #expire(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    const due: PendingCall[] = [];
    // Those that wait come first: ending a call in flight would send one of them.
    for (const calls of [this.#waiting.values(), this.#pending.values()]) {
      for (const call of calls) {
        if (call.kind === 'stream') continue;
        if (call.deadlineAt <= now) due.push(call);
        else if (call.deadlineAt < next) next = call.deadlineAt;
      }
    }
    for (const call of due) this.#giveUp(call, 'deadline-exceeded');
    return next;
  }

  #nextStream(): number {
    do {
      this.#lastStream = this.#lastStream >= 0xffffffff ? 1 : this.#lastStream + 1;
    } while (this.#pending.has(this.#lastStream));
    return this.#lastStream;
  }

  #control(type: FrameType, stream: number): void {
    if (this.#end !== undefined) return;
    writeControl(this.#writer, type, stream);
    this.#flushSoon();
  }

  /** At the end of this tick, so that all its calls leave in one write. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    if (this.#end !== undefined || this.#writer.length === 0) return;
    this.#poller?.sent();
    if (!this.#transport.write(this.#writer.take())) this.#isBlocked = true;
  };

  #onDrain(): void {
    this.#isBlocked = false;
    if (this.#end === undefined) this.#sendWaiting();
  }

  /* ------------------------------------------------------------- incoming */

  #onData(bytes: Uint8Array): void {
    if (this.#end !== undefined) return;
    this.#poller?.received();
    this.#lastReceivedAt = this.#clock.monotonicMs();
    try {
      this.#decoder.push(bytes);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) this.#onFrame(frame);
    } catch (error) {
      this.#break(error);
    }
  }

  #onFrame(frame: Frame): void {
    if (this.#hello === undefined) return this.#onFirstFrame(frame);
    const pending = this.#pending.get(frame.stream);
    switch (frame.type) {
      case FRAME_TYPES.response:
        if (pending?.kind === 'call') this.#onResponse(pending, frame);
        return;
      case FRAME_TYPES.item:
        if (pending?.kind === 'stream') this.#onItem(pending, frame);
        return;
      case FRAME_TYPES.end:
        if (pending?.kind === 'stream') this.#endStream(pending, undefined);
        return;
      case FRAME_TYPES.error:
        return this.#onError(pending, frame);
      case FRAME_TYPES.ping:
        writePong(this.#writer, frame.payload);
        return this.#flushSoon();
      case FRAME_TYPES.pong:
        return this.#pings.get(readPong(this.#reader.reset(frame.payload)))?.(undefined);
      case FRAME_TYPES.goaway:
        return this.#startDraining();
      case FRAME_TYPES.hello:
      case FRAME_TYPES.helloAck:
      case FRAME_TYPES.request:
      case FRAME_TYPES.cancel:
      case FRAME_TYPES.credit:
        throw new NokvError('malformed-frame', `a server sends no frame of type ${frame.type}`);
    }
  }

  #onFirstFrame(frame: Frame): void {
    if (frame.type === FRAME_TYPES.error && frame.oversize === undefined) throw readError(this.#reader.reset(frame.payload));
    if (frame.type !== FRAME_TYPES.helloAck || frame.oversize !== undefined) {
      throw new NokvError(
        'malformed-frame',
        `expected the answer to a hello from ${this.peer}, found a frame of type ${frame.type}; is this a nokv RPC port?`,
      );
    }
    this.#hello = readServerHello(frame.payload);
    this.#decoder.payloadBytesMax = this.#hello.frameBytesMax;
    this.#onHello?.(this.#hello);
    this.#onHello = undefined;
    void this.#watchSilence();
  }

  #onResponse(call: PendingCall, frame: Frame): void {
    this.#forgetCall(call);
    const outcome = call.definition.kind === 'mutation' ? 'unknown' : 'not-applied';
    try {
      if (frame.oversize !== undefined) throw tooLarge(frame.oversize, this.server.frameBytesMax);
      call.resolve(readAnswer(this.#reader.reset(frame.payload), call.definition) as never);
    } catch (error) {
      const { code, message, details } = error as NokvError;
      call.reject(
        new NokvError(code, `the answer to ${call.definition.operation} cannot be read: ${message}`, { outcome, details, cause: error }),
      );
    }
    this.#checkIdle();
  }

  #onItem(stream: PendingStream, frame: Frame): void {
    try {
      if (frame.oversize !== undefined) throw tooLarge(frame.oversize, this.server.frameBytesMax);
      if (stream.push(readAnswer(this.#reader.reset(frame.payload), stream.definition))) return;
    } catch (error) {
      this.#control(FRAME_TYPES.cancel, stream.stream);
      return this.#endStream(stream, error as NokvError);
    }
    throw new NokvError('malformed-frame', `the server sent more items of ${stream.definition.operation} than it was granted`);
  }

  #onError(pending: Pending | undefined, frame: Frame): void {
    const error =
      frame.oversize === undefined ? readError(this.#reader.reset(frame.payload)) : tooLarge(frame.oversize, this.server.frameBytesMax);
    // On stream 0 it is about the connection, which the server is about to close.
    if (frame.stream === 0) throw error;
    if (pending?.kind === 'stream') return this.#endStream(pending, error);
    if (pending === undefined) return;
    this.#forgetCall(pending);
    pending.reject(error);
    this.#checkIdle();
  }

  #endStream(stream: PendingStream, error: NokvError | undefined): void {
    this.#pending.delete(stream.stream);
    stream.end(error);
    this.#checkIdle();
  }

  /* --------------------------------------------------------------- ending */

  #startDraining(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#resolveDraining();
    const error = new NokvError('draining', `${this.peer} is shutting down; the call was not sent`);
    for (const call of this.#waiting) {
      this.#unlisten(call);
      call.reject(error);
    }
    this.#waiting.clear();
    this.#checkIdle();
  }

  /** A draining connection closes as soon as it has nothing to wait for. */
  #checkIdle(): void {
    if (!this.#isDraining || this.#end !== undefined || this.inFlight > 0) return;
    if (this.#onIdle !== undefined) return this.#onIdle();
    this.#flush();
    this.#transport.end();
    this.#fail(new NokvError('connection-lost', `the connection to ${this.peer} was drained and closed`));
  }

  /** The bytes make no sense, or the server refused us: nothing more is exchanged. */
  #break(error: unknown): void {
    this.#fail(
      error instanceof NokvError ? error : new NokvError('internal', 'the connection broke on an unexpected failure', { cause: error }),
    );
    this.#transport.destroy();
  }

  /** Tells everybody, once. */
  #fail(reason: NokvError): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#isDraining = true;
    this.#deadlines.close();
    this.#stop.abort();
    this.#onHello?.(reason);
    this.#onHello = undefined;
    for (const call of this.#waiting) {
      this.#unlisten(call);
      call.reject(notApplied(reason));
    }
    this.#waiting.clear();
    for (const pending of this.#pending.values()) {
      if (pending.kind === 'stream') {
        pending.end(notApplied(reason));
        continue;
      }
      this.#unlisten(pending);
      pending.reject(pending.definition.kind === 'mutation' ? unknownOutcome(reason) : notApplied(reason));
    }
    this.#pending.clear();
    for (const settle of this.#pings.values()) settle(notApplied(reason));
    this.#resolveDraining();
    this.#resolveClosed(reason);
    const destroy = (): void => this.#transport.destroy();
    void this.#clock.sleep(LINGER_MS, this.#linger.signal).then(destroy, destroy);
  }

  /** Finds a server that vanished while calls wait for it. */
  async #watchSilence(): Promise<void> {
    while (this.#end === undefined) {
      await this.#clock.sleep(SILENCE_MS_MAX, this.#stop.signal).catch(() => undefined);
      if (this.#end !== undefined) return;
      const silentMs = this.#clock.monotonicMs() - this.#lastReceivedAt;
      if (this.#pending.size === 0 || silentMs < SILENCE_MS_MAX) continue;
      await this.ping().catch(() =>
        this.#break(new NokvError('connection-lost', `${this.peer} has been silent for ${Math.round(silentMs)} ms`)),
      );
    }
  }
}

function lost(peer: string, cause: Error | undefined): NokvError {
  return new NokvError(
    'connection-lost',
    `the connection to ${peer} ended${cause === undefined ? '' : ` (${cause.message})`}`,
    cause === undefined ? {} : { cause },
  );
}

function notApplied(reason: NokvError): NokvError {
  return new NokvError(lossCode(reason), reason.message, { details: reason.details, cause: reason });
}

function unknownOutcome(reason: NokvError): NokvError {
  return new NokvError(
    lossCode(reason),
    `${reason.message}; whether the mutation took effect is unknown: ask again with the same request id`,
    {
      outcome: 'unknown',
      details: reason.details,
      cause: reason,
    },
  );
}

/** Calls fail with `connection-lost` whatever ended the connection, except what tells the caller more. */
function lossCode(reason: NokvError): ErrorCode {
  return reason.code === 'draining' || reason.kind === 'denied' || reason.kind === 'fenced' ? reason.code : 'connection-lost';
}

function cancelled(operation: string, outcome: 'unknown' | 'not-applied'): NokvError {
  return new NokvError('cancelled', `${operation} was cancelled by the caller`, { outcome });
}

function timedOut(operation: string, peer: string, outcome: 'unknown' | 'not-applied'): NokvError {
  return new NokvError('deadline-exceeded', `${operation} had no answer from ${peer} before its deadline`, { outcome });
}

function tooLarge(length: number, limit: number): NokvError {
  return new NokvError('frame-too-large', `a frame carries at most ${limit} bytes here, found ${length}; ask for less at a time`, {
    details: { limit, length },
  });
}
