/**
 * The inode-level face of the client: every metadata operation with retries, deadlines and request ids, and the
 * change stream. The mount and the path-level SDK are written over it.
 */
import type {
  AccessResult,
  Acknowledgement,
  BackupArgs,
  BackupItem,
  BatchAnswer,
  BatchItem,
  ChangeCursor,
  ChangeFilter,
  ChangeRecord,
  ChangeRoot,
  CollectArgs,
  CollectResult,
  DiffArgs,
  DiffItem,
  FsckArgs,
  FsckItem,
  LockArgs,
  MutationOperation,
  MutationOperations,
  MutationResult,
  PresignGetsArgs,
  PresignPutsArgs,
  PresignResult,
  ReadOperation,
  ReadOperations,
  ReadResult,
  RequestId,
  ShardFigures,
  ShardFiguresArgs,
  UploadResult,
  Version,
} from '@nokv/types';
import type { ServerInfo, WatchPathItem } from '@nokv/protocol';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the call with all its retries; default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Ask for what is visible without waiting until it is durable (mount only). */
  readonly visible?: boolean | undefined;
}

export interface MutateOptions extends CallOptions {
  /** Drawn by the client when absent; give the one of a call whose outcome is unknown to ask again. */
  readonly requestId?: RequestId | undefined;
  /**
   * Wall clock of the first attempt under `requestId` (default: now): one whose result may have been forgotten since is refused
   * with `request-expired` instead of being run again.
   */
  readonly firstAttemptMs?: number | undefined;
  /** Default `durable`. */
  readonly acknowledgement?: Acknowledgement | undefined;
}

export interface LockWaitOptions extends Omit<MutateOptions, 'acknowledgement' | 'visible'> {
  /** Hears once why the lock cannot be had at once: who holds it, for people. */
  readonly onWaiting?: ((why: string) => void) | undefined;
}

export interface Mutated<Result> {
  readonly version: Version;
  readonly result: Result;
}

/** What `begin-upload` answers over the wire: the ledger row and the signed ticket for proxied puts. */
export interface TicketedUpload extends UploadResult {
  readonly ticket: string;
}

export interface WatchPathOptions {
  readonly filter?: ChangeFilter | undefined;
  readonly since?: ChangeCursor | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MetadataClient {
  read<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args'], options?: CallOptions): Promise<ReadResult<Op>>;
  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    options?: MutateOptions,
  ): Promise<Mutated<Op extends 'begin-upload' | 'renew-upload' ? TicketedUpload : MutationResult<Op>>>;
  /**
   * Takes a lock, waiting for it in the order of arrival; without `timeoutMs` as long as it takes. After a lost connection it waits
   * at the end of the queue. A wait that the signal or the deadline ends has the outcome `unknown`: the lock may have come at
   * that very moment, and `unlock` gives it back. Errors: those of `lock`, `deadlock`, `deadline-exceeded`.
   */
  waitForLock(args: LockArgs, options?: LockWaitOptions): Promise<Mutated<MutationResult<'lock'>>>;
  /**
   * Independent mutations in one request, with an answer each in their order. Each keeps a request id of its own: the one it brings, or
   * one made from that of the batch and its place (`batchItemIds`). Sent again, the batch gives the first results.
   */
  mutateMany(items: readonly BatchItem[], options?: MutateOptions): Promise<readonly BatchAnswer[]>;
  /** How blocks are reached. */
  access(options?: CallOptions): Promise<AccessResult>;
  /** URLs with which blocks of an upload are put without credentials, {@link PRESIGN_BLOCKS_MAX} a call. */
  presignPuts(args: PresignPutsArgs, options?: CallOptions): Promise<PresignResult>;
  /** URLs with which blocks are read without credentials, as many a call. */
  presignGets(args: PresignGetsArgs, options?: CallOptions): Promise<PresignResult>;
  /** Changes after `since` (default: from now on), then live, until the signal fires; survives reconnects. */
  watch(options?: { readonly since?: Version; readonly signal?: AbortSignal }): AsyncIterable<readonly ChangeRecord[]>;
  /**
   * Changes below a root with the paths that they had, and positions where there are none; survives reconnects. Errors:
   * `not-found` (no root and no `since`), `cursor-too-old` (`details.next`: the version to go on from after the tree was read again).
   */
  watchPath(root: ChangeRoot, options?: WatchPathOptions): AsyncIterable<WatchPathItem>;
  /**
   * The differences between two nodes, now or at moments; leaving the loop ends the server's work. Asked again over another
   * connection until the first item came; after that a lost connection ends it with `connection-lost`. `timeoutMs` bounds the
   * attempts, not the work.
   */
  diff(args: DiffArgs, options?: CallOptions): AsyncIterable<DiffItem>;
  /**
   * Has the server write a backup of its metadata; ends with one `done`. Leaving the loop ends the work, and so does a connection that
   * is lost after the first item. Errors: `exists` (the destination is taken), those of the destination's store.
   */
  backup(args: BackupArgs, options?: CallOptions): AsyncIterable<BackupItem>;
  /**
   * Has the server check its shard; ends with one `done`. Leaving the loop ends the work. When a connection ends, the check goes on
   * over the next one from its last cursor, so that a finding may come twice.
   */
  fsck(args: FsckArgs, options?: CallOptions): AsyncIterable<FsckItem>;
  shardFigures(args: ShardFiguresArgs, options?: CallOptions): Promise<ShardFigures>;
  /** Who answers and how it is; answered also by a server that stands by. */
  serverInfo(options?: CallOptions): Promise<ServerInfo>;
  /** Lists background work and, unless it is a dry run, has it done as far as it is due. */
  collect(args: CollectArgs, options?: CallOptions): Promise<CollectResult>;
  /**
   * How many connections were made so far, where there are any. A server behind another connection may have lost what was only
   * visible: versions announced by it say nothing about acknowledgements given before.
   */
  readonly connections?: number;
  /**
   * The last version that the server announced as durable; it concerns versions shown by the same server process. One that is
   * behind another connection may have lost what was only visible before, and counts on above it.
   */
  readonly durableVersion: Version;
  /**
   * Resolves when `version` is durable. Rejects with `connection-lost`, outcome `unknown`, when the server was started anew
   * before that was known: send the change again under its request id; the answer's version is the first one if it survived.
   */
  durable(version: Version, options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}
