/**
 * Where the shared log of a shard and its images lie: immutable objects under flat keys, shared by every node that may own the shard.
 *
 * Guarantees: a put is atomic, durable when it resolves, and of several puts of one key exactly one is told `created`; a get
 * returns the bytes of one put; a list shows every object whose put resolved before it began, in byte order of keys. An error of a
 * put says by its outcome whether the put may have happened: `not-applied` only where it never will; `unknown` also where it may still
 * happen later. Promises may stay open for as long as the store is silent: who cannot wait gives a signal.
 */
export interface LogStore {
  /** For people; never a secret. */
  readonly description: string;
  putIfAbsent(key: string, bytes: Uint8Array, options?: LogCallOptions): Promise<'created' | 'exists'>;
  /** Undefined where there is no such object. */
  get(key: string, options?: LogCallOptions): Promise<Uint8Array | undefined>;
  /** At most `limit` (1 to 1,000) keys after `after`. */
  list(prefix: string, options: LogListOptions): Promise<LogPage>;
  /** At most 1,000 keys; those that are absent count as removed. */
  delete(keys: readonly string[], options?: LogCallOptions): Promise<void>;
}

export interface LogCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface LogListOptions extends LogCallOptions {
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface LogPage {
  readonly keys: readonly string[];
  readonly more: boolean;
}

export const LOG_LIST_MAX = 1000;

/** Every key under a prefix; whoever asks knows that they are few. */
export async function listAll(store: LogStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list(prefix, { limit: LOG_LIST_MAX, ...(after === undefined ? {} : { after }) });
    keys.push(...page.keys);
    after = page.keys.at(-1);
    // Each page ends further on, so that this ends with the last key.
    if (!page.more || after === undefined) return keys;
  }
}
