/**
 * The public face of the SDK: a namespace by paths.
 *
 * Paths are absolute; text is read as `parsePath` of `@nokv/types` does (`\xHH` for a byte that is not UTF-8,
 * `\\` for a backslash), bytes are taken as they are. Every method takes an AbortSignal and a deadline, rejects with
 * `NokvError` only, and retries by itself what is safe to retry. An error with `outcome: 'unknown'` carries the
 * `requestId` in its details: call again with that id to learn what happened.
 */
import type { BlockStore, DiskCache } from '@nokv/object';
import type {
  Attributes,
  BackupReport,
  Codec,
  Generation,
  InodeNumber,
  ListedMutation,
  LockHolder,
  LogRow,
  NodeCard,
  Owner,
  Precondition,
  RequestId,
  SessionCard,
  Settled,
  StatfsResult,
  Timespec,
  Version,
  CollectArgs,
  CollectResult,
  FsckArgs,
  FsckItem,
  ShardFigures,
  ShardFiguresArgs,
} from '@nokv/types';
import type { BodyHandle, BodyRange } from './body-handle.js';
import type { CacheFigures } from './cache-options.js';
import type { Tiers } from './tier/tiers.js';
import type {
  AtLike,
  AtOption,
  CloneOptions,
  Difference,
  DiffPoint,
  MergeOptions,
  MergeOutcome,
  Pruned,
  PruneOptions,
  Retention,
  RevertOptions,
  RevertOutcome,
  RollbackOptions,
  RollbackOutcome,
  Snapshots,
  Tags,
  UndeleteOptions,
} from './history.js';
import type {
  Batch,
  RangeRead,
  RangeRequest,
  ReadFile,
  ReadManyOptions,
  ReadRangesOptions,
  Transaction,
  TransactionOutcome,
} from './lists.js';
import type { CallOptions, MetadataClient } from './metadata-client.js';
import type { ProgressListener } from './progress.js';
import type { Uploads } from './uploads.js';
import type { PutSource } from './put-source.js';
import type { Storage } from './storage.js';
import type { ClientSession, SessionOptions } from './sessions.js';
import type {
  ArchiveOptions,
  ExportOptions,
  GetFileOptions,
  GetTreeOptions,
  ImportOptions,
  PutTreeOptions,
  SyncReport,
  TreeReport,
  UnarchiveOptions,
} from './trees.js';
import type { PastChangesOptions, Watch, WatchEvent, WatchOptions } from './watch-event.js';

export interface BackupOptions extends CallOptions {
  /** After each block. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly bytes: number }) => void) | undefined;
}

export interface NokvClient extends AsyncDisposable {
  /** Every metadata operation by inode or path, with the same retries and deadlines. */
  readonly metadata: MetadataClient;

  /** The card of what lies at `path`. Symlinks are followed unless `follow` is false. Errors: `not-found`, `not-directory`. */
  stat(path: PathLike, options?: CallOptions & AtOption & { readonly follow?: boolean }): Promise<NodeCard>;
  /** False when nothing is at the path (or a file is where a directory would be needed); every other failure rejects. */
  exists(path: PathLike, options?: CallOptions & AtOption): Promise<boolean>;
  /** All entries of a directory in byte order of names, fetched page by page as they are consumed. */
  list(path: PathLike, options?: ListOptions): AsyncIterable<DirectoryEntry>;
  /** One page of a directory. */
  listPage(path: PathLike, options?: ListOptions): Promise<DirectoryPage>;
  /** A symlink's target, as bytes. */
  readlink(path: PathLike, options?: CallOptions & AtOption): Promise<Uint8Array>;
  /** The absolute path of an inode. */
  pathOf(ino: InodeNumber, options?: CallOptions & AtOption): Promise<string>;
  /** The cards of many paths, one request for each 256; one that fails does not touch the others. In the order of the paths. */
  statMany(
    paths: Iterable<PathLike>,
    options?: CallOptions & AtOption & { readonly follow?: boolean },
  ): Promise<readonly Settled<NodeCard>[]>;
  /** Whole small files; bodies inside the metadata come with the request, one for each 256 paths. */
  readMany(paths: Iterable<PathLike>, options?: ReadManyOptions): Promise<readonly Settled<ReadFile>[]>;
  /**
   * Many ranges of many files, an answer for each in their order: one request for up to 256 files, one get for what lies side by side in a
   * block. Ranges of one file come from one generation. Rejects with `invalid-argument` before anything is sent when a range is none.
   */
  readRanges(ranges: Iterable<RangeRequest>, options?: ReadRangesOptions): Promise<readonly Settled<RangeRead>[]>;
  /** What is used and free in the namespace. */
  statfs(options?: CallOptions): Promise<StatfsResult>;

