/**
 * Background work of the shard in bounded slices, only while it is owned: expired uploads are swept with their blocks,
 * trash is taken apart, what is past its window dropped. A failing slice is logged and tried again at the next turn.
 */
import type { ShardEngine } from '@nokv/meta';
import type { ObjectStore } from '@nokv/object';
import { NokvError, toNokvError, type Clock, type UploadId } from '@nokv/types';
import { BlockRemoval } from './block-removal.js';
import type { HitFailpoint } from './failpoints.js';
import type { Logger } from './logger.js';

export interface BackgroundParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly isServing: () => boolean;
  readonly failpoint: HitFailpoint;
  /** One turn of image writing and truncation of the shared log, where there is one. */
  readonly keepImages?: (() => Promise<void>) | undefined;
}

export interface Background {
  readonly slices: number;
  readonly blocksRemoved: number;
  readonly bytesRemoved: number;
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>;
}

/** Between two turns that found nothing to do. */
const PAUSE_MS = 2000;

export function startBackground(parts: BackgroundParts): Background {
  const { engine, store, clock, log } = parts;
  const stopping = new AbortController();
  let slices = 0;
  const removal = new BlockRemoval({
    store,
    failpoint: parts.failpoint,
    signal: stopping.signal,
    // Nothing is deleted without the lease: another owner may know these blocks.
    mayGoOn: () => {
      if (!parts.isServing() || stopping.signal.aborted) throw new NokvError('lease-lost', 'background work stops without the lease');
    },
  });

  async function removeBlocks(upload: UploadId): Promise<void> {
    const { blocks, bytes } = await removal.remove(upload);
    if (blocks > 0) log.info({ upload, blocks, bytes }, 'swept an upload');
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let more = false;
      if (parts.isServing()) {
        try {
          more = (await engine.maintain(removeBlocks)).more;
          slices += 1;
        } catch (error) {
          if (!stopping.signal.aborted) log.warn({ error: toNokvError(error).toRecord() }, 'background work');
        }
      }
      // Between slices, requests have their turn.
      await clock.sleep(more ? 1 : PAUSE_MS, stopping.signal).catch(() => undefined);
    }
  }

  /** Beside the slices: an image takes as long as the store takes it. */
  async function runImages(keepImages: () => Promise<void>): Promise<void> {
    while (!stopping.signal.aborted) {
      await keepImages().catch((error: unknown) => {
        if (!stopping.signal.aborted) log.warn({ error: toNokvError(error).toRecord() }, 'images of the log');
      });
      await clock.sleep(PAUSE_MS, stopping.signal).catch(() => undefined);
    }
  }

  const ended = Promise.all([run(), parts.keepImages === undefined ? undefined : runImages(parts.keepImages)]).then(() => undefined);
  return {
    get slices() {
      return slices;
    },
    get blocksRemoved() {
      return removal.blocks;
    },
    get bytesRemoved() {
      return removal.bytes;
    },
    stop() {
      stopping.abort();
      return ended;
    },
  };
}
