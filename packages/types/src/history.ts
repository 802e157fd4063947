/**
 * The past of a namespace: moments, pins (snapshots and tags), forks, differences, versions of a file.
 *
 * A version names the state after the commit of that number. Paths given together with a moment are paths *at* that moment.
 */
import type { Attributes, InodeType } from './attributes.js';
import type { Generation, InodeNumber, PinId, Version } from './ids.js';
import type { CreateResult, EntryRef, NodeRef, Owner, PublishResult } from './operations.js';
import type { Timespec } from './time.js';

/**
 * A moment of the namespace. A snapshot and a tag show only what lay under their root (`not-found` for the rest) and are kept as
 * long as they exist; a version and a time are kept as long as retention says (`retention-ended` before that).
 */
export type At =
  | { readonly snapshot: PinId }
  | { readonly tag: string }
  | { readonly version: Version }
  /** The newest version that was committed at or before this time. */
  | { readonly time: Timespec };

/** What holds the past of a subtree: a snapshot by a lease, a tag by its name, a fork until it has taken over what it shows. */
export type PinKind = 'snapshot' | 'tag' | 'fork';

export const PIN_KINDS: readonly PinKind[] = ['snapshot', 'tag', 'fork'];

export interface PinInfo {
  readonly id: PinId;
  readonly kind: PinKind;
  /** The directory (or file) that it shows, and everything below. */
  readonly root: InodeNumber;
  /** Path of the root at `version`. */
  readonly path: Uint8Array;
  readonly version: Version;
  readonly createdAt: Timespec;
  /** Of snapshots alone. */
  readonly expiresAt?: Timespec;
  /** A tag's name; a snapshot's when it was given one (not unique). */
  readonly name?: string;
  readonly labels: readonly PinLabel[];
  readonly actor: string;
}

/** At most {@link PIN_LABELS_MAX}, sorted by key; keys and values have at most 255 bytes of UTF-8, keys are not empty. */
export interface PinLabel {
  readonly key: string;
  readonly value: string;
}

export const PIN_LABELS_MAX = 32;
/** Snapshots, tags and unfinished forks of one shard. */
export const PINS_MAX = 10_000;
export const SNAPSHOT_TTL_MS_DEFAULT = 7 * 24 * 3600 * 1000;
export const SNAPSHOT_TTL_MS_MAX = 10 * 365 * 24 * 3600 * 1000;

/** How long superseded bodies of files under a directory are kept: while younger than `keepMs` or among the newest `keepLast`. */
export interface RetentionPolicy {
  readonly keepLast: number;
  readonly keepMs: number;
}

export const RETENTION_POLICY_DEFAULT: RetentionPolicy = { keepLast: 1, keepMs: 24 * 3600 * 1000 };

/* ------------------------------------------------------------------ reads */

export interface PinsArgs {
  /** Only this kind; forks are listed only when asked for. */
  readonly kind?: PinKind;
  /** Only pins whose root is this inode. */
  readonly root?: NodeRef;
  /** Pins with greater ids. */
  readonly after?: PinId;
  /** 1 to 1,000. */
  readonly limit: number;
}

export interface PinsResult {
  /** By id, which is the order of creation. */
  readonly pins: readonly PinInfo[];
  readonly more: boolean;
}

export interface PinArgs {
  readonly pin: { readonly snapshot: PinId } | { readonly tag: string };
}

/** The generations of a file that are kept, newest first. */
export interface LogArgs {
  readonly node: NodeRef;
  /** Generations older than this one. */
  readonly before?: Generation;
  /** 1 to 1,000. */
  readonly limit: number;
}

export interface LogRow {
  readonly generation: Generation;
  /** 1 for the first body of the file. */
  readonly ordinal: number;
  readonly size: number;
  readonly digest?: string;
  readonly contentType?: string;
  readonly producer?: string;
  readonly actor: string;
  readonly time: Timespec;
  readonly isCurrent: boolean;
}

export interface LogResult {
  readonly ino: InodeNumber;
  readonly rows: readonly LogRow[];
  readonly more: boolean;
}

export interface RetentionGetArgs {
  readonly node: NodeRef;
}

