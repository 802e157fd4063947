/** Uploads step by step, for bodies whose blocks somebody else sends: a sandbox with `curl` and signed URLs. */
import type { BlockToPut, SignedRequest, Timespec, UploadId } from '@nokv/types';
import type { CallOptions } from './metadata-client.js';
import type { MutationOptions, PathLike, PublishOptions, PutOutcome } from './nokv-client.js';

/** An open upload. The ticket is a secret: its bearer may put blocks of this upload until it expires. */
export interface UploadTicket {
  readonly upload: UploadId;
  readonly ticket: string;
  readonly expiresAt: Timespec;
}

export interface UploadTtl {
  /** From now; 1 ms to 24 h, default 15 minutes. */
  readonly ttlMs?: number | undefined;
}

/** A body whose blocks are in the store: all bytes of each block, in this order. */
export interface SentBody {
  readonly upload: UploadId;
  readonly blocks: readonly BlockToPut[];
  /** `sha256:<hex>` of the body; recorded as it is given, readers with `verify` compare. */
  readonly digest?: string | undefined;
}

export interface Uploads {
  /** Records an upload before any byte is sent. What is not published before it expires is swept. */
  begin(options?: MutationOptions & UploadTtl & { readonly target?: string | undefined }): Promise<UploadTicket>;
  /** Moves the expiry on; never back. Errors: `no-upload` (ended or expired). */
  renew(upload: UploadId, options?: MutationOptions & UploadTtl): Promise<UploadTicket>;
  /**
   * One request for each block, for anybody who can reach the bucket: `PUT` of exactly these bytes, and only while nothing is there (412
   * otherwise). 500 a call of the server, good for ten minutes at most. Errors: `unsupported` (the store has no URLs), `bad-token`, `no-upload`.
   */
  urls(ticket: Pick<UploadTicket, 'upload' | 'ticket'>, blocks: Iterable<BlockToPut>, options?: CallOptions): AsyncIterable<SignedRequest>;
  /**
   * Publishes a body of sent blocks in one commit and ends the upload. Errors beside those of `NokvClient.publish`: `no-object` (a block is
   * missing), `bad-upload` (a block is shorter or longer than stated, of another upload or of another checksum); nothing is visible then.
   */
  publish(path: PathLike, body: SentBody, options?: PublishOptions): Promise<PutOutcome>;
  /** Ends an upload that will not be published; its blocks are swept. */
  end(upload: UploadId, options?: MutationOptions): Promise<void>;
}
