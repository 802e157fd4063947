/**
 * What a shard offers to the process around it. `openShard` (shard.ts) makes one over an `OrderedKv`.
 */
import type {
  Acknowledgement,
  ChangeCursor,
  ChangeRecord,
  DiffArgs,
  DiffItem,
  Epoch,
  BatchAnswer,
  BatchItem,
  Caller,
  InodeNumber,
  FsckItem,
  MutationOperation,
  MutationOperations,
  MutationResult,
  ReadOperation,
  ReadOperations,
  ReadResult,
  ShardFigures,
  ShardFiguresArgs,
  RequestId,
  UploadId,
  Version,
} from '@nokv/types';
import type { PathLog } from './changes/path-log.js';
import type { WriteImageOptions, WrittenImage } from './log/write-image.js';
import type { CollectPlan } from './collect-plan.js';
import type { MovePieces, StrayUpload } from './command.js';
import type { NamingBody, SpaceItem } from './dead-blocks.js';
import type { BlockInventory } from './fsck/block-inventory.js';
import type { FsckOptions } from './fsck/fsck.js';

export interface MutateContext {
  readonly requestId: RequestId;
  readonly actor: string;
  readonly acknowledgement: Acknowledgement;
  /**
   * How long ago the first attempt of this request was sent, by the sender's monotonic clock; absent or 0 for a first attempt.
   * A retry that is older than the newest forgotten result is refused with `request-expired` instead of being run again.
   */
  readonly attemptAgeMs?: number;
  /** Whom the call acts for: permissions are checked. Absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface ReadContext {
  /** See unflushed commits instead of waiting for their flush. */
  readonly visible: boolean;
  /** Whom the call acts for: permissions are checked. Absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface Committed<Result> {
  readonly version: Version;
  readonly result: Result;
}

export interface ShardEngine {
  /**
   * Answers at once where every row that the read touches is durable, else by a promise that waits for the flush.
   * Throws or rejects with `NokvError`.
   */
  read<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    context: ReadContext,
  ): ReadResult<Op> | Promise<ReadResult<Op>>;
  /** Queues a mutation; resolves after the flush (`durable`) or once visible. The queue is bounded: `too-busy`. */
  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: MutateContext,
  ): Promise<Committed<MutationResult<Op>>>;
  /**
   * The differences between two nodes, in items of bounded size; lets others through between two slices of work. Ends early when
   * the iterator is returned. Throws `NokvError`, also while iterating.
   */
  diff(args: DiffArgs): AsyncIterable<DiffItem>;
  /**
   * Independent mutations with one promise for all: each commits alone, under the id of the batch followed by its place unless it
   * brings its own. Rejects only where nothing of the batch was taken. Answers come in the order of the items.
   */
  mutateMany(items: readonly BatchItem[], context: MutateContext): Promise<readonly BatchAnswer[]>;
  /** Whether a live ledger row exists; the door of proxied puts and of publish verification. */
  hasUpload(upload: UploadId): boolean;
  readonly visibleVersion: Version;
  readonly durableVersion: Version;
  /** Called after each flush with the batch's changes in order and the new durable version. */
  onDurable(listener: (version: Version, changes: readonly ChangeRecord[]) => void): () => void;
  /**
   * Durable changes after `after` with the paths that they had, to be read as they come; see `PathLog`. It keeps the places of at
   * most `directoriesMax` directories and is not to be closed. Throws `cursor-too-old`, `invalid-argument` (ahead of the log).
   */
  pathLog(after: ChangeCursor, directoriesMax: number): PathLog;
  /**
   * Called when a commit failed after visible replies of these versions went out: they will never be durable, although
   * later versions will be. Whoever was told of them must send them again or report the loss.
   */
  onLost(listener: (first: Version, last: Version) => void): () => void;
  /** Called after each flush that let locks go or lowered them, with the inodes: whoever waits for one of them may try again. */
  onReleased(listener: (inodes: ReadonlySet<InodeNumber>) => void): () => void;
  /** Resolves with the reason when the shard has stopped for good (a flush failed): the process around it should end. */
  readonly failed: Promise<Error>;
  /** The highest epoch this shard's environment has served under; `adoptEpoch` writes a higher one durably. */
  readonly epoch: Epoch;
  adoptEpoch(epoch: Epoch): Promise<void>;
  /** Refuses mutations and reads with `lease-lost` while the gate is closed. */
  setGate(gate: ShardGate): void;
  /**
   * One bounded slice of background work (expired uploads to forget, trash to take apart, request results and changes
   * past their window to drop). `removeBlocks` deletes an upload's blocks and is awaited before the ledger row goes.
   */
  maintain(removeBlocks: (upload: UploadId) => Promise<void>): Promise<{ readonly more: boolean }>;
  /**
   * Of these uploads, which the store was just seen to have blocks of, those that no row knows. Asked after a listing: rows of an
   * upload come before its first block and go after its last.
   */
  unknownUploads(uploads: Iterable<UploadId>): readonly UploadId[];
  /** Queues the blocks of such uploads to be removed at their time; what has got a row by then is left alone. */
  adoptStrays(strays: readonly StrayUpload[]): Promise<void>;
  /**
   * Blocks in the store that no body names, of uploads that are over and of which others are named; see `dead-blocks.ts`. They stay so,
   * and may be removed once readers under way have had their time. Throws `NokvError`, also while iterating.
   */
  deadBlocks(store: BlockInventory, signal?: AbortSignal): AsyncIterable<SpaceItem>;
  /** All bodies that name one of the uploads, superseded ones too, in one state that stands still. */
  bodiesNaming(uploads: ReadonlySet<UploadId>, signal?: AbortSignal): AsyncIterable<NamingBody>;
  /** Makes bodies name copies of their pieces; see `operations/move-pieces.ts`. */
  movePieces(moves: MovePieces): Promise<void>;
  /** Throws what the gate says now: asked before each step that cannot be taken back. */
  mustServe(): void;
  /**
   * Writes one consistent state of the shard as an image, block by block, while others go on; see `image.ts`. Throws `exists` where the
   * place is taken.
   */
  writeImage(options: ImageOptions): Promise<WrittenImage>;
  /**
   * Checks the whole shard while it serves, and mends what it is asked to. One check at a time: `too-busy`. The caller pulls;
   * a check that is not pulled costs one state of the store that is kept.
   */
  fsck(options: FsckOptions): AsyncIterable<FsckItem>;
  /** What the shard counts of itself, with the rows of every family where that is asked for. */
  figures(args: ShardFiguresArgs): Promise<ShardFigures>;
  /** The first `limit` rows that wait in the queue of background work. */
  collectPlan(limit: number): CollectPlan;
  readonly stats: ShardStats;
  /** Finishes what is queued, then closes the environment. */
  close(): Promise<void>;
}

export type ImageOptions = Omit<WriteImageOptions, 'snapshot' | 'shard' | 'clock' | 'random'>;

export interface ShardGate {
  /** Undefined while serving; else the error every call gets. */
  refusal(): Error | undefined;
}

export interface ShardStats {
  readonly commands: number;
  readonly batches: number;
  readonly flushes: number;
  readonly queued: number;
  readonly reads: number;
  readonly rowsRead: number;
}
