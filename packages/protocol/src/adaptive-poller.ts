/**
 * Keeps the event loop turning for a short while after a message, so that the next one finds the process awake.
 *
 * Waking a sleeping process costs tens of microseconds on virtual machines, more than the rest of a small round trip.
 * While polling, `setImmediate` makes the loop look at its sockets without sleeping. Two things are learnt:
 *
 * - the usual gap between messages (their median), from gaps that polling itself did not lengthen. The window is a few
 *   times that, and never more than `windowMsMax`; messages that come more seldom are not waited for awake;
 * - whether it pays. A window that ends with nothing having come is a miss: the next messages are waited for asleep,
 *   twice as many after each further miss and half as many after each hit. So a machine whose cores are all busy, where
 *   polling keeps the peer from running, soon has none of it, and an idle process sleeps and uses no CPU.
 *
 * One poller may serve a whole process: every connection reports to it what it received and sent.
 */
import type { Clock } from '@nokv/types';

/** Beyond it the wake-up is a small part of the round trip. */
const WINDOW_MS_MAX = 0.3;
const WINDOW_MS_MIN = 0.05;
/** The window is this many times the usual gap. */
const PATIENCE = 4;
/** How far one gap moves the median, relative to it. */
const LEARNING = 1 / 8;
/** The median stays within so many times the longest window, so that a few quick messages after a pause are enough. */
const GAP_WINDOWS_MAX = 2;
/** Messages that are waited for asleep after a row of misses. */
const PENALTY_MAX = 256;
/** Whatever the clock says, at most so many turns in a row: a stopped clock must not keep a process awake. */
const TURNS_MAX = 10_000;

export interface AdaptivePollerStats {
  /** Turns of the event loop made only to look for messages. */
  readonly turns: number;
  /** Messages that found the process awake because of it. */
  readonly hits: number;
  /** Times that a window ended with nothing having come. */
  readonly misses: number;
  /** How long the next message would be waited for awake. */
  readonly windowMs: number;
}

export class AdaptivePoller {
  readonly #clock: Clock;
  readonly #windowMsMax: number;
  #usualGapMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #windowEndsAt = Number.NEGATIVE_INFINITY;
  /** True from a miss until the next message: the gap that it ends was lengthened by polling. */
  #hasMissed = false;
  #penalty = 1;
  /** Messages still to be waited for asleep. */
  #asleepFor = 0;
  #isTurning = false;
  #turnsInRow = 0;
  #turns = 0;
  #hits = 0;
  #misses = 0;

  constructor(clock: Clock, windowMsMax = WINDOW_MS_MAX) {
    this.#clock = clock;
    this.#windowMsMax = windowMsMax;
    this.#usualGapMs = windowMsMax * GAP_WINDOWS_MAX;
  }

  get stats(): AdaptivePollerStats {
    const windowMs = this.#asleepFor > 0 ? 0 : this.#windowMs();
    return { turns: this.#turns, hits: this.#hits, misses: this.#misses, windowMs };
  }

  /** Bytes came: learn from it, and stay awake for a while. */
  received(): void {
    const now = this.#clock.monotonicMs();
    if (this.#isTurning) {
      this.#hits += 1;
      this.#penalty = Math.max(1, this.#penalty >> 1);
    } else if (this.#asleepFor > 0) {
      this.#asleepFor -= 1;
    }
    if (!this.#hasMissed) this.#learn(now - this.#lastMs);
    this.#hasMissed = false;
    this.#stayAwake(now);
  }

  /** Bytes left: an answer, or the next question, may come soon. */
  sent(): void {
    this.#stayAwake(this.#clock.monotonicMs());
  }

  #learn(gapMs: number): void {
    const step = 1 + LEARNING;
    const moved = gapMs > this.#usualGapMs ? this.#usualGapMs * step : this.#usualGapMs / step;
    this.#usualGapMs = Math.min(Math.max(moved, WINDOW_MS_MIN / PATIENCE), this.#windowMsMax * GAP_WINDOWS_MAX);
  }

  #stayAwake(now: number): void {
    this.#lastMs = now;
    const windowMs = this.#windowMs();
    if (windowMs === 0 || this.#asleepFor > 0) return;
    this.#windowEndsAt = now + windowMs;
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#turnsInRow = 0;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turns += 1;
    this.#turnsInRow += 1;
    if (this.#turnsInRow < TURNS_MAX && this.#clock.monotonicMs() < this.#windowEndsAt) {
      setImmediate(this.#turn);
      return;
    }
    this.#isTurning = false;
    this.#hasMissed = true;
    this.#misses += 1;
    this.#asleepFor = this.#penalty;
    this.#penalty = Math.min(this.#penalty * 2, PENALTY_MAX);
  };

  #windowMs(): number {
    if (this.#usualGapMs > this.#windowMsMax) return 0;
    return Math.min(Math.max(this.#usualGapMs * PATIENCE, WINDOW_MS_MIN), this.#windowMsMax);
  }
}
