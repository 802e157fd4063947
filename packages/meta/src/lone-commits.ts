/**
 * Whether a lone commit is made in the thread of the event loop: as long as such commits are quick on the average. When they were not, the
 * writer thread makes the next ones, and after some of them one is tried here again: only a commit made here tells what one made here
 * costs, since through the other thread the wake-ups count too. Each try that was slow puts off the next one twice as far.
 */
import type { Clock } from '@nokv/types';

/** Whoever else is served waits for a commit that is made here. */
const QUICK_MS_MAX = 1;
/** How far one commit moves the average, and what it counts at most: a few slow ones among many quick ones change nothing. */
const LEARNING = 1 / 8;
const COUNTED_MS_MAX = 5;
const TRY_AFTER_MIN = 4;
const TRY_AFTER_MAX = 1024;

export class LoneCommits {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #usualMs: number | undefined;
  #tryAfter = TRY_AFTER_MIN;
  /** Commits that the writer thread makes before one is tried here. */
  #left = 1;
  #startedMs = 0;

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Asked for each lone commit. */
  belongHere(): boolean {
    if (this.#usualMs !== undefined && this.#usualMs <= QUICK_MS_MAX) return true;
    if (this.#left === 0) return true;
    this.#left -= 1;
    return false;
  }

  begin(): void {
    this.#startedMs = this.#clock.monotonicMs();
  }

  end(): void {
    const ms = Math.min(this.#clock.monotonicMs() - this.#startedMs, COUNTED_MS_MAX);
    const usualMs = this.#usualMs;
    const wasQuick = usualMs !== undefined && usualMs <= QUICK_MS_MAX;
    if (wasQuick) {
      this.#usualMs = usualMs + (ms - usualMs) * LEARNING;
      if (this.#usualMs > QUICK_MS_MAX) this.#left = this.#tryAfter;
      return;
    }
    this.#usualMs = ms;
    if (ms <= QUICK_MS_MAX) {
      this.#tryAfter = TRY_AFTER_MIN;
    } else {
      this.#left = this.#tryAfter;
      this.#tryAfter = Math.min(this.#tryAfter * 2, TRY_AFTER_MAX);
    }
  }

  /** A commit here came to nothing: not here for a while. */
  failed(): void {
    this.#usualMs = undefined;
    this.#left = TRY_AFTER_MIN;
  }
}
