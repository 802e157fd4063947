/** Pings that wait for their pongs. */
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';

export class Pings {
  readonly #clock: Clock;
  readonly #peer: string;
  readonly #waiting = new Map<number, (failure: NokvError | undefined) => void>();
  #last = 0;

  constructor(clock: Clock, peer: string) {
    this.#clock = clock;
    this.#peer = peer;
  }

  /** Sends a ping by `send` and resolves with the milliseconds until its pong. */
  ping(timeoutMs: number, send: (mark: number) => void): Promise<number> {
    const mark = (this.#last = (this.#last + 1) >>> 0);
    const start = this.#clock.monotonicMs();
    const timer = new AbortController();
    return new Promise((resolve, reject) => {
      this.#waiting.set(mark, (failure) => {
        this.#waiting.delete(mark);
        timer.abort();
        if (failure === undefined) resolve(this.#clock.monotonicMs() - start);
        else reject(failure);
      });
      this.#clock.sleep(timeoutMs, timer.signal).then(
        () => this.#waiting.get(mark)?.(new NokvError('deadline-exceeded', `${this.#peer} did not answer a ping within ${timeoutMs} ms`)),
        () => undefined,
      );
      send(mark);
    });
  }

  pong(mark: number): void {
    this.#waiting.get(mark)?.(undefined);
  }

  fail(reason: NokvError): void {
    for (const settle of this.#waiting.values()) settle(reason);
  }
}
