/** What the core needs of bodies: verified ranges of stored ones, and new blocks. */
import type { Body, UploadId } from '@nokv/types';

export interface BodyAccess {
  readonly blockBytes: number;
  readonly inlineBytesMax: number;
  open(body: Body): OpenBody;
  crc32c(bytes: Uint8Array): number;
  /** Stores one block durably; the bytes are borrowed until the promise settles. */
  put(upload: UploadId, index: number, bytes: Uint8Array, crc32c: number, ticket: string): Promise<void>;
}

export interface OpenBody {
  /** `length` bytes from `offset`, both inside the body; checked against the checksums of the manifest. Fetches ahead of sequential readers. */
  read(offset: number, length: number): Promise<readonly Uint8Array[]>;
}
