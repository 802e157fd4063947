/** Waits for a shared promise no longer than one caller's budget; the promise itself goes on. */
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { CallBudget } from './retry.js';

export async function withinBudget<Result>(shared: Promise<Result>, budget: CallBudget, clock: Clock, what: () => string): Promise<Result> {
  const remainingMs = budget.deadlineMs - clock.monotonicMs();
  if (remainingMs <= 0) throw tooLate(budget, what());
  const stop = new AbortController();
  const signal = budget.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, budget.signal]);
  try {
    const isBounded = Number.isFinite(remainingMs);
    return await Promise.race([shared, isBounded ? expire(remainingMs) : aborted(signal)]);
  } finally {
    stop.abort();
  }

  async function expire(ms: number): Promise<never> {
    try {
      await clock.sleep(ms, signal);
    } catch {
      throw new NokvError('cancelled', 'the caller aborted the call');
    }
    throw tooLate(budget, what());
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new NokvError('cancelled', 'the caller aborted the call'));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

function tooLate(budget: CallBudget, what: string): NokvError {
  return new NokvError('deadline-exceeded', `${what} within ${budget.timeoutMs} ms; is the server running and reachable?`);
}
