/** Virtual time: it moves when the scheduler says so, and timers go off in the order of their times. */
import { timespecFromMs, type Clock, type Timespec } from '@nokv/types';
import { deferred } from './deferred.js';
import type { SeededRandom } from './seeded-random.js';
import type { Choice } from './scheduler.js';

const START_MS = 1_800_000_000_000;
const SOON_MS = 100;

interface Timer {
  readonly dueMs: number;
  readonly owner: SimClock;
  readonly ring: () => void;
}

export class SimTime {
  ms = START_MS;
  /** Whether time may leap beyond the next timer. */
  leaps = true;
  leapWeight = 1.5;
  /** Whether deadlines pass only where nothing else can happen. */
  isPatient = false;
  readonly #timers: Timer[] = [];
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  add(timer: Timer): void {
    this.#timers.push(timer);
    this.#timers.sort((a, b) => a.dueMs - b.dueMs);
  }

  remove(timer: Timer): void {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  }

  /** Timers of a process that died never go off. */
  forget(owner: SimClock): void {
    for (let i = this.#timers.length - 1; i >= 0; i--) if (this.#timers[i]?.owner === owner) this.#timers.splice(i, 1);
  }

  choices(): readonly Choice[] {
    const choices: Choice[] = [];
    const [next] = this.#timers;
    // Short pauses end soon; deadlines are there to be met, most of the time.
    if (next !== undefined) choices.push({ name: 'timer', weight: this.#weightOf(next), run: () => this.#ring() });
    if (this.leaps) {
      const leap = this.#random.pick([10, 10, 500, 500, 20_000, 60_000, 400_000, 2_000_000]);
      choices.push({ name: `time +${leap} ms`, weight: this.leapWeight, run: () => this.advance(leap) });
    }
    return choices;
  }

  #weightOf({ dueMs }: Timer): number {
    if (dueMs - this.ms <= SOON_MS) return 6;
    return this.isPatient ? 1e-6 : 0.3;
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
    const timer: Timer = { dueMs: this.#time.ms + ms, owner: this, ring: resolve };
    const stop = (): void => {
      this.#time.remove(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', stop, { once: true });
    this.#time.add(timer);
    return promise;
  }
}
