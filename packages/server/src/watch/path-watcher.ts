/**
 * One watcher by path: live, with a bounded queue that the hub fills, or behind, with a cursor into the log.
 *
 * Invariants: what is handed over is every change that it is to see, once and in order; `at` is the position up to which it was
 * handed over. It is live only with everything up to where the hub is.
 */
import { changeScope, type ChangeScope, type LocatedChange, type PathLog, type ShardEngine } from '@nokv/meta';
import { WATCH_EVENTS_MAX, type WatchPathItem } from '@nokv/protocol';
import { type ChangeCursor, type ChangeFilter, type ChangeRoot, type Clock, type NokvError, type PathChange } from '@nokv/types';
import type { WatchStart } from './watch-start.js';

/** What may wait for one watcher. */
const QUEUED_EVENTS_MAX = 4096;
const QUEUED_BYTES_MAX = 1024 * 1024;
/** About what an item may hold. */
const ITEM_BYTES_MAX = 128 * 1024;
/** An event beside its paths. */
const EVENT_BYTES = 160;
/** Rows of the log that one watcher reads in one turn of the event loop. */
const BEHIND_ROWS = 256;
const BEHIND_DIRECTORIES_MAX = 512;
/** A cursor that nothing moves is told anew so often, so that it does not age. */
const POSITION_MS = 1000;

/** What waits for all watchers together. */
export interface QueueBudget {
  readonly bytesMax: number;
  bytes: number;
}

export interface PathWatcherOptions {
  readonly engine: ShardEngine;
  readonly clock: Clock;
  readonly start: WatchStart;
  readonly filter: ChangeFilter;
  readonly budget: QueueBudget;
  readonly onCutOff: () => void;
  readonly onEvents: (count: number) => void;
}

export class PathWatcher {
  readonly #options: PathWatcherOptions;
  readonly #scope: ChangeScope;
  #queue: PathChange[] = [];
  #queuedBytes = 0;
  /** Up to where the queue is complete, while live. */
  #reached: ChangeCursor;
  #at: ChangeCursor;
  #isLive = false;
  /** While behind and read from. */
  #log: PathLog | undefined;
  #toldAtMs: number;
  #failure: NokvError | undefined;
  #wake: (() => void) | undefined;

  constructor(options: PathWatcherOptions) {
    this.#options = options;
    this.#scope = changeScope(options.start.root, options.filter);
    this.#at = options.start.at;
    this.#reached = options.start.at;
    this.#toldAtMs = options.clock.monotonicMs();
  }

  get root(): ChangeRoot {
    return this.#scope.root;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get at(): ChangeCursor {
    return this.#at;
  }

