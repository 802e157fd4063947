/**
 * Keeps recovery short and the log bounded: writes an image when the log after the newest one has grown, then removes images that
 * newer ones replace and segments that every kept image covers. One turn at a time, only while the shard is owned.
 *
 * Nothing is removed that a recovery could need: the newest complete images stay, however old, and the segment that each of them
 * stands on; what a reader may be in the middle of stays for the retention.
 */
import { type Clock, type Random, type ShardId } from '@nokv/types';
import type { KvSnapshot, OrderedKv } from '../ordered-kv.js';
import { completeImages } from './complete-images.js';
import { manifestKey, readManifest } from './image.js';
import { imagePrefix, imagesPrefix, logPrefix, sequenceOfImage, sequenceOfKey } from './log-key.js';
import type { LogPosition } from './log-position.js';
import { LOG_LIST_MAX, listAll, type LogStore } from './log-store.js';
import { writeImage, type WrittenImage } from './write-image.js';

export interface ImagePolicy {
  /** Bytes of log after the newest image that call for another one (default 64 MiB). */
  readonly logBytes: number;
  /** The same in segments (default 2,000): each is a read of a recovery. */
  readonly logSegments: number;
  /** Complete images that stay, at least 1 (default 2): one may turn out to be damaged. */
  readonly imagesKept: number;
  /** Younger images stay, the newest older one, and what follows them in the log (default 10 minutes). */
  readonly retentionMs: number;
}

export const IMAGE_POLICY_DEFAULT: ImagePolicy = {
  logBytes: 64 * 1024 * 1024,
  logSegments: 2000,
  imagesKept: 2,
  retentionMs: 10 * 60 * 1000,
};

/** Little beside the retention of images. */
const TIDY_PAUSE_MS = 30_000;

export interface ImageKeeperOptions {
  readonly kv: OrderedKv;
  readonly store: LogStore;
  readonly shard: ShardId;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: () => { readonly position: LogPosition; readonly bytes: number };
  /** Takes a snapshot that is the state after a segment of the log; default: any is. */
  readonly snapshot?: (() => Promise<KvSnapshot>) | undefined;
  /** Throws when the shard is not owned (any more); asked before everything that is written or removed. */
  readonly mustOwn: () => void;
  readonly policy?: Partial<ImagePolicy> | undefined;
  readonly blockBytes?: number | undefined;
}

export interface ImageTurn {
  readonly written: WrittenImage | undefined;
  readonly segmentsRemoved: number;
  readonly objectsRemoved: number;
}

export class ImageKeeper {
  readonly #options: ImageKeeperOptions;
  readonly #policy: ImagePolicy;
  /** Sequence of the newest image, and what the log had carried then; undefined before the first look. */
  #newest: { readonly sequence: number; readonly bytes: number } | undefined;
  /** Something may be there to be removed. */
  #isUntidy = true;
  /** When to look again, as long as nothing new is written. */
  #tidyAtMs = 0;
  images = 0;

  constructor(options: ImageKeeperOptions) {
    this.#options = options;
    this.#policy = { ...IMAGE_POLICY_DEFAULT, ...options.policy };
  }

  /** Writes an image if one is due, and removes what is due. Not to be called while a turn is under way. */
  async turn(): Promise<ImageTurn> {
    const { store, shard } = this.#options;
    const [newest] = this.#newest === undefined ? await completeImages(store, shard) : [];
    this.#newest ??= { sequence: newest === undefined ? 0 : sequenceOfImage(shard, newest), bytes: 0 };
    const written = this.#isDue() ? await this.write() : undefined;
    const isTime = written !== undefined || this.#options.clock.nowMs() >= this.#tidyAtMs;
    const removed = this.#isUntidy && isTime ? await this.#tidy() : { segments: 0, objects: 0 };
    return { written, segmentsRemoved: removed.segments, objectsRemoved: removed.objects };
  }