export interface RetentionGetResult {
  readonly policy: RetentionPolicy;
  /** The directory that says so; 0 for the default. */
  readonly from: InodeNumber;
}

/** Which superseded bodies at and below a node may go now; `prune` removes what the same arguments list. */
export interface PruneArgs {
  readonly node: NodeRef;
  /** Of each file the newest superseded generations that stay; default: what retention says. */
  readonly keepLast?: number;
  /** Superseded less long ago than this stays; default: what retention says. */
  readonly keepMs?: number;
  /** Go on after this cursor of an earlier page. */
  readonly cursor?: Uint8Array;
  /** Bodies a page: 1 to 1,000. */
  readonly limit: number;
}

export interface PrunedBody {
  readonly ino: InodeNumber;
  readonly path: Uint8Array;
  readonly generation: Generation;
  readonly ordinal: number;
  readonly bytes: number;
}

export interface PruneResult {
  readonly bodies: readonly PrunedBody[];
  /** Where to go on; absent at the end. A page may be empty and still have one: the work of a page is bounded. */
  readonly cursor?: Uint8Array;
}

/** One side of a difference: a node now, or at a moment. */
export interface DiffSide {
  readonly node: NodeRef;
  readonly at?: At;
}

export interface DiffArgs {
  readonly a: DiffSide;
  readonly b: DiffSide;
}

export type DiffKind = 'added' | 'removed' | 'modified' | 'attributes' | 'renamed';

export const DIFF_KINDS: readonly DiffKind[] = ['added', 'removed', 'modified', 'attributes', 'renamed'];

export type DiffAttribute = 'mode' | 'owner' | 'mtime' | 'xattrs' | 'target' | 'device';

export const DIFF_ATTRIBUTES: readonly DiffAttribute[] = ['mode', 'owner', 'mtime', 'xattrs', 'target', 'device'];

/**
 * One difference; paths are relative to the two roots, without a leading slash, empty for the roots themselves. `modified`: another
 * body, or another type of node. Everything below an added or removed directory has a row of its own.
 */
export interface DiffRow {
  readonly kind: DiffKind;
  /** On the b side; on the a side for `removed`. */
  readonly path: Uint8Array;
  /** On the a side, of `renamed` only; a renamed file may have changed too, then `attributes` and the sides say how. */
  readonly fromPath?: Uint8Array;
  readonly a?: DiffNode;
  readonly b?: DiffNode;
  /** Which attributes differ where both sides are there; mtimes of directories are not compared. */
  readonly attributes: readonly DiffAttribute[];
}

export interface DiffNode {
  readonly ino: InodeNumber;
  readonly type: InodeType;
  readonly size: number;
  readonly mode: number;
  readonly generation: Generation;
  readonly digest?: string;
}

/** One item of the stream of differences, in the order of paths as far as renames allow; the last item of a stream has `versions`. */
export interface DiffItem {
  readonly rows: readonly DiffRow[];
  /** The versions that were compared. */
  readonly versions: { readonly a: Version; readonly b: Version };
}

/* -------------------------------------------------------------- mutations */

export interface SnapshotCreateArgs {
  readonly node: NodeRef;
  /** 1 to {@link SNAPSHOT_TTL_MS_MAX}. */
  readonly ttlMs: number;
  /** At most 255 bytes; not unique. */
  readonly name?: string;
  readonly labels?: readonly PinLabel[];
}

export interface SnapshotRenewArgs {
  readonly snapshot: PinId;
  /** From now; a renewal never shortens. */
  readonly ttlMs: number;
}

export interface SnapshotRetireArgs {
  readonly snapshot: PinId;
}

export interface PinResult {
  readonly pin: PinInfo;
}

/** Makes a tag or moves it. A tag is a durable commit: no lease, no expiry. */
export interface TagSetArgs {
  /** 1 to 255 bytes of UTF-8 without "/", "@" and control characters; unique in the shard. */
  readonly name: string;
  readonly node: NodeRef;
  readonly at?: At;
  /** 0: the tag must not be there (`exists`); an id: the tag must be that pin (`tag-mismatch`); absent: whatever is there gives way. */
  readonly ifPin?: PinId | 0;
  readonly labels?: readonly PinLabel[];
}

