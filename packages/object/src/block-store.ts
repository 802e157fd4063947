/**
 * What bodies need of a store: put and get of blocks by upload and index. Implemented over an {@link ObjectStore}
 * (direct access) and over the server's HTTP port (proxied access).
 */
import type { UploadId } from '@nokv/types';
import type { GetOptions, StoreCallOptions } from './object-store.js';

export interface BlockStore {
  readonly description: string;
  /** The blocks lie on a disk of this machine: a copy of them in a cache would gain little. */
  readonly isLocal?: boolean | undefined;
  /**
   * Writes a block once. A block of the same length and checksum that is already there counts as written (a repeat
   * after a lost answer); any other is `corrupt`.
   */
  putBlock(upload: UploadId, index: number, bytes: Uint8Array, options: PutBlockOptions): Promise<void>;
  getBlock(upload: UploadId, index: number, offset: number, length: number, options?: GetBlockOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** `into` as in {@link GetOptions}. */
export interface GetBlockOptions extends Pick<GetOptions, 'signal' | 'into'> {
  /** What the bytes must be: somebody on the way may then answer from a cache. Absent: the store is asked. */
  readonly crc32c?: number | undefined;
}

export interface PutBlockOptions extends StoreCallOptions {
  readonly crc32c: number;
  /** The upload's ticket, where the way of access asks for one. */
  readonly ticket?: string | undefined;
}
