/** An open body: one generation, read as often and in whatever order the caller likes. */
import type { Attributes, Generation } from '@nokv/types';
import type { CallOptions } from './metadata-client.js';

export interface BodyRange {
  /** First byte; default 0. */
  readonly offset?: number | undefined;
  /** Default: to the end. */
  readonly length?: number | undefined;
}

export interface BodyReuse {
  /** A chunk's bytes are overwritten once the next chunk is asked for: less memory, for callers that are done with each by then. */
  readonly reuse?: boolean | undefined;
}

export interface BodyHandle {
  readonly attributes: Attributes;
  readonly generation: Generation;
  readonly size: number;
  readonly digest?: string;
  readonly contentType?: string;
  /** Chunks with read-ahead and back-pressure; each block is verified (`corrupt`). Never change them: they may be shared. */
  stream(options?: CallOptions & BodyRange & BodyReuse): AsyncIterable<Uint8Array>;
  /** The whole body in memory; refused with `too-large` above `maxBytes` (default 1 GiB). */
  bytes(options?: CallOptions & { readonly maxBytes?: number }): Promise<Uint8Array>;
  /** The whole body as UTF-8 text; bytes that are not UTF-8 become U+FFFD. */
  text(options?: CallOptions & { readonly maxBytes?: number }): Promise<string>;
  /** Up to `length` bytes from `offset`; fewer only at the end. The bytes may be shared: do not change them. */
  read(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
}
