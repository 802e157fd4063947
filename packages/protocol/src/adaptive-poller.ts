/**
 * Keeps the event loop turning for a short while after a message, so that the next one finds the process awake.
 *
 * Waking a sleeping process costs tens of microseconds on virtual machines, more than the rest of a small round trip.
 * While polling, `setImmediate` makes the loop look at its sockets without sleeping. How long is learnt from the gaps
 * between messages: a few times the usual gap, never more than `windowMsMax`; when the usual gap is longer than that,
 * polling cannot pay and none is done. An idle process therefore sleeps and uses no CPU.
 *
 * One poller may serve a whole process: every connection reports to it what it received and sent.
 */
import type { Clock } from '@nokv/types';

/** Longer gaps are not waited for awake: beyond it the wake-up is a small part of the round trip. */
const WINDOW_MS_MAX = 0.5;
const WINDOW_MS_MIN = 0.05;
/** A gap counts for at most so much, so that a few quick messages after a pause are enough to learn. */
const GAP_MS_COUNTED_MAX = 4;
/** Weight of the newest gap. */
const LEARNING = 1 / 8;
/** Whatever the clock says, at most so many turns in a row: a stopped clock must not keep a process awake. */
const TURNS_MAX = 10_000;
/** The window is this many times the usual gap. */
const PATIENCE = 4;

export interface AdaptivePollerStats {
  /** Turns of the event loop made only to look for messages. */
  readonly turns: number;
  /** Times that polling ended with nothing having come. */
  readonly slept: number;
  readonly windowMs: number;
}

export class AdaptivePoller {
  readonly #clock: Clock;
  readonly #windowMsMax: number;
  #usualGapMs = GAP_MS_COUNTED_MAX;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isTurning = false;
  #turns = 0;
  #turnsInRow = 0;
  #slept = 0;

  constructor(clock: Clock, windowMsMax = WINDOW_MS_MAX) {
    this.#clock = clock;
    this.#windowMsMax = windowMsMax;
  }

  get stats(): AdaptivePollerStats {
    return { turns: this.#turns, slept: this.#slept, windowMs: this.#windowMs() };
  }

  /** Bytes came: learn from the gap since the last message either way, and stay awake for a while. */
  received(): void {
    const now = this.#clock.monotonicMs();
    const gap = Math.min(now - this.#lastMs, GAP_MS_COUNTED_MAX);
    this.#usualGapMs += (gap - this.#usualGapMs) * LEARNING;
    this.#stayAwake(now);
  }

  /** Bytes left: an answer, or the next question, may come soon. */
  sent(): void {
    this.#stayAwake(this.#clock.monotonicMs());
  }

  #stayAwake(now: number): void {
    this.#lastMs = now;
    if (this.#isTurning || this.#windowMs() === 0) return;
    this.#isTurning = true;
    this.#turnsInRow = 0;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turns += 1;
    this.#turnsInRow += 1;
    if (this.#turnsInRow < TURNS_MAX && this.#clock.monotonicMs() - this.#lastMs < this.#windowMs()) {
      setImmediate(this.#turn);
      return;
    }
    this.#isTurning = false;
    this.#slept += 1;
  };

  #windowMs(): number {
    if (this.#usualGapMs > this.#windowMsMax) return 0;
    return Math.min(Math.max(this.#usualGapMs * PATIENCE, WINDOW_MS_MIN), this.#windowMsMax);
  }
}
