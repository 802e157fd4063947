/**
 * The only place that tries a store call again.
 *
 * Full jitter over exponential delays, bounded three ways: attempts, a deadline for the whole call, and a budget that all calls
 * of a store share, so that a store in trouble is not buried under repeats. An attempt says by throwing {@link TryAgain} that
 * a repeat may help; whatever else it throws ends the call. After an attempt whose outcome is unknown the whole call's is.
 */
import { NokvError, type Clock, type Random } from '@nokv/types';
import { cancelled } from './cancellation.js';

export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
  /** For the call with all its attempts. */
  readonly deadlineMs: number;
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
const RETRY_COST = 5;

export class Retries {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #random: Random;
  #budget = BUDGET_MAX;

  constructor(policy: RetryPolicy, clock: Clock, random: Random) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
  }

  async run<T>(what: string, signal: AbortSignal | undefined, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
    if (signal?.aborted === true) throw cancelled(signal, 'not-applied');
    const end = this.#clock.monotonicMs() + this.#policy.deadlineMs;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = new AbortController();
    this.#clock.sleep(this.#policy.deadlineMs, timer.signal).then(
      () => stop.abort(new NokvError('deadline-exceeded', `${what}: no answer within ${this.#policy.deadlineMs} ms`)),
      () => undefined,
    );
    let isAmbiguous = false;
    try {
      for (let number = 1; ; number += 1) {
        try {
          const result = await attempt({ number, isAmbiguous, signal: stop.signal });
          this.#budget = Math.min(BUDGET_MAX, this.#budget + 1);
          return result;
        } catch (error) {
          const failure = error instanceof TryAgain ? error.error : error;
          isAmbiguous ||= failure instanceof NokvError && failure.outcome === 'unknown';
          if (stop.signal.aborted) throw this.#ended(what, signal, isAmbiguous, failure);
          if (!(error instanceof TryAgain)) throw error;
          const delayMs = Math.max(this.#delayMs(number), error.afterMs ?? 0);
          const isLast = number >= this.#policy.attemptsMax || this.#budget < RETRY_COST || this.#clock.monotonicMs() + delayMs >= end;
          if (isLast) throw withOutcome(error.error, isAmbiguous);
          this.#budget -= RETRY_COST;
          await this.#clock.sleep(delayMs, stop.signal).catch(() => {
            throw this.#ended(what, signal, isAmbiguous, failure);
          });
        }
      }
    } finally {
      timer.abort();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #delayMs(attempts: number): number {
    return this.#random.float() * Math.min(this.#policy.delayMsMax, this.#policy.firstDelayMs * 2 ** attempts);
  }

  #ended(what: string, signal: AbortSignal | undefined, isAmbiguous: boolean, last: unknown): NokvError {
    const outcome = isAmbiguous ? 'unknown' : 'not-applied';
    if (signal?.aborted === true) return cancelled(signal, outcome);
    const because = last instanceof Error ? `; last: ${last.message}` : '';
    return new NokvError('deadline-exceeded', `${what}: no answer within ${this.#policy.deadlineMs} ms${because}; try again`, {
      outcome,
      cause: last,
    });
  }
}

function withOutcome(error: NokvError, isAmbiguous: boolean): NokvError {
  if (!isAmbiguous || error.outcome === 'unknown') return error;
  return new NokvError(error.code, error.message, { outcome: 'unknown', details: error.details, cause: error });
}
