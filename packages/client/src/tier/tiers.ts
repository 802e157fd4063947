/** Which files lie in the disk cache of this client, and keeping them there. */
import type { AtOption } from '../history.js';
import type { CallOptions } from '../metadata-client.js';
import type { PathLike } from '../nokv-client.js';
import type { ProgressListener } from '../progress.js';

/**
 * Paths name files or directories with all below. Everything is about the directory that the client was given as its cache; without one every
 * method is refused with `unsupported`. Bodies inside the metadata take no block and need no cache: reading them needs the server alone.
 * Only what lies in the store is ever in the cache, so that taking it out loses nothing.
 */
export interface Tiers {
  /**
   * Reads what is missing into the cache. Errors: `quota-exceeded` (it cannot fit: nothing was read), `no-space` (the directory could not
   * take all of it), and those of reading.
   */
  warm(path: PathLike, options?: WarmOptions): Promise<TierReport>;
  /**
   * Warms it and keeps it there until `unpin`, whatever else comes. What is pinned is the state of now (or `at`): a file that is published
   * again needs a new pin, which takes the place of the old one. Errors: as `warm`; then nothing is pinned that was not before.
   */
  pin(path: PathLike, options?: WarmOptions): Promise<TierReport>;
  /** Lets it go when room is needed. Errors: `not-found` (that path is not pinned). */
  unpin(path: PathLike, options?: CallOptions): Promise<void>;
  /** Takes it out of the cache, save for what some pin holds; `evictedBytes` says how much went. */
  evict(path: PathLike, options?: CallOptions & AtOption): Promise<TierReport & { readonly evictedBytes: number }>;
  status(path: PathLike, options?: CallOptions & AtOption): Promise<TierReport>;
  /** The directory as a whole, whoever filled it. */
  directory(): Promise<TierDirectory>;
}

export interface WarmOptions extends CallOptions, AtOption {
  /** Files (`scan`), then blocks and bytes (`transfer`). */
  readonly onProgress?: ProgressListener | undefined;
}

export interface TierReport {
  readonly files: number;
  /** Of all bodies. */
  readonly bytes: number;
  /** Of bodies that live inside the metadata. */
  readonly inlineBytes: number;
  /** Bytes of blocks that the bodies use, each counted once. */
  readonly blockBytes: number;
  /** Those of them that are in the cache. */
  readonly cachedBytes: number;
  /** Those of them that some pin holds. */
  readonly pinnedBytes: number;
  /** Those that this call read from the store. */
  readonly fetchedBytes: number;
}

export interface TierDirectory {
  readonly directory: string;
  readonly bytesMax: number;
  /** On the disk, overhead included. */
  readonly bytes: number;
  readonly entries: number;
  readonly pinnedBytes: number;
  /** This namespace's and others'. */
  readonly pins: readonly { readonly path: string; readonly files: number; readonly bytes: number; readonly pinnedAtMs: number }[];
}
