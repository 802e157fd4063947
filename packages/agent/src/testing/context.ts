import { timespecFromMs, type Clock } from '@nokv/types';
import type { Budget, VerbContext } from '../budget.js';

/** A clock that stands at 2026-01-10T00:00:00Z until it is moved. */
export class StillClock implements Clock {
  ms = Date.UTC(2026, 0, 10);
  now() {
    return timespecFromMs(this.ms);
  }
  nowMs(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
  async sleep(): Promise<void> {}
}

export function testContext(budget?: Partial<Budget>, clock: Clock = new StillClock()): VerbContext {
  return { clock, ...(budget === undefined ? {} : { budget }) };
}
