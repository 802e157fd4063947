/**
 * The ordered key-value port in memory: for tests, simulation and throw-away shards.
 *
 * By itself every commit becomes visible and durable in the next microtasks. With `manual` the owner decides: commits wait
 * until `applyNext`, and what was applied survives a power cut only after `flush`. `powerCut` gives what a machine would find
 * after losing power: the flushed commits and nothing else.
 */
import { NokvError } from '@nokv/types';
import { deferred, type Deferred } from './deferred.js';
import type { KvCommit, KvEntry, KvSnapshot, KvWrite, OrderedKv } from './ordered-kv.js';

interface Waiting {
  readonly writes: readonly KvWrite[];
  readonly committed: Deferred<void>;
  readonly flushed: Deferred<void>;
}

export interface MemoryKvOptions {
  /** Commits wait for {@link MemoryKv.applyNext} and {@link MemoryKv.flush}. */
  readonly manual?: boolean;
}

/** Fails one commit: before anything of it is applied, or while it is being flushed. */
export interface MemoryKvFault {
  readonly at: 'commit' | 'flush';
  readonly error: Error;
}

export class MemoryKv implements OrderedKv {
  readonly #rows = new Map<string, Uint8Array>();
  /** Keys of `#rows` in byte order, which is the order of their Latin-1 strings. */
  readonly #keys: string[] = [];
  readonly #manual: boolean;
  /** Not applied yet. */
  readonly #queue: Waiting[] = [];
  /** Applied, not flushed yet. */
  readonly #unflushed: Waiting[] = [];
  readonly #faults: MemoryKvFault[] = [];
  /** What rows held at the last flush, of those that changed since. */
  readonly #beforeFlush = new Map<string, Uint8Array | undefined>();
  #failure: Error | undefined;
  #isClosed = false;

  constructor(options: MemoryKvOptions = {}) {
    this.#manual = options.manual ?? false;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#rows.get(text(key));
  }

  *range(start: Uint8Array, end: Uint8Array, options: { readonly limit?: number; readonly reverse?: boolean } = {}): Generator<KvEntry> {
    const from = lowerBound(this.#keys, text(start));
    const to = lowerBound(this.#keys, text(end));
    const keys = this.#keys.slice(from, Math.max(from, to));
    if (options.reverse === true) keys.reverse();
    for (const key of keys.slice(0, options.limit)) {
      const value = this.#rows.get(key);
      if (value !== undefined) yield { key: Buffer.from(key, 'latin1'), value };
    }
  }

  commit(writes: readonly KvWrite[]): KvCommit {
    const waiting: Waiting = { writes: writes.map(copyWrite), committed: deferred(), flushed: deferred() };
    // Whoever asked may look at one of the two promises only.
    waiting.committed.promise.catch(() => undefined);
    waiting.flushed.promise.catch(() => undefined);
    if (this.#isClosed) {
      fail(waiting, new NokvError('unavailable', 'the store was closed before this commit; open it again'));
    } else if (this.#failure !== undefined) {
      fail(waiting, this.#failure);
    } else {
      this.#queue.push(waiting);
      if (!this.#manual) {
        queueMicrotask(() => {
          this.applyNext();
          queueMicrotask(() => this.flush());
        });
      }
    }
    return { committed: waiting.committed.promise, flushed: waiting.flushed.promise };
  }

  resume(): void {
    this.#failure = undefined;
  }

  snapshot(): KvSnapshot {
    const copy = new MemoryKv();
    copy.#load(this.#rows);
    return { get: (key) => copy.get(key), range: (start, end, options) => copy.range(start, end, options), release: () => undefined };
  }

  async close(): Promise<void> {
    while (this.#queue.length > 0) this.applyNext();
    this.flush();
    this.#isClosed = true;
  }

  /** Makes the oldest waiting commit visible; false when none waits. */
  applyNext(): boolean {
    const waiting = this.#queue.shift();
    if (waiting === undefined) return false;
    const fault = this.#takeFault('commit');
    if (fault !== undefined) {
      this.#failure = fault.error;
      for (const failed of [waiting, ...this.#queue.splice(0)]) fail(failed, fault.error);
      return true;
    }
    for (const { key, value } of waiting.writes) {
      const id = text(key);
      if (!this.#beforeFlush.has(id)) this.#beforeFlush.set(id, this.#rows.get(id));
      this.#put(id, value);
    }
    this.#unflushed.push(waiting);
    waiting.committed.resolve();
    return true;
  }

  /** Makes everything applied so far survive a power cut. */
  flush(): void {
    const fault = this.#unflushed.length > 0 ? this.#takeFault('flush') : undefined;
    for (const waiting of this.#unflushed.splice(0)) {
      if (fault === undefined) waiting.flushed.resolve();
      else waiting.flushed.reject(fault.error);
    }
    if (fault === undefined) this.#beforeFlush.clear();
  }

  /** Commits that wait to be applied. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** The next commit (or flush) fails with this error. */
  failNext(fault: MemoryKvFault): void {
    this.#faults.push(fault);
  }

  /** A store with the flushed commits alone, as after a loss of power; this one is done for. */
  powerCut(options: MemoryKvOptions = {}): MemoryKv {
    this.#isClosed = true;
    const survivor = new MemoryKv(options);
    survivor.#load(this.#rows);
    for (const [id, value] of this.#beforeFlush) survivor.#put(id, value);
    return survivor;
  }

  /** Every row in key order, as hex: two stores with equal dumps hold the same state. */
  dump(): string[] {
    return this.#keys.map((key) => `${hex(key)}=${Buffer.from(this.#rows.get(key) ?? []).toString('hex')}`);
  }

  #load(rows: ReadonlyMap<string, Uint8Array>): void {
    for (const [key, value] of rows) this.#rows.set(key, value);
    this.#keys.push(...[...rows.keys()].sort(compareText));
  }

  #put(key: string, value: Uint8Array | undefined): void {
    const isKnown = this.#rows.has(key);
    if (value === undefined) {
      if (isKnown) this.#keys.splice(lowerBound(this.#keys, key), 1);
      this.#rows.delete(key);
    } else {
      if (!isKnown) this.#keys.splice(lowerBound(this.#keys, key), 0, key);
      this.#rows.set(key, value);
    }
  }

  #takeFault(at: MemoryKvFault['at']): MemoryKvFault | undefined {
    return this.#faults[0]?.at === at ? this.#faults.shift() : undefined;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).latin1Slice(0, bytes.length);
}

function hex(key: string): string {
  return Buffer.from(key, 'latin1').toString('hex');
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function copyWrite({ key, value }: KvWrite): KvWrite {
  if (key.length === 0 || key.length > 1978) throw new NokvError('internal', `a key has 1 to 1,978 bytes, found ${key.length}`);
  return { key: Uint8Array.from(key), value: value === undefined ? undefined : Uint8Array.from(value) };
}

function fail(waiting: Waiting, error: Error): void {
  waiting.committed.reject(error);
  waiting.flushed.reject(error);
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
