/**
 * Brings a store to the head of the shared log of its shard, from whatever it holds: nothing, a prefix of the log, a state that went
 * another way, or what an interrupted recovery left.
 *
 * The base is the store itself where the log goes on from it, else the newest complete image, else an older one; then follows every
 * later segment in sequence, each checked and replayed (replay.ts). A missing or altered part is refused by its key; nothing is
 * guessed. A shard that has ever been served is never made anew.
 */
import { NokvError, isNokvError, toNokvError, type Clock, type Random, type ShardId } from '@nokv/types';
import { SYSTEM_ITEM, systemKey } from '../key.js';
import type { OrderedKv } from '../ordered-kv.js';
import { decodeFormat, decodeProgress } from '../value-log.js';
import { completeImages } from './complete-images.js';
import { readManifest } from './image.js';
import { contentOf, emptyStore, loadImage, positionOf } from './load-image.js';
import { imagePrefix, imagesPrefix, logPrefix, originKey, segmentKey, sequenceOfImage } from './log-key.js';
import { logPositionWrite, readLogPosition, type LogPosition } from './log-position.js';
import type { LogStore } from './log-store.js';
import { putOrigin, readOrigin } from './origin.js';
import { readOutbox } from './outbox.js';
import { reconcileOutbox } from './reconcile-outbox.js';
import { Replay } from './replay.js';
import { decodeSegment } from './segment.js';
import { writeImage } from './write-image.js';

export interface RecoverOptions {
  readonly kv: OrderedKv;
  readonly store: LogStore;
  readonly shard: ShardId;
  readonly clock: Clock;
  readonly random: Random;
  /** Whether anybody ever served the shard, as far as its coordinator knows. */
  readonly hasBeenServed: boolean;
  /** Makes the rows of a new shard in an empty store, durably. */
  readonly bootstrap: (kv: OrderedKv) => Promise<void>;
}

export interface Recovered {
  readonly position: LogPosition;
  /** `store`: what was there already; `image`: everything came from the log's store; `new`: the shard began here. */
  readonly from: 'store' | 'image' | 'new';
  /** Prefix of the image that it began with. */
  readonly image: string | undefined;
  readonly segments: number;
}

const IMAGES_TRIED_MAX = 16;
/** A shard that nobody changed since it was made. */
const FIRST_VERSION = 1;
/** Segments asked for ahead of their replay. */
const READ_AHEAD = 8;

export async function recoverShard(options: RecoverOptions): Promise<Recovered> {
  const { kv, store, shard } = options;
  refuseForeignRows(kv, shard);
  const origin = await readOrigin(store, shard);
  if (origin === undefined) return begin(options);
  const own = await ownPosition(options);
  const reconciled = own === undefined ? undefined : await reconcileOutbox(options, own);
  if (reconciled !== undefined) {
    const { position, segments } = await replayTail(options, reconciled);
    return { position, from: 'store', image: undefined, segments };
  }
  const images = await completeImages(store, shard);
  let failure: NokvError | undefined;
  for (const prefix of images.slice(0, IMAGES_TRIED_MAX)) {
    try {
      const image = await readManifest(store, prefix);
      if (image === undefined) continue;
      await emptyStore(kv);
      await loadImage(kv, store, prefix, image, shard, true);
      const { position, segments } = await replayTail(options, mustHavePosition(kv));
      return { position, from: 'image', image: prefix, segments };
    } catch (error) {
      // An older image and a longer log may do instead. What is reported is the first thing that was wrong.
      if (!isNokvError(error, 'corrupt')) throw error;
      failure ??= error;
    }
  }
  throw (
    failure ??
    new NokvError(
      'corrupt',
      `shard ${shard} has been served and ${store.description} holds no complete image of it under ${imagesPrefix(shard)}; restore the store`,
      { details: { key: imagesPrefix(shard) } },
    )
  );
}

/** Rows of another format or shard are neither replayed upon nor thrown away. */
function refuseForeignRows(kv: OrderedKv, shard: ShardId): void {
  const bytes = kv.get(systemKey(SYSTEM_ITEM.format));
  const found = bytes === undefined ? shard : decodeFormat(bytes).shard;
  if (found !== shard) {
    throw new NokvError(
      'unsupported-format',
      `expected the environment of shard ${shard}, found that of shard ${found}; choose its own data directory`,
    );
  }
}

/** The log begins: with what this store holds, or with a new shard. */
async function begin(options: RecoverOptions): Promise<Recovered> {
  const { kv, store, shard, clock, random, hasBeenServed, bootstrap } = options;
  const content = contentOf(kv);
  const logged = content === 'shard' ? readLogPosition(kv) : undefined;
  const { keys } = await store.list(logPrefix(shard), { limit: 1 });
  if (keys.length > 0 || (logged !== undefined && logged.sequence > 0) || (hasBeenServed && content !== 'shard')) {
    // Looked at again: between the two looks another node may have begun.
    if ((await readOrigin(store, shard)) !== undefined) throw begunElsewhere(shard);
    throw new NokvError(
      'corrupt',
      `shard ${shard} has been served and ${originKey(shard)} is missing in ${store.description}; restore the store, it is not begun anew`,
      { details: { key: originKey(shard) } },
    );
  }
  if (content === 'remains') await emptyStore(kv);
  if (content !== 'shard') await bootstrap(kv);
  const snapshot = kv.snapshot();
  const attempt = Buffer.from(random.bytes(4)).toString('hex');
  try {
    const { prefix, manifest } = await writeImage({
      snapshot,
      store,
      shard,
      clock,
      random,
      prefix: ({ sequence }) => imagePrefix(shard, sequence, attempt),
    });
    const position = positionOf(manifest);
    // Before the origin: a store that began a log knows it, whatever happens next.
    await kv.commit([logPositionWrite(position)]).flushed;
    if (!(await putOrigin(store, shard, { image: prefix }))) {
      throw begunElsewhere(shard);
    }
    return { position, from: 'new', image: prefix, segments: 0 };
  } finally {
    snapshot.release();
  }
}

