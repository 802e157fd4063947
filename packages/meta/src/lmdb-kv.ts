/**
 * The ordered key-value port over LMDB (package `lmdb`): the only file that knows the library.
 *
 * One commit is one batch of the library, which its writer thread applies in one LMDB transaction (several commits may share a
 * transaction, none is ever split). With `overlappingSync` a resolved write is visible but not durable; `flushed` waits for the
 * sync. `safeRestore` makes a reopened environment start from the last state that was synced as a whole, which virtual machines
 * and containers need. Values are stored as they are: no records, no compression, no library encoding.
 */
import { statfs } from 'node:fs/promises';
import { NokvError, assert, type ErrorOutcome } from '@nokv/types';
import { open, type RootDatabase, type RangeOptions } from 'lmdb';
import { deferred, type Deferred } from './deferred.js';
import type { KvCommit, KvEntry, KvSnapshot, KvWrite, OrderedKv } from './ordered-kv.js';

export interface LmdbKvOptions {
  /** Directory of the environment; made when absent. */
  readonly directory: string;
  /**
   * Address space reserved at first. The file grows with what is stored, not with this; past it the library maps anew, so
   * that a generous reservation keeps growth from ever stalling.
   */
  readonly mapBytes?: number;
}

const KEY_BYTES_MAX = 1978;
const EIO = 5;
/** A commit can be as large as a batch of bodies; less free space than this is called full. */
const FULL_BELOW_BYTES = 16 * 1024 * 1024;
const MAP_BYTES_DEFAULT = 64 * 1024 ** 3;

/** What the published types of the library leave out. */
type BatchPromise = Promise<boolean> & { readonly flushed?: Promise<unknown> };
type Transaction = ReturnType<RootDatabase['useReadTransaction']>;

interface Waiting {
  /** Given up once the library has them. */
  writes: readonly KvWrite[];
  readonly committed: Deferred<void>;
  readonly flushed: Deferred<void>;
}

export async function openLmdbKv(options: LmdbKvOptions): Promise<OrderedKv> {
  return new LmdbKv(openEnvironment(options), options.directory);
}

class LmdbKv implements OrderedKv {
  readonly #db: RootDatabase<Uint8Array, Uint8Array>;
  readonly #directory: string;
  /** Commits that wait for the one before them to be committed: none may be stored when an earlier one failed. */
  readonly #queue: Waiting[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  #isCommitting = false;
  #failure: NokvError | undefined;
  #isClosed = false;

  constructor(db: RootDatabase<Uint8Array, Uint8Array>, directory: string) {
    this.#db = db;
    this.#directory = directory;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#db.getBinaryFast(key);
  }

  range(start: Uint8Array, end: Uint8Array, options: { readonly limit?: number; readonly reverse?: boolean } = {}): Iterable<KvEntry> {
    return this.#db.getRange(rangeOptions(start, end, options, undefined));
  }

