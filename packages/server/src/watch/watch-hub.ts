/**
 * Reads the change log once for everybody who watches by path, and hands each of them what it is to see.
 *
 * Invariants: nothing is read while nobody watches; a commit does no more for watchers than to say that it is durable; no
 * watcher waits for another. What a watcher has not taken waits in a bounded queue: one that is over its bound is cut off,
 * and reads the log by its own cursor from then on until it has caught up. Its window is that of the log: `cursor-too-old`.
 */
import type { LocatedChange, PathLog, ShardEngine } from '@nokv/meta';
import { shareEncoding, type WatchPathArgs, type WatchPathItem } from '@nokv/protocol';
import { NokvError, timespecToMs, toNokvError, wholeVersion, type Clock } from '@nokv/types';
import { PathWatcher, type QueueBudget } from './path-watcher.js';
import { RootIndex } from './root-index.js';
import { watchStart } from './watch-start.js';

/** Rows of the log in one turn of the event loop, and rows times watchers: some milliseconds of work. */
const TURN_ROWS_MAX = 512;
const TURN_OFFERS_MAX = 20_000;
/**
 * Commits that follow each other closely are handed out together, the more watchers they concern the more of them: a write to each
 * of a hundred connections costs more than the commit. Little beside what a person or a program notices.
 */
const PACE_MS_MIN = 2;
const PACE_MS_MAX = 10;
const PACE_MS_A_WATCHER = 0.08;
/** How often watchers are looked after while nothing is committed. */
const IDLE_MS = 1000;
const DIRECTORIES_MAX = 65_536;
const WATCHERS_MAX = 4096;
/** Of events that wait, over all watchers. */
const QUEUED_BYTES_MAX = 128 * 1024 * 1024;

export interface WatchHubOptions {
  readonly engine: ShardEngine;
  readonly clock: Clock;
  /** From the commit's time to the hand-over, of every change that was read. */
  readonly onLag?: (elapsedMs: number) => void;
  /** What may wait for all watchers together; default 128 MiB. Whoever would pass it is cut off. */
  readonly queuedBytesMax?: number;
}

export interface WatchStats {
  readonly watchers: number;
  /** Watchers that read the log by their own cursor. */
  readonly behind: number;
  readonly queued: number;
  readonly queuedMax: number;
  /** How many versions the last of them has not seen. */
  readonly versionsBehindMax: number;
  readonly events: number;
  /** Times that a watcher was cut off. */
  readonly cutOff: number;
}

export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #roots = new RootIndex();
  readonly #budget: QueueBudget;
  #log: PathLog | undefined;
  #stopListening: (() => void) | undefined;
  #isScheduled = false;
  #lastTurnMs = 0;
  #paceMs = PACE_MS_MIN;
  #idle: AbortController | undefined;
  #events = 0;
  #cutOff = 0;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#budget = { bytes: 0, bytesMax: options.queuedBytesMax ?? QUEUED_BYTES_MAX };
  }

  /** Ends when the signal fires. Errors: `not-found` (no root and no `since`), `cursor-too-old`, `too-busy`, `lease-lost` and its like. */
  async *watch(args: WatchPathArgs, signal: AbortSignal): AsyncGenerator<WatchPathItem> {
    const { engine, clock } = this.#options;
    if (this.#roots.all.size >= WATCHERS_MAX) {
      throw new NokvError('too-busy', `${WATCHERS_MAX} watchers are served already; try again in a moment`);
    }
    const start = await watchStart(engine, args);
    const watcher = new PathWatcher({
      engine,
      clock,
      start,
      filter: args.filter ?? {},
      budget: this.#budget,
      onCutOff: () => (this.#cutOff += 1),
      onEvents: (count) => (this.#events += count),
    });
    this.#enter(watcher);
    try {
      yield* watcher.items(signal);
    } finally {
      this.#leave(watcher);
    }
  }

  get stats(): WatchStats {
    const { durableVersion } = this.#options.engine;
    const stats = { watchers: this.#roots.all.size, behind: 0, queued: 0, queuedMax: 0, versionsBehindMax: 0 };
    for (const watcher of this.#roots.all) {
      if (!watcher.isLive) stats.behind += 1;
      stats.queued += watcher.queued;
      stats.queuedMax = Math.max(stats.queuedMax, watcher.queued);
      stats.versionsBehindMax = Math.max(stats.versionsBehindMax, durableVersion - watcher.at.version);
    }
    return { ...stats, events: this.#events, cutOff: this.#cutOff };
  }

  #enter(watcher: PathWatcher): void {
    const { engine } = this.#options;
    this.#roots.add(watcher);
    if (this.#log !== undefined) return;
    this.#log = engine.pathLog(wholeVersion(engine.durableVersion), DIRECTORIES_MAX);
    this.#stopListening = engine.onDurable(() => this.#schedule());
    this.#idle = new AbortController();
    void this.#lookAfter(this.#idle.signal);
  }

  #leave(watcher: PathWatcher): void {
    this.#roots.delete(watcher);
    if (this.#roots.all.size > 0) return;
    this.#stopListening?.();
    this.#idle?.abort();
    this.#log = undefined;
  }

  /** Soon, but not sooner than the pace allows. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const turn = (): void => this.#turn();
    const waitMs = this.#lastTurnMs + this.#paceMs - this.#options.clock.monotonicMs();
    if (waitMs <= 0) setImmediate(turn);
    else this.#options.clock.sleep(waitMs).then(turn, turn);
  }

  #turn(): void {
    this.#isScheduled = false;
    const log = this.#log;
    if (log === undefined) return;
    try {
      const rows = Math.max(1, Math.min(TURN_ROWS_MAX, Math.floor(TURN_OFFERS_MAX / Math.max(1, this.#roots.all.size))));
      const isCurrent = log.scan(rows, (located) => {
        this.#handOut(located, log);
        return true;
      });
      let told = 0;
      for (const watcher of this.#roots.all) if (watcher.reached(log.at)) told += 1;
      this.#paceMs = Math.min(PACE_MS_MAX, PACE_MS_MIN + told * PACE_MS_A_WATCHER);
      if (isCurrent) {
        this.#lastTurnMs = this.#options.clock.monotonicMs();
      } else {
        this.#isScheduled = true;
        setImmediate(() => this.#turn());
      }
    } catch (error) {
      const refusal = toNokvError(error);
      for (const watcher of this.#roots.all) watcher.fail(refusal);
    }
  }

  #handOut(located: LocatedChange, log: PathLog): void {
    let takers = 0;
    for (const watcher of this.#roots.concerned(located)) if (watcher.offer(located, log.paths) === located.whole) takers += 1;
    if (takers > 1) shareEncoding(located.whole);
    const { onLag, clock } = this.#options;
    onLag?.(Math.max(0, clock.nowMs() - timespecToMs(located.change.time)));
  }

  /** Watchers hear that time passes, and of a shard that serves no more, while nothing is committed. */
  async #lookAfter(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(IDLE_MS, signal).catch(() => undefined);
      if (!signal.aborted) this.#schedule();
    }
  }
}
