/** Bodies as the client reaches them: directory, bucket or the server's HTTP port. */
import { BodyReader, crc32c, type NokvClient } from '@nokv/client';
import type { BodyAccess } from './body-access.js';

/** Verified pieces kept in memory beside the kernel's page cache. */
const CACHE_BYTES = 96 * 1024 * 1024;

/** @param skipLocal as in the client's `CacheOptions`. */
export async function clientBodies(client: NokvClient, skipLocal?: boolean): Promise<BodyAccess> {
  const { blockBytes, inlineBytesMax } = await client.metadata.access();
  const store = await client.blocks();
  const reader = new BodyReader({ store, disk: client.diskCache, skipLocal, cacheBytes: CACHE_BYTES });
  return {
    blockBytes,
    inlineBytesMax,
    open: (body) => {
      const handle = reader.handle(body);
      return { read: async (offset, length) => [await handle.read(offset, length)] };
    },
    crc32c,
    put: (upload, index, bytes, checksum, ticket) => store.putBlock(upload, index, bytes, { crc32c: checksum, ticket }),
  };
}
