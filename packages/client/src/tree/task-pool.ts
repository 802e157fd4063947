/**
 * Runs tasks side by side, at most `limit` at once. The first failure aborts `signal`, makes every later `add` reject
 * with it, and is what `drain` rejects with; tasks that run are always waited for.
 */
import { sharedSignal } from '../session/shared-signal.js';

export class TaskPool {
  readonly #limit: number;
  readonly #abort = new AbortController();
  #running = 0;
  /** Callers of `add` in the order they came; each is handed the slot of a task that ended. */
  readonly #waiting: ((hasSlot: boolean) => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #failure: { readonly error: unknown } | undefined;

  /** @param signal fails the pool with its reason. */
  constructor(limit: number, signal: AbortSignal) {
    this.#limit = limit;
    sharedSignal(this.#abort.signal);
    const cancel = () => this.fail(signal.reason);
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true, signal: this.#abort.signal });
  }

  /** Aborted by the first failure: tasks pass it on. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves once the task has a slot and runs. */
  async add(task: () => Promise<void>): Promise<void> {
    this.throwIfFailed();
    if (this.#running < this.#limit) this.#running += 1;
    else if (await new Promise<boolean>((resolve) => this.#waiting.push(resolve))) this.#releaseIfFailed();
    this.throwIfFailed();
    void this.#run(task);
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#abort.abort(error);
    for (const wake of this.#waiting.splice(0)) wake(false);
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits for every task; rejects with the first failure. */
  async drain(): Promise<void> {
    // Ends when no task is left; tasks may add others, in bounded number.
    while (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.throwIfFailed();
  }

  async #run(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#release();
    }
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) return next(true);
    this.#running -= 1;
    if (this.#running === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  #releaseIfFailed(): void {
    if (this.#failure !== undefined) this.#release();
  }
}
