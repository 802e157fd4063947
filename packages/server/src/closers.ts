/** What was opened, to be closed last first; one that fails does not keep the others from closing. */
export class Closers {
  readonly #closers: (() => Promise<void>)[] = [];

  /** Notes how to close what was just opened, and hands it through. */
  add<T>(opened: T, close: (opened: T) => Promise<void>): T {
    this.#closers.push(() => close(opened));
    return opened;
  }

  /** Throws the first failure, after everything was tried. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      await close().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}
