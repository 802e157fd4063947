/**
 * The origin of a shared log: one object, put with create-if-absent before the shard is served for the first time. It names the image
 * that the log begins with, and says for ever after that the shard has been served: where it is, an empty state is never taken
 * for a new shard.
 *
 * JSON `{"format":1,"shard","image":"<prefix of the first image>"}`
 */
import { NokvError, toNokvError, type ShardId } from '@nokv/types';
import { imagesPrefix, originKey } from './log-key.js';
import type { LogStore } from './log-store.js';
import { altered } from './segment.js';

const ORIGIN_FORMAT = 1;

export interface Origin {
  /** May be gone by now: newer images have taken its place. */
  readonly image: string;
}

export async function readOrigin(store: LogStore, shard: ShardId): Promise<Origin | undefined> {
  const key = originKey(shard);
  const bytes = await store.get(key);
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw altered(key, 'it is no JSON');
  }
  const { format, image, shard: of } = (value ?? {}) as { format?: unknown; image?: unknown; shard?: unknown };
  if (format !== ORIGIN_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `expected format ${ORIGIN_FORMAT} of ${key}, found ${JSON.stringify(format)}; use the build that wrote it`,
    );
  }
  if (of !== shard || typeof image !== 'string' || !image.startsWith(imagesPrefix(shard)))
    throw altered(key, 'it names no image of its shard');
  return { image };
}

/** False when another was first: what it put counts. An answer that was lost is followed by a look. */
export async function putOrigin(store: LogStore, shard: ShardId, origin: Origin): Promise<boolean> {
  const bytes = Buffer.from(JSON.stringify({ format: ORIGIN_FORMAT, shard, image: origin.image }));
  try {
    if ((await store.putIfAbsent(originKey(shard), bytes)) === 'created') return true;
  } catch (error) {
    if (toNokvError(error).outcome !== 'unknown') throw error;
  }
  return (await readOrigin(store, shard))?.image === origin.image;
}
