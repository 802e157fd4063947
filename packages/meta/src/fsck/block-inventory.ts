/** The store of blocks as a check sees it. */
import type { UploadId } from '@nokv/types';

export interface BlockInventory {
  /**
   * Objects of uploads whose id ends in this byte, in byte order of keys, page after page. `index` is undefined for an object
   * whose key is none of a block.
   */
  list(bucket: number, signal: AbortSignal | undefined): AsyncIterable<readonly StoredBlock[]>;
  /** Objects among the blocks that lie under no such byte. */
  listOutside(signal: AbortSignal | undefined): AsyncIterable<readonly StoredBlock[]>;
  has(upload: UploadId, index: number, signal: AbortSignal | undefined): Promise<boolean>;
  /** The checksum of a part of a block; undefined where the block is missing or too short. */
  checksum(piece: BlockPart, signal: AbortSignal | undefined): Promise<number | undefined>;
  remove(key: string): Promise<void>;
}

export interface StoredBlock {
  readonly key: string;
  readonly size: number;
  readonly upload: UploadId | undefined;
  readonly index: number | undefined;
}

export interface BlockPart {
  readonly upload: UploadId;
  readonly index: number;
  readonly offset: number;
  readonly length: number;
}