  /** Makes a directory. With `parents`, missing parents too, and a directory that is there is fine. Errors: `exists`, `not-found`. */
  mkdir(path: PathLike, options?: MkdirOptions): Promise<NodeOutcome>;
  /**
   * Publishes a body at `path` in one commit: readers see the old body or the new one, never a mix. Small bodies
   * take one round trip. Errors: `generation-mismatch` (`ifGeneration`), `exists` (`ifGeneration: 0`), `corrupt` (`digest`).
   */
  put(path: PathLike, source: PutSource, options?: PutOptions): Promise<PutOutcome>;
  /** Uploads a body without making it visible; {@link NokvClient.publish} does that, within 15 minutes and at most once. */
  stage(source: PutSource, options?: StageOptions): Promise<StagedBody>;
  /** Publishes a staged body. Nothing is deleted when this fails: the same `requestId` may be tried again. */
  publish(path: PathLike, body: StagedBody, options?: PublishOptions): Promise<PutOutcome>;
  /** Ends a staged upload that will not be published; its blocks are swept. Best effort: one that is not ended expires. */
  discard(body: StagedBody): Promise<void>;
  /** Opens a body at one generation; all that is read through the handle comes from that generation. */
  get(path: PathLike, options?: GetOptions): Promise<BodyHandle>;
  /** The bytes of a body as a web stream with back-pressure; `range` limits it. */
  getStream(path: PathLike, options?: GetOptions & BodyRange): Promise<ReadableStream<Uint8Array>>;
  /** Copies a file: blocks are shared, not copied, where both lie in one shard. */
  copy(from: PathLike, to: PathLike, options?: CopyOptions): Promise<PutOutcome>;

  /** Removes a file, symlink or empty directory. */
  remove(path: PathLike, options?: MutationOptions): Promise<Outcome>;
  /** Removes whatever lies at `path`, a directory with all below it, in one commit. */
  removeTree(path: PathLike, options?: MutationOptions): Promise<Outcome>;
  /** Removes an empty directory. Errors: `not-empty`, `not-directory`. */
  rmdir(path: PathLike, options?: MutationOptions): Promise<Outcome>;
  /** Removes anything but a directory. Errors: `is-directory`. */
  unlink(path: PathLike, options?: MutationOptions): Promise<Outcome>;
  /** rename(2); `mode` may refuse to replace, or exchange the two. Errors: `own-descendant`, `not-empty`, `exists`. */
  rename(
    from: PathLike,
    to: PathLike,
    options?: MutationOptions & { readonly mode?: 'replace' | 'no-replace' | 'exchange' },
  ): Promise<Outcome>;
  /** Another name for the file at `existing`. */
  link(existing: PathLike, path: PathLike, options?: MutationOptions): Promise<NodeOutcome>;
  /** A symlink at `path` that says `target` (any bytes, need not exist). */
  symlink(target: string | Uint8Array, path: PathLike, options?: MutationOptions): Promise<NodeOutcome>;

