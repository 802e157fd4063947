/**
 * The coordination port: who owns which shard, under which epoch, until when.
 *
 * Guarantees: at most one unexpired holder a shard; each acquisition has a higher epoch than every earlier one, raised
 * in the same transaction that takes the owner key; a record changes by compare-and-set only. A watch is a hint: after
 * a gap the record is read again. The lease deadline is measured by the caller's monotonic clock from *before* the
 * request that renewed it.
 */
import type { Epoch, ShardId } from '@nokv/types';

export interface Coordinator {
  /** For people; never a secret. */
  readonly description: string;
  /** Tries once to take the shard; `held` says by whom. */
  acquire(shard: ShardId, node: NodeIdentity): Promise<Acquisition>;
  shards(): Promise<readonly ShardRecord[]>;
  close(): Promise<void>;
}

export interface NodeIdentity {
  readonly id: string;
  /** RPC address that clients reach. */
  readonly endpoint: string;
}

export type Acquisition =
  | { readonly kind: 'acquired'; readonly ownership: Ownership }
  | { readonly kind: 'held'; readonly by: NodeIdentity; readonly epoch: Epoch };

export interface Ownership {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** True while `now < lease expiry − margin` by the monotonic clock. Infallible and cheap: called for each request. */
  isValid(): boolean;
  /** Resolves once the ownership has ended for good (lost or released); the holder must acquire again. */
  readonly ended: Promise<'lost' | 'released'>;
  release(): Promise<void>;
}

export interface ShardRecord {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly owner: NodeIdentity | undefined;
}
