/**
 * Looks through the store for blocks that no row knows: what a client sent after its upload had been swept, what a takeover lost with the
 * end of its log, what somebody put there. They get a row and a place in the queue, where `nokv gc` shows them, and go after a time of
 * grace by the same work that removes every other block, decided again then, under the lease.
 *
 * Costs little: one page of a listing at a time with a pause behind it, a pass every few hours. A pass begins anywhere, so that
 * restarts starve no part of the store. Objects whose keys are none of a block are told and left alone.
 */
import type { ShardEngine, StrayUpload } from '@nokv/meta';
import { LIST_KEYS_MAX, type ObjectStore } from '@nokv/object';
import { toNokvError, uploadTimeMs, type Clock, type Random, type UploadId } from '@nokv/types';
import { BLOCKS_PREFIX, describeObject } from './block-inventory.js';
import type { Logger } from './logger.js';

export interface OrphanSweepParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly isServing: () => boolean;
  readonly graceMs: number;
}

export interface OrphanSweep {
  /** Objects listed, uploads that nothing knew, objects that are no blocks (those in the last pass), and passes that were finished. */
  readonly listed: number;
  readonly strays: number;
  readonly foreign: number;
  readonly passes: number;
  stop(): Promise<void>;
}

/** From when something is first found until it goes, at least. */
export const ORPHAN_GRACE_MS_DEFAULT = 24 * 3600 * 1000;
const PASS_PAUSE_MS_MAX = 6 * 3600 * 1000;
const PASS_PAUSE_MS_MIN = 1000;
/** Without the lease, or with a store that does not answer. */
const RETRY_PAUSE_MS_MAX = 30_000;
/** A thousand keys a second at most. */
const PAGE_PAUSE_MS = 1000;
/** Foreign objects that are named in the log, each once. */
const FOREIGN_TOLD_MAX = 100;
/** Strays of one command. */
const STRAYS_A_COMMAND_MAX = 256;

export function startOrphanSweep(parts: OrphanSweepParts): OrphanSweep {
  const { engine, store, clock, random, log, isServing, graceMs } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const passPauseMs = Math.min(PASS_PAUSE_MS_MAX, Math.max(PASS_PAUSE_MS_MIN, graceMs / 4));
  const pagePauseMs = Math.min(PAGE_PAUSE_MS, passPauseMs / 10);
  const retryPauseMs = Math.min(RETRY_PAUSE_MS_MAX, passPauseMs);
  const told = new Set<string>();
  let listed = 0;
  let strays = 0;
  let foreign = 0;
  let passes = 0;

  async function pass(): Promise<void> {
    const start = `${BLOCKS_PREFIX}${Buffer.from(random.bytes(1)).toString('hex')}/`;
    let foreignNow = 0;
    let isWrapped = false;
    let after: string | undefined = start;
    // Ends: every page goes on behind the last, to the end of the listing and then from its beginning to where it began.
    while (!signal.aborted) {
      if (!isServing()) {
        await pause(retryPauseMs);
        continue;
      }
      try {
        const page = await store.list(BLOCKS_PREFIX, { limit: LIST_KEYS_MAX, after, signal });
        const objects = isWrapped ? page.objects.filter(({ key }) => key <= start) : page.objects;
        foreignNow += await look(objects);
        listed += objects.length;
        after = page.objects.at(-1)?.key;
        if (isWrapped && (after === undefined || !page.more || after > start)) break;
        if (after === undefined || !page.more) {
          isWrapped = true;
          after = undefined;
        }
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ error: toNokvError(error).toRecord() }, 'looking for stray blocks');
        await pause(retryPauseMs);
      }
      await pause(pagePauseMs);
    }
    foreign = foreignNow;
    passes += 1;
  }

  /** @returns how many objects were none of ours. */
  async function look(objects: readonly { readonly key: string; readonly size: number }[]): Promise<number> {
    const uploads = new Set<UploadId>();
    let odd = 0;
    for (const { key, size } of objects) {
      const { upload } = describeObject(key, size);
      if (upload === undefined) odd += 1;
      if (upload !== undefined) uploads.add(upload);
      else if (isNews(key)) log.warn({ key, size }, 'an object among the blocks that is none; it is left alone');
    }
    const unknown = strayUploads(engine.unknownUploads(uploads), clock.nowMs(), graceMs);
    for (let at = 0; at < unknown.length; at += STRAYS_A_COMMAND_MAX) {
      await engine.adoptStrays(unknown.slice(at, at + STRAYS_A_COMMAND_MAX));
    }
    for (const { upload, dueMs } of unknown) log.info({ upload, due: new Date(dueMs).toISOString() }, 'stray blocks found');
    strays += unknown.length;
    return odd;
  }

  function isNews(key: string): boolean {
    if (told.has(key) || told.size >= FOREIGN_TOLD_MAX) return false;
    told.add(key);
    return true;
  }

  function pause(ms: number): Promise<void> {
    return clock.sleep(ms, signal).catch(() => undefined);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await pass();
      await pause(passPauseMs);
    }
  }

  const ended = run();
  return {
    get listed() {
      return listed;
    },
    get strays() {
      return strays;
    },
    get foreign() {
      return foreign;
    },
    get passes() {
      return passes;
    },
    stop() {
      stopping.abort();
      return ended;
    },
  };
}

/** An upload's id says when it began: its grace counts from then where it lies ahead. */
export function strayUploads(uploads: readonly UploadId[], nowMs: number, graceMs: number): StrayUpload[] {
  return uploads.map((upload) => ({ upload, dueMs: Math.ceil(Math.max(nowMs, uploadTimeMs(upload)) + graceMs) }));
}
