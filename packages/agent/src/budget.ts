/** What one call may take. Every verb stops at these bounds, says which one it met and hands back a cursor. */
import { NokvError, type Clock } from '@nokv/types';
import { setImmediate as nextTurn } from 'node:timers/promises';

export interface Budget {
  /** Bytes of the answer as JSON. */
  readonly answerBytes: number;
  /** Entries that a scan may touch. */
  readonly entries: number;
  /** Milliseconds until a scan stops with what it has. */
  readonly timeMs: number;
  /** Bytes of bodies that a search may read. */
  readonly searchBytes: number;
}

/** 100 KB of JSON are at most about 25,000 tokens. */
export const BUDGET_DEFAULT: Budget = {
  answerBytes: 100_000,
  entries: 200_000,
  timeMs: 10_000,
  searchBytes: 4 * 1024 * 1024 * 1024,
};

/** What a caller of a verb brings along. */
export interface VerbContext {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly budget?: Partial<Budget> | undefined;
  /** Relative paths begin here and absent ones mean it (default `/`). It does not confine: {@link jailPlane} does. */
  readonly root?: string | undefined;
}

export type StopReason = 'entries' | 'deadline' | 'bytes' | 'limit' | 'answer';

/** Work goes on so long before other calls of the process get their turn. */
const TURN_MS = 2;

/** Watches the time of one call. */
export class Stopwatch {
  #turnEndMs = 0;
  readonly #clock: Clock;
  readonly #endMs: number;
  readonly #signal: AbortSignal | undefined;

  constructor(context: VerbContext, timeMs: number) {
    this.#clock = context.clock;
    this.#endMs = context.clock.monotonicMs() + timeMs;
    this.#signal = context.signal;
  }

  /** Whether the time is over; throws `cancelled` when the caller gave up. */
  isOver(): boolean {
    checkSignal(this.#signal);
    return this.#clock.monotonicMs() >= this.#endMs;
  }

  /** Lets others have their turn when this call has had a long one: a search must not delay a ping. */
  async pause(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#turnEndMs) return;
    if (this.#turnEndMs > 0) await nextTurn();
    this.#turnEndMs = this.#clock.monotonicMs() + TURN_MS;
    checkSignal(this.#signal);
  }

  get signal(): AbortSignal | undefined {
    return this.#signal;
  }
}

export function budgetOf(context: VerbContext): Budget {
  return { ...BUDGET_DEFAULT, ...context.budget };
}

export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new NokvError('cancelled', 'the call was cancelled', { cause: signal.reason });
}
