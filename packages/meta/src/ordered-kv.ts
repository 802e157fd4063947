/**
 * The ordered key-value port below a shard. One writer, many readers.
 *
 * Guarantees: `commit` applies its writes all or none, in order of calls; `committed` resolves when every later read
 * sees them; `flushed` resolves when they survive the loss of power. After a crash the environment holds exactly a
 * prefix of the commits, and every flushed commit is in it. Reads see one consistent state per `snapshot()`.
 * When a commit fails, every later one fails too, until `resume`: what was derived from it must not be stored without it.
 * Keys are 1 to 1,978 bytes, compared byte by byte; values are owned by the reader after it copied them
 * (views are valid until the next read).
 */
export interface OrderedKv extends KvReader {
  commit(writes: readonly KvWrite[]): KvCommit;
  /** Takes commits again after a failed one; the caller has dropped everything that it derived from the failed commit. */
  resume(): void;
  /** A stable state across awaits; must be released. */
  snapshot(): KvSnapshot;
  /** Sizes, where the store has any to tell. */
  usage?(): KvUsage;
  close(): Promise<void>;
}

export interface KvUsage {
  readonly rows: number;
  readonly fileBytes: number;
  readonly mapBytes: number;
  /** Rows of the families that the store counts by itself. */
  readonly families: ReadonlyMap<number, number>;
}

export interface KvReader {
  get(key: Uint8Array): Uint8Array | undefined;
  /** From `start` (inclusive) to `end` (exclusive); ascending, or the same rows the other way round with `reverse`. */
  range(start: Uint8Array, end: Uint8Array, options?: { readonly limit?: number; readonly reverse?: boolean }): Iterable<KvEntry>;
}

export interface KvSnapshot extends KvReader {
  release(): void;
}

export interface KvEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A put, or a removal when `value` is undefined. */
export interface KvWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export interface KvCommit {
  readonly committed: Promise<void>;
  readonly flushed: Promise<void>;
}
