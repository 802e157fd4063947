/**
 * Whether calls on local files are made on the calling thread. What the kernel has in memory is answered in a few microseconds there,
 * a tenth of what a trip to a thread of the pool costs; what it has to fetch from a disk or over a network is better waited for elsewhere,
 * several at a time. So calls are timed: while they are quick on average they are made here, and when they are not, the next ones go
 * to the pool, until it is tried again.
 */

/** Of one call, on average. */
const SLOW_MS = 0.3;
const WEIGHT = 0.1;
const CALLS_ELSEWHERE = 200;

export class QuickCalls {
  readonly #nowMs: () => number;
  #averageMs = 0;
  #elsewhere = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param here does it on this thread; @param later in the pool. */
  async do<Result>(here: () => Result, later: () => Promise<Result>): Promise<Result> {
    if (this.#elsewhere > 0) {
      this.#elsewhere -= 1;
      return later();
    }
    const begunMs = this.#nowMs();
    try {
      return here();
    } finally {
      this.#averageMs += (this.#nowMs() - begunMs - this.#averageMs) * WEIGHT;
      if (this.#averageMs > SLOW_MS) {
        this.#elsewhere = CALLS_ELSEWHERE;
        this.#averageMs = 0;
      }
    }
  }
}
