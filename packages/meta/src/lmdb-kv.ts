/**
 * The ordered key-value port over LMDB (package `lmdb`): the only file that knows the library.
 *
 * One commit is one batch of the library, which its writer thread applies in one LMDB transaction (several commits may share a
 * transaction, none is ever split). With `overlappingSync` a resolved write is visible but not durable; `flushed` waits for the
 * sync. `safeRestore` makes a reopened environment start from the last state that was synced as a whole, which virtual machines
 * and containers need. Values are stored as they are: no records, no compression, no library encoding.
 *
 * Keys lie in several trees by their first byte ({@link FAMILIES_APART}): LMDB fills the pages of a tree that grows at its end, and
 * half of the pages of one that grows in its middle, which is where the end of a family would be if all shared a tree.
 *
 * A lone small commit on a quick disk is made at once, in this thread: handing it to the writer thread and hearing of its flush costs
 * two wake-ups, more than the flush itself. Whether the disk is quick is measured all the time; on any failure the writer thread
 * makes the same commit again, and its failure is the one that is told.
 */
import { statfs } from 'node:fs/promises';
import { NokvError, assert, type Clock, type ErrorOutcome } from '@nokv/types';
import { open, type Database, type RootDatabase, type RangeOptions } from 'lmdb';
import { deferred, type Deferred } from './deferred.js';
import { FAMILIES_APART } from './key.js';
import { LoneCommits } from './lone-commits.js';
import type { KvCommit, KvEntry, KvSnapshot, KvUsage, KvWrite, OrderedKv } from './ordered-kv.js';

export interface LmdbKvOptions {
  /** Directory of the environment; made when absent. */
  readonly directory: string;
  /**
   * Address space reserved at first. The file grows with what is stored, not with this; past it the library maps anew, so
   * that a generous reservation keeps growth from ever stalling.
   */
  readonly mapBytes?: number;
  /** Measures flushes; without it every commit is the writer thread's. */
  readonly clock?: Pick<Clock, 'monotonicMs'>;
}

const KEY_BYTES_MAX = 1978;
const EIO = 5;
/** A commit can be as large as a batch of bodies; less free space than this is called full. */
const FULL_BELOW_BYTES = 16 * 1024 * 1024;
const MAP_BYTES_DEFAULT = 64 * 1024 ** 3;
/** A commit that is made in this thread holds everybody up: it has to be small. */
const LONE_WRITES_MAX = 64;
/**
 * What the library calls its own synchronous puts with: the commit is flushed before it returns, and noted as the state that a restart
 * falls back to (MDB_NOSYNC 0x10000 with overlapping syncs; 2: synchronous). Its default would flush without the note: a restart
 * after two more commits that were not flushed yet would then fall back to a state before this one.
 */
const COMMIT_AND_FLUSH = 0x10002 as Parameters<RootDatabase['transactionSync']>[1];
const BYTE_VALUES = 256;

/** What the published types of the library leave out. */
type BatchPromise = Promise<boolean> & { readonly flushed?: Promise<unknown> };
type Transaction = ReturnType<RootDatabase['useReadTransaction']>;
/** The published types know the option for other calls only. */
type SnapshotReader = Tree & { getBinary(key: Uint8Array, options: { readonly transaction: Transaction }): Uint8Array | undefined };
type Tree = Database<Uint8Array, Uint8Array>;

interface ScanOptions {
  readonly limit?: number;
  readonly reverse?: boolean;
}

interface Waiting {
  /** Given up once the library has them. */
  writes: readonly KvWrite[];
  readonly committed: Deferred<void>;
  readonly flushed: Deferred<void>;
}

export async function openLmdbKv(options: LmdbKvOptions): Promise<OrderedKv> {
  const db = openEnvironment(options);
  try {
    return new LmdbKv(db, openTrees(db), options);
  } catch (error) {
    await db.close();
    throw translate(error, 'not-applied');
  }
}

class LmdbKv implements OrderedKv {
  readonly #db: RootDatabase<Uint8Array, Uint8Array>;
  /** By the first byte of a key. */
  readonly #trees: readonly Tree[];
  readonly #directory: string;
  /** Undefined without a clock: then the writer thread makes all commits. */
  readonly #loneCommits: LoneCommits | undefined;
  /** Commits that wait for the one before them to be committed: none may be stored when an earlier one failed. */
  readonly #queue: Waiting[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  #isCommitting = false;
  #failure: NokvError | undefined;
  #isClosed = false;

