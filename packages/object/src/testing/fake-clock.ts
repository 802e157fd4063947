/** A clock that moves only when it is told, or by itself to the next sleeper. */
import { timespecFromMs, type Clock } from '@nokv/types';

export interface FakeClock extends Clock {
  /** How long each sleep was asked to be, in order. */
  readonly sleeps: readonly number[];
}

/** Sleeps end at once and move the clock; those longer than `longMs` (deadlines) wait for their signal. */
export function fakeClock(longMs = Infinity): FakeClock {
  let now = 1_000_000;
  const sleeps: number[] = [];
  return {
    sleeps,
    now: () => timespecFromMs(now),
    nowMs: () => now,
    monotonicMs: () => now,
    sleep: async (ms, signal) => {
      if (ms >= longMs) return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }));
      sleeps.push(ms);
      now += ms;
    },
  };
}
