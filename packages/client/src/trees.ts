/** Options and reports of transfers of whole directories. */
import type { Codec, ErrorCode, Generation, InodeType, Owner, RequestId, Version } from '@nokv/types';
import type { AtOption } from './history.js';
import type { CallOptions } from './metadata-client.js';
import type { ProgressListener } from './progress.js';

/**
 * Globs over the path below the top, `*`, `?`, `**`, `[a-z]`, `{a,b}`; one without `/` means the last name at any depth, one that ends
 * in `/` directories only. What `exclude` matches is left out with all below it, unless `include` matches it too; with `include` alone,
 * files that match none of it are left out.
 */
export interface TreeFilterOptions {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

export interface PutTreeOptions extends CallOptions, TreeFilterOptions {
  /** Replace what is at the destination, in the same commit (`putTree` only). */
  readonly replace?: boolean | undefined;
  /** Make missing parents of the destination (default true). */
  readonly parents?: boolean | undefined;
  /** Operations and uploads in flight, 1 to 256; default 64. Large bodies are moved three at a time. */
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /**
   * Fifos, sockets and devices: `refuse` (default) before anything is sent, `skip` and name them in the report, or `keep`: make
   * the same at the destination.
   */
  readonly specialFiles?: 'refuse' | 'skip' | 'keep' | undefined;
  readonly producer?: string | undefined;
  /** How blocks are compressed that get shorter by it; default: what the destination says, for all of the tree. */
  readonly compress?: Codec | 'none' | undefined;
  readonly owner?: Owner | undefined;
  /**
   * Of the commit that makes the tree visible (`putTree` only). Called again under the same id, it goes on with what the earlier call has
   * staged within the last day, and publishes at most once.
   */
  readonly requestId?: RequestId | undefined;
}

/** One thing that an import or export did, or with `dryRun` would do. */
export interface TreeChange {
  readonly action: 'create' | 'update' | 'attributes' | 'link' | 'delete';
  /** Below the top of the destination. */
  readonly path: string;
  readonly type: InodeType;
}

/** What imports and exports have in common. */
export interface SyncOptions extends CallOptions, TreeFilterOptions {
  /** Operations in flight, 1 to 256; default 64. */
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Compare files by digest instead of by size and modification time. */
  readonly checksum?: boolean | undefined;
  /**
   * Remove from the destination what the source does not have, after everything else and only if nothing failed. What the filter leaves
   * out stays.
   */
  readonly delete?: boolean | undefined;
  /** Change nothing; `onChange` tells what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Waited for, so that a slow listener holds the work back; what it throws ends the work. */
  readonly onChange?: ((change: TreeChange) => unknown) | undefined;
}

export interface ImportOptions extends SyncOptions {
  /** Of everything; default: as root the owners that the local entries have, else of what is made the client's. */
  readonly owner?: Owner | undefined;
  /** Fifos, sockets and devices: `keep` (default) or `skip`. */
  readonly specialFiles?: 'skip' | 'keep' | undefined;
  readonly producer?: string | undefined;
  /** How blocks are compressed that get shorter by it; default: what the destination says, for all of the tree. */
  readonly compress?: Codec | 'none' | undefined;
}

export interface ExportOptions extends SyncOptions, AtOption {
  /** Give local files the owners that they have in the namespace; default: when this process runs as root. */
  readonly owners?: boolean | undefined;
}

export interface GetTreeOptions extends CallOptions, AtOption, TreeFilterOptions {
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Overwrite local files that are there (default false: `exists` before anything is fetched). */
  readonly replace?: boolean | undefined;
  /** Leave local files that are there: all of them, or those that are not older; they count as left out, not as an error. */
  readonly keep?: 'existing' | 'newer' | undefined;
  /** Owners (where this process runs as root) and extended attributes of single files, too; modes and times are always kept. */
  readonly preserve?: boolean | undefined;
}

export interface GetFileOptions extends Omit<GetTreeOptions, 'jobs' | 'include' | 'exclude'> {
  /** A superseded body; default: the current one. */
  readonly generation?: Generation | number | undefined;
  /**
   * Go on where an earlier call with this option was cut off; what is whole then is checked against its digest. What was fetched stays beside
   * the destination, as `.nokv-part-…`, until it is.
   */
  readonly resume?: boolean | undefined;
}

export interface ArchiveOptions extends CallOptions, AtOption, TreeFilterOptions {
  readonly onProgress?: ProgressListener | undefined;
  /** Told of what an archive cannot hold (sockets). */
  readonly onSkip?: ((skipped: { readonly path: string; readonly reason: string }) => void) | undefined;
}

export interface UnarchiveOptions extends CallOptions, TreeFilterOptions {
  readonly onProgress?: ProgressListener | undefined;
  /** Operations in flight, 1 to 256; default 64. */
  readonly jobs?: number | undefined;
  /** Of everything; default: as root the owners in the archive, else of what is made the client's. */
  readonly owner?: Owner | undefined;
  readonly producer?: string | undefined;
}

export interface TreeReport {
  /** Files whose bodies were moved. */
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Further names of files that were moved already. */
  readonly links: number;
  /** Fifos, sockets and devices. */
  readonly specials: number;
  readonly bytes: number;
  /** What was left out, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** The commit that made a tree visible. */
  readonly version?: Version;
  readonly requestId?: RequestId;
}

/** Of an import or export; the counts of {@link TreeReport} are of what was made or written. */
export interface SyncReport extends TreeReport {
  /** Entries that were the same already. */
  readonly unchanged: number;
  /** Entries of which only mode, owner, times or extended attributes were changed. */
  readonly attributes: number;
  readonly deleted: number;
  /** How many entries could not be moved; the others were. */
  readonly failed: number;
  /** The first thousand of them. */
  readonly failures: readonly TreeFailure[];
}

export interface TreeFailure {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}
