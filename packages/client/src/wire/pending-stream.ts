import type { NokvError } from '@nokv/types';
import type { OperationDefinition } from '@nokv/protocol';

/**
 * Items of one stream that came and were not taken. The server sends no more than it was granted, so that the queue is
 * bounded by the window.
 */
export class PendingStream {
  readonly definition: OperationDefinition;
  readonly stream: number;
  readonly #window: number;
  #items: unknown[] = [];
  #taken = 0;
  #granted: number;
  #end: { readonly error: NokvError | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(definition: OperationDefinition, stream: number, window: number) {
    this.definition = definition;
    this.stream = stream;
    this.#window = window;
    this.#granted = window;
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** False when the server sent more than it may. */
  push(item: unknown): boolean {
    if (this.#granted === 0) return false;
    this.#granted -= 1;
    this.#items.push(item);
    this.#wakeUp();
    return true;
  }

  /** No more items come; those that are here are still handed out. */
  end(error: NokvError | undefined): void {
    this.#end ??= { error };
    this.#wakeUp();
  }

  /** Ends at once: items that were not taken are dropped. */
  abort(error: NokvError): void {
    this.#items = [];
    this.end(error);
  }

  /** Waits until `take` has something to say. */
  async ready(): Promise<void> {
    if (this.#items.length > 0 || this.#end !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The items that are here, or undefined at the end. Throws the error that ended the stream. */
  take(): unknown[] | undefined {
    if (this.#items.length > 0) {
      const items = this.#items;
      this.#items = [];
      return items;
    }
    if (this.#end?.error !== undefined) throw this.#end.error;
    return this.#end === undefined ? [] : undefined;
  }

  /** Says that an item was consumed; returns the credit to send back, 0 for not yet. */
  consumed(): number {
    this.#taken += 1;
    if (this.#taken * 2 < this.#window) return 0;
    const credit = this.#taken;
    this.#taken = 0;
    this.#granted += credit;
    return credit;
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
