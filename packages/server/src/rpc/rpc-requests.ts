/**
 * The requests of a connection from their frame to their answer.
 *
 * Invariants: every request gets exactly one answer unless the client cancelled it or went; what a handler still works
 * on counts as in flight even when nobody waits for it any more. A request that cannot be read is answered and nothing
 * is called. Requests beyond `inFlightMax`, `inFlightBytesMax` or `streamsMax` are answered `too-busy`.
 */
import { NokvError, toNokvError } from '@nokv/types';
import type { Frame, MessageWriter, Request } from '@nokv/protocol';
import { FRAME_TYPES, MessageReader, readCredit, readRequest, writeAnswer, writeControl, writeError } from '@nokv/protocol';
import type { ClientInfo } from './handlers.js';
import { RpcCall } from './rpc-call.js';
import { shuttingDown, tooBusy, tooLarge } from './rpc-errors.js';
import type { SessionHost } from './rpc-session.js';
import { RpcStream } from './rpc-stream.js';

/** What requests need of their session. */
export interface RequestCarrier {
  readonly client: ClientInfo;
  readonly writer: MessageWriter;
  readonly frameBytesMax: number;
  /** False once answers are of no use. */
  readonly isOpen: boolean;
  /** True while streams should write nothing more. */
  readonly isBlocked: boolean;
  /** What was written leaves at the end of the tick. */
  flushSoon(): void;
  /** `expire` is called at that time. */
  watch(deadlineAt: number): void;
}

type Handler = (args: unknown, call: RpcCall) => unknown;

export class RpcRequests {
  readonly #host: SessionHost;
  readonly #carrier: RequestCarrier;
  readonly #reader = new MessageReader();
  readonly #calls = new Map<number, RpcCall>();
  readonly #streams = new Map<number, RpcStream>();
  /** Handlers at work, abandoned ones too. */
  #inFlight = 0;
  #inFlightBytes = 0;

  constructor(host: SessionHost, carrier: RequestCarrier) {
    this.#host = host;
    this.#carrier = carrier;
  }

