/**
 * The metadata operations: what a shard can be asked. `meta` implements them, `protocol` gives them schemas,
 * `client` calls them, the mount and the verbs are written over them. Arguments and results are plain data.
 *
 * Reads never wait for the writer, except that a read of rows that an unflushed commit changed is answered
 * after the flush (unless the caller asked for `visible`). Mutations carry a request id; sent again under the
 * same id they return the first result.
 */
import type { Attributes, InodeType, NodeCard } from './attributes.js';
import type { Body, Extent } from './body.js';
import type { At, HistoryMutationOperations, HistoryReadOperations } from './history.js';
import type { Generation, InodeNumber, UploadId, Version } from './ids.js';
import type { ReadManyArgs, ReadManyResult, StatManyArgs, StatManyResult, TransactArgs, TransactResult } from './many.js';
import type { SessionMutationOperations, SessionReadOperations } from './session-operations.js';
import type { Timespec } from './time.js';
import type { PathChangesArgs, PathChangesResult } from './watch.js';

/** An existing inode: by number, by absolute path, or by directory and name. Names and paths are bytes. */
export type NodeRef =
  | { readonly ino: InodeNumber }
  | { readonly path: Uint8Array }
  | { readonly parent: InodeNumber; readonly name: Uint8Array };

/** A place in a directory, taken or free. */
export type EntryRef = { readonly path: Uint8Array } | { readonly parent: InodeNumber; readonly name: Uint8Array };

/** Who owns what is created: the caller's ids. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/* ------------------------------------------------------------------ reads */

