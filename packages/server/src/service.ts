/**
 * What the doors of the process (RPC listener, HTTP, in-process plane) call. `makeService` (shard-service.ts) maps it to
 * the shard engine, the object store and the tickets; the doors only parse, call and format.
 *
 * Every call is refused with `lease-lost`, `not-owner` or `draining` while this process may not serve.
 */
import type { Committed, MutateContext, ReadContext } from '@nokv/meta';
import type {
  AccessResult,
  ChangeRecord,
  MutationOperation,
  MutationOperations,
  MutationResult,
  ReadOperation,
  ReadOperations,
  ReadResult,
  UploadResult,
  Version,
} from '@nokv/types';

/** The ledger row and the signed ticket that proxied puts of its blocks carry. */
export interface TicketedUpload extends UploadResult {
  readonly ticket: string;
}

/** What a door's mutation answers: the engine's result, with a ticket for uploads. */
export type ServedResult<Op extends MutationOperation> = Op extends 'begin-upload' | 'renew-upload' ? TicketedUpload : MutationResult<Op>;

/** Who asks, as far as it decides how blocks may be reached. */
export interface Peer {
  /** True for unix sockets and loopback connections: the peer may be able to open our directories. */
  readonly isLocal: boolean;
}

export interface ServedMutateContext extends MutateContext {
  /** Fires when the caller gave up; work that has not begun stops, a queued commit does not. */
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions {
  /** Changes of versions above this one; absent: from now on. */
  readonly since?: Version | undefined;
  readonly signal: AbortSignal;
}

export interface Service {
  /** Answers at once where it can: doors batch the synchronous answers of one tick. Throws or rejects with `NokvError`. */
  read<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    context: ReadContext,
  ): ReadResult<Op> | Promise<ReadResult<Op>>;
  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: ServedMutateContext,
  ): Promise<Committed<ServedResult<Op>>>;
  /** How blocks are reached by this peer, in order of preference. */
  access(peer: Peer): Promise<AccessResult>;
  /** Durable changes in order, page by page as the consumer pulls; ends when the signal fires. `cursor-too-old` if trimmed. */
  watch(options: WatchOptions): AsyncIterable<readonly ChangeRecord[]>;
  readonly durableVersion: Version;
  /** Called after each flush with the new durable version. */
  onDurable(listener: (version: Version) => void): () => void;
}
