/**
 * The client's end of a connection: frames in and out, the hello, the end.
 *
 * Invariants: a stream id is used once until the ids run round; what is written in one tick leaves in one write; after
 * the end nothing waits: every call, stream and ping has been told. Calls are in {@link CallTable}, which says what
 * their failure means.
 */
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type {
  AdaptivePoller,
  AnswerOf,
  ArgsOf,
  ClientHello,
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
  DEADLINE_MS_MAX,
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
import type { PendingCall } from './call-table.js';
import { CallTable } from './call-table.js';
import type { CallRest, Connection, WireMutationOptions, WireReadOptions, WireStreamOptions } from './connection.js';
import { PendingStream } from './pending-stream.js';
import { Pings } from './pings.js';
import { cancelled, lost, notApplied, tooLarge } from './wire-errors.js';

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
  readonly #calls: CallTable;
  readonly #streams = new Map<number, PendingStream>();
  readonly #pings: Pings;
  /** Fires at the end of the connection. */
  readonly #stop = new AbortController();
  /** Fires when the transport has closed. */
  readonly #isGone = new AbortController();
  #hello: ServerHello | undefined;
  #onHello: ((outcome: ServerHello | NokvError) => void) | undefined;
  #resolveClosed: (reason: NokvError) => void = () => undefined;
  #resolveDraining: () => void = () => undefined;
  /** Set while `close` waits for what is in flight. */
  #onIdle: (() => void) | undefined;
  #end: NokvError | undefined;
  #isDraining = false;
  #isFlushing = false;
  #isBlocked = false;
  #lastStream = 0;
  #lastReceivedAt: number;

  constructor(transport: Transport, options: WireConnectionOptions) {
    this.peer = transport.peer;
    this.#transport = transport;
    this.#options = options;
    this.#clock = options.clock;
    this.#poller = options.poller;
    this.#lastReceivedAt = options.clock.monotonicMs();
    this.#pings = new Pings(options.clock, transport.peer);
    this.#calls = new CallTable({
      peer: transport.peer,
      clock: options.clock,
      canWrite: () => !this.#isBlocked,
      write: (call) => this.#writeCall(call),
      cancel: (stream) => this.#control(FRAME_TYPES.cancel, stream),
      onSettled: () => this.#checkIdle(),
    });
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
          this.#isGone.abort();
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
    return this.#calls.size + this.#streams.size;
  }

  call<Op extends UnaryOperation>(operation: Op, args: ArgsOf<Op>, ...rest: CallRest<Op>): Promise<AnswerOf<Op>> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const definition = definitionOf<Operation>(operation);
    const options = rest[0] as (WireReadOptions & Partial<WireMutationOptions>) | undefined;
    const timeoutMs = options?.timeoutMs ?? this.#options.timeoutMs;
    const envelope = this.#envelope(definition, timeoutMs > DEADLINE_MS_MAX ? 0 : Math.max(1, Math.ceil(timeoutMs)), options);
    const deadlineAt = this.#clock.monotonicMs() + timeoutMs;
    return new Promise<AnswerOf<Op>>((resolve, reject) => {
      this.#calls.begin({
        definition,
        args,
        envelope,
        deadlineAt,
        resolve: resolve as (answer: never) => void,
        reject,
        signal: options?.signal,
        onAbort: undefined,
        stream: 0,
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
          const credit = stream.isOver ? 0 : stream.consumed();
          if (credit === 0) continue;
          writeCredit(this.#writer, stream.stream, credit);
          this.#flushSoon();
        }
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#forgetStream(stream);
    }
  }

  ping(timeoutMs = SILENCE_MS_MAX): Promise<number> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return this.#pings.ping(timeoutMs, (mark) => {
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
    this.#finish(`the connection to ${this.peer} was closed by this side`);
    await this.closed;
  }

  /* ------------------------------------------------------------- outgoing */

  /** Why nothing new can be asked, if so. */
  #refusal(): NokvError | undefined {
    if (this.#end !== undefined) return notApplied(this.#end);
    if (!this.#isDraining) return undefined;
    return new NokvError('draining', `the connection to ${this.peer} takes no more calls; open another`);
  }

  #envelope(
    definition: OperationDefinition,
    deadlineMs: number,
    options: Partial<WireMutationOptions> & WireReadOptions = {},
  ): EnvelopeOf<Operation> {
    const traceId = options.traceId ?? '';
    const { caller } = options;
    if (definition.kind === 'read') return { deadlineMs, traceId, visible: options.visible ?? false, caller } as EnvelopeOf<'stat'>;
    if (definition.kind !== 'mutation') return { deadlineMs, traceId } as EnvelopeOf<'access'>;
    return {
      deadlineMs,
      traceId,
      requestId: options.requestId as EnvelopeOf<'mkdir'>['requestId'],
      actor: options.actor ?? this.#options.actor,
      acknowledgement: options.acknowledgement ?? 'durable',
      attemptAgeMs: ageOf(options.firstAttemptMs, this.#clock),
      caller,
    };
  }

  #writeCall(call: PendingCall): number {
    const stream = this.#nextStream();
    writeRequest(this.#writer, stream, call.definition.operation, call.args, call.envelope, this.server.frameBytesMax);
    this.#flushSoon();
    return stream;
  }

  #openStream(operation: StreamOperation, args: unknown, options: WireStreamOptions): PendingStream {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const credit = Math.min(Math.max(1, Math.floor(options.window ?? WINDOW_DEFAULT)), CREDIT_MAX);
    const stream = new PendingStream(definitionOf<Operation>(operation), this.#nextStream(), credit);
    const envelope = { deadlineMs: 0, traceId: options.traceId ?? '', credit };
    writeRequest(this.#writer, stream.stream, operation, args, envelope, this.server.frameBytesMax);
    this.#streams.set(stream.stream, stream);
    this.#flushSoon();
    return stream;
  }

  /** The consumer left: if the server did not end the stream, it is told to. */
  #forgetStream(stream: PendingStream): void {
    if (!this.#streams.delete(stream.stream)) return;
    this.#control(FRAME_TYPES.cancel, stream.stream);
    this.#checkIdle();
  }

  #nextStream(): number {
    do {
      this.#lastStream = this.#lastStream >= 0xffffffff ? 1 : this.#lastStream + 1;
    } while (this.#calls.has(this.#lastStream) || this.#streams.has(this.#lastStream));
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
    if (this.#transport.unsentBytes === 0) this.#writer.rewind();
  };

  #onDrain(): void {
    this.#isBlocked = false;
    if (this.#end === undefined) this.#calls.sendWaiting();
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
    switch (frame.type) {
      case FRAME_TYPES.response:
        return this.#onResponse(frame);
      case FRAME_TYPES.item:
        return this.#onItem(frame);
      case FRAME_TYPES.end:
        return this.#endStream(frame.stream, undefined);
      case FRAME_TYPES.error:
        return this.#onError(frame);
      case FRAME_TYPES.ping:
        writePong(this.#writer, frame.payload);
        return this.#flushSoon();
      case FRAME_TYPES.pong:
        return this.#pings.pong(readPong(this.#reader.reset(frame.payload)));
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
      const what = `expected the answer to a hello from ${this.peer}, found a frame of type ${frame.type}`;
      throw new NokvError('malformed-frame', `${what}; is this a nokv RPC port?`);
    }
    const hello = readServerHello(frame.payload);
    this.#hello = hello;
    this.#decoder.payloadBytesMax = hello.frameBytesMax;
    this.#calls.inFlightMax = hello.inFlightMax;
    this.#onHello?.(hello);
    this.#onHello = undefined;
    void this.#watchSilence();
  }

  #onResponse(frame: Frame): void {
    const call = this.#calls.answered(frame.stream);
    if (call === undefined) return;
    try {
      this.#refuseOversize(frame);
      call.resolve(readAnswer(this.#reader.reset(frame.payload), call.definition) as never);
    } catch (error) {
      const { code, message, details } = error as NokvError;
      const outcome = call.definition.kind === 'mutation' ? 'unknown' : 'not-applied';
      const what = `the answer to ${call.definition.operation} cannot be read: ${message}`;
      call.reject(new NokvError(code, what, { outcome, details, cause: error }));
    }
    this.#checkIdle();
  }

  #onItem(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) return;
    try {
      this.#refuseOversize(frame);
      if (stream.push(readAnswer(this.#reader.reset(frame.payload), stream.definition))) return;
    } catch (error) {
      this.#control(FRAME_TYPES.cancel, frame.stream);
      return this.#endStream(frame.stream, error as NokvError);
    }
    throw new NokvError('malformed-frame', `the server sent more items of ${stream.definition.operation} than it was granted`);
  }

  #onError(frame: Frame): void {
    const error =
      frame.oversize === undefined ? readError(this.#reader.reset(frame.payload)) : tooLarge(frame.oversize, this.server.frameBytesMax);
    // On stream 0 it is about the connection, which the server is about to close.
    if (frame.stream === 0) throw error;
    if (this.#streams.has(frame.stream)) return this.#endStream(frame.stream, error);
    this.#calls.answered(frame.stream)?.reject(error);
    this.#checkIdle();
  }

  #refuseOversize(frame: Frame): void {
    if (frame.oversize !== undefined) throw tooLarge(frame.oversize, this.server.frameBytesMax);
  }

  #endStream(id: number, error: NokvError | undefined): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    stream.end(error);
    this.#checkIdle();
  }

  /* --------------------------------------------------------------- ending */

  #startDraining(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#resolveDraining();
    this.#calls.failWaiting(new NokvError('draining', `${this.peer} is shutting down; the call was not sent`));
    this.#checkIdle();
  }

  /** A draining connection closes as soon as it has nothing to wait for. */
  #checkIdle(): void {
    if (!this.#isDraining || this.#end !== undefined || this.inFlight > 0) return;
    if (this.#onIdle === undefined) this.#finish(`the connection to ${this.peer} was drained and closed`);
    else this.#onIdle();
  }

  /** Ends in good order: what was written leaves first. */
  #finish(why: string): void {
    if (this.#end !== undefined) return;
    this.#flush();
    this.#transport.end();
    this.#fail(new NokvError('connection-lost', why));
  }

  /** The bytes make no sense, or the server refused us: nothing more is exchanged. */
  #break(error: unknown): void {
    const reason =
      error instanceof NokvError ? error : new NokvError('internal', 'the connection broke on an unexpected failure', { cause: error });
    this.#fail(reason);
    this.#transport.destroy();
  }

  /** Tells everybody, once. */
  #fail(reason: NokvError): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#isDraining = true;
    this.#stop.abort();
    this.#onHello?.(reason);
    this.#onHello = undefined;
    this.#calls.fail(reason);
    for (const stream of this.#streams.values()) stream.end(notApplied(reason));
    this.#streams.clear();
    this.#pings.fail(notApplied(reason));
    this.#resolveDraining();
    this.#resolveClosed(reason);
    const destroy = (): void => this.#transport.destroy();
    void this.#clock.sleep(LINGER_MS, this.#isGone.signal).then(destroy, destroy);
  }

  /** Finds a server that vanished while somebody waits for it. */
  async #watchSilence(): Promise<void> {
    while (this.#end === undefined) {
      await this.#clock.sleep(SILENCE_MS_MAX, this.#stop.signal).catch(() => undefined);
      if (this.#end !== undefined) return;
      const silentMs = Math.round(this.#clock.monotonicMs() - this.#lastReceivedAt);
      if (this.inFlight === 0 || silentMs < SILENCE_MS_MAX) continue;
      await this.ping().catch(() => this.#break(new NokvError('connection-lost', `${this.peer} has been silent for ${silentMs} ms`)));
    }
  }
}

/** Since a first attempt by the wall clock; 0 for one that is made now. */
function ageOf(firstAttemptMs: number | undefined, clock: Clock): number {
  return firstAttemptMs === undefined ? 0 : Math.max(0, Math.floor(clock.nowMs() - firstAttemptMs));
}
