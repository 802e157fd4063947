/**
 * Commands: mutations as plain data. Everything that is not decided by the state (time, fresh numbers and ids, limits of the
 * process) was drawn before and travels in the command, so that applying the same commands gives the same state.
 */
import type {
  Caller,
  Epoch,
  Generation,
  InodeNumber,
  MutationOperation,
  MutationOperations,
  Piece,
  PinId,
  RequestId,
  SessionId,
  Timespec,
  UploadId,
  Version,
} from '@nokv/types';

/** Mutations that the shard asks of itself; they keep no result. */
export interface InternalOperations {
  'adopt-epoch': { readonly epoch: Epoch };
  /** Looks at one due row of the gc queue; what it says is checked again. `blocksRemoved`: those of an extent are gone. */
  sweep: { readonly key: Uint8Array; readonly value: Uint8Array; readonly blocksRemoved: boolean };
  /** Judges superseded bodies of files anew, after a policy changed; each from this one on. */
  'review-bodies': { readonly files: readonly { readonly ino: InodeNumber; readonly generation: number }[] };
  /** Makes bodies name copies in an open upload in place of pieces; see `operations/move-pieces.ts`. */
  'move-pieces': MovePieces;
  /** Gives uploads that no row knows, although the store has blocks of them, a row that has ended and a place in the queue. */
  'adopt-strays': { readonly strays: readonly StrayUpload[] };
  /** Takes trees in the trash apart, up to about so many rows written and so many bytes of them. */
  reap: { readonly rows: number; readonly bytes: number };
  /** Forgets requests and changes up to these versions; `keys` are the rows to remove. */
  forget: {
    readonly keys: readonly Uint8Array[];
    readonly requestsForgotten: Version;
    readonly requestsForgottenMs: number;
    readonly changesForgotten: Version;
    /** What the forgotten changes took in the log. */
    readonly changeBytes: number;
  };
  /** Removes those of these history rows that were replaced by version `floor` and that no pin holds. */
  'forget-history': { readonly keys: readonly Uint8Array[]; readonly floor: Version };
  /** Ends those of these snapshots whose lease is over, and forgets those that ended before `endedBeforeMs`. */
  'end-pins': { readonly ids: readonly PinId[]; readonly endedBeforeMs: number };
  /** Gives a directory of a fork an entry of its origin, or the next `limit` of them in order. */
  materialise: { readonly directory: InodeNumber; readonly entry: Uint8Array | undefined; readonly limit: number };
  /** Mends one thing that a check found, if it still is as it was found. */
  repair: { readonly fix: RepairFix };
}

export interface MovePieces {
  /** Where the copies are: open, and ended with the last command that names it. */
  readonly upload: UploadId;
  readonly isLast: boolean;
  readonly bodies: readonly { readonly ino: InodeNumber; readonly generation: Generation }[];
  readonly moves: readonly MovedPiece[];
}

export interface MovedPiece {
  readonly from: Pick<Piece, 'upload' | 'index' | 'offset' | 'length' | 'crc32c'>;
  /** The block of the new upload, and where in it. */
  readonly index: number;
  readonly offset: number;
}

/** An upload that the store has blocks of and no row knows; they go at `dueMs`, if that is still so then. */
export interface StrayUpload {
  readonly upload: UploadId;
  readonly dueMs: number;
}

/**
 * What a check would write. Each says what it was found on: with another revision of the inode, or another entry at the place,
 * nothing is written. Counts that others change meanwhile are corrected by the difference.
 */
export type RepairFix =
  | {
      readonly kind: 'directory-counts';
      readonly ino: InodeNumber;
      readonly revision: number;
      readonly children: number;
      readonly nlink: number;
    }
  /** All names that an inode has: its count, its link rows and its own note follow from them. */
  | {
      readonly kind: 'names';
      readonly ino: InodeNumber;
      readonly revision: number;
      readonly names: readonly { readonly parent: InodeNumber; readonly name: Uint8Array }[];
    }
  /** Puts an inode that nothing leads to into /lost+found. */
  | { readonly kind: 'adopt'; readonly ino: InodeNumber; readonly revision: number }
  /** Writes an entry anew after its inode. */
  | { readonly kind: 'entry'; readonly parent: InodeNumber; readonly name: Uint8Array; readonly ino: InodeNumber }
  /** Takes out an entry that leads to no inode. */
  | { readonly kind: 'drop-entry'; readonly parent: InodeNumber; readonly name: Uint8Array; readonly ino: InodeNumber }
  | { readonly kind: 'drop-link'; readonly ino: InodeNumber; readonly parent: InodeNumber; readonly name: Uint8Array }
  | { readonly kind: 'drop-xattr'; readonly ino: InodeNumber; readonly name: Uint8Array }
  | { readonly kind: 'xattr-bytes'; readonly ino: InodeNumber; readonly revision: number; readonly bytes: number }
  | { readonly kind: 'size'; readonly ino: InodeNumber; readonly revision: number; readonly generation: Generation }
  | { readonly kind: 'references'; readonly upload: UploadId; readonly delta: number }
  | { readonly kind: 'queue-upload'; readonly upload: UploadId }
  | { readonly kind: 'queue-body'; readonly ino: InodeNumber; readonly generation: Generation }
  | { readonly kind: 'counters'; readonly bytes: number; readonly inodes: number };

export type InternalOperation = keyof InternalOperations;

/** How long what is superseded waits; part of each command, so that a replay does the same. */
export interface Retention {
  /** Superseded and removed bodies. */
  readonly bodyMs: number;
  /** Superseded bodies of a file that stay however old they are; where a directory has a policy of its own that says both. */
  readonly bodiesKept: number;
  /** Blocks of an upload that ended or expired without a manifest that names them. */
  readonly uploadMs: number;
  /** Blocks of an extent that no body names any more. */
  readonly extentMs: number;
}

interface Drawn {
  readonly actor: string;
  readonly time: Timespec;
  /** The first of as many fresh inode numbers as the command can need. */
  readonly freshInode: InodeNumber;
  readonly freshUpload: UploadId | undefined;
  /** Of the one operation that needs it. */
  readonly freshSession?: SessionId;
  readonly retention: Retention;
}

export type MutationCommand = {
  readonly [Op in MutationOperation]: Drawn & {
    readonly operation: Op;
    readonly args: MutationOperations[Op]['args'];
    readonly requestId: RequestId;
    readonly digest: number;
    /** Whom it acts for; absent: it is trusted. */
    readonly caller?: Caller;
  };
}[MutationOperation];

export type InternalCommand = {
  readonly [Op in InternalOperation]: Drawn & { readonly operation: Op; readonly args: InternalOperations[Op] };
}[InternalOperation];

export type Command = MutationCommand | InternalCommand;
