/** What an operator asks of a shard: its figures, and the work that waits in its queue. */
import type { Epoch, ShardId, Version } from './ids.js';

export interface ShardFiguresArgs {
  /** Count the rows of every family too, in slices; families beyond {@link ROWS_COUNTED_MAX} rows are told as that many. */
  readonly rows: boolean;
}

export const ROWS_COUNTED_MAX = 1_000_000;

export interface ShardFigures {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly visible: Version;
  readonly durable: Version;
  /** Up to these versions results of requests, and changes with their history, are forgotten. */
  readonly requestsForgotten: Version;
  readonly changesForgotten: Version;
  /** Below the root and in the trash; bytes are those that bodies hold in the store or in the metadata. */
  readonly inodes: number;
  readonly bytes: number;
  /** Entries of removed trees that wait to be taken apart. */
  readonly trashed: number;
  /** Snapshots and tags; forks that still show entries of their bases; retention policies. */
  readonly pins: number;
  readonly forks: number;
  readonly policies: number;
  /** Keys and values of the change log. */
  readonly changeBytes: number;
  /** Since the server started. */
  readonly commands: number;
  readonly batches: number;
  readonly flushes: number;
  readonly reads: number;
  readonly rowsRead: number;
  /** Mutations that wait now. */
  readonly queued: number;
  readonly store: StoreFigures;
  /** Asked for with `rows`, else empty. */
  readonly families: readonly FamilyFigures[];
}

/** The environment that the rows are in; zeros for a store in memory. */
export interface StoreFigures {
  readonly rows: number;
  readonly fileBytes: number;
  /** Address space that is reserved; the file may grow up to it without being mapped anew. */
  readonly mapBytes: number;
}

export interface FamilyFigures {
  readonly family: string;
  readonly rows: number;
  /** False: there are at least so many. */
  readonly isExact: boolean;
}

export interface CollectArgs {
  /** Say what waits, and do nothing. */
  readonly dryRun: boolean;
  /** Rows to tell, 1 to {@link COLLECT_ROWS_MAX}. */
  readonly limit: number;
}

export const COLLECT_ROWS_MAX = 1000;

/** `due`: goes with the next turn. `waiting`: its time has not come. `held`: something keeps it. */
export type CollectState = 'due' | 'waiting' | 'held';

export interface CollectRow {
  /**
   * `upload`, `extent`, `body`, `tree`, `fork`, `policy` or `session`; `stray`: blocks that nothing knows and that do not wait in the queue yet;
   * `dead`: blocks that no body names, of uploads of which others are named; `foreign`: an object among the blocks whose key is none of a block, which is left alone.
   */
  readonly kind: string;
  readonly what: string;
  readonly state: CollectState;
  /** Milliseconds since the epoch; absent where only something else ends it. */
  readonly dueMs?: number;
  readonly why: string;
  /** Of an upload that goes what the store has of it; of a body its length. Absent where nothing is stored or it was not measured. */
  readonly blocks?: number;
  readonly bytes?: number;
}

/** What the store was seen to have under the prefix of blocks. */
export interface ListedBlocks {
  readonly objects: number;
  readonly bytes: number;
  /** False: the time of one call was over before the end of the listing. */
  readonly isWhole: boolean;
}

export interface CollectResult {
  /** In the order in which they come due. */
  readonly rows: readonly CollectRow[];
  /** More wait than were told. */
  readonly more: boolean;
  /** Slices of work that were done, and blocks that were removed. */
  readonly slices: number;
  readonly blocksRemoved: number;
  readonly bytesRemoved?: number;
  /** What is due now would free, as far as it was told. */
  readonly due?: { readonly rows: number; readonly blocks: number; readonly bytes: number };
  readonly listed?: ListedBlocks;
  /** Bodies that were copied out of uploads that are mostly of bodies that are gone, so that the rest can go. */
  readonly moved?: { readonly bodies: number; readonly bytes: number };
  /** Due work is left: the time of one call was over. */
  readonly isUnfinished: boolean;
}