  /** Makes files without bodies in one request, with an answer each. */
  createMany(
    paths: Iterable<PathLike>,
    options?: MutationOptions & { readonly mode?: number; readonly exclusive?: boolean },
  ): Promise<readonly Settled<NodeOutcome>[]>;
  /** Removes files, symlinks and empty directories in one request (two where there are directories), with an answer each. */
  removeMany(paths: Iterable<PathLike>, options?: MutationOptions): Promise<readonly Settled<Outcome>[]>;
  /** Gathers independent mutations to be sent in one request. */
  batch(): Batch;
  /** Gathers mutations that take effect together or not at all. */
  transaction(): Transaction;
  /** The same by operations: for those who know inodes. */
  transact(
    operations: readonly ListedMutation[],
    options?: Omit<MutationOptions, 'owner'> & { readonly preconditions?: readonly Precondition[] },
  ): Promise<TransactionOutcome>;

  /** Changes several attributes in one commit. */
  setattr(path: PathLike, changes: AttributeChanges, options?: MutationOptions & { readonly follow?: boolean }): Promise<NodeOutcome>;
  chmod(path: PathLike, mode: number, options?: MutationOptions): Promise<NodeOutcome>;
  chown(path: PathLike, uid: number, gid: number, options?: MutationOptions & { readonly follow?: boolean }): Promise<NodeOutcome>;
  utimes(path: PathLike, atime: TimeLike, mtime: TimeLike, options?: MutationOptions & { readonly follow?: boolean }): Promise<NodeOutcome>;
  /** Cuts or extends a body with zeros, without reading it (save for what moves into the metadata, or out of it, at 16 KiB). */
  truncate(path: PathLike, size: number, options?: MutationOptions): Promise<NodeOutcome>;

  /**
   * Adds bytes at the end of a file; one that is not there is made. Each append lands once, whole, however many clients append at the same
   * time. What is there is not sent again (save now and then a part of the last block). The digest of a body in blocks is unknown afterwards.
   */
  append(path: PathLike, source: PutSource, options?: SpliceOptions): Promise<SpliceOutcome>;
  /**
   * Writes bytes over those from `offset` on, beyond the end too (zeros fill the gap); all of them become visible at once, the rest of the
   * file is shared with the body that was there. Errors: `not-found`, `generation-mismatch` (`ifGeneration`).
   */
  patch(path: PathLike, offset: number, source: PutSource, options?: SpliceOptions): Promise<SpliceOutcome>;

  getXattr(path: PathLike, name: string | Uint8Array, options?: CallOptions & AtOption): Promise<Uint8Array>;
  /** Names as text, sorted by bytes. */
  listXattrs(path: PathLike, options?: CallOptions & AtOption): Promise<readonly string[]>;
  setXattr(
    path: PathLike,
    name: string | Uint8Array,
    value: string | Uint8Array,
    options?: MutationOptions & { readonly mode?: 'set' | 'create' | 'replace' },
  ): Promise<Outcome>;
  removeXattr(path: PathLike, name: string | Uint8Array, options?: MutationOptions): Promise<Outcome>;

