/**
 * Runs tasks side by side, at most `limit` at once. The first failure aborts `signal`, makes every later `add` reject
 * with it, and is what `drain` rejects with; tasks that run are always waited for.
 */
import { sharedSignal } from '../session/shared-signal.js';

export class TaskPool {
  readonly #limit: number;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
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
    while (this.#running.size >= this.#limit && this.#failure === undefined) await Promise.race(this.#running);
    this.throwIfFailed();
    const run = this.#run(task);
    this.#running.add(run);
    void run.then(() => this.#running.delete(run));
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#abort.abort(error);
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits for every task; rejects with the first failure. */
  async drain(): Promise<void> {
    // Ends when no task is left; tasks may add others, in bounded number.
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.throwIfFailed();
  }

  async #run(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.fail(error);
    }
  }
}