  /** Throws what must end the connection. */
  onRequest(frame: Frame, now: number): void {
    const { stream, payload } = frame;
    if (stream === 0 || this.#calls.has(stream) || this.#streams.has(stream)) {
      const why = stream === 0 ? 'belongs to the connection' : 'is in use';
      throw new NokvError('malformed-frame', `stream ${stream} ${why}; each request takes a fresh number`);
    }
    if (frame.oversize !== undefined) return this.#refuse(stream, tooLarge(frame.oversize, this.#carrier.frameBytesMax));
    let request: Request;
    try {
      request = readRequest(this.#reader.reset(payload));
    } catch (error) {
      return this.#refuse(stream, toNokvError(error));
    }
    const { operation, kind } = request.definition;
    const { counters, options } = this.#host;
    counters.request(operation);
    const call = new RpcCall(this.#carrier.client, stream, request, payload.length, now);
    const refusal = this.#refusal(call);
    if (refusal !== undefined) return this.#answerError(call, refusal);
    const handler = options.handlers[operation] as Handler;
    try {
      if (kind === 'stream') return this.#openStream(call, handler(request.args, call) as AsyncIterable<unknown>, request.credit);
      const answer = handler(request.args, call);
      if (answer instanceof Promise) this.#await(call, answer);
      else this.#answer(call, answer);
    } catch (error) {
      this.#answerError(call, toNokvError(error));
    }
  }

  onCancel(stream: number): void {
    const call = this.#calls.get(stream);
    if (call === undefined) {
      this.#streams.get(stream)?.cancel(new NokvError('cancelled', 'the client cancelled the stream'));
      return;
    }
    this.#calls.delete(stream);
    call.abandon(new NokvError('cancelled', 'the client cancelled the call'));
  }

  onCredit(frame: Frame): void {
    const items = readCredit(this.#reader.reset(frame.payload));
    this.#streams.get(frame.stream)?.grant(items);
  }

  /** The connection takes bytes again. */
  onDrain(): void {
    for (const stream of this.#streams.values()) stream.unblocked();
  }

  /** Ends what is due; returns the next deadline. */
  expire(now: number): number {
    let next = Number.POSITIVE_INFINITY;
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

  /** Ends all streams with an error that clients are told. */
  stopStreams(reason: NokvError): void {
    for (const stream of this.#streams.values()) stream.stop(reason);
  }

  /** Nobody waits for anything any more. */
  abandonAll(reason: NokvError): void {
    for (const call of this.#calls.values()) call.abandon(reason);
    this.#calls.clear();
    for (const stream of this.#streams.values()) stream.cancel(reason);
  }

  #refusal(call: RpcCall): NokvError | undefined {
    const { limits, isDraining } = this.#host;
    if (isDraining) return shuttingDown();
    if (call.definition.kind === 'stream') {
      return this.#streams.size < limits.streamsMax ? undefined : tooBusy('streams', limits.streamsMax);
    }
    if (this.#inFlight >= limits.inFlightMax) return tooBusy('requests in flight', limits.inFlightMax);
    if (this.#inFlightBytes + call.bytes <= limits.inFlightBytesMax) return undefined;
    return tooBusy('bytes of requests in flight', limits.inFlightBytesMax);
  }

  #await(call: RpcCall, answer: Promise<unknown>): void {
    this.#calls.set(call.stream, call);
    this.#inFlight += 1;
    this.#inFlightBytes += call.bytes;
    this.#host.counters.inFlight += 1;
    this.#carrier.watch(call.deadlineAt);
    answer.then(
      (value) => {
        if (this.#settle(call)) this.#answer(call, value);
      },
      (error: unknown) => {
        if (this.#settle(call)) this.#answerError(call, toNokvError(error));
      },
    );
  }

  /** The handler is done; true when somebody still waits for the answer. */
  #settle(call: RpcCall): boolean {
    this.#inFlight -= 1;
    this.#inFlightBytes -= call.bytes;
    this.#host.counters.inFlight -= 1;
    if (this.#calls.get(call.stream) === call) this.#calls.delete(call.stream);
    return !call.isAbandoned && this.#carrier.isOpen;
  }

  #openStream(call: RpcCall, items: AsyncIterable<unknown>, credit: number): void {
    const { counters, options, clock } = this.#host;
    const { stream: id, definition } = call;
    const stream = new RpcStream(call, items, credit, {
      isBlocked: () => this.#carrier.isBlocked,
      onItem: (item) => this.#write(call, FRAME_TYPES.item, item),
      onEnd: (error, isWanted) => {
        counters.streams -= 1;
        this.#streams.delete(id);
        if (!isWanted || !this.#carrier.isOpen) return;
        if (error !== undefined) return this.#answerError(call, error);
        writeControl(this.#carrier.writer, FRAME_TYPES.end, id);
        this.#carrier.flushSoon();
        options.onAnswer?.(definition.operation, clock.monotonicMs() - call.startedAt, undefined);
      },
    });
    counters.streams += 1;
    this.#streams.set(id, stream);
    this.#carrier.watch(call.deadlineAt);
    stream.start();
  }

  #answer(call: RpcCall, answer: unknown): void {
    try {
      this.#write(call, FRAME_TYPES.response, answer);
    } catch (error) {
      return this.#answerError(call, error as NokvError);
    }
    const { clock, options } = this.#host;
    options.onAnswer?.(call.definition.operation, clock.monotonicMs() - call.startedAt, undefined);
  }

  /** Throws when the answer cannot be sent: too large, or not what the schema says (our mistake, not the client's). */
  #write(call: RpcCall, type: typeof FRAME_TYPES.response | typeof FRAME_TYPES.item, answer: unknown): void {
    const { stream, definition } = call;
    try {
      writeAnswer(this.#carrier.writer, type, stream, definition, answer, this.#carrier.frameBytesMax);
    } catch (thrown) {
      const { code, message, details } = toNokvError(thrown);
      const outcome = definition.kind === 'mutation' ? 'unknown' : 'not-applied';
      const options = { outcome, details, cause: thrown } as const;
      throw code === 'frame-too-large'
        ? new NokvError(code, message, options)
        : new NokvError('internal', `the answer to ${definition.operation} cannot be sent: ${message}`, options);
    }
    this.#carrier.flushSoon();
  }

  #onDeadline(call: RpcCall): void {
    const { operation, kind } = call.definition;
    const outcome = kind === 'mutation' ? 'unknown' : 'not-applied';
    const error = new NokvError('deadline-exceeded', `${operation} was not done within ${call.deadlineMs} ms`, { outcome });
    this.#calls.delete(call.stream);
    call.abandon(error);
    this.#answerError(call, error);
  }

  #answerError(call: RpcCall, error: NokvError): void {
    const { operation } = call.definition;
    const { counters, options, clock } = this.#host;
    writeError(this.#carrier.writer, FRAME_TYPES.error, call.stream, error);
    this.#carrier.flushSoon();
    counters.error(operation, error);
    if (error.code === 'internal') options.onProblem?.(error, this.#carrier.client);
    options.onAnswer?.(operation, clock.monotonicMs() - call.startedAt, error);
  }

  /** Answers what could not even be read. */
  #refuse(stream: number, error: NokvError): void {
    writeError(this.#carrier.writer, FRAME_TYPES.error, stream, error);
    this.#carrier.flushSoon();
    this.#host.counters.error('unreadable', error);
    this.#host.options.onProblem?.(error, this.#carrier.client);
  }
}
