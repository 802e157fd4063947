/** How bodies below a directory are stored. */
import type { Codec } from '@nokv/types';
import type { CallOptions } from './metadata-client.js';
import type { MutationOptions, Outcome, PathLike } from './nokv-client.js';

export interface StorageSettings {
  /** How blocks are compressed that get shorter by it. */
  readonly compress: Codec | 'none';
  /** Whether a body is looked for before it is stored, and shares the blocks of one that is the same. */
  readonly dedup: boolean;
}

export const STORAGE_DEFAULT: StorageSettings = { compress: 'none', dedup: false };

export interface StorageInfo {
  readonly settings: StorageSettings;
  /** For each setting the path of the directory that says so; absent: the default. */
  readonly from: { readonly [Setting in keyof StorageSettings]?: string };
}

/** Settings of a directory for what is put below it, from then on; the nearest directory that has one counts. What is stored stays as it is. */
export interface Storage {
  get(path: PathLike, options?: CallOptions): Promise<StorageInfo>;
  /** Sets those that are given, in one commit. Errors: `not-directory`. */
  set(path: PathLike, settings: Partial<StorageSettings>, options?: Omit<MutationOptions, 'owner'>): Promise<Outcome>;
  /** Takes the directory's own settings away: those above it count. */
  clear(path: PathLike, options?: Omit<MutationOptions, 'owner'>): Promise<void>;
}