  constructor(db: RootDatabase<Uint8Array, Uint8Array>, trees: readonly Tree[], options: LmdbKvOptions) {
    this.#db = db;
    this.#trees = trees;
    this.#directory = options.directory;
    this.#loneCommits = options.clock === undefined ? undefined : new LoneCommits(options.clock);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#treeOf(key).getBinaryFast(key);
  }

  range(start: Uint8Array, end: Uint8Array, options: ScanOptions = {}): Iterable<KvEntry> {
    return this.#range(start, end, options, undefined);
  }

  commit(writes: readonly KvWrite[]): KvCommit {
    // The library would notice in the middle of a batch.
    for (const { key } of writes) assert(key.length > 0 && key.length <= KEY_BYTES_MAX, `a key has 1 to ${KEY_BYTES_MAX} bytes`);
    const waiting: Waiting = { writes, committed: deferred(), flushed: deferred() };
    waiting.committed.promise.catch(() => undefined);
    waiting.flushed.promise.catch(() => undefined);
    if (this.#isClosed) {
      fail(waiting, new NokvError('unavailable', 'the environment was closed before this commit; open it again'));
    } else if (this.#failure !== undefined) {
      fail(waiting, this.#failure);
    } else if (this.#mayCommitHere(writes) && this.#commitHere(writes)) {
      return DONE;
    } else {
      this.#queue.push(waiting);
      if (!this.#isCommitting) this.#commitNext();
    }
    return { committed: waiting.committed.promise, flushed: waiting.flushed.promise };
  }

  resume(): void {
    this.#failure = undefined;
  }

  snapshot(): KvSnapshot {
    const transaction: Transaction = this.#db.useReadTransaction();
    return {
      get: (key) => (this.#treeOf(key) as SnapshotReader).getBinary(key, { transaction }),
      range: (start, end, options = {}) => this.#range(start, end, options, transaction),
      release: () => transaction.done(),
    };
  }

  usage(): KvUsage {
    // No family begins with this byte: its tree is the one that the rest of the families share.
    const { entryCount, pageSize, lastPageNumber, mapSize } = statsOf(this.#trees[0] as Tree);
    const families = new Map(FAMILIES_APART.map((family) => [family as number, statsOf(this.#trees[family] as Tree).entryCount]));
    let rows = entryCount;
    for (const count of families.values()) rows += count;
    return { rows, fileBytes: (lastPageNumber + 1) * pageSize, mapBytes: mapSize, families };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    while (this.#pending.size > 0 || this.#queue.length > 0) await Promise.allSettled(this.#pending);
    this.#isClosed = true;
    await this.#db.close();
  }

  #treeOf(key: Uint8Array): Tree {
    return this.#trees[key[0] as number] as Tree;
  }

  #range(start: Uint8Array, end: Uint8Array, options: ScanOptions, transaction: Transaction | undefined): Iterable<KvEntry> {
    const parts = partsOf(start, end);
    const [only] = parts;
    if (only !== undefined && parts.length === 1) {
      return this.#treeOf(only.start).getRange(rangeOptions(only.start, only.end, options, transaction));
    }
    return this.#rangeOf(options.reverse === true ? parts.reverse() : parts, options, transaction);
  }

  /** One part after the other; each lies in one tree. */
  *#rangeOf(parts: readonly RangePart[], options: ScanOptions, transaction: Transaction | undefined): Generator<KvEntry> {
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    for (const { start, end } of parts) {
      if (left <= 0) return;
      const limit = Number.isFinite(left) ? { limit: left } : {};
      for (const entry of this.#treeOf(start).getRange(rangeOptions(start, end, { ...options, ...limit }, transaction))) {
        left -= 1;
        yield entry;
      }
    }
  }

  #mayCommitHere(writes: readonly KvWrite[]): boolean {
    const isAlone = !this.#isCommitting && this.#queue.length === 0 && this.#pending.size === 0;
    return isAlone && writes.length <= LONE_WRITES_MAX && this.#loneCommits?.belongHere() === true;
  }

  /** Commits and flushes before it returns; false where it could not, and nothing of it is stored. */
  #commitHere(writes: readonly KvWrite[]): boolean {
    this.#loneCommits?.begin();
    try {
      this.#db.transactionSync(() => {
        for (const { key, value } of writes) {
          const tree = this.#treeOf(key);
          void (value === undefined ? tree.remove(key) : tree.put(key, value));
        }
      }, COMMIT_AND_FLUSH);
    } catch {
      this.#loneCommits?.failed();
      return false;
    }
    this.#loneCommits?.end();
    return true;
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
    const trees = this.#trees;
    return this.#db.batch(() => {
      for (const waiting of group) {
        for (const { key, value } of waiting.writes) {
          const tree = trees[key[0] as number] as Tree;
          void (value === undefined ? tree.remove(key) : tree.put(key, value));
        }
        waiting.writes = [];
      }
    }) as BatchPromise;
  }
}

