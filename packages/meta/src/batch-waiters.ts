/** Who waits for the items of a batch: one promise for all of them. */
import { toNokvError, type BatchAnswer, type BatchItem, type ListedResult, type Version } from '@nokv/types';
import type { Waiter } from './commit-pipeline.js';
import { deferred } from './deferred.js';
import type { Evaluated } from './evaluated-batch.js';

export class BatchWaiters {
  readonly #items: readonly BatchItem[];
  readonly #answers: BatchAnswer[];
  readonly #all = deferred<readonly BatchAnswer[]>();
  #waiting: number;

  constructor(items: readonly BatchItem[]) {
    this.#items = items;
    this.#answers = Array.from({ length: items.length });
    this.#waiting = items.length;
    if (items.length === 0) this.#all.resolve(this.#answers);
  }

  /** In the order of the items, once all of them are settled. */
  get answers(): Promise<readonly BatchAnswer[]> {
    return this.#all.promise;
  }

  at(place: number): Waiter {
    return new ItemWaiter(this, place);
  }

  resolved(place: number, { version, result }: Evaluated): void {
    const { operation } = this.#items[place] as BatchItem;
    // The result is that of this very operation.
    this.#settle(place, { ok: true, value: { operation, version, result } as ListedResult & { readonly version: Version } });
  }

  rejected(place: number, error: Error): void {
    this.#settle(place, { ok: false, error: toNokvError(error) });
  }

  #settle(place: number, answer: BatchAnswer): void {
    this.#answers[place] = answer;
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#all.resolve(this.#answers);
  }
}

class ItemWaiter implements Waiter {
  readonly #batch: BatchWaiters;
  readonly #place: number;

  constructor(batch: BatchWaiters, place: number) {
    this.#batch = batch;
    this.#place = place;
  }

  resolve(evaluated: Evaluated): void {
    this.#batch.resolved(this.#place, evaluated);
  }

  reject(error: Error): void {
    this.#batch.rejected(this.#place, error);
  }
}
