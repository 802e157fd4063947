/** A bound on what is held in memory at once: whoever gets no slot waits in line, and the line is bounded too. */
import { NokvError } from '@nokv/types';

export class Slots {
  readonly #max: number;
  readonly #waitersMax: number;
  readonly #waiters: (() => void)[] = [];
  #taken = 0;

  constructor(max: number, waitersMax: number) {
    this.#max = max;
    this.#waitersMax = waitersMax;
  }

  /** Resolves with how to give the slot back (once; repeating it is harmless). Errors: `too-busy`, `cancelled`. */
  async take(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw gone();
    if (this.#taken < this.#max) this.#taken += 1;
    else await this.#wait(signal);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const next = this.#waiters.shift();
      // The slot is handed over, not freed: nobody overtakes the line.
      if (next === undefined) this.#taken -= 1;
      else next();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiters.length >= this.#waitersMax) {
      throw new NokvError('too-busy', `${this.#max} blocks are under way and ${this.#waitersMax} wait; try again shortly`);
    }
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        const at = this.#waiters.indexOf(enter);
        if (at >= 0) this.#waiters.splice(at, 1);
        reject(gone());
      };
      this.#waiters.push(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}

function gone(): NokvError {
  return new NokvError('cancelled', 'the client went away before its turn');
}
