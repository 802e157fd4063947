/** Moments, snapshots, tags, forks, versions and differences as the path-level client shows them. */
import type {
  DiffRow,
  Generation,
  InodeNumber,
  MergeConflict,
  PinId,
  PinInfo,
  PrunedBody,
  RetentionPolicy,
  Timespec,
  Version,
} from '@nokv/types';
import type { CallOptions } from './metadata-client.js';
import type { MutationOptions, NodeOutcome, Outcome, PathLike } from './nokv-client.js';

/** A moment of the namespace: a snapshot or a tag (only what lay under its root), a commit, or the newest commit at a time. */
export type AtLike =
  | { readonly snapshot: PinId | number }
  | { readonly tag: string }
  | { readonly version: Version | number }
  | { readonly time: Timespec | Date };

export interface AtOption {
  /** Read the past: everything as it was at this moment, the path too. Absent: now. */
  readonly at?: AtLike | undefined;
}

/** A snapshot or a tag. */
export interface Pin extends Omit<PinInfo, 'path' | 'labels'> {
  /** Of its root, at its version. */
  readonly path: string;
  readonly pathBytes: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PinOutcome extends Outcome {
  readonly pin: Pin;
}

export interface SnapshotOptions extends MutationOptions {
  /** The lease; default 7 days, at most 10 years. */
  readonly ttlMs?: number | undefined;
  /** At most 255 bytes; several snapshots may share one. */
  readonly name?: string | undefined;
  /** At most 32, keys and values of at most 255 bytes. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

export interface PinListOptions extends CallOptions {
  /** Only those of exactly this directory or file. */
  readonly path?: PathLike | undefined;
}

/** Frozen views of a directory (or file) with all below it, held by a lease. Making one costs the same whatever its size. */
export interface Snapshots {
  create(path: PathLike, options?: SnapshotOptions): Promise<PinOutcome>;
  /** All that are kept, oldest first; one whose lease has ended is listed until it is swept. */
  list(options?: PinListOptions): AsyncIterable<Pin>;
  /** Errors: `not-found`, `snapshot-expired`. */
  get(snapshot: PinId | number, options?: CallOptions): Promise<Pin>;
  /** Extends the lease to `ttlMs` from now (default 7 days); never shortens it. Errors: `not-found`, `snapshot-expired`. */
  renew(snapshot: PinId | number, options?: MutationOptions & { readonly ttlMs?: number | undefined }): Promise<PinOutcome>;
  /** Gives it up at once: what it alone has held may go. */
  retire(snapshot: PinId | number, options?: MutationOptions): Promise<PinOutcome>;
}

export interface TagOptions extends MutationOptions, AtOption {
  /** 0: the tag must not be there (`exists`). An id: it must be this one (`tag-mismatch`). Absent: `set` replaces whatever is there. */
  readonly ifPin?: PinId | number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Named states of a directory or file, kept until they are moved or removed. */
export interface Tags {
  /** Makes the tag or moves it, as `ifPin` says. Errors: `exists`, `tag-mismatch`. */
  set(name: string, path: PathLike, options?: TagOptions): Promise<PinOutcome>;
  /** Makes a tag that is there name another state; of two who move it, the last stays, unless `ifPin` says where it must be. */
  move(name: string, path: PathLike, options?: TagOptions): Promise<PinOutcome>;
  list(options?: PinListOptions): AsyncIterable<Pin>;
  get(name: string, options?: CallOptions): Promise<Pin>;
  remove(name: string, options?: MutationOptions & { readonly ifPin?: PinId | number | undefined }): Promise<PinOutcome>;
}

export interface CloneOptions extends MutationOptions, AtOption {
  /** Make missing parents. */
  readonly parents?: boolean | undefined;
}

/** A place, now or at a moment. */
export type DiffPoint = PathLike | ({ readonly path: PathLike } & AtOption);

/**
 * One difference; paths are relative to the two sides, without a leading slash, empty for the sides themselves. `fromPath` is the place
 * on the a side where that is another one: of what was renamed, and of what changed inside something that was.
 */
export interface Difference extends Omit<DiffRow, 'path' | 'fromPath'> {
  readonly path: string;
  readonly pathBytes: Uint8Array;
  readonly fromPath?: string;
  readonly fromPathBytes?: Uint8Array;
}

export interface MergeOptions extends MutationOptions {
  /** Default: the directory that the fork was made of. */
  readonly into?: PathLike | undefined;
  /** Look for conflicts, apply nothing. */
  readonly dryRun?: boolean | undefined;
}

export interface Conflict extends Omit<MergeConflict, 'path'> {
  readonly path: string;
  readonly pathBytes: Uint8Array;
}

export interface MergeOutcome extends Outcome {
  /** False with conflicts, and of a dry run: then nothing has changed. */
  readonly applied: boolean;
  readonly changes: number;
  /** At most 1,000 of them. */
  readonly conflicts: readonly Conflict[];
  readonly conflictCount: number;
}

export interface RollbackOptions extends MutationOptions {
  /** Lease of the snapshot that is left of the state before; default 7 days. */
  readonly undoTtlMs?: number | undefined;
}

export interface RollbackOutcome extends NodeOutcome {
  /** The state before: roll back to `{ snapshot: undo.id }` to undo. */
  readonly undo: Pin;
  /** The version that was restored. */
  readonly restored: Version;
}

export interface RevertOptions extends MutationOptions {
  /** The current generation must be this one (`generation-mismatch`). */
  readonly ifGeneration?: Generation | number | undefined;
}

export interface RevertOutcome extends NodeOutcome {
  readonly generation: Generation;
}

export interface UndeleteOptions extends MutationOptions, AtOption {
  /** Default: where it was. */
  readonly to?: PathLike | undefined;
}

export interface PruneOptions extends MutationOptions {
  /** Of each file the newest superseded bodies that stay; default: what retention says. */
  readonly keepLast?: number | undefined;
  /** Bodies that were superseded less long ago than this stay; default: what retention says. */
  readonly keepMs?: number | undefined;
  /** Only say what would go. */
  readonly dryRun?: boolean | undefined;
}

/** A superseded body that went, or would go. */
export interface Pruned extends Omit<PrunedBody, 'path'> {
  readonly path: string;
  readonly pathBytes: Uint8Array;
}

export interface RetentionInfo {
  readonly policy: RetentionPolicy;
  /** The directory that says so; absent: the default. */
  readonly from?: InodeNumber;
}

/** How long superseded bodies below a directory are kept. */
export interface Retention {
  get(path: PathLike, options?: CallOptions): Promise<RetentionInfo>;
  /** `inherit`: what the directory above says. */
  set(path: PathLike, policy: RetentionPolicy | 'inherit', options?: MutationOptions): Promise<Outcome>;
}