const DONE: KvCommit = { committed: Promise.resolve(), flushed: Promise.resolve() };

/** A range of keys that lie in one tree. */
interface RangePart {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

/** Cuts a range where another tree begins: most ranges are of one family, and one part. */
function partsOf(start: Uint8Array, end: Uint8Array): RangePart[] {
  const parts: RangePart[] = [];
  let from = start;
  for (const family of FAMILIES_APART) {
    for (const border of [family, family + 1]) {
      const cut = Uint8Array.of(border);
      if (Buffer.compare(cut, from) <= 0) continue;
      if (Buffer.compare(cut, end) >= 0) break;
      parts.push({ start: from, end: cut });
      from = cut;
    }
  }
  if (Buffer.compare(from, end) < 0) parts.push({ start: from, end });
  return parts;
}

/** What LMDB says of a tree and of the environment (mdb_stat, mdb_env_info). */
interface TreeStats {
  readonly entryCount: number;
  readonly pageSize: number;
  readonly lastPageNumber: number;
  readonly mapSize: number;
}

function statsOf(tree: { getStats(): unknown }): TreeStats {
  return tree.getStats() as TreeStats;
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
      maxDbs: FAMILIES_APART.length + 1,
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

/** One tree for each family that has its own, one for all the rest; the root of the environment names them. */
function openTrees(db: RootDatabase<Uint8Array, Uint8Array>): Tree[] {
  refuseOtherLayouts(db);
  const openTree = (name: string): Tree =>
    db.openDB<Uint8Array, Uint8Array>({ name, keyEncoding: 'binary', encoding: 'binary', compression: false, cache: false } as Parameters<
      typeof open
    >[0] & { name: string });
  const rest = openTree(REST);
  const trees = Array.from({ length: BYTE_VALUES }, () => rest);
  for (const family of FAMILIES_APART) trees[family] = openTree(treeName(family));
  return trees;
}

const REST = 'rest';

function treeName(family: number): string {
  return family.toString(16).padStart(2, '0');
}

/** An environment of format 1 has its rows in the root itself; they must not be passed over as if there were none. */
function refuseOtherLayouts(db: RootDatabase<Uint8Array, Uint8Array>): void {
  const known = new Set([REST, ...FAMILIES_APART.map(treeName)]);
  for (const key of db.getKeys({ limit: known.size + 1 })) {
    // The library ends the names that it gives to trees with a NUL.
    if (known.has(Buffer.from(key).toString('latin1').replace('\0', ''))) continue;
    throw new NokvError(
      'unsupported-format',
      'this build reads shard formats from 2 on, the environment has format 1 or is none of nokv; use the build that wrote it or migrate it',
      { details: { expected: 2, found: 1 } },
    );
  }
}

/** The library takes an inclusive start and an exclusive end in both directions, begins at `start`, and copies keys and values. */
function rangeOptions(start: Uint8Array, end: Uint8Array, options: ScanOptions, transaction: Transaction | undefined): RangeOptions {
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
  if (code === 24 || code === 'EMFILE' || /Too many open files/.test(message)) {
    return new NokvError('unavailable', 'too many open files for the metadata environment; raise the limit (ulimit -n) and start again', {
      outcome,
      details,
      cause: error,
    });
  }
  if (code === 30 || code === 'EROFS' || /Read-only file system/.test(message)) {
    return new NokvError('read-only', 'the disk under the metadata is mounted read-only; remount it and start again', {
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
