/**
 * What travels: the metadata operations of `@nokv/types` as the wire carries them, and the operations that only the
 * wire has. Three kinds: reads and mutations (one answer each), services (one answer), streams (items until an end).
 */
import type {
  AccessResult,
  Acknowledgement,
  BackupArgs,
  BackupItem,
  BatchAnswer,
  BatchItem,
  Caller,
  ChangeCursor,
  ChangeFilter,
  ChangeRecord,
  ChangeRoot,
  CircuitState,
  CollectArgs,
  CollectResult,
  DiffArgs,
  DiffItem,
  Epoch,
  FsckArgs,
  FsckItem,
  InodeNumber,
  LockArgs,
  MutationOperation,
  MutationOperations,
  PathChange,
  PresignGetsArgs,
  PresignPutsArgs,
  PresignResult,
  ReadOperation,
  ReadOperations,
  RequestId,
  ShardFigures,
  ShardFiguresArgs,
  ShardId,
  UploadResult,
  Version,
} from '@nokv/types';

/** What `begin-upload` and `renew-upload` answer over the wire: the ledger row and the ticket for proxied puts. */
export interface TicketedUpload extends UploadResult {
  readonly ticket: string;
}

export type WireMutationResult<Op extends MutationOperation> = Op extends 'begin-upload' | 'renew-upload'
  ? TicketedUpload
  : MutationOperations[Op]['result'];

/** A mutation's answer: its result and the version of its commit. */
export interface WireCommitted<Result> {
  readonly version: Version;
  readonly result: Result;
}

export type NoArgs = Record<string, never>;

/** What the server says of itself; for `doctor`, `status` and clients that look for its HTTP port. */
export interface ServerInfo {
  /** `nokv/<version>`. */
  readonly software: string;
  readonly node: string;
  readonly uptimeMs: number;
  /** `host:port` of the HTTP port; empty when there is none. */
  readonly http: string;
  readonly shards: readonly ShardInfo[];
  readonly status?: ServerStatus | undefined;
}

/** How the server is, for those who operate it. */
export interface ServerStatus {
  readonly isServing: boolean;
  readonly durability: 'local' | 'shared' | 'async';
  readonly control: string;
  readonly pid: number;
  /** `node/<version>`. */
  readonly runtime: string;
  readonly store: StoreStatus;
}

export interface StoreStatus {
  /** Where it is; holds no secret. */
  readonly description: string;
  readonly circuit: CircuitState;
  /** How long it has been in this state. */
  readonly circuitMs: number;
  /** The last failure, while the circuit is not closed. */
  readonly failure?: string | undefined;
  /** Since the server's start: attempts that were repeats, and how often the circuit opened. */
  readonly retries: number;
  readonly opened: number;
}

export interface ShardInfo {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly visible: Version;
  readonly durable: Version;
}

/** Independent mutations in one request; the request id of the envelope is that of the batch. */
export interface BatchArgs {
  readonly items: readonly BatchItem[];
}

export interface BatchResult {
  /** In the order of the items. */
  readonly answers: readonly BatchAnswer[];
}

export interface BatchOperations {
  batch: { args: BatchArgs; result: BatchResult };
}

export interface ServiceOperations {
  access: { args: NoArgs; result: AccessResult };
  'presign-puts': { args: PresignPutsArgs; result: PresignResult };
  'presign-gets': { args: PresignGetsArgs; result: PresignResult };
  'server-info': { args: NoArgs; result: ServerInfo };
  'shard-figures': { args: ShardFiguresArgs; result: ShardFigures };
  /** Lists the work that waits; does what is due, unless it is a dry run. */
  collect: { args: CollectArgs; result: CollectResult };
}

export interface WatchArgs {
  /** Changes of versions greater than this one; absent: from now on. */
  readonly since?: Version;
}

/**
 * One item of `watch`. The first item of every watch is a `durable` announcement: without `since` of the version it starts
 * after, so that it can be resumed. Announcements concern the connection's incarnation (see the hello) alone. `changes` come in version order, at most {@link WATCH_CHANGES_MAX} an
 * item; a version is never split over a `next`: resuming with `since: next` misses and repeats nothing.
 */
export type WatchItem =
  | { readonly kind: 'changes'; readonly changes: readonly ChangeRecord[]; readonly next: Version }
  | { readonly kind: 'durable'; readonly version: Version };

export const WATCH_CHANGES_MAX = 4096;

