/**
 * The only place that tries a store call again.
 *
 * Full jitter over exponential delays, bounded three ways: attempts, a deadline for the whole call, and a budget that all calls
 * of a store share, so that a store in trouble is not buried under repeats. An attempt says by throwing {@link TryAgain} that
 * a repeat may help; whatever else it throws ends the call. After an attempt whose outcome is unknown the whole call's is.
 * With a circuit, attempts on a store that is down wait for it to be back, within the same three bounds.
 */
import { NokvError, isNokvError, type Clock, type Random } from '@nokv/types';
import { cancelled } from './cancellation.js';
import type { Circuit, CircuitPolicy, Entered } from './circuit.js';

export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
  /** For the call with all its attempts. */
  readonly deadlineMs: number;
  /** Longest silence of a connection before its attempt counts as failed; default 20 s. */
  readonly idleMs?: number | undefined;
  /** When a store counts as down, where it has a circuit. */
  readonly circuit?: Partial<CircuitPolicy> | undefined;
}

export const RETRY_POLICY_DEFAULT: RetryPolicy = { attemptsMax: 8, firstDelayMs: 50, delayMsMax: 5000, deadlineMs: 60_000 };

/** A failed attempt that may be repeated. */
export class TryAgain extends Error {
  readonly error: NokvError;
  /** What the server asked for (`Retry-After`). */
  readonly afterMs: number | undefined;

  constructor(error: NokvError, afterMs?: number) {
    super(error.message, { cause: error });
    this.error = error;
    this.afterMs = afterMs;
  }
}

export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  /** An earlier attempt may have taken effect. */
  readonly isAmbiguous: boolean;
  readonly signal: AbortSignal;
}

const BUDGET_MAX = 500;
/** Given as the reason, because a default one with its stack is made anew for each call. */
const CALL_ENDED = new Error('the call has ended');
const RETRY_COST = 5;

export class Retries {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #circuit: Circuit | undefined;
  #budget = BUDGET_MAX;
  #repeats = 0;

  constructor(policy: RetryPolicy, clock: Clock, random: Random, circuit?: Circuit) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
    this.#circuit = circuit;
  }

  /** Attempts so far that were not the first of their call. */
  get repeats(): number {
    return this.#repeats;
  }

  /** @param patienceMs for this call, where it is shorter than the policy's deadline. */
  async run<T>(
    what: string,
    signal: AbortSignal | undefined,
    attempt: (attempt: Attempt) => Promise<T>,
    patienceMs = Infinity,
  ): Promise<T> {
    if (signal?.aborted === true) throw cancelled(signal, 'not-applied');
    const deadlineMs = Math.min(this.#policy.deadlineMs, patienceMs);
    const end = this.#clock.monotonicMs() + deadlineMs;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = new AbortController();
    this.#clock.sleep(deadlineMs, timer.signal).then(
      () => stop.abort(new NokvError('deadline-exceeded', `${what}: no answer within ${deadlineMs} ms`)),
      () => undefined,
    );
    let isAmbiguous = false;
    /** Of an attempt that was not cut off: it says more than that the time is up. */
    let before: unknown;
    try {
      for (let number = 1; ; number += 1) {
        try {
          const result = await this.#guarded(stop.signal, signal, () => attempt({ number, isAmbiguous, signal: stop.signal }));
          this.#budget = Math.min(BUDGET_MAX, this.#budget + 1);
          return result;
        } catch (error) {
          const failure = error instanceof TryAgain ? error.error : error;
          isAmbiguous ||= failure instanceof NokvError && failure.outcome === 'unknown';
          if (stop.signal.aborted) throw this.#ended(`${what}: no answer within ${deadlineMs} ms`, signal, isAmbiguous, before ?? failure);
          before = failure;
          if (!(error instanceof TryAgain)) throw error;
          const delayMs = Math.max(this.#delayMs(number), error.afterMs ?? 0);
          const isLast = number >= this.#policy.attemptsMax || this.#budget < RETRY_COST || this.#clock.monotonicMs() + delayMs >= end;
          if (isLast) throw withOutcome(error.error, isAmbiguous);
          this.#budget -= RETRY_COST;
          this.#repeats += 1;
          await this.#clock.sleep(delayMs, stop.signal).catch(() => {
            throw this.#ended(`${what}: no answer within ${deadlineMs} ms`, signal, isAmbiguous, failure);
          });
        }
      }
    } finally {
      timer.abort(CALL_ENDED);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** One attempt through the circuit, which learns what came of it. */
  async #guarded<T>(signal: AbortSignal, callers: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    const circuit = this.#circuit;
    if (circuit === undefined) return attempt();
    const entered = await circuit.enter(signal);
    if (entered instanceof NokvError) throw new TryAgain(entered);
    try {
      const result = await attempt();
      circuit.leave(entered, 'answered');
      return result;
    } catch (error) {
      tell(circuit, entered, error, signal, callers);
      throw error;
    }
  }

  #delayMs(attempts: number): number {
    return this.#random.float() * Math.min(this.#policy.delayMsMax, this.#policy.firstDelayMs * 2 ** attempts);
  }

  #ended(what: string, signal: AbortSignal | undefined, isAmbiguous: boolean, last: unknown): NokvError {
    const outcome = isAmbiguous ? 'unknown' : 'not-applied';
    if (signal?.aborted === true) return cancelled(signal, outcome);
    const because = last instanceof Error ? `; last: ${last.message}` : '';
    return new NokvError('deadline-exceeded', `${what}${because}; try again`, {
      outcome,
      cause: last,
    });
  }
}

function tell(circuit: Circuit, entered: Entered, error: unknown, signal: AbortSignal, callers: AbortSignal | undefined): void {
  const failure = error instanceof TryAgain ? error.error : error;
  if (callers?.aborted === true) circuit.leave(entered, 'abandoned');
  else if (signal.aborted && signal.reason instanceof NokvError) circuit.leave(entered, signal.reason);
  else if (isNokvError(failure) && isOutage(failure)) circuit.leave(entered, failure);
  else circuit.leave(entered, isNokvError(failure) ? 'answered' : 'abandoned');
}

/** Nothing came back, or only that the server cannot; a refusal with another status is an answer. */
function isOutage({ code, details: { status } }: NokvError): boolean {
  return code === 'store-unavailable' && (typeof status !== 'number' || status >= 500 || status === 429);
}

function withOutcome(error: NokvError, isAmbiguous: boolean): NokvError {
  if (!isAmbiguous || error.outcome === 'unknown') return error;
  return new NokvError(error.code, error.message, { outcome: 'unknown', details: error.details, cause: error });
}
