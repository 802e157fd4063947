/**
 * The object-store port: immutable objects under flat keys.
 *
 * Guarantees that every adapter gives and the conformance suite checks: a put is atomic (all bytes or no object)
 * and durable when it resolves; of several puts of one key exactly one is told `created`; a get returns the bytes
 * of one put; a list shows every object whose put resolved before it began, in byte order of keys. Foreign errors
 * are translated to `NokvError` here: `no-object`, `no-bucket`, `bad-credentials`, `store-unavailable` (outcome
 * `unknown` for puts and deletes whose answer was lost), `no-space`, `corrupt`.
 *
 * Keys: 1 to 900 bytes of printable ASCII, parts between slashes of 1 to 200 bytes, never `.` or `..`; no key is
 * the directory of another.
 */
import type { CircuitState } from '@nokv/types';

export interface ObjectStore {
  /** For people: `file:///…`, `s3://bucket/prefix at http://…`; never a secret. */
  readonly description: string;
  /** The store checks or carries `crc32c` where it can; the bytes are borrowed until the promise settles. */
  putIfAbsent(key: string, bytes: Uint8Array, options?: PutOptions): Promise<PutOutcome>;
  /** `length` bytes from `offset` (whole object without a range); a short object is `corrupt`. */
  get(key: string, options?: GetOptions): Promise<Uint8Array>;
  head(key: string, options?: StoreCallOptions): Promise<ObjectHead | undefined>;
  /** At most `limit` (1 to 1,000) objects after `after`. */
  list(prefix: string, options: ListOptions): Promise<ObjectPage>;
  /** Removes up to 1,000 keys; those that are absent count as removed. */
  delete(keys: readonly string[], options?: DeleteOptions): Promise<void>;
  /** What a store says of an object that it has beyond its size; absent where it has nothing to say. */
  inspect?(key: string, options?: StoreCallOptions): Promise<StoredAs | undefined>;
  /** How the store answers; absent where nothing lies between it and us. */
  health?(): StoreHealth;
  close(): Promise<void>;
}

export interface StoredAs {
  /** By the name that the store gives it: `AES256`, `aws:kms`. */
  readonly encryption?: string | undefined;
  readonly isEncryptionAsked: boolean;
  readonly storageClass?: string | undefined;
  /** The store's clock minus ours. */
  readonly skewMs?: number | undefined;
}

export interface StoreHealth {
  readonly circuit: CircuitState;
  /** How long it has been closed, or not. */
  readonly circuitMs: number;
  /** Why the circuit is not closed; for people, without secrets. */
  readonly failure?: string | undefined;
  /** Since the store was opened: attempts that were repeats, and how often the circuit opened. */
  readonly retries: number;
  readonly opened: number;
}

export interface StoreCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Longest time for the call with its repeats, where the store repeats; never longer than its own deadline. */
  readonly patienceMs?: number | undefined;
}

export interface DeleteOptions extends StoreCallOptions {
  /** Asked before every request that the call sends, repeats included: what it throws ends the call. */
  readonly mayGoOn?: (() => void) | undefined;
}

export interface PutOptions extends StoreCallOptions {
  readonly crc32c?: number | undefined;
}

export interface GetOptions extends StoreCallOptions {
  readonly offset?: number | undefined;
  readonly length?: number | undefined;
  /**
   * The caller's buffer: a store may fill it and answer with a view of it, which saves an allocation. After a failure or
   * an abort the store may still write to it.
   */
  readonly into?: Uint8Array | undefined;
}

export interface ListOptions extends StoreCallOptions {
  readonly after?: string | undefined;
  readonly limit: number;
}

export type PutOutcome = 'created' | 'exists';

export interface ObjectHead {
  readonly size: number;
  /** Where the store keeps it. */
  readonly crc32c?: number | undefined;
}

export interface ObjectPage {
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  readonly more: boolean;
}
