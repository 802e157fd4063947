/** Which images there are: an image without its manifest is none. */
import type { ShardId } from '@nokv/types';
import { manifestKey } from './image.js';
import { imagesPrefix, sequenceOfImage } from './log-key.js';
import { listAll, type LogStore } from './log-store.js';
import { readOrigin } from './origin.js';

/** Prefixes of images that have a manifest, newest first. */
export async function completeImages(store: LogStore, shard: ShardId): Promise<string[]> {
  const keys = await listAll(store, imagesPrefix(shard));
  const end = manifestKey('');
  const prefixes = keys
    .filter((key) => key.endsWith(`/${end}`))
    .map((key) => key.slice(0, -end.length))
    .reverse();
  if (!prefixes.some((prefix) => sequenceOfImage(shard, prefix) === 0)) return prefixes;
  // A node that began a log and did not come to its end left an image that no segment follows: only that of the origin counts.
  const origin = await readOrigin(store, shard);
  return prefixes.filter((prefix) => sequenceOfImage(shard, prefix) > 0 || origin === undefined || prefix === origin.image);
}