  commit(writes: readonly KvWrite[]): KvCommit {
    // The library would notice in the middle of a batch.
    for (const { key } of writes) assert(key.length > 0 && key.length <= KEY_BYTES_MAX, `a key has 1 to ${KEY_BYTES_MAX} bytes`);
    const waiting: Waiting = { writes, committed: deferred(), flushed: deferred() };
    waiting.committed.promise.catch(() => undefined);
    waiting.flushed.promise.catch(() => undefined);
    if (this.#isClosed) {
      fail(waiting, new NokvError('unavailable', 'the environment was closed before this commit; open it again'));
    } else if (this.#failure === undefined) {
      this.#queue.push(waiting);
      if (!this.#isCommitting) this.#commitNext();
    } else {
      fail(waiting, this.#failure);
    }
    return { committed: waiting.committed.promise, flushed: waiting.flushed.promise };
  }

  resume(): void {
    this.#failure = undefined;
  }

  snapshot(): KvSnapshot {
    const transaction: Transaction = this.#db.useReadTransaction();
    // The published types know the option for other calls only.
    const getBinary = this.#db.getBinary.bind(this.#db) as (key: Uint8Array, options: object) => Uint8Array | undefined;
    return {
      get: (key) => getBinary(key, { transaction }),
      range: (start, end, options = {}) => this.#db.getRange(rangeOptions(start, end, options, transaction)),
      release: () => transaction.done(),
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    while (this.#pending.size > 0 || this.#queue.length > 0) await Promise.allSettled(this.#pending);
    this.#isClosed = true;
    await this.#db.close();
  }

  /**
   * The library rejects with a general error at once and with the reason in a promise inside it a moment later. On a disk that
   * fills up in the middle of a write LMDB says EIO, since it treats a short write as one; the free space tells.
   */
  async #causeOf(error: unknown): Promise<unknown> {
    const reason = await reasonIn(error);
    if (rootOf(reason).code !== EIO) return reason;
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      return bavail * bsize < FULL_BELOW_BYTES ? new Error('No space left on device', { cause: reason }) : reason;
    } catch {
      return reason;
    }
  }

  /**
   * Hands everything that waits to the library as one batch, all of it or nothing; the next follows once this one is committed.
   * So commits share a sync when the disk is slow, and none is stored after a failed one.
   */
  #commitNext(): void {
    const group = this.#queue.splice(0);
    this.#isCommitting = group.length > 0;
    if (group.length === 0) return;
    const settled = deferred<void>();
    this.#pending.add(settled.promise);
    const settle = (): void => {
      this.#pending.delete(settled.promise);
      settled.resolve();
    };
    const onFailure = (error: unknown): void => {
      this.#failure = translate(error, 'not-applied');
      for (const failed of [...group, ...this.#queue.splice(0)]) fail(failed, this.#failure);
      this.#isCommitting = false;
      settle();
    };
    const onFlushFailure = (error: unknown): void => {
      for (const { flushed } of group) flushed.reject(translate(error, 'unknown'));
      settle();
    };
    const onFlush = (): void => {
      for (const { flushed } of group) flushed.resolve();
      settle();
    };
    const batch = this.#write(group);
    const flush = batch.flushed ?? batch;
    const onCommit = (): void => {
      for (const { committed } of group) committed.resolve();
      this.#commitNext();
      flush.then(onFlush, onFlushFailure);
    };
    batch.then(onCommit, async (error: unknown) => onFailure(await this.#causeOf(error)));
  }

  #write(group: readonly Waiting[]): BatchPromise {
    const db = this.#db;
    return db.batch(() => {
      for (const waiting of group) {
        for (const { key, value } of waiting.writes) void (value === undefined ? db.remove(key) : db.put(key, value));
        waiting.writes = [];
      }
    }) as BatchPromise;
  }
}

async function reasonIn(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (reason) {
    return reason;
  }
}

function fail(waiting: Waiting, error: Error): void {
  waiting.committed.reject(error);
  waiting.flushed.reject(error);
}

function openEnvironment(options: LmdbKvOptions): RootDatabase<Uint8Array, Uint8Array> {
  try {
    return open<Uint8Array, Uint8Array>({
      path: options.directory,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      compression: false,
      cache: false,
      maxDbs: 1,
      maxReaders: 256,
      mapSize: options.mapBytes ?? MAP_BYTES_DEFAULT,
      overlappingSync: true,
      separateFlushed: true,
      // Batching by turns keeps promises of its own that nobody can handle: a failed commit would end the process.
      eventTurnBatching: false,
      safeRestore: true,
      noReadAhead: false,
    } as Parameters<typeof open>[0]) as unknown as RootDatabase<Uint8Array, Uint8Array>;
  } catch (error) {
    throw translate(error, 'not-applied');
  }
}

/** The library takes an inclusive start and an exclusive end in both directions, begins at `start`, and copies keys and values. */
function rangeOptions(
  start: Uint8Array,
  end: Uint8Array,
  options: { readonly limit?: number; readonly reverse?: boolean },
  transaction: Transaction | undefined,
): RangeOptions {
  const isReverse = options.reverse === true;
  const range = isReverse
    ? // Backwards the library includes its start and excludes its end: both bounds move by one key.
      { start: end, end: start, reverse: true, exclusiveStart: true, inclusiveEnd: true }
    : { start, end };
  return {
    ...range,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(transaction === undefined ? {} : { transaction }),
  } as unknown as RangeOptions;
}

/** LMDB's and the system's errors in ours; the number is errno or LMDB's own (lmdb.h). */
function translate(error: unknown, outcome: ErrorOutcome): NokvError {
  if (error instanceof NokvError) return error;
  const { code, message } = rootOf(error);
  const details = { lmdb: String(code ?? ''), message };
  if (code === 28 || code === 'ENOSPC' || code === -30792 || /MDB_MAP_FULL|No space left/.test(message)) {
    return new NokvError('no-space', 'the disk under the metadata is full; free some space and try again', {
      outcome,
      details,
      cause: error,
    });
  }
  if (/MDB_INVALID|MDB_VERSION_MISMATCH|MDB_CORRUPTED|MDB_PAGE_NOTFOUND/.test(message)) {
    return new NokvError('corrupt', `the metadata environment cannot be read (${message}); restore it from a backup`, {
      outcome,
      details,
      cause: error,
    });
  }
  return new NokvError('unavailable', `the metadata environment refused a commit: ${message}; look at the disk and start again`, {
    outcome,
    details,
    cause: error,
  });
}

function rootOf(error: unknown): { readonly code: unknown; readonly message: string } {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) };
  const { code } = error as Error & { code?: unknown };
  return { code, message: error.message };
}
