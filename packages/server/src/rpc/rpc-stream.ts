/**
 * One stream of items on its way to a client: pulls the handler's iterable while there is credit and room.
 *
 * It waits for nobody but its own client: a stream without credit costs its place in a table.
 */
import { NokvError, toNokvError } from '@nokv/types';
import { CREDIT_MAX } from '@nokv/protocol';
import type { RpcCall } from './rpc-call.js';

export interface RpcStreamSink {
  /** True while the connection takes nothing more. */
  isBlocked(): boolean;
  /** Throws when the item cannot be sent. */
  onItem(item: unknown): void;
  /** Once. `isWanted` is false when the client cancelled or went: it expects nothing more. */
  onEnd(error: NokvError | undefined, isWanted: boolean): void;
}

export class RpcStream {
  readonly #call: RpcCall;
  readonly #iterator: AsyncIterator<unknown>;
  readonly #sink: RpcStreamSink;
  #credit: number;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(call: RpcCall, items: AsyncIterable<unknown>, credit: number, sink: RpcStreamSink) {
    this.#call = call;
    this.#iterator = items[Symbol.asyncIterator]();
    this.#credit = credit;
    this.#sink = sink;
  }

  get deadlineAt(): number {
    return this.#call.deadlineAt;
  }

  start(): void {
    void this.#run();
  }

  /** Credit adds up to a bound that no honest client needs. */
  grant(items: number): void {
    this.#credit = Math.min(this.#credit + items, CREDIT_MAX * 2);
    this.unblocked();
  }

  unblocked(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Nobody waits for it any more. */
  cancel(reason: NokvError): void {
    this.#finish(reason, false);
  }

  /** Ends it with an error that the client is told. */
  stop(reason: NokvError): void {
    this.#finish(reason, true);
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isOver) {
        if (this.#credit === 0 || this.#sink.isBlocked()) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        const { done, value } = await this.#iterator.next();
        if (this.#isOver) return;
        if (done === true) return this.#finish(undefined, true);
        this.#credit -= 1;
        this.#sink.onItem(value);
      }
    } catch (error) {
      this.#finish(toNokvError(error), true);
    }
  }

  #finish(error: NokvError | undefined, isWanted: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.onEnd(error, isWanted);
    this.#call.abandon(error ?? new NokvError('cancelled', 'the stream has ended'));
    this.unblocked();
    // The handler may be waiting for its next item: its signal has fired, and nobody waits for it here.
    Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
  }
}
