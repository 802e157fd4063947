/** A bounded walk with a predicate, and the report of how far it came that every answer over it carries. */
import type { StopReason, VerbContext } from './budget.js';
import { Stopwatch, budgetOf } from './budget.js';
import type { Field } from './fields.js';
import { isNokvError } from '@nokv/types';
import type { Plane, PlaneEntry } from './plane.js';
import type { Predicate } from './predicate.js';
import { comparePlaces, walk, type WalkedEntry } from './walk.js';
import { z } from 'zod';

export const SCAN_REPORT = z.object({
  /** True: everything under the path was looked at. */
  complete: z.boolean(),
  /** Entries looked at by this call. */
  entries: z.int(),
  /** Why it stopped. */
  stopped: z.enum(['entries', 'deadline', 'bytes', 'limit', 'answer']).optional(),
  /** Directories that vanished or refused meanwhile. */
  unreadable: z.int().optional(),
});

export type ScanReport = z.output<typeof SCAN_REPORT>;

export interface ScanOptions {
  readonly predicate: Predicate;
  /** Fields that the consumer reads, beside those of the predicate. */
  readonly fields?: Iterable<Field>;
  readonly after?: string | undefined;
  /** Stop after this place; the bounds of time and entries do not apply before it. */
  readonly until?: string | undefined;
  readonly entriesMax?: number | undefined;
  readonly timeMs?: number | undefined;
}

/** The batch that waits for cards at a time. */
const CARD_BATCH = 32;

/** Runs the walk and calls `onMatch` in order; `onMatch` returns a reason to stop, or nothing. */
export class Scan {
  entries = 0;
  unreadable = 0;
  stopped: StopReason | undefined;
  /** The last place that was looked at. */
  place: string | undefined;

  readonly #plane: Plane;
  readonly #context: VerbContext;

  constructor(plane: Plane, context: VerbContext) {
    this.#plane = plane;
    this.#context = context;
  }

  async run(start: PlaneEntry, options: ScanOptions, onMatch: (match: WalkedEntry) => StopReason | undefined): Promise<void> {
    const budget = budgetOf(this.#context);
    const entriesMax = Math.min(budget.entries, options.entriesMax ?? budget.entries);
    const watch = new Stopwatch(this.#context, Math.min(budget.timeMs, options.timeMs ?? budget.timeMs));
    const needsCard = [...options.predicate.fields, ...(options.fields ?? [])].some((field) => field.isOnCard === true);
    const walked = walk(this.#plane, start, {
      signal: this.#context.signal,
      after: options.after,
      onUnreadable: () => {
        this.unreadable += 1;
      },
    });
    let batch: WalkedEntry[] = [];
    for await (const each of walked) {
      if (options.until !== undefined && comparePlaces(each.place, options.until) > 0) break;
      await watch.pause();
      // Before `until` lies what an earlier call could scan within its bounds.
      if (options.until === undefined) {
        if (this.entries + batch.length >= entriesMax) this.stopped = 'entries';
        else if (watch.isOver() && this.entries + batch.length > 0) this.stopped = 'deadline';
        if (this.stopped !== undefined) break;
      } else watch.isOver();
      if (!needsCard) {
        this.#take(each, options.predicate, onMatch);
        if (this.stopped !== undefined) return;
        continue;
      }
      batch.push(each);
      if (batch.length < CARD_BATCH) continue;
      await this.#takeBatch(batch, options.predicate, onMatch);
      batch = [];
      if (this.stopped !== undefined) return;
    }
    const reason = this.stopped;
    this.stopped = undefined;
    await this.#takeBatch(batch, options.predicate, onMatch);
    this.stopped ??= reason;
  }

  report(): ScanReport {
    return {
      complete: this.stopped === undefined,
      entries: this.entries,
      ...(this.stopped === undefined ? {} : { stopped: this.stopped }),
      ...(this.unreadable === 0 ? {} : { unreadable: this.unreadable }),
    };
  }

  #take(each: WalkedEntry, predicate: Predicate, onMatch: (match: WalkedEntry) => StopReason | undefined): void {
    this.entries += 1;
    this.place = each.place;
    if (predicate.test(each)) this.stopped = onMatch(each);
  }

  async #takeBatch(
    batch: readonly WalkedEntry[],
    predicate: Predicate,
    onMatch: (match: WalkedEntry) => StopReason | undefined,
  ): Promise<void> {
    const cards = await Promise.all(batch.map((each) => this.#withCard(each)));
    for (const each of cards) {
      if (each !== undefined) this.#take(each, predicate, onMatch);
      if (this.stopped !== undefined) return;
    }
  }

  /** Listings lack what is kept beside the inode; undefined when the entry is gone by now. */
  async #withCard(each: WalkedEntry): Promise<WalkedEntry | undefined> {
    if (each.entry.card.type === 'directory') return each;
    try {
      return { ...each, entry: await this.#plane.stat(each.entry.path, { follow: false, signal: this.#context.signal }) };
    } catch (error) {
      if (isNokvError(error) && (error.kind === 'not-found' || error.code === 'not-directory')) return undefined;
      throw error;
    }
  }
}