  /** Writes an image now. */
  async write(): Promise<WrittenImage> {
    const { kv, store, shard, clock, random, mustOwn, blockBytes } = this.#options;
    const { bytes } = this.#options.log();
    const attempt = Buffer.from(random.bytes(4)).toString('hex');
    const snapshot = await (this.#options.snapshot?.() ?? kv.snapshot());
    try {
      const written = await writeImage({
        snapshot,
        store,
        shard,
        clock,
        random,
        prefix: ({ sequence }) => imagePrefix(shard, sequence, attempt),
        blockBytes,
        mayGoOn: mustOwn,
      });
      this.#newest = { sequence: written.manifest.sequence, bytes };
      this.#isUntidy = true;
      this.images += 1;
      return written;
    } finally {
      snapshot.release();
    }
  }

  #isDue(): boolean {
    const { position, bytes } = this.#options.log();
    const newest = this.#newest ?? { sequence: 0, bytes: 0 };
    return position.sequence - newest.sequence >= this.#policy.logSegments || bytes - newest.bytes >= this.#policy.logBytes;
  }

  async #tidy(): Promise<{ segments: number; objects: number }> {
    const { store, shard, clock } = this.#options;
    this.#tidyAtMs = clock.nowMs() + TIDY_PAUSE_MS;
    const complete = await completeImages(store, shard);
    const youngMs = clock.nowMs() - this.#policy.retentionMs;
    const kept: string[] = [];
    let isCovered = false;
    // The log begins behind an image that is older than the retention: a segment that is removed has been there for longer than that.
    for (const prefix of complete) {
      if (isCovered && kept.length >= this.#policy.imagesKept) break;
      kept.push(prefix);
      const image = await readManifest(store, prefix);
      if (image !== undefined && image.madeMs < youngMs) isCovered = true;
    }
    // Until then this image is in the place of one that is young now.
    const waits = kept.length > this.#policy.imagesKept;
    if (!isCovered) return { segments: 0, objects: 0 };
    const objects = await this.#removeImages(new Set(kept));
    const floor = Math.min(...kept.map((prefix) => sequenceOfImage(shard, prefix)));
    const { removed: segments, more } = await this.#removeSegments(floor);
    this.#isUntidy = more || waits;
    if (more) this.#tidyAtMs = 0;
    return { segments, objects };
  }

  /** The manifest goes first: an image is whole or is none. Tries that came to nothing go too, unless they are newer than every image. */
  async #removeImages(kept: ReadonlySet<string>): Promise<number> {
    const { store, shard, mustOwn } = this.#options;
    const newest = Math.max(...[...kept].map((prefix) => sequenceOfImage(shard, prefix)));
    const doomed = (await listAll(store, imagesPrefix(shard))).filter((key) => {
      const prefix = key.slice(0, key.lastIndexOf('/') + 1);
      return !kept.has(prefix) && sequenceOfImage(shard, prefix) < newest;
    });
    const manifests = doomed.filter((key) => key.endsWith(manifestKey('/')));
    const blocks = doomed.filter((key) => !key.endsWith(manifestKey('/')));
    for (const keys of [manifests, ...chunks(blocks)]) {
      if (keys.length === 0) continue;
      mustOwn();
      await store.delete(keys);
    }
    return doomed.length;
  }

  /** Segments before the one that the oldest kept image stands on. */
  async #removeSegments(floor: number): Promise<{ removed: number; more: boolean }> {
    const { store, shard, mustOwn } = this.#options;
    const page = await store.list(logPrefix(shard), { limit: LOG_LIST_MAX });
    const keys = page.keys.filter((key) => (sequenceOfKey(shard, key) ?? floor) < floor);
    if (keys.length > 0) {
      mustOwn();
      await store.delete(keys);
    }
    return { removed: keys.length, more: keys.length === page.keys.length && page.more };
  }
}

function* chunks(keys: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < keys.length; at += LOG_LIST_MAX) yield keys.slice(at, at + LOG_LIST_MAX);
}
