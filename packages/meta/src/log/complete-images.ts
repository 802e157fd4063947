/** Which images there are: an image without its manifest is none. */
import type { ShardId } from '@nokv/types';
import { manifestKey } from './image.js';
import { imagesPrefix } from './log-key.js';
import { listAll, type LogStore } from './log-store.js';

/** Prefixes of images that have a manifest, newest first. */
export async function completeImages(store: LogStore, shard: ShardId): Promise<string[]> {
  const keys = await listAll(store, imagesPrefix(shard));
  const end = manifestKey('');
  return keys
    .filter((key) => key.endsWith(`/${end}`))
    .map((key) => key.slice(0, -end.length))
    .reverse();
}