  /**
   * Publishes a local directory: it is staged out of sight and moves into place in one commit, so readers see all of it
   * or none. Refused with `exists` when something is there, unless `replace`.
   */
  putTree(localDirectory: string, path: PathLike, options?: PutTreeOptions): Promise<TreeReport>;
  /** Copies a local directory's contents into `path`, file by file: what is there already stays or is overwritten. */
  putInto(localDirectory: string, path: PathLike, options?: PutTreeOptions): Promise<TreeReport>;
  /** Restores a remote directory below a local one: contents, modes, times, symlinks, empty directories. */
  getTree(path: PathLike, localDirectory: string, options?: GetTreeOptions): Promise<TreeReport>;
  /**
   * Makes the directory at `path` what a local one is, entry by entry, like `rsync -a`: what is the same (size and time, or digest with
   * `checksum`) stays, and nothing is sent a second time. Keeps owners, modes, times, symlinks, hard links, special files and extended
   * attributes. An entry that cannot be moved is told in the report, the others are moved.
   */
  importTree(localDirectory: string, path: PathLike, options?: ImportOptions): Promise<SyncReport>;
  /** The other direction: makes a local directory what the one at `path` is. Never writes through a symlink below the destination. */
  exportTree(path: PathLike, localDirectory: string, options?: ExportOptions): Promise<SyncReport>;
  /**
   * What lies at `path` as a tar archive (pax format), in constant memory: names as bytes, owners, modes, nanoseconds, symlinks, hard
   * links, extended attributes, special files. Each file is one state; with `at` all of it is. Chunks are borrowed until the next one.
   */
  archive(path: PathLike, options?: ArchiveOptions): AsyncIterable<Uint8Array>;
  /**
   * Makes in the directory at `path` what a tar archive holds; what is there already is written over. Errors: `unsupported-format` (no tar, or
   * cut off), `outside-root` (a name that is absolute or has a "..").
   */
  unarchive(source: AsyncIterable<Uint8Array>, path: PathLike, options?: UnarchiveOptions): Promise<SyncReport>;
  /** Restores one file: written beside its destination, then renamed over it. */
  getFile(path: PathLike, localFile: string, options?: GetFileOptions): Promise<TreeReport>;

  /**
   * Has the server write a consistent image of its metadata to `file:///dir` or `s3://bucket/prefix?…`, as the server reaches it; callers go
   * on meanwhile. Bodies stay in the store that they are in. Errors: `exists` (something is there already).
   */
  backup(destination: string, options?: BackupOptions): Promise<BackupReport>;

  /**
   * Has the server check its metadata and its store while it goes on, and mend what it is asked to: findings as they are made, how far it
   * is, and `done` at the end. Leaving the loop ends the check. Errors: `too-busy` (another check is under way).
   */
  fsck(options?: CallOptions & Partial<FsckArgs>): AsyncIterable<FsckItem>;
  /** What the shard holds and has done; with `rows` the number of rows of every family, too. */
  figures(options?: CallOptions & Partial<ShardFiguresArgs>): Promise<ShardFigures>;
  /** Does background work that is due, unless `dryRun`, and tells up to `limit` (default 100) rows of what is left and why. */
  collect(options?: CallOptions & Partial<CollectArgs>): Promise<CollectResult>;

  /** Uploads step by step, by signed URLs. */
  readonly uploads: Uploads;
  /** Frozen views held by leases. */
  readonly snapshots: Snapshots;
  /** Named states, kept until they are moved or removed. */
  readonly tags: Tags;
  /** How long superseded bodies are kept. */
  readonly retention: Retention;
  /** How bodies below a directory are stored: compressed, shared. */
  readonly storage: Storage;
  /**
   * A copy of a file or directory with all below it, now or as it was; costs the same whatever its size and is independent from then on.
   * Errors: `exists`, `own-descendant`, `snapshot-expired`, `retention-ended`.
   */
  clone(from: PathLike, to: PathLike, options?: CloneOptions): Promise<NodeOutcome>;
  /** The differences between two places or moments, in the order of paths as far as renames allow. Leaving the loop ends the work. */
  diff(a: DiffPoint, b: DiffPoint, options?: CallOptions): AsyncIterable<Difference>;
  /** Brings what changed in a clone since it was made into where it came from: all of it, or nothing where both changed the same. */
  merge(fork: PathLike, options?: MergeOptions): Promise<MergeOutcome>;
  /** Puts what lies at `path` back as it was, in one commit; the state before is left as a snapshot. */
  rollback(path: PathLike, at: AtLike, options?: RollbackOptions): Promise<RollbackOutcome>;
  /** The bodies of a file that are kept, newest first. */
  log(path: PathLike, options?: CallOptions): AsyncIterable<LogRow>;
  /** Makes an earlier body the newest again, under a new generation; nothing is uploaded. Errors: `generation-mismatch`, `retention-ended`. */
  revert(path: PathLike, generation: Generation | number, options?: RevertOptions): Promise<RevertOutcome>;
  /** Brings back what was last removed at `path`, or what was there at a moment. Errors: `exists`, `not-found`, `retention-ended`. */
  undelete(path: PathLike, options?: UndeleteOptions): Promise<NodeOutcome>;
  /** Removes superseded bodies at and below `path` and tells each; with `dryRun` only tells them. */
  prune(path: PathLike, options?: PruneOptions): AsyncIterable<Pruned>;

