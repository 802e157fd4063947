/** For tests of caches: a body in blocks over a memory store that counts, and readers of it with a disk cache. */
import { randomBytes } from 'node:crypto';
import { makeUploadId, type Body, type Extent, type Piece } from '@nokv/types';
import { crc32c } from '../block-checksum.js';
import { BodyReader } from '../body/body-reader.js';
import { DiskCache, type DiskCacheOptions } from '../cache/disk-cache.js';
import { memoryStore, type MemoryObjectStore } from '../memory/memory-object-store.js';
import { blocksOf } from '../store-blocks.js';

export interface CachedBody {
  readonly store: MemoryObjectStore;
  readonly body: Body;
  readonly bytes: Buffer;
  readonly pieces: readonly Piece[];
  /** As a process that has just begun: nothing in memory. */
  open(options?: Partial<DiskCacheOptions>): { readonly reader: BodyReader; readonly disk: DiskCache };
}

/** @param blockBytes of each block; the last one is as long as the others. */
export async function cachedBody(directory: string, blocks: number, blockBytes: number): Promise<CachedBody> {
  const store = memoryStore();
  const upload = makeUploadId(1, randomBytes(10));
  const bytes = randomBytes(blocks * blockBytes);
  const pieces: Piece[] = [];
  for (let index = 0; index < blocks; index += 1) {
    const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes);
    const checksum = crc32c(block);
    await blocksOf(store).putBlock(upload, index, block, { crc32c: checksum });
    pieces.push({ upload, index, offset: 0, length: blockBytes, crc32c: checksum, skip: 0, take: blockBytes });
  }
  const extents: readonly Extent[] = pieces;
  return {
    store,
    body: { kind: 'blocks', manifest: { size: bytes.length, extents } },
    bytes,
    pieces,
    open(options = {}) {
      const disk = new DiskCache({ directory, freeBytesMin: 0, ...options });
      return { disk, reader: new BodyReader({ store: blocksOf(store), disk }) };
    },
  };
}
