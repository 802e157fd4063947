/**
 * The key-value port under a scheduler: commits become visible, durable or failed when it says so, and a crash leaves what the
 * port allows: every flushed commit and any prefix of the others. An observer sees each commit and what became of it.
 */
import type { KvCommit, KvEntry, KvReader, KvSnapshot, KvWrite, OrderedKv } from '@nokv/meta';
import { NokvError } from '@nokv/types';
import { deferred, type Deferred } from './deferred.js';
import { RowTable } from './row-table.js';
import type { Choice } from './scheduler.js';
import type { SeededRandom } from './seeded-random.js';

export interface KvObserver {
  handedOver(commit: number, writes: readonly KvWrite[]): void;
  /** Readers see it; it is not durable yet. */
  applied(commit: number, rows: KvReader): void;
  /** This commit and all before it survive whatever comes. */
  flushed(commit: number): void;
  /** These commits, and whatever came after them, never happened. */
  lost(firstCommit: number): void;
}

export interface KvFaults {
  /** Relative weights beside everything else that can happen. */
  readonly failCommit: number;
  readonly failFlush: number;
}

interface Entry {
  readonly number: number;
  readonly writes: readonly KvWrite[];
  readonly committed: Deferred<void>;
  readonly flushed: Deferred<void>;
}

export class SimKv implements OrderedKv {
  faults: KvFaults = { failCommit: 0, failFlush: 0 };
  /** What readers see, and what a loss of power leaves at least. */
  readonly #visible: RowTable;
  readonly #disk: RowTable;
  readonly #waiting: Entry[] = [];
  readonly #unflushed: Entry[] = [];
  readonly #observer: KvObserver;
  readonly #random: SeededRandom;
  #nextNumber: number;
  #failure: Error | undefined;
  #isClosed = false;
  #isDead = false;

  constructor(observer: KvObserver, random: SeededRandom, disk: RowTable = new RowTable(), nextNumber = 0) {
    this.#observer = observer;
    this.#random = random;
    this.#disk = disk;
    this.#visible = new RowTable(disk);
    this.#nextNumber = nextNumber;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#visible.get(key);
  }

  range(start: Uint8Array, end: Uint8Array, options?: { readonly limit?: number; readonly reverse?: boolean }): Iterable<KvEntry> {
    return this.#visible.range(start, end, options);
  }

  commit(writes: readonly KvWrite[]): KvCommit {
    const copies = writes.map(({ key, value }) => ({
      key: Uint8Array.from(key),
      value: value === undefined ? undefined : Uint8Array.from(value),
    }));
    const entry: Entry = { number: this.#nextNumber, writes: copies, committed: deferred(), flushed: deferred() };
    // A dead process waits for ever.
    if (this.#isDead) return { committed: entry.committed.promise, flushed: entry.flushed.promise };
    const refusal = this.#isClosed ? new NokvError('unavailable', 'the store is closed') : this.#failure;
    if (refusal !== undefined) {
      fail(entry, refusal);
    } else {
      this.#nextNumber += 1;
      this.#waiting.push(entry);
      this.#observer.handedOver(entry.number, copies);
    }
    return { committed: entry.committed.promise, flushed: entry.flushed.promise };
  }

  resume(): void {
    this.#failure = undefined;
  }

  snapshot(): KvSnapshot {
    const copy = new RowTable(this.#visible);
    return { get: (key) => copy.get(key), range: (start, end, options) => copy.range(start, end, options), release: () => undefined };
  }

  /** Closing waits for what is under way, as the real store does. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const last = this.#waiting.at(-1) ?? this.#unflushed.at(-1);
    if (last !== undefined) await last.flushed.promise.catch(() => undefined);
  }

  /** What is durable now, whatever comes. */
  get durable(): KvReader {
    return this.#disk;
  }

  /** Commits that a crash may leave or take, oldest first. */
  get uncertain(): readonly (readonly KvWrite[])[] {
    return [...this.#unflushed, ...this.#waiting].map(({ writes }) => writes);
  }

  choices(): readonly Choice[] {
    if (this.#isDead) return [];
    const choices: Choice[] = [];
    if (this.#waiting.length > 0) {
      choices.push({ name: 'store: apply', weight: 14, run: () => this.#applyNext() });
      if (this.faults.failCommit > 0)
        choices.push({ name: 'store: a commit fails', weight: this.faults.failCommit, run: () => this.#failNext() });
    }
    if (this.#unflushed.length > 0) {
      const count = 1 + this.#random.below(this.#unflushed.length);
      choices.push({ name: `store: flush ${count}`, weight: 10, run: () => this.#flush(count) });
      if (this.faults.failFlush > 0)
        choices.push({ name: 'store: a flush fails', weight: this.faults.failFlush, run: () => this.#failFlush() });
    }
    return choices;
  }

  /** The machine stops here. Gives the store that the next start finds; nobody hears from this one again. */
  crash(): SimKv {
    this.#isDead = true;
    const uncertain = [...this.#unflushed.splice(0), ...this.#waiting.splice(0)];
    const kept = this.#random.below(uncertain.length + 1);
    for (const { writes } of uncertain.slice(0, kept)) this.#disk.apply(writes);
    const [firstLost] = uncertain.slice(kept);
    const lastKept = uncertain[kept - 1];
    if (lastKept !== undefined) this.#observer.flushed(lastKept.number);
    if (firstLost !== undefined) this.#observer.lost(firstLost.number);
    return new SimKv(this.#observer, this.#random, this.#disk, this.#nextNumber);
  }

  #applyNext(): void {
    const entry = this.#waiting.shift();
    if (entry === undefined) return;
    this.#visible.apply(entry.writes);
    this.#unflushed.push(entry);
    this.#observer.applied(entry.number, this.#visible);
    entry.committed.resolve();
  }

  #flush(count: number): void {
    const done = this.#unflushed.splice(0, count);
    const last = done.at(-1);
    if (last === undefined) return;
    for (const { writes } of done) this.#disk.apply(writes);
    this.#observer.flushed(last.number);
    for (const { flushed } of done) flushed.resolve();
  }

  #failNext(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#failure = new NokvError('no-space', 'the simulated disk is full');
    const failed = this.#waiting.splice(0);
    this.#observer.lost(first.number);
    for (const entry of failed) fail(entry, this.#failure);
  }

  /** What was being flushed may or may not be on disk: only the next start finds out. */
  #failFlush(): void {
    const error = new Error('EIO: the simulated disk does not flush');
    for (const { flushed } of this.#unflushed) flushed.reject(error);
  }
}

function fail(entry: Entry, error: Error): void {
  entry.committed.reject(error);
  entry.flushed.reject(error);
}
