/** How many gets one reader has under way at once, whoever of its callers they are for; those beyond wait in order. */

export class FetchBudget {
  #left: number;
  readonly #waiting: (() => void)[] = [];

  constructor(fetchesMax: number) {
    this.#left = fetchesMax;
  }

  /** A caller that gave up while it waited takes its turn and ends there: the work looks at its signal first. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#left > 0) this.#left -= 1;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#left += 1;
      else next();
    }
  }
}
