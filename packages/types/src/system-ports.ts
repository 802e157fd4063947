/** The real clock and the real source of randomness: the only place that reads them. */
import { randomBytes } from 'node:crypto';
import type { Clock, Random } from './time.js';
import { timespecFromMs } from './time.js';

export const systemClock: Clock = {
  now: wallClock,
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep,
};

export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  float: () => Math.random(),
};

/**
 * `Date.now` follows adjustments of the system's clock but has milliseconds; the fraction below comes from
 * the monotonic clock, re-based whenever the two drift by more than two milliseconds.
 */
let baseMs = performance.timeOrigin;
function wallClock() {
  const coarse = Date.now();
  let fine = baseMs + performance.now();
  if (fine < coarse - 2 || fine > coarse + 2) {
    baseMs += coarse - fine;
    fine = coarse;
  }
  return timespecFromMs(fine);
}

/** Rejects with the signal's reason: Node's own would make an error with its stack for every sleep that is ended. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
