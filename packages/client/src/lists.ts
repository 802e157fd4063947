/** Several operations in one request: batches, transactions, and reads of many nodes. */
import type { Attributes, BatchAnswer, Generation, InodeNumber, InodeType, ListedResult, RequestId, Version } from '@nokv/types';
import type { AtOption } from './history.js';
import type { CallOptions } from './metadata-client.js';
import type { AttributeChanges, MkdirOptions, MutationOptions, PathLike, PublishOptions, StagedBody } from './nokv-client.js';
import type { PutSource } from './put-source.js';

type Entry = Pick<MutationOptions, 'owner'>;

/** Mutations that are gathered and sent together. Paths are checked as they are added; nothing is sent before the end. */
export interface MutationList {
  mkdir(path: PathLike, options?: Entry & Pick<MkdirOptions, 'mode' | 'parents'>): this;
  /** An empty file without a body. With `exclusive: false` an existing file is left as it is. */
  create(path: PathLike, options?: Entry & { readonly mode?: number; readonly exclusive?: boolean }): this;
  /** Bytes, text, or a staged body. What does not fit into the metadata is uploaded before the list is sent. */
  put(path: PathLike, source: PutSource | StagedBody, options?: Entry & Omit<PublishOptions, keyof MutationOptions>): this;
  symlink(target: string | Uint8Array, path: PathLike, options?: Entry): this;
  link(existing: PathLike, path: PathLike): this;
  unlink(path: PathLike): this;
  rmdir(path: PathLike): this;
  removeTree(path: PathLike): this;
  rename(from: PathLike, to: PathLike, mode?: 'replace' | 'no-replace' | 'exchange'): this;
  setattr(path: PathLike, changes: AttributeChanges, options?: { readonly follow?: boolean }): this;
  setXattr(path: PathLike, name: string | Uint8Array, value: string | Uint8Array, mode?: 'set' | 'create' | 'replace'): this;
  removeXattr(path: PathLike, name: string | Uint8Array): this;
  readonly length: number;
}

/** Independent mutations in one request: each takes effect or not for itself. */
export interface Batch extends MutationList {
  /**
   * Sends the list, once. Answers come in its order; `ok: false` holds the error of that one. Up to 4,096 mutations and about 3 MiB are
   * one request, more are sent one request after the other. Rejects only where nothing is known of all of them.
   */
  send(options?: Omit<MutationOptions, 'owner'>): Promise<readonly BatchAnswer[]>;
}

/** What must hold when a transaction begins; every member that is given must. */
export interface Requirement {
  /** Default true; false: nothing may be at the path. */
  readonly exists?: boolean | undefined;
  readonly type?: InodeType | undefined;
  readonly ino?: InodeNumber | undefined;
  readonly revision?: number | undefined;
  readonly generation?: Generation | number | undefined;
  /** Of the current body. */
  readonly digest?: string | undefined;
  /** A directory without entries. */
  readonly empty?: boolean | undefined;
  /** Look through a symlink at the path (default false). */
  readonly follow?: boolean | undefined;
}

/** All of its mutations take effect under one version, or none; later ones see what earlier ones did. */
export interface Transaction extends MutationList {
  /** Refuses the transaction unless this holds before its first mutation. */
  require(path: PathLike, requirement?: Requirement): this;
  /**
   * Sends it, once. At most 1,000 mutations and 4 MiB. Refusals name their place: `details.index` of a mutation, `details.precondition` of
   * a requirement, both from 0; nothing was applied then.
   */
  commit(options?: Omit<MutationOptions, 'owner'>): Promise<TransactionOutcome>;
}

export interface TransactionOutcome {
  readonly version: Version;
  readonly requestId: RequestId;
  /** In the order of the mutations. */
  readonly results: readonly ListedResult[];
}

export interface ReadManyOptions extends CallOptions, AtOption {
  /** A file with more bytes is answered `too-large` (default 1 MiB). */
  readonly maxBytes?: number | undefined;
}

/** A part of a body. */
export interface RangeRequest {
  readonly path: PathLike;
  /** First byte. One beyond the end is refused (`invalid-argument`). */
  readonly offset: number;
  readonly length: number;
  /** The generation to read, as an earlier answer told it; absent: the current one. */
  readonly generation?: Generation | number | undefined;
}

export interface ReadRangesOptions extends CallOptions, AtOption {
  /** All ranges together; more are refused with `too-large` (default 1 GiB). */
  readonly maxBytes?: number | undefined;
}

export interface RangeRead {
  /** Fewer than asked for at the end of the body only. */
  readonly bytes: Uint8Array;
  /** All ranges of one path that named no generation come from this one. */
  readonly generation: Generation;
  /** Of the whole body. */
  readonly size: number;
}

/** A whole body with what belongs to it, of one generation. */
export interface ReadFile {
  readonly attributes: Attributes;
  readonly generation: Generation;
  readonly digest?: string;
  readonly contentType?: string;
  readonly bytes: Uint8Array;
}
