/** Blocks over an object store: one object a block, under `blockKey`. */
import { NokvError, blockKey, uploadPrefix, type UploadId } from '@nokv/types';
import { crc32c, formatCrc32c } from './block-checksum.js';
import type { BlockStore } from './block-store.js';
import type { ObjectStore, StoreCallOptions } from './object-store.js';
import { LIST_KEYS_MAX } from './object-key.js';

/** Closing the block store closes `store`. */
export function blocksOf(store: ObjectStore): BlockStore {
  return {
    description: store.description,
    async putBlock(upload, index, bytes, options) {
      const key = blockKey(upload, index);
      const outcome = await store.putIfAbsent(key, bytes, { crc32c: options.crc32c, signal: options.signal });
      if (outcome === 'exists') await checkSame(store, key, bytes.length, options.crc32c, options);
    },
    getBlock: (upload, index, offset, length, options) => store.get(blockKey(upload, index), { ...options, offset, length }),
    close: () => store.close(),
  };
}

/** A repeat of a put finds its own bytes; anything else under this key means that two writers share an index. */
async function checkSame(store: ObjectStore, key: string, length: number, checksum: number, { signal }: StoreCallOptions): Promise<void> {
  const head = await store.head(key, { signal });
  if (head === undefined)
    throw new NokvError('store-unavailable', `object ${key} was there and is gone`, { outcome: 'unknown', details: { key } });
  const found = head.size !== length ? undefined : (head.crc32c ?? crc32c(await store.get(key, { signal })));
  if (found === checksum) return;
  throw new NokvError(
    'corrupt',
    `block ${key}: expected ${length} bytes with crc32c ${formatCrc32c(checksum)}, found another block of ${head.size} bytes; upload under a fresh index`,
    { details: { key } },
  );
}

/** Removes every block of an upload; returns how many there were. Repeating it is harmless. */
export async function removeUploadBlocks(store: ObjectStore, upload: UploadId, options: StoreCallOptions = {}): Promise<number> {
  let removed = 0;
  let after: string | undefined;
  // Ends because every round goes on behind the last, whatever the deletion did.
  for (;;) {
    const { objects, more } = await store.list(uploadPrefix(upload), { limit: LIST_KEYS_MAX, after, signal: options.signal });
    const keys = objects.map(({ key }) => key);
    if (keys.length > 0) await store.delete(keys, options);
    removed += keys.length;
    after = keys.at(-1);
    if (!more || after === undefined) return removed;
  }
}