function begunElsewhere(shard: ShardId): NokvError {
  return new NokvError('unavailable', `another node began the log of shard ${shard} at the same moment; try again`);
}

/** Where the store is in the log; undefined where it is to be filled anew. */
async function ownPosition(options: RecoverOptions): Promise<LogPosition | undefined> {
  const { kv, store, shard } = options;
  if (contentOf(kv) !== 'shard') return undefined;
  const position = readLogPosition(kv);
  if (position !== undefined && (await goesOnFrom(options, position))) return position;
  const progress = kv.get(systemKey(SYSTEM_ITEM.progress));
  const isNew = progress !== undefined && decodeProgress(progress).version <= FIRST_VERSION;
  if ((position === undefined || position.sequence === 0) && !isNew) {
    throw new NokvError(
      'bad-configuration',
      `this data directory holds a shard ${shard} that is no part of the log in ${store.description}; start with an empty --data, or give another --object`,
    );
  }
  return undefined;
}

/**
 * Whether the log holds this position, or goes on from it. Refuses a log that has lost what this store has seen in it. What lies before
 * the oldest image has been truncated, and whatever is found there may have come late: it is not looked at.
 */
async function goesOnFrom({ store, shard }: RecoverOptions, { sequence, digest }: LogPosition): Promise<boolean> {
  const images = await completeImages(store, shard);
  const oldest = images.at(-1);
  if (oldest !== undefined && sequenceOfImage(shard, oldest) > sequence) return false;
  const key = segmentKey(shard, sequence);
  const own = sequence === 0 ? undefined : await store.get(key);
  if (own !== undefined) return Buffer.compare(decodeSegment(key, own).digest, digest) === 0;
  const nextKey = segmentKey(shard, sequence + 1);
  const next = await store.get(nextKey);
  if (next !== undefined) return Buffer.compare(decodeSegment(nextKey, next).previous, digest) === 0;
  const [prefix] = images;
  if (prefix === undefined || sequenceOfImage(shard, prefix) > sequence) return false;
  if (sequence > 0) {
    throw new NokvError('corrupt', `${key} was written and is missing: the log of shard ${shard} has lost its end; restore this object`, {
      details: { key },
    });
  }
  // At the origin, with a log that is still empty.
  const image = await readManifest(store, prefix);
  return image?.segmentDigest === Buffer.from(digest).toString('hex');
}

async function replayTail({ kv, store, shard }: RecoverOptions, from: LogPosition): Promise<{ position: LogPosition; segments: number }> {
  // What waits to be shipped lies on top of this position; nothing of the log is left to be brought under it.
  if (readOutbox(kv).length > 0) return { position: from, segments: 0 };
  const replay = new Replay(kv, shard, from);
  const segments = await replayLog(replay, store, shard);
  await replay.flushed();
  return { position: replay.position, segments };
}

/** Replays to the head of the log; refuses a gap, naming the first key that is missing. @returns how many segments there were. */
export async function replayLog(replay: Replay, store: LogStore, shard: ShardId): Promise<number> {
  const first = replay.position.sequence + 1;
  const ahead: Promise<Uint8Array | undefined>[] = [];
  const ask = (): void => {
    const asked = store.get(segmentKey(shard, first + asks));
    asked.catch(() => undefined);
    ahead.push(asked);
    asks += 1;
  };
  let asks = 0;
  for (let sequence = first; ; sequence++) {
    // One at the head of a short tail; more at once where the tail turns out to be long.
    while (ahead.length < Math.min(READ_AHEAD, 1 + sequence - first)) ask();
    const key = segmentKey(shard, sequence);
    const bytes = (await (ahead.shift() as Promise<Uint8Array | undefined>)) ?? (await lookAgain(store, shard, key));
    if (bytes === undefined) return sequence - first;
    await replay.apply(key, bytes);
  }
}

/** Undefined at the head. What was appended between two looks is no gap. */
export async function lookAgain(store: LogStore, shard: ShardId, key: string): Promise<Uint8Array | undefined> {
  const { keys } = await store.list(logPrefix(shard), { after: key, limit: 1 });
  const [later] = keys;
  if (later === undefined) return undefined;
  const bytes = await store.get(key);
  if (bytes !== undefined) return bytes;
  throw new NokvError('corrupt', `${key} is missing while ${later} is there: the log of shard ${shard} has a gap; restore this object`, {
    details: { key },
  });
}

function mustHavePosition(kv: OrderedKv): LogPosition {
  const position = readLogPosition(kv);
  if (position === undefined) throw toNokvError(new Error('a store that was filled from an image has a position'));
  return position;
}
