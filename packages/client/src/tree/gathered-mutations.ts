/**
 * Mutations of a transfer that share requests: what is asked for while others are on their way goes out together, with
 * an answer each. Two requests are in flight at once, so that one is made while the other is answered. What is
 * gathered is bounded by its callers, who wait for their answers.
 */
import {
  type BatchAnswer,
  type BatchItem,
  type ListedMutation,
  type ListedOperation,
  type ListedResult,
  type MutationOperations,
  type TransactResult,
  type Version,
} from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import { mutationBytes } from '../path/batch.js';

const REQUESTS_IN_FLIGHT = 2;
const ITEMS_MAX = 256;
const REQUEST_BYTES_MAX = 2 * 1024 * 1024;

type Listed<Op extends ListedOperation> = { readonly version: Version; readonly result: MutationOperations[Op]['result'] };

interface Waiting {
  readonly item: BatchItem;
  readonly bytes: number;
  readonly resolve: (answer: ListedResult & { readonly version: Version }) => void;
  readonly reject: (error: unknown) => void;
}

export class GatheredMutations {
  readonly #context: ClientContext;
  readonly #signal: AbortSignal;
  #waiting: Waiting[] = [];
  #inFlight = 0;
  #isScheduled = false;

  constructor(context: ClientContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  mutate<Op extends ListedOperation>(operation: Op, args: MutationOperations[Op]['args']): Promise<Listed<Op>> {
    const item = { operation, args } as ListedMutation;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, bytes: mutationBytes(item), resolve: resolve as Waiting['resolve'], reject });
      this.#schedule();
    });
  }

  /** All of them or none, in a request of its own. */
  async transact(operations: readonly ListedMutation[]): Promise<TransactResult['results']> {
    const { result } = await this.#context.metadata.mutate('transact', { operations }, { signal: this.#signal });
    return result.results;
  }

  /** In a later turn of the event loop, so that all that this turn asks for goes together. */
  #schedule(): void {
    if (this.#isScheduled || this.#inFlight >= REQUESTS_IN_FLIGHT || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#send(this.#take());
    });
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { bytes: more } of this.#waiting) {
      if (count === ITEMS_MAX || (count > 0 && bytes + more > REQUEST_BYTES_MAX)) break;
      bytes += more;
      count += 1;
    }
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return taken;
  }

  async #send(taken: readonly Waiting[]): Promise<void> {
    this.#inFlight += 1;
    this.#schedule();
    try {
      const answers = await this.#context.metadata.mutateMany(
        taken.map(({ item }) => item),
        { signal: this.#signal },
      );
      taken.forEach(({ resolve, reject }, place) => settle(answers[place], resolve, reject));
    } catch (error) {
      for (const { reject } of taken) reject(error);
    } finally {
      this.#inFlight -= 1;
      this.#schedule();
    }
  }
}

function settle(answer: BatchAnswer | undefined, resolve: Waiting['resolve'], reject: Waiting['reject']): void {
  if (answer?.ok === true) resolve(answer.value);
  else reject(answer?.error ?? new Error('a batch was answered with fewer results than it had items'));
}
