/**
 * Removes blocks that no body names although other blocks of their upload are named, so that one file that is left of many that were packed
 * together keeps its own block and not all of them; and has what is left of blocks that are mostly of bodies that are gone copied together.
 *
 * A pass costs one look at all bodies and one listing of the store; there is one a day, and with `nokv gc`. What it finds waits, in memory,
 * as long as the blocks of a whole upload do once nothing names them. Whoever loses the lease forgets what it found.
 */
import type { ShardEngine, SparseUpload } from '@nokv/meta';
import { LIST_KEYS_MAX, type ObjectStore } from '@nokv/object';
import { NokvError, toNokvError, type Clock, type Random } from '@nokv/types';
import { blockInventory } from './block-inventory.js';
import { compact } from './compaction.js';
import type { Logger } from './logger.js';

export interface DeadBlockSweepParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly isServing: () => boolean;
}

/** For readers under way: as for the blocks of an upload that nothing names. */
export const DEAD_BLOCK_GRACE_MS = 10 * 60 * 1000;
const PASS_PAUSE_MS = 24 * 3600 * 1000;
/** The first pass after a start: by then the rest of the background has had its turn. */
const FIRST_PASS_MS = 3600 * 1000;
const TURN_MS = 30_000;
/** A pass that takes longer is broken off, since it keeps one state of the rows from being reused; what it found is kept. */
const PASS_MS_MAX = 3600 * 1000;
/** Blocks that wait at once; a pass ends where there are more, and the next goes on. */
const WAITING_MAX = 100_000;
const SPARSE_MAX = 10_000;

interface Waiting {
  readonly size: number;
  readonly dueMs: number;
}

export interface DeadBlocks {
  readonly blocks: number;
  readonly bytes: number;
}

export class DeadBlockSweep {
  removed = 0;
  bytesRemoved = 0;
  bodiesMoved = 0;
  bytesMoved = 0;
  readonly #parts: DeadBlockSweepParts;
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<string, Waiting>();
  #epoch: number;
  #passing: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  constructor(parts: DeadBlockSweepParts) {
    this.#parts = parts;
    this.#epoch = parts.engine.epoch;
  }

  /** Begins to work by itself. */
  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
    await this.#passing?.catch(() => undefined);
  }

  /** What was found and is not removed yet, and when the first of it is due. */
  get waiting(): DeadBlocks & { readonly dueMs: number | undefined } {
    this.#forgetUnlessOwned();
    let bytes = 0;
    let dueMs: number | undefined;
    for (const each of this.#waiting.values()) {
      bytes += each.size;
      dueMs = dueMs === undefined ? each.dueMs : Math.min(dueMs, each.dueMs);
    }
    return { blocks: this.#waiting.size, bytes, dueMs };
  }

  /** Looks for more, until `endMs` of the monotonic clock at most. Where a pass is under way already, it is waited for as long. */
  async pass(endMs: number): Promise<void> {
    const { clock } = this.#parts;
    const timeIsUp = new AbortController();
    const isOver = new AbortController();
    const timer = clock
      .sleep(Math.max(0, endMs - clock.monotonicMs()), AbortSignal.any([this.#stopping.signal, isOver.signal]))
      .then(() => timeIsUp.abort())
      .catch(() => undefined);
    const signal = AbortSignal.any([this.#stopping.signal, timeIsUp.signal]);
    this.#passing ??= this.#pass(signal).finally(() => (this.#passing = undefined));
    try {
      await Promise.race([this.#passing, timer]);
    } finally {
      isOver.abort();
    }
  }

  /** Removes what is due. */
  async removeDue(): Promise<DeadBlocks> {
    const { engine, store, clock } = this.#parts;
    this.#forgetUnlessOwned();
    const nowMs = clock.nowMs();
    const due = [...this.#waiting].filter(([, { dueMs }]) => dueMs <= nowMs);
    const mayGoOn = (): void => {
      engine.mustServe();
      if (engine.epoch !== this.#epoch)
        throw new NokvError('lease-lost', 'another ownership of the shard has begun; what was found before it is looked for anew');
    };
    let bytes = 0;
    for (let at = 0; at < due.length; at += LIST_KEYS_MAX) {
      const chunk = due.slice(at, at + LIST_KEYS_MAX);
      mayGoOn();
      await store.delete(
        chunk.map(([key]) => key),
        { mayGoOn, signal: this.#stopping.signal },
      );
      for (const [key, { size }] of chunk) {
        this.#waiting.delete(key);
        bytes += size;
      }
    }
    this.removed += due.length;
    this.bytesRemoved += bytes;
    if (due.length > 0) this.#parts.log.info({ blocks: due.length, bytes }, 'removed blocks that no body names');
    return { blocks: due.length, bytes };
  }

  /** What it found until the signal fires is kept. */
  async #pass(signal: AbortSignal): Promise<void> {
    try {
      await this.#look(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { engine, store, clock } = this.#parts;
    this.#forgetUnlessOwned();
    const epoch = this.#epoch;
    const dueMs = clock.nowMs() + DEAD_BLOCK_GRACE_MS;
    const blocks = blockInventory(store, () => engine.mustServe());
    const sparse: SparseUpload[] = [];
    for await (const item of engine.deadBlocks(blocks, signal)) {
      if (this.#epoch !== epoch) return;
      if (item.kind === 'sparse') sparse.push(...item.uploads);
      else for (const { key, size } of item.blocks) if (!this.#waiting.has(key)) this.#waiting.set(key, { size, dueMs });
      if (this.#waiting.size >= WAITING_MAX || sparse.length >= SPARSE_MAX) break;
    }
    const { bodies, bytes } = await compact({ ...this.#parts, signal }, sparse);
    this.bodiesMoved += bodies;
    this.bytesMoved += bytes;
  }

  /** What an earlier ownership found may be named again: an owner in between may have gone back to an earlier end of the log. */
  #forgetUnlessOwned(): void {
    const { engine, isServing } = this.#parts;
    if (isServing() && engine.epoch === this.#epoch) return;
    this.#waiting.clear();
    this.#epoch = engine.epoch;
  }

  async #run(): Promise<void> {
    const { clock, log, isServing } = this.#parts;
    const { signal } = this.#stopping;
    let passDueMs = clock.monotonicMs() + FIRST_PASS_MS;
    while (!signal.aborted) {
      await clock.sleep(TURN_MS, signal).catch(() => undefined);
      if (signal.aborted || !isServing()) continue;
      try {
        if (clock.monotonicMs() >= passDueMs) {
          passDueMs = clock.monotonicMs() + PASS_PAUSE_MS;
          await this.pass(clock.monotonicMs() + PASS_MS_MAX);
        }
        await this.removeDue();
      } catch (error) {
        if (!signal.aborted) log.warn({ error: toNokvError(error).toRecord() }, 'looking for blocks that no body names');
      }
    }
  }
}
