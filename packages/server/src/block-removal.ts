/**
 * Removes the blocks of uploads, those of many in one request of at most 1,000 keys. Whether this process may still do so is asked
 * after the listing and again before each request that deletes, repeats included: a process that slept beyond its lease deletes nothing.
 */
import { LIST_KEYS_MAX, type ObjectStore } from '@nokv/object';
import { uploadPrefix, type UploadId } from '@nokv/types';
import type { HitFailpoint } from './failpoints.js';

export interface BlockRemovalParts {
  readonly store: ObjectStore;
  /** Throws where this process may not delete (any more). */
  readonly mayGoOn: () => void;
  readonly failpoint?: HitFailpoint;
  readonly signal?: AbortSignal | undefined;
}

export interface Removed {
  readonly blocks: number;
  readonly bytes: number;
}

/** What waits for the request that deletes it. */
interface Batch {
  readonly keys: readonly string[];
  readonly settle: (error: unknown) => void;
}

export class BlockRemoval {
  blocks = 0;
  bytes = 0;
  readonly #parts: BlockRemovalParts;
  #listing = 0;
  #waiting: Batch[] = [];

  constructor(parts: BlockRemovalParts) {
    this.#parts = parts;
  }

  /** Resolves when every block of the upload is gone. Repeating it is harmless. */
  async remove(upload: UploadId): Promise<Removed> {
    const { store, signal } = this.#parts;
    const removed = { blocks: 0, bytes: 0 };
    let after: string | undefined;
    // Ends because every round goes on behind the last, whatever the deletion did.
    for (;;) {
      this.#parts.mayGoOn();
      this.#listing += 1;
      const page = await store.list(uploadPrefix(upload), { limit: LIST_KEYS_MAX, after, signal }).finally(() => {
        this.#listing -= 1;
        if (this.#listing === 0) queueMicrotask(() => this.#flushIfIdle());
      });
      const keys = page.objects.map(({ key }) => key);
      if (keys.length > 0) await this.#deleted(keys);
      removed.blocks += keys.length;
      for (const { size } of page.objects) removed.bytes += size;
      after = keys.at(-1);
      if (!page.more || after === undefined) break;
    }
    this.blocks += removed.blocks;
    this.bytes += removed.bytes;
    return removed;
  }

  #deleted(keys: readonly string[]): Promise<void> {
    const deleted = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ keys, settle: (error) => (error === undefined ? resolve() : reject(error as Error)) });
    });
    // The listings of one slice come back one after the other: the last of them sends what all of them found.
    if (this.#listing === 0 || count(this.#waiting) >= LIST_KEYS_MAX) void this.#flush();
    return deleted;
  }

  #flushIfIdle(): void {
    if (this.#listing === 0 && this.#waiting.length > 0) void this.#flush();
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    while (waiting.length > 0) {
      const batches = [waiting.shift() as Batch];
      let size = batches[0]?.keys.length ?? 0;
      for (let next = waiting[0]; next !== undefined && size + next.keys.length <= LIST_KEYS_MAX; next = waiting[0]) {
        batches.push(waiting.shift() as Batch);
        size += next.keys.length;
      }
      const outcome = await this.#delete(batches.flatMap(({ keys }) => keys)).then(
        () => undefined,
        (error: unknown) => error,
      );
      for (const { settle } of batches) settle(outcome);
    }
  }

  async #delete(keys: readonly string[]): Promise<void> {
    const { store, failpoint, mayGoOn, signal } = this.#parts;
    await failpoint?.('before-remove-blocks');
    mayGoOn();
    await store.delete(keys, { signal, mayGoOn });
  }
}

function count(batches: readonly Batch[]): number {
  return batches.reduce((sum, { keys }) => sum + keys.length, 0);
}
