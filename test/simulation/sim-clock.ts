/** Virtual time: it moves when the scheduler says so, and timers go off in the order of their times. */
import { timespecFromMs, type Clock, type Timespec } from '@nokv/types';
import { deferred } from './deferred.js';
import type { SeededRandom } from './seeded-random.js';
import type { Choice } from './scheduler.js';

const START_MS = 1_800_000_000_000;

interface Timer {
  readonly dueMs: number;
  readonly owner: SimClock;
  readonly ring: () => void;
}

export class SimTime {
  ms = START_MS;
  /** Whether time may leap beyond the next timer. */
  leaps = true;
  readonly #timers: Timer[] = [];
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  add(timer: Timer): void {
    this.#timers.push(timer);
    this.#timers.sort((a, b) => a.dueMs - b.dueMs);
  }

  /** Timers of a process that died never go off. */
  forget(owner: SimClock): void {
    for (let i = this.#timers.length - 1; i >= 0; i--) if (this.#timers[i]?.owner === owner) this.#timers.splice(i, 1);
  }

  choices(): readonly Choice[] {
    const choices: Choice[] = [];
    if (this.#timers.length > 0) choices.push({ name: 'timer', weight: 6, run: () => this.#ring() });
    if (this.leaps) {
      const leap = this.#random.pick([10, 10, 500, 500, 20_000, 60_000, 400_000, 2_000_000]);
      choices.push({ name: `time +${leap} ms`, weight: 1.5, run: () => this.advance(leap) });
    }
    return choices;
  }

  advance(ms: number): void {
    this.ms += ms;
    while ((this.#timers[0]?.dueMs ?? Number.POSITIVE_INFINITY) <= this.ms) this.#ring();
  }

  #ring(): void {
    const timer = this.#timers.shift();
    if (timer === undefined) return;
    this.ms = Math.max(this.ms, timer.dueMs);
    timer.ring();
  }
}

/** The clock of one process. */
export class SimClock implements Clock {
  readonly #time: SimTime;

  constructor(time: SimTime) {
    this.#time = time;
  }

  now(): Timespec {
    return timespecFromMs(this.#time.ms);
  }

  nowMs(): number {
    return this.#time.ms;
  }

  monotonicMs(): number {
    return this.#time.ms - START_MS;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    this.#time.add({ dueMs: this.#time.ms + ms, owner: this, ring: resolve });
    return promise;
  }
}