export interface TagRemoveArgs {
  readonly name: string;
  readonly ifPin?: PinId;
}

/** A copy of a file or of a whole tree, now or as it was; costs the same whatever its size. */
export interface CloneArgs extends Owner {
  readonly from: NodeRef;
  readonly at?: At;
  readonly to: EntryRef;
  /** Make missing parents with mode 0755. */
  readonly parents?: boolean;
}

/** Puts a directory or file back as it was: a clone of that moment takes its place in the same commit. */
export interface RollbackArgs {
  readonly node: NodeRef;
  readonly at: At;
  /** Lease of the snapshot that is taken of the present state in the same commit. */
  readonly undoTtlMs: number;
}

export interface RollbackResult {
  readonly attributes: Attributes;
  /** The state before the rollback. */
  readonly undo: PinInfo;
  /** The version that was restored. */
  readonly restored: Version;
}

/** Makes an earlier body of a file its newest generation; no bytes are copied. */
export interface RevertArgs {
  readonly node: NodeRef;
  readonly generation: Generation;
  /** The current generation must be this one (`generation-mismatch`). */
  readonly ifGeneration?: Generation;
}

/** Brings back what was last removed at a place (or what was there at a version), to that place or another. */
export interface UndeleteArgs extends Owner {
  readonly entry: EntryRef;
  readonly at?: At;
  readonly to?: EntryRef;
}

export interface RetentionSetArgs {
  readonly node: NodeRef;
  /** Absent: inherit from the directory above. */
  readonly policy?: RetentionPolicy;
}

/** Brings what changed in a fork since it was made into its base: all of it, or nothing where both changed the same thing. */
export interface MergeArgs {
  readonly fork: NodeRef;
  /** Default: the directory that the fork was made of, as it is now. */
  readonly into?: NodeRef;
  /** Look for conflicts, apply nothing. */
  readonly dryRun?: boolean;
}

/** Changes of a fork that one merge takes at most. */
export const MERGE_CHANGES_MAX = 10_000;
/** Conflicts that a result lists; there may be more. */
export const MERGE_CONFLICTS_LISTED_MAX = 1_000;

export interface MergeConflict {
  /** Relative to the two directories. */
  readonly path: Uint8Array;
  /** What each side did since the fork was made. */
  readonly fork: DiffKind;
  readonly live: DiffKind;
  /** Generations of the path where there is a file: at the fork, now in the base, now in the fork; 0 for none. */
  readonly baseGeneration: Generation;
  readonly liveGeneration: Generation;
  readonly forkGeneration: Generation;
}

export interface MergeResult {
  readonly applied: boolean;
  /** Changes that were applied, or would be. */
  readonly changes: number;
  readonly conflicts: readonly MergeConflict[];
  readonly conflictCount: number;
}

export interface HistoryReadOperations {
  pins: { args: PinsArgs; result: PinsResult };
  pin: { args: PinArgs; result: PinInfo };
  log: { args: LogArgs; result: LogResult };
  'retention-get': { args: RetentionGetArgs; result: RetentionGetResult };
  'prune-plan': { args: PruneArgs; result: PruneResult };
  /** The version that a moment names. */
  'version-at': { args: { readonly at: At }; result: { readonly version: Version } };
}

export interface HistoryMutationOperations {
  'snapshot-create': { args: SnapshotCreateArgs; result: PinResult };
  'snapshot-renew': { args: SnapshotRenewArgs; result: PinResult };
  'snapshot-retire': { args: SnapshotRetireArgs; result: PinResult };
  'tag-set': { args: TagSetArgs; result: PinResult };
  'tag-remove': { args: TagRemoveArgs; result: PinResult };
  clone: { args: CloneArgs; result: CreateResult };
  rollback: { args: RollbackArgs; result: RollbackResult };
  revert: { args: RevertArgs; result: PublishResult };
  undelete: { args: UndeleteArgs; result: CreateResult };
  prune: { args: PruneArgs; result: PruneResult };
  'retention-set': { args: RetentionSetArgs; result: { readonly ino: InodeNumber } };
  merge: { args: MergeArgs; result: MergeResult };
}
