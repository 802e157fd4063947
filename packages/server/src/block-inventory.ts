/** The store of blocks as a check of the shard sees it. */
import type { BlockInventory, StoredBlock } from '@nokv/meta';
import { LIST_KEYS_MAX, crc32c, type ObjectStore } from '@nokv/object';
import { NokvError, UPLOAD_BLOCKS_MAX, blockKey, isNokvError, uploadId, type UploadId } from '@nokv/types';

/** Everything of bodies lies under it, and nothing else. */
export const BLOCKS_PREFIX = 'blocks/';
const BUCKET = /^blocks\/[0-9a-f]{2}\//;
/** Of a page that looks for what lies beside the 256 directories; most have none. */
const OUTSIDE_KEYS = 100;
const KEY = /^blocks\/([0-9a-f]{2})\/([0-9a-f]{32})\/(0|[1-9][0-9]{0,6})$/;

/** @param mayGoOn throws where this process may not delete (any more). */
export function blockInventory(store: ObjectStore, mayGoOn: () => void): BlockInventory {
  return {
    async *list(bucket, signal) {
      const prefix = `${BLOCKS_PREFIX}${bucket.toString(16).padStart(2, '0')}/`;
      let after: string | undefined;
      // Ends because every page goes on behind the last.
      for (;;) {
        const { objects, more } = await store.list(prefix, { limit: LIST_KEYS_MAX, after, signal });
        yield objects.map(({ key, size }) => describeObject(key, size));
        after = objects.at(-1)?.key;
        if (!more || after === undefined) return;
      }
    },
    async *listOutside(signal) {
      let after: string | undefined;
      // Ends because every page goes on behind the last, and behind the directory of a byte where it meets one.
      for (;;) {
        const { objects, more } = await store.list(BLOCKS_PREFIX, { limit: OUTSIDE_KEYS, after, signal });
        const inside = objects.find(({ key }) => BUCKET.test(key))?.key;
        const outside =
          inside === undefined
            ? objects
            : objects.slice(
                0,
                objects.findIndex(({ key }) => key === inside),
              );
        yield outside.map(({ key, size }) => describeObject(key, size));
        if (inside === undefined) {
          after = objects.at(-1)?.key;
          if (!more || after === undefined) return;
        } else {
          // No key sorts behind it that begins as blocks of this byte do, save one that no upload makes.
          const end = `${inside.slice(0, BLOCKS_PREFIX.length + 3)}~`;
          after = inside > end ? inside : end;
        }
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
      if (!key.startsWith(BLOCKS_PREFIX)) throw new NokvError('internal', `a check removes blocks only, not ${key}`);
      mayGoOn();
      await store.delete([key], { mayGoOn });
    },
  };
}

/** An object under the prefix of blocks whose key is none of a block belongs to nobody. */
export function describeObject(key: string, size: number): StoredBlock {
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