export interface WatchPathArgs {
  readonly root: ChangeRoot;
  readonly filter?: ChangeFilter;
  /** Changes after this cursor; absent: from now on, and the root must be there. */
  readonly since?: ChangeCursor;
}

/**
 * One item of `watch-path`. The first item of every watch is a `position`: without `since` it says where the watch begins, and
 * `root` is the path that the given one leads to. Later ones say that nothing up to there is seen, so that a cursor does not
 * age while nothing happens below the root. `events` come in order, at most {@link WATCH_EVENTS_MAX} an item; resuming after
 * `at` misses and repeats nothing.
 */
export type WatchPathItem =
  | { readonly kind: 'events'; readonly events: readonly PathChange[]; readonly at: ChangeCursor }
  | { readonly kind: 'position'; readonly root: ChangeRoot; readonly at: ChangeCursor };

export const WATCH_EVENTS_MAX = 1024;

/** A lock that is waited for; the mutation that takes it runs under this request id. */
export interface LockWaitArgs extends LockArgs {
  readonly requestId: RequestId;
  readonly actor: string;
  readonly caller?: Caller;
}

/**
 * One item of `lock-wait`: `waiting` once, where the lock cannot be had at once, with who holds it for people to read; `locked` when
 * it is held, and then the stream ends. Cancelling the stream gives up the wait; it may have come too late then.
 */
export type LockWaitItem =
  | { readonly kind: 'waiting'; readonly why: string }
  | { readonly kind: 'locked'; readonly version: Version; readonly ino: InodeNumber };

export interface StreamOperations {
  'lock-wait': { args: LockWaitArgs; item: LockWaitItem };
  watch: { args: WatchArgs; item: WatchItem };
  diff: { args: DiffArgs; item: DiffItem };
  'watch-path': { args: WatchPathArgs; item: WatchPathItem };
  backup: { args: BackupArgs; item: BackupItem };
  fsck: { args: FsckArgs; item: FsckItem };
}

export type ServiceOperation = keyof ServiceOperations;
export type StreamOperation = keyof StreamOperations;
export type BatchOperation = keyof BatchOperations;
/** Operations with one answer. */
export type UnaryOperation = ReadOperation | MutationOperation | BatchOperation | ServiceOperation;
export type Operation = UnaryOperation | StreamOperation;

export type ArgsOf<Op extends Operation> = Op extends ReadOperation
  ? ReadOperations[Op]['args']
  : Op extends MutationOperation
    ? MutationOperations[Op]['args']
    : Op extends BatchOperation
      ? BatchOperations[Op]['args']
      : Op extends ServiceOperation
        ? ServiceOperations[Op]['args']
        : Op extends StreamOperation
          ? StreamOperations[Op]['args']
          : never;

/** The answer of a unary operation: for a mutation its result beside the version. */
export type AnswerOf<Op extends UnaryOperation> = Op extends ReadOperation
  ? ReadOperations[Op]['result']
  : Op extends MutationOperation
    ? WireCommitted<WireMutationResult<Op>>
    : Op extends BatchOperation
      ? BatchOperations[Op]['result']
      : Op extends ServiceOperation
        ? ServiceOperations[Op]['result']
        : never;

export type ItemOf<Op extends StreamOperation> = StreamOperations[Op]['item'];

/** What goes beside the arguments of every request. */
export interface Envelope {
  /** Milliseconds left when the request was sent; 0: no deadline. */
  readonly deadlineMs: number;
  /** Joins the logs of client and server; empty: none. */
  readonly traceId: string;
}

export interface ReadEnvelope extends Envelope {
  /** See unflushed commits instead of waiting for their flush. */
  readonly visible: boolean;
  /** Whom the call acts for; absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface MutationEnvelope extends Envelope {
  readonly requestId: RequestId;
  /** Who asks, as history and change records will name them. */
  readonly actor: string;
  readonly acknowledgement: Acknowledgement;
  /** How long ago the client first sent this request id, by its own clock: what the clocks of machines differ by does not matter. 0: now. */
  readonly attemptAgeMs: number;
  /** Whom the call acts for; absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface StreamEnvelope extends Envelope {
  /** Items that the server may send before the client grants more. */
  readonly credit: number;
}

export type EnvelopeOf<Op extends Operation> = Op extends ReadOperation
  ? ReadEnvelope
  : Op extends MutationOperation | BatchOperation
    ? MutationEnvelope
    : Op extends StreamOperation
      ? StreamEnvelope
      : Envelope;