  /**
   * Changes at and below `path`, from now on or after `since`, with the paths that they had; goes on across reconnects without gap
   * or repeat. Errors: `not-found` (nothing is there, and no `since`), `cursor-too-old` (read the tree again and go on from `details.next`).
   */
  watch(path: PathLike, options?: WatchOptions): Watch;
  /**
   * Past changes at and below `path`, newest first, with the paths that they had: as far back as the server keeps them (24 hours by default).
   * Errors: `cursor-too-old` (`since` with `oldestFirst`).
   */
  changes(path: PathLike, options?: PastChangesOptions): AsyncIterable<WatchEvent>;

  /** Opens a session and keeps it alive: what is held under it (locks, open files) ends with it. Close it, or use `await using`. */
  openSession(options?: SessionOptions): Promise<ClientSession>;
  /** Sessions, the oldest first, with what they hold. */
  sessions(options?: CallOptions): AsyncIterable<SessionCard>;
  /** Locks that are held on what lies at a path. */
  locks(path: PathLike, options?: CallOptions): Promise<readonly LockHolder[]>;

  /** Which files lie in this client's disk cache, and keeping them there. */
  readonly tiers: Tiers;
  /** What reading has cost this client so far: hits and misses of its caches, gets of the store. */
  readonly cacheFigures: CacheFigures;
  /** For adapters that read blocks themselves: the cache that was given with `cache.directory`. */
  readonly diskCache: DiskCache | undefined;

  /** The block store as this client reaches it (directory, bucket or the server's HTTP port); opened by its first use, closed with the client. */
  blocks(): Promise<BlockStore>;
  close(): Promise<void>;
}

export type PathLike = string | Uint8Array;
export type TimeLike = Timespec | Date | 'now';

export interface MutationOptions extends CallOptions {
  /** Drawn when absent; give the id of a call whose outcome is unknown to ask again. */
  readonly requestId?: RequestId | undefined;
  /** Who owns what is created; default: the client's. */
  readonly owner?: Owner | undefined;
}

/** The commit that a mutation took effect in. */
export interface Outcome {
  readonly version: Version;
  readonly requestId: RequestId;
}

export interface NodeOutcome extends Outcome {
  readonly attributes: Attributes;
}

export interface PutOutcome extends NodeOutcome {
  readonly generation: Generation;
  readonly created: boolean;
  /** `sha256:<hex>` of the body, as computed while it was sent; absent for a shared copy of a body without one. */
  readonly digest?: string;
  /** Bytes that an earlier put had sent (`resume`). */
  readonly resumedBytes?: number;
}

export interface ListOptions extends CallOptions, AtOption {
  /** Entries per round trip, 1 to 4,096; default 1,000. */
  readonly limit?: number | undefined;
  /** Begin strictly after this name. */
  readonly after?: string | Uint8Array | undefined;
  /** Attributes with each entry, in the same scan; default true. */
  readonly attributes?: boolean | undefined;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly ino: InodeNumber;
  readonly type: Attributes['type'];
  readonly attributes?: Attributes;
}

export interface DirectoryPage {
  readonly entries: readonly DirectoryEntry[];
  readonly more: boolean;
}

export interface MkdirOptions extends MutationOptions {
  /** Default 0755. */
  readonly mode?: number | undefined;
  readonly parents?: boolean | undefined;
}

