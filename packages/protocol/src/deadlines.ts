/**
 * Deadlines of many calls with one timer: set for the earliest, re-set when it fires.
 *
 * A call that ends early leaves the timer alone, so that starting and ending a call costs one comparison. `expire` is
 * asked to end what is due and to say when the next deadline is.
 */
import type { Clock } from '@nokv/types';

/** Node's timers hold a signed 32-bit number of milliseconds; what lies beyond is looked at again then. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Deadlines {
  readonly #clock: Clock;
  /** Ends everything whose deadline is `now` or earlier; returns the earliest that is left, or Infinity. */
  readonly #expire: (now: number) => number;
  #armedAt = Number.POSITIVE_INFINITY;
  #timer: AbortController | undefined;

  constructor(clock: Clock, expire: (now: number) => number) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** Makes sure that something happens at `deadlineAt` (monotonic milliseconds; Infinity: nothing to do). */
  watch(deadlineAt: number): void {
    if (deadlineAt >= this.#armedAt) return;
    this.#timer?.abort();
    const timer = new AbortController();
    this.#timer = timer;
    this.#armedAt = deadlineAt;
    const ms = Math.min(Math.max(0, Math.ceil(deadlineAt - this.#clock.monotonicMs())), TIMER_MS_MAX);
    this.#clock.sleep(ms, timer.signal).then(
      () => this.#fire(timer),
      () => undefined,
    );
  }

  close(): void {
    this.#timer?.abort();
    this.#timer = undefined;
    this.#armedAt = Number.NEGATIVE_INFINITY;
  }

  #fire(timer: AbortController): void {
    if (this.#timer !== timer) return;
    this.#timer = undefined;
    this.#armedAt = Number.POSITIVE_INFINITY;
    this.watch(this.#expire(this.#clock.monotonicMs()));
  }
}
