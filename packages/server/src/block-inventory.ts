/** The store of blocks as a check of the shard sees it. */
import type { BlockInventory, StoredBlock } from '@nokv/meta';
import { LIST_KEYS_MAX, crc32c, type ObjectStore } from '@nokv/object';
import { NokvError, UPLOAD_BLOCKS_MAX, blockKey, isNokvError, uploadId, type UploadId } from '@nokv/types';

const KEY = /^blocks\/([0-9a-f]{2})\/([0-9a-f]{32})\/(0|[1-9][0-9]{0,6})$/;

export function blockInventory(store: ObjectStore): BlockInventory {
  return {
    async *list(bucket, signal) {
      const prefix = `blocks/${bucket.toString(16).padStart(2, '0')}/`;
      let after: string | undefined;
      // Ends because every page goes on behind the last.
      for (;;) {
        const { objects, more } = await store.list(prefix, { limit: LIST_KEYS_MAX, after, signal });
        yield objects.map(({ key, size }) => describe(key, size));
        after = objects.at(-1)?.key;
        if (!more || after === undefined) return;
      }
    },
    has: async (upload, index, signal) => (await store.head(blockKey(upload, index), { signal })) !== undefined,
    async checksum({ upload, index, offset, length }, signal) {
      try {
        return crc32c(await store.get(blockKey(upload, index), { offset, length, signal }));
      } catch (error) {
        // Missing or shorter than it should be is what the check is about; a store that does not answer is not.
        if (isNokvError(error, 'no-object') || isNokvError(error, 'corrupt')) return undefined;
        throw error;
      }
    },
    async remove(key) {
      if (!key.startsWith('blocks/')) throw new NokvError('internal', `a check removes blocks only, not ${key}`);
      await store.delete([key]);
    },
  };
}

/** An object under the prefix of blocks whose key is none of a block belongs to nobody. */
function describe(key: string, size: number): StoredBlock {
  const [, bucket, upload, index] = KEY.exec(key) ?? [];
  const isBlock = upload !== undefined && upload.endsWith(bucket ?? '') && Number(index) < UPLOAD_BLOCKS_MAX;
  return { key, size, upload: isBlock ? uploadOf(upload) : undefined, index: isBlock ? Number(index) : undefined };
}

function uploadOf(text: string): UploadId | undefined {
  try {
    return uploadId(text);
  } catch {
    return undefined;
  }
}
