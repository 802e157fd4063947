/**
 * The only place of the client that retries.
 *
 * Reads are asked again while the failure is of a kind that time or another server can mend. Mutations are asked
 * again under the same request id, drawn before the first attempt, so that the shard gives the first result a second
 * time; a failure whose outcome is unknown therefore reaches the caller only when the deadline has passed or the
 * signal has fired, and then with the request id in its details. Nothing else is retried, and nothing is retried
 * without a deadline.
 */
import type { Clock, ErrorCode, Random, RequestId } from '@nokv/types';
import { NokvError, toNokvError } from '@nokv/types';

/** What one call may take: an absolute deadline of the monotonic clock and the caller's signal. */
export interface CallBudget {
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface RetryPolicy {
  readonly clock: Clock;
  readonly random: Random;
}

/** Waits between attempts: the n-th is drawn from the upper half of `min(RETRY_DELAY_MS_MAX, first · 2^n)`. */
const RETRY_DELAY_MS_FIRST = 10;
export const RETRY_DELAY_MS_MAX = 1000;

/**
 * Failures that the same request may survive: the peer is away, leaves, is full for a moment, or does not own
 * the shard (any more). `store-unfit` is not among them: time does not mend it.
 */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'unavailable',
  'connection-lost',
  'draining',
  'too-busy',
  'store-unavailable',
  'control-unavailable',
  'fenced',
  'lease-lost',
  'not-owner',
]);

export function isPassing(error: NokvError): boolean {
  return PASSING.has(error.code);
}

export function retryDelayMs(attempt: number, random: Random): number {
  const ceiling = Math.min(RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_FIRST * 2 ** Math.min(attempt, 16));
  return ceiling * (0.5 + random.float() / 2);
}

export interface Attempt<Result> {
  /** One attempt, with the time that is left. */
  run(remainingMs: number): Promise<Result>;
  /** Hears of each attempt that failed, before anything is decided. */
  failed?(error: NokvError): void;
}

/** Runs `attempt` until it succeeds, fails for good, or the budget is spent. */
export function retrying<Result>(
  policy: RetryPolicy,
  budget: CallBudget,
  requestId: RequestId | undefined,
  attempt: Attempt<Result>,
): Promise<Result> {
  // The first attempt is that of nearly every call: nothing is set up for another before it has failed.
  return runOnce(policy, budget, attempt).catch((thrown: unknown) => retryAfter(policy, budget, requestId, attempt, thrown));
}

/** Goes on after a first attempt that failed with `failure`. The loop ends by the deadline. */
async function retryAfter<Result>(
  policy: RetryPolicy,
  budget: CallBudget,
  requestId: RequestId | undefined,
  attempt: Attempt<Result>,
  failure: unknown,
): Promise<Result> {
  let thrown = failure;
  let isUnknown = false;
  for (let tries = 0; ; tries++) {
    const error = budget.signal?.aborted === true ? cancelled(budget.signal, thrown) : toNokvError(thrown);
    attempt.failed?.(error);
    isUnknown ||= error.outcome === 'unknown';
    const delayMs = retryDelayMs(tries, policy.random);
    const hasTime = policy.clock.monotonicMs() + delayMs < budget.deadlineMs;
    if (!isPassing(error) || !hasTime) throw finalError(error, budget, requestId, isUnknown, tries + 1);
    try {
      await policy.clock.sleep(delayMs, budget.signal);
    } catch (aborted) {
      throw finalError(cancelled(budget.signal, aborted), budget, requestId, isUnknown, tries + 1);
    }
    try {
      return await runOnce(policy, budget, attempt);
    } catch (again) {
      thrown = again;
    }
  }
}

function runOnce<Result>(policy: RetryPolicy, budget: CallBudget, attempt: Attempt<Result>): Promise<Result> {
  try {
    budget.signal?.throwIfAborted();
    return attempt.run(budget.deadlineMs - policy.clock.monotonicMs());
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * The error that the caller sees. A refusal that proves what the shard decided (`exists`, `generation-mismatch` …) stays
 * as it is: the shard answers a repeated request id with its first result, so the refusal is the outcome. For
 * anything else, one attempt of unknown outcome makes the whole call unknown.
 */
function finalError(error: NokvError, budget: CallBudget, requestId: RequestId | undefined, isUnknown: boolean, tries: number): NokvError {
  const isTimedOut = isPassing(error);
  if (requestId === undefined || !isUnknown || isDecision(error)) {
    return isTimedOut && tries > 1
      ? new NokvError(error.code, `${error.message} (gave up after ${tries} attempts in ${budget.timeoutMs} ms)`, {
          details: error.details,
          cause: error,
        })
      : error;
  }
  const details = { ...error.details, requestId };
  return new NokvError(error.code, `${error.message}; it may have taken effect: ask again with request id ${requestId}`, {
    outcome: 'unknown',
    details,
    cause: error,
  });
}

function isDecision(error: NokvError): boolean {
  return error.outcome === 'not-applied' && !isPassing(error) && error.code !== 'cancelled' && error.code !== 'deadline-exceeded';
}

/**
 * What an aborted call says: a signal that carries an error of ours (the deadline of a transfer) speaks for itself. An
 * attempt that was under way keeps its own outcome.
 */
function cancelled(signal: AbortSignal | undefined, thrown: unknown): NokvError {
  const outcome = thrown instanceof NokvError ? thrown.outcome : 'not-applied';
  const reason: unknown = signal?.reason;
  const [code, message] =
    reason instanceof NokvError ? [reason.code, reason.message] : (['cancelled', 'the caller aborted the call'] as const);
  return new NokvError(code, message, { outcome, cause: reason });
}
