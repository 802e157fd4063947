/**
 * The calls of a connection from the moment they are made until they have their answer.
 *
 * Invariants: a call is in one place: waiting (never written), in flight (written, under its stream id), or settled.
 * What fails while it waits is `not-applied`; what fails in flight is `unknown` if it is a mutation. No more than the
 * server's limit are in flight, no more than {@link WAITING_MAX} wait, and they are sent in the order they were made.
 */
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { EnvelopeOf, Operation, OperationDefinition } from '@nokv/protocol';
import { Deadlines } from '@nokv/protocol';
import { cancelled, notApplied, timedOut, unknownOutcome } from './wire-errors.js';

/** Calls that may wait for their turn; beyond it: `too-busy`. */
const WAITING_MAX = 65_536;

export interface PendingCall {
  readonly definition: OperationDefinition;
  readonly args: unknown;
  readonly envelope: EnvelopeOf<Operation>;
  readonly deadlineAt: number;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: NokvError) => void;
  readonly signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  /** 0 while it waits. */
  stream: number;
}

/** What the table needs of its connection. */
export interface CallCarrier {
  readonly peer: string;
  readonly clock: Clock;
  /** False while nothing more should be written. */
  canWrite(): boolean;
  /** Writes the request and returns its stream id; throws what makes it unsendable. */
  write(call: PendingCall): number;
  /** The server need not answer any more. */
  cancel(stream: number): void;
  /** A call ended. */
  onSettled(): void;
}

export class CallTable {
  /** The server's limit. */
  inFlightMax = 1;
  readonly #carrier: CallCarrier;
  readonly #waiting = new Set<PendingCall>();
  readonly #inFlight = new Map<number, PendingCall>();
  readonly #deadlines: Deadlines;

  constructor(carrier: CallCarrier) {
    this.#carrier = carrier;
    this.#deadlines = new Deadlines(carrier.clock, (now) => this.#expire(now));
  }

  get size(): number {
    return this.#inFlight.size + this.#waiting.size;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  has(stream: number): boolean {
    return this.#inFlight.has(stream);
  }

  begin(call: PendingCall): void {
    if (call.signal?.aborted === true) return call.reject(cancelled(call.definition.operation, 'not-applied'));
    if (this.#waiting.size > 0 || !this.#maySend()) {
      if (this.#waiting.size >= WAITING_MAX) {
        return call.reject(new NokvError('too-busy', `${WAITING_MAX} calls wait for ${this.#carrier.peer} already; make fewer at a time`));
      }
      this.#waiting.add(call);
    } else if (!this.#send(call)) {
      return;
    }
    if (call.signal !== undefined) {
      call.onAbort = () => this.#giveUp(call, 'cancelled');
      call.signal.addEventListener('abort', call.onAbort, { once: true });
    }
    this.#deadlines.watch(call.deadlineAt);
  }

  /** Sends those whose turn has come. */
  sendWaiting(): void {
    if (this.#waiting.size === 0) return;
    const now = this.#carrier.clock.monotonicMs();
    for (const call of this.#waiting) {
      if (!this.#maySend()) return;
      if (call.deadlineAt <= now) {
        this.#giveUp(call, 'deadline-exceeded');
        continue;
      }
      this.#waiting.delete(call);
      const deadlineMs = call.envelope.deadlineMs === 0 ? 0 : Math.ceil(call.deadlineAt - now);
      if (!this.#send(Object.assign(call, { envelope: { ...call.envelope, deadlineMs } }))) this.#unlisten(call);
    }
  }

  /** Takes the call that an answer is for; undefined when nobody waits for it any more. */
  answered(stream: number): PendingCall | undefined {
    const call = this.#inFlight.get(stream);
    if (call !== undefined) this.#forget(call);
    return call;
  }

  /** Fails what was never written. */
  failWaiting(error: NokvError): void {
    for (const call of this.#waiting) {
      this.#unlisten(call);
      call.reject(error);
    }
    this.#waiting.clear();
  }

  /** Fails everything, for good. */
  fail(reason: NokvError): void {
    this.#deadlines.close();
    this.failWaiting(notApplied(reason));
    for (const call of this.#inFlight.values()) {
      this.#unlisten(call);
      call.reject(call.definition.kind === 'mutation' ? unknownOutcome(reason) : notApplied(reason));
    }
    this.#inFlight.clear();
  }

  #maySend(): boolean {
    return this.#inFlight.size < this.inFlightMax && this.#carrier.canWrite();
  }

  #send(call: PendingCall): boolean {
    try {
      call.stream = this.#carrier.write(call);
    } catch (error) {
      call.reject(error as NokvError);
      return false;
    }
    this.#inFlight.set(call.stream, call);
    return true;
  }

  /** Ends a call before its answer came, and tells the server if it knows of it. */
  #giveUp(call: PendingCall, why: 'cancelled' | 'deadline-exceeded'): void {
    const { operation, kind } = call.definition;
    const wasSent = call.stream !== 0;
    const outcome = wasSent && kind === 'mutation' ? 'unknown' : 'not-applied';
    call.reject(why === 'cancelled' ? cancelled(operation, outcome) : timedOut(operation, this.#carrier.peer, outcome));
    if (wasSent) {
      this.#carrier.cancel(call.stream);
      this.#forget(call);
    } else {
      this.#waiting.delete(call);
      this.#unlisten(call);
    }
    this.#carrier.onSettled();
  }

  #forget(call: PendingCall): void {
    this.#inFlight.delete(call.stream);
    this.#unlisten(call);
    this.sendWaiting();
  }

  #unlisten(call: PendingCall): void {
    if (call.onAbort !== undefined) call.signal?.removeEventListener('abort', call.onAbort);
    call.onAbort = undefined;
  }

  #expire(now: number): number {
    const due: PendingCall[] = [];
    let next = Number.POSITIVE_INFINITY;
    // Those that wait come first: ending a call in flight would send one of them.
    for (const calls of [this.#waiting.values(), this.#inFlight.values()]) {
      for (const call of calls) {
        if (call.deadlineAt <= now) due.push(call);
        else if (call.deadlineAt < next) next = call.deadlineAt;
      }
    }
    for (const call of due) this.#giveUp(call, 'deadline-exceeded');
    return next;
  }
}