  /** A change of the hub's, in order. Returns what of it was taken. */
  offer(located: LocatedChange, paths: PathLog['paths']): PathChange | undefined {
    if (!this.#isLive || !isAfter(located.change, this.#reached)) return undefined;
    const seen = this.#scope.see(located, paths);
    if (seen === undefined) return undefined;
    this.#queue.push(seen);
    this.#queued(bytesOf(seen));
    const { budget } = this.#options;
    const isFull = this.#queue.length > QUEUED_EVENTS_MAX || this.#queuedBytes > QUEUED_BYTES_MAX;
    if (isFull || budget.bytes > budget.bytesMax) this.#cutOff();
    return seen;
  }

  /** The hub has offered everything up to here. True where there is something to say. */
  reached(at: ChangeCursor): boolean {
    if (this.#isLive && isAfter(at, this.#reached)) this.#reached = at;
    const hasNews = this.#queue.length > 0 || this.#isPositionDue();
    if (hasNews) this.#wakeUp();
    return hasNews;
  }

  /** Ends it with an error. */
  fail(error: NokvError): void {
    this.#failure ??= error;
    this.#wakeUp();
  }

  async *items(signal: AbortSignal): AsyncGenerator<WatchPathItem> {
    const wakeUp = (): void => this.#wakeUp();
    signal.addEventListener('abort', wakeUp, { once: true });
    try {
      // Before anything is promised: a cursor that is too old is refused at once.
      this.#log = this.#openLog();
      yield this.#position(this.#at);
      while (!signal.aborted) {
        if (this.#failure !== undefined) throw this.#failure;
        const item = this.#isLive ? this.#takeQueued() : this.#readLog();
        if (item !== undefined) yield item;
        else await this.#turn(signal);
      }
    } finally {
      signal.removeEventListener('abort', wakeUp);
      this.#dropQueue();
    }
  }

  #takeQueued(): WatchPathItem | undefined {
    if (this.#queue.length === 0) return this.#isPositionDue() ? this.#position(this.#reached) : undefined;
    let count = 0;
    for (let bytes = 0; count < this.#queue.length && count < WATCH_EVENTS_MAX && bytes < ITEM_BYTES_MAX; count += 1) {
      bytes += bytesOf(this.#queue[count] as PathChange);
    }
    const events = this.#queue.splice(0, count);
    for (const event of events) this.#queued(-bytesOf(event));
    return this.#events(events, this.#queue.length === 0 ? this.#reached : undefined);
  }

  #readLog(): WatchPathItem | undefined {
    this.#log ??= this.#openLog();
    const log = this.#log;
    const events: PathChange[] = [];
    let bytes = 0;
    const isCurrent = log.scan(BEHIND_ROWS, (located) => {
      const seen = this.#scope.see(located, log.paths);
      if (seen === undefined) return true;
      events.push(seen);
      bytes += bytesOf(seen);
      return events.length < WATCH_EVENTS_MAX && bytes < ITEM_BYTES_MAX;
    });
    // The hub reads the same log and cannot be further: from here on it has all that is new.
    if (isCurrent) {
      this.#isLive = true;
      this.#reached = log.at;
      this.#log = undefined;
    }
    if (events.length > 0) return this.#events(events, log.at);
    return this.#isPositionDue() ? this.#position(log.at) : undefined;
  }

  #openLog(): PathLog {
    return this.#options.engine.pathLog(this.#at, BEHIND_DIRECTORIES_MAX);
  }

  /** Nobody waits for what is queued any more. */
  #dropQueue(): void {
    this.#isLive = false;
    this.#queue = [];
    this.#queued(-this.#queuedBytes);
  }

  #queued(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#options.budget.bytes += bytes;
  }

  #cutOff(): void {
    this.#dropQueue();
    this.#options.onCutOff();
    this.#wakeUp();
  }

  /** All of them were handed over up to `at`, or as many as are here. */
  #events(events: readonly PathChange[], at: ChangeCursor | undefined): WatchPathItem {
    const last = events.at(-1) as PathChange;
    this.#at = at ?? { version: last.version, ordinal: last.ordinal };
    this.#toldAtMs = this.#options.clock.monotonicMs();
    this.#options.onEvents(events.length);
    return { kind: 'events', events, at: this.#at };
  }

  #position(at: ChangeCursor): WatchPathItem {
    this.#at = at;
    this.#toldAtMs = this.#options.clock.monotonicMs();
    return { kind: 'position', root: this.#scope.root, at };
  }

  #isPositionDue(): boolean {
    const reached = this.#log?.at ?? this.#reached;
    return isAfter(reached, this.#at) && this.#options.clock.monotonicMs() - this.#toldAtMs >= POSITION_MS;
  }

  /** Behind, others get their turn; live, it waits until there is something to say. */
  #turn(signal: AbortSignal): Promise<void> {
    if (!this.#isLive) return new Promise((resolve) => setImmediate(resolve));
    if (this.#queue.length > 0 || this.#failure !== undefined || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function isAfter(at: ChangeCursor, cursor: ChangeCursor): boolean {
  return at.version > cursor.version || (at.version === cursor.version && at.ordinal > cursor.ordinal);
}

function bytesOf({ path, fromPath, actor, requestId }: PathChange): number {
  return EVENT_BYTES + (path?.length ?? 0) + (fromPath?.length ?? 0) + actor.length + requestId.length;
}