export interface StageOptions extends CallOptions {
  readonly onProgress?: ProgressListener | undefined;
  /** The digest that the body must have (`sha256:<hex>`); another one fails `corrupt` before anything is published. */
  readonly digest?: string | undefined;
  /** Shown to operators beside the upload. */
  readonly target?: string | undefined;
  /** How blocks are compressed that get shorter by it; `none`: as they are. Reads of a range then cost the blocks that it touches, as ever. */
  readonly compress?: Codec | 'none' | undefined;
}

export interface PublishOptions extends MutationOptions {
  /** 0: create only. G: the current generation must be G. */
  readonly ifGeneration?: Generation | number | undefined;
  /** The current body must have this digest. */
  readonly ifDigest?: string | undefined;
  /** Make missing parents. */
  readonly parents?: boolean | undefined;
  /** Of a file that is created (default 0644) and, when given, of an existing one too. */
  readonly mode?: number | undefined;
  readonly mtime?: Timespec | Date | undefined;
  readonly contentType?: string | undefined;
  readonly producer?: string | undefined;
  /** Extended attributes to set in the same commit. */
  readonly xattrs?: Readonly<Record<string, string | Uint8Array>> | undefined;
  /** Offer the blocks to puts that look whether a body is there already (`dedup`). */
  readonly share?: boolean | undefined;
}

export interface PutOptions extends PublishOptions, StageOptions {
  /** For a local file (`{ file }`) in blocks: go on where an earlier put of it ended, and leave notes for a later one. */
  readonly resume?: ResumeOptions | undefined;
  /**
   * Look first whether a body with these bytes was put so before, and share its blocks; default: what the directory says
   * ({@link NokvClient.storage}). What can be read twice is read for its digest before anything is sent.
   */
  readonly dedup?: boolean | undefined;
}

export interface ResumeOptions {
  /** Path on this machine for the notes: one for each file and destination. Removed when the body is published. */
  readonly stateFile: string;
  /**
   * `go-on` (default): what the notes say was sent, and is unchanged here and there, is not sent again; after a failure that may pass the
   * upload stays open for its time to live. `note`: begin anew, so that a later put can go on if this process is killed.
   */
  readonly mode?: 'go-on' | 'note' | undefined;
  /** How long the upload outlives its client: default 24 h, the most there is, for `go-on`; 15 minutes for `note`. */
  readonly ttlMs?: number | undefined;
}

export interface SpliceOptions extends MutationOptions {
  readonly onProgress?: ProgressListener | undefined;
  /** As for puts; default: as the blocks are that the file has. */
  readonly compress?: Codec | 'none' | undefined;
  /** G: the current generation must be G; 0: the file must not be there. */
  readonly ifGeneration?: Generation | number | undefined;
  /** Make missing parents of a file that is made. */
  readonly parents?: boolean | undefined;
  /** Of a file that is made; default 0644. */
  readonly mode?: number | undefined;
}

export interface SpliceOutcome extends Omit<PutOutcome, 'digest'> {
  /** Where the bytes are. */
  readonly offset: number;
  readonly length: number;
}

export interface CopyOptions extends PublishOptions, AtOption {
  /** A superseded body of the source; default: the current one. */
  readonly generation?: Generation | number | undefined;
  /** Keep mode and mtime of the source. */
  readonly preserve?: boolean | undefined;
}

export interface GetOptions extends CallOptions, AtOption {
  /** A superseded body; default: the current one. */
  readonly generation?: Generation | number | undefined;
  /** Check whole bodies against their digest too, beside the checksum of every block (default false: it costs a hash). */
  readonly verify?: boolean | undefined;
}

export interface AttributeChanges {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly atime?: TimeLike | undefined;
  readonly mtime?: TimeLike | undefined;
  readonly size?: number | undefined;
}

/** A body that is uploaded but not visible. */
export interface StagedBody {
  readonly size: number;
  readonly digest: string;
  /** What {@link NokvClient.publish} needs; opaque. */
  readonly staged: import('./body/stage-body.js').StagedParts;
}