export interface StatArgs {
  readonly node: NodeRef;
  /** Follow a symlink in the last component (default true; those before it are always followed). */
  readonly follow?: boolean;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface LookupArgs {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface GetattrArgs {
  readonly ino: InodeNumber;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface ListArgs {
  readonly node: NodeRef;
  /** Entries strictly after this name in byte order; absent: from the beginning. */
  readonly after?: Uint8Array;
  /** 1 to {@link LIST_LIMIT_MAX}. */
  readonly limit: number;
  /** Attributes with each entry, in the same scan. */
  readonly attributes: boolean;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export const LIST_LIMIT_MAX = 4096;

export interface ListEntry {
  readonly name: Uint8Array;
  readonly ino: InodeNumber;
  readonly type: InodeType;
  readonly attributes?: Attributes;
}

export interface ListResult {
  readonly directory: InodeNumber;
  /** In byte order of names. */
  readonly entries: readonly ListEntry[];
  readonly more: boolean;
}

export interface ReadlinkArgs {
  readonly node: NodeRef;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface PathOfArgs {
  readonly ino: InodeNumber;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface XattrGetArgs {
  readonly node: NodeRef;
  readonly name: Uint8Array;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface XattrListArgs {
  readonly node: NodeRef;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

export interface OpenReadArgs {
  readonly node: NodeRef;
  /**
   * A superseded body of that inode, or of the file that lay at the path when this generation was published; absent or 0: the
   * current one.
   */
  readonly generation?: Generation;
  /** As it was at this moment; absent: now. */
  readonly at?: At;
}

/** Asks for a body in blocks with this digest that was published to be shared. */
export interface FindBodyArgs {
  /** `sha256:<64 hex digits>`. */
  readonly digest: string;
}

/** Nothing where there is none, or none that the caller may read. The digest is what its publisher said: compare before you rely on it. */
export interface FindBodyResult {
  readonly ino?: InodeNumber;
  readonly generation?: Generation;
}

/** Everything needed to read one body: attributes, generation and plan from one read transaction. */
export interface ReadPlan {
  readonly attributes: Attributes;
  readonly generation: Generation;
  readonly digest?: string;
  readonly contentType?: string;
  readonly body: Body;
}

export interface StatfsResult {
  /** Bytes of all bodies and number of all inodes below the root. */
  readonly bytesUsed: number;
  readonly inodesUsed: number;
  readonly bytesFree: number;
  readonly inodesFree: number;
}

export interface ChangesArgs {
  /** Changes of versions greater than this one. */
  readonly since: Version;
  readonly limit: number;
}

export interface ChangesResult {
  readonly changes: readonly ChangeRecord[];
  /** Ask again with this. */
  readonly next: Version;
}

/** One typed row of a shard's change log; `parent` and `name` are those at the event. */
export interface ChangeRecord {
  readonly version: Version;
  readonly ordinal: number;
  readonly kind: ChangeKind;
  readonly ino: InodeNumber;
  readonly type: InodeType;
  readonly parent?: InodeNumber;
  readonly name?: Uint8Array;
  /** The old place of a rename. */
  readonly fromParent?: InodeNumber;
  readonly fromName?: Uint8Array;
  readonly generation?: Generation;
  readonly requestId: string;
  readonly actor: string;
  readonly time: Timespec;
}

/**
 * `snapshot`: a snapshot or tag of this root was made; `cloned`: the node came to be as a clone, with all below it; `rolled-back`: this
 * place shows an earlier state, all below it may differ.
 */
export type ChangeKind =
  | 'created'
  | 'removed'
  | 'renamed'
  | 'attributes'
  | 'published'
  | 'xattr'
  | 'linked'
  | 'snapshot'
  | 'cloned'
  | 'rolled-back';

export const CHANGE_KINDS: readonly ChangeKind[] = [
  'created',
  'removed',
  'renamed',
  'attributes',
  'published',
  'xattr',
  'linked',
  'snapshot',
  'cloned',
  'rolled-back',
];

/* -------------------------------------------------------------- mutations */

export interface MkdirArgs extends Owner {
  readonly entry: EntryRef;
  readonly mode: number;
  /** Make missing parents, and succeed when the directory is there (`mkdir -p`). */
  readonly parents?: boolean;
}

export interface CreateArgs extends Owner {
  readonly entry: EntryRef;
  readonly mode: number;
  /** `file`, `fifo`, `socket`, `char` or `block`. */
  readonly type: InodeType;
  readonly rdev?: number;
  /** When false an existing regular file is returned as it is (`created: false`). */
  readonly exclusive: boolean;
}

export interface CreateResult {
  readonly attributes: Attributes;
  readonly created: boolean;
}

export interface SymlinkArgs extends Owner {
  readonly entry: EntryRef;
  readonly target: Uint8Array;
}

/** 1 to this many bytes. */
export const SYMLINK_TARGET_BYTES_MAX = 4095;

export interface LinkArgs {
  readonly node: NodeRef;
  readonly entry: EntryRef;
}

export interface UnlinkArgs {
  readonly entry: EntryRef;
}

export interface UnlinkResult {
  readonly ino: InodeNumber;
  /** Links that are left. */
  readonly nlink: number;
}

export interface RmdirArgs {
  readonly entry: EntryRef;
}

/**
 * Removes what lies at `entry`, whatever it is: a directory with everything below it in one commit that costs
 * O(1) rows (it moves under the trash and is taken apart in slices in the background).
 */
export interface RemoveTreeArgs {
  readonly entry: EntryRef;
}

export interface RenameArgs {
  readonly from: EntryRef;
  readonly to: EntryRef;
  /** `replace` is rename(2), `no-replace` fails with `exists`, `exchange` swaps the two. */
  readonly mode: 'replace' | 'no-replace' | 'exchange';
}

export interface SetattrArgs {
  readonly node: NodeRef;
  readonly follow?: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** `now` takes the server's time of the commit. */
  readonly atime?: Timespec | 'now';
  readonly mtime?: Timespec | 'now';
  /** Truncate or extend; publishes a new generation without reading a body. */
  readonly size?: number;
}

export interface XattrSetArgs {
  readonly node: NodeRef;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  readonly mode: 'set' | 'create' | 'replace';
}

/** Linux's limits (linux/limits.h): 255 bytes of name, 64 KiB of value. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 65536;

export interface XattrRemoveArgs {
  readonly node: NodeRef;
  readonly name: Uint8Array;
}

/** Records an upload in the staging ledger, before any byte of it is sent. */
export interface BeginUploadArgs {
  /** What it is for, shown to operators; may be empty. */
  readonly target: string;
  /** Time to live from now, renewed by `renew-upload`; {@link UPLOAD_TTL_MS_MAX} at most. */
  readonly ttlMs: number;
}

export const UPLOAD_TTL_MS_DEFAULT = 15 * 60 * 1000;
export const UPLOAD_TTL_MS_MAX = 24 * 60 * 60 * 1000;
/** Blocks per upload; indexes run from 0. */
export const UPLOAD_BLOCKS_MAX = 1_000_000;

export interface UploadResult {
  readonly upload: UploadId;
  readonly expiresAt: Timespec;
}

export interface RenewUploadArgs {
  readonly upload: UploadId;
  readonly ttlMs: number;
}

/**
 * Ends an upload: nothing more will be published from it. Blocks that no manifest took are removed by the sweep.
 * Ending an upload that is already gone succeeds.
 */
export interface EndUploadArgs {
  readonly upload: UploadId;
}

/**
 * Makes a body the new generation of a file. Pieces come from `upload` (a live ledger row; verified against the
 * store before the command is formed) or from a manifest that the inode `base` has or had (unchanged blocks).
 */
export interface PublishArgs extends Owner {
  /** A place (the file is created if absent, with `mode`) or an existing inode. */
  readonly node: NodeRef;
  readonly body: Body;
  /**
   * `body` is not the whole new body: its bytes are dealt out, in order, to these ranges of the one that the commit finds. Nothing that
   * anybody else wrote meanwhile is lost, so appends never conflict. The result has a digest only where it lies inside the metadata.
   * Errors: `too-large` (one lies inside the metadata, the other in blocks), `generation-mismatch` (`over`).
   */
  readonly splices?: readonly Splice[];
  /** Offer the blocks to those who bring a body of the same sha256 and may read this one (`find-body`). */
  readonly share?: boolean;
  /** Of the whole body: not with `splices`. */
  readonly digest?: string;
  readonly contentType?: string;
  readonly producer?: string;
  /** Ledger row that new pieces belong to. */
  readonly upload?: UploadId;
  /** End the upload in the same commit (default true). */
  readonly endUpload?: boolean;
  /** Blocks of the upload hold bytes of other bodies, or of none, too: they may be longer than the pieces of this one say. */
  readonly packed?: boolean;
  /** Inode whose manifests may be reused; defaults to the target itself. */
  readonly base?: InodeNumber;
  /** 0: create only (`exists` otherwise); G: the current generation must be G (`generation-mismatch` otherwise). */
  readonly ifGeneration?: Generation;
  /** The current body must have this digest. */
  readonly ifDigest?: string;
  /** Make missing parents with mode 0755. */
  readonly parents?: boolean;
  /** Of a file that is created (default 0644); of an existing one when `setMode` is true. */
  readonly mode: number;
  readonly setMode?: boolean;
  /** Defaults to the time of the commit. */
  readonly mtime?: Timespec;
}

/** Where bytes of a publish go in the body that is there; behind its end a hole fills it up. */
export interface Splice {
  /** Absent: at the end, wherever that is by then. */
  readonly offset?: number;
  readonly length: number;
  /** What the body must show there: for one who writes anew what it has read. */
  readonly over?: readonly Extent[];
}

export const SPLICES_MAX = 64;

export interface PublishResult {
  readonly attributes: Attributes;
  readonly generation: Generation;
  readonly created: boolean;
}

/** Makes a fresh directory under the staging directory, to be filled and then published whole. */
export interface BeginTreeArgs extends Owner {
  readonly mode: number;
  readonly ttlMs: number;
}

export interface BeginTreeResult {
  readonly root: InodeNumber;
  readonly name: Uint8Array;
}

/** Moves a staged tree into the namespace in one commit; readers see all of it or none. */
export interface PublishTreeArgs extends Owner {
  readonly root: InodeNumber;
  readonly to: EntryRef;
  /** Replace what is there (it goes to the trash in the same commit); else `exists`. */
  readonly replace: boolean;
  readonly parents?: boolean;
}

/** Each read operation with its arguments and its result. */
export interface ReadOperations extends HistoryReadOperations, SessionReadOperations {
  stat: { args: StatArgs; result: NodeCard };
  lookup: { args: LookupArgs; result: Attributes };
  getattr: { args: GetattrArgs; result: Attributes };
  list: { args: ListArgs; result: ListResult };
  readlink: { args: ReadlinkArgs; result: { target: Uint8Array } };
  'path-of': { args: PathOfArgs; result: { path: Uint8Array } };
  'xattr-get': { args: XattrGetArgs; result: { value: Uint8Array } };
  'xattr-list': { args: XattrListArgs; result: { names: readonly Uint8Array[] } };
  'open-read': { args: OpenReadArgs; result: ReadPlan };
  statfs: { args: Record<string, never>; result: StatfsResult };
  changes: { args: ChangesArgs; result: ChangesResult };
  'stat-many': { args: StatManyArgs; result: StatManyResult };
  'read-many': { args: ReadManyArgs; result: ReadManyResult };
  'find-body': { args: FindBodyArgs; result: FindBodyResult };
  'path-changes': { args: PathChangesArgs; result: PathChangesResult };
}

/** Each mutation with its arguments and its result. Every result travels with the version of its commit. */
export interface MutationOperations extends HistoryMutationOperations, SessionMutationOperations {
  mkdir: { args: MkdirArgs; result: CreateResult };
  create: { args: CreateArgs; result: CreateResult };
  symlink: { args: SymlinkArgs; result: CreateResult };
  link: { args: LinkArgs; result: { attributes: Attributes } };
  unlink: { args: UnlinkArgs; result: UnlinkResult };
  rmdir: { args: RmdirArgs; result: { ino: InodeNumber } };
  'remove-tree': { args: RemoveTreeArgs; result: { ino: InodeNumber } };
  rename: { args: RenameArgs; result: { ino: InodeNumber } };
  setattr: { args: SetattrArgs; result: { attributes: Attributes } };
  'xattr-set': { args: XattrSetArgs; result: { ino: InodeNumber } };
  'xattr-remove': { args: XattrRemoveArgs; result: { ino: InodeNumber } };
  'begin-upload': { args: BeginUploadArgs; result: UploadResult };
  'renew-upload': { args: RenewUploadArgs; result: UploadResult };
  'end-upload': { args: EndUploadArgs; result: { upload: UploadId } };
  publish: { args: PublishArgs; result: PublishResult };
  'begin-tree': { args: BeginTreeArgs; result: BeginTreeResult };
  'publish-tree': { args: PublishTreeArgs; result: CreateResult };
  transact: { args: TransactArgs; result: TransactResult };
}

export type ReadOperation = keyof ReadOperations;
export type MutationOperation = keyof MutationOperations;

export type MutationResult<Op extends MutationOperation> = MutationOperations[Op]['result'];
export type ReadResult<Op extends ReadOperation> = ReadOperations[Op]['result'];

/** When a mutation is acknowledged: after it is durable, or as soon as all can see it. */
export type Acknowledgement = 'durable' | 'visible';
