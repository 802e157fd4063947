/**
 * The coordination port: who owns which shard, under which epoch, until when.
 *
 * Guarantees: at most one unexpired holder a shard; each acquisition has a higher epoch than every earlier one, raised
 * in the same transaction that takes the owner key; a record changes by compare-and-set only. A watch is a hint: after
 * a gap the record is read again. The lease deadline is measured by the caller's monotonic clock from *before* the
 * request that renewed it. A shard that has been served from one copy of its data is never given to a node that holds
 * another (`foreign`): that would fork the namespace.
 */
import type { Epoch, ShardId } from '@nokv/types';

export interface Coordinator {
  /** For people; never a secret. */
  readonly description: string;
  /**
   * Tries once to take the shard; `held` says by whom. The epoch of an acquisition is above `above` too, the highest
   * that the node's own data has seen. Rejects with `control-unavailable`.
   */
  acquire(shard: ShardId, node: NodeIdentity, above: Epoch): Promise<Acquisition>;
  shards(): Promise<readonly ShardRecord[]>;
  /**
   * Resolves when the shard's owner may have changed, at the latest after `timeoutMs` or when the signal fires. A hint
   * and nothing more: whoever waits asks {@link acquire} or {@link shards} afterwards. Never rejects.
   */
  ownerMayHaveChanged(shard: ShardId, timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** Stops renewing; what is still held is released as far as the coordinator can be reached. */
  close(): Promise<void>;
}

export interface NodeIdentity {
  readonly id: string;
  /** RPC address that clients reach. */
  readonly endpoint: string;
  /** Names the copy of the shard's data that this node holds; two copies that may differ have two names. */
  readonly home: string;
  /** The home that this one takes the place of: the same data, from now on known under another name. */
  readonly formerHome?: string | undefined;
}

export type Acquisition =
  | {
      readonly kind: 'acquired';
      readonly ownership: Ownership;
      /** Somebody has noted that the shard was served: an empty one is not to be made in its place. */
      readonly hasBeenServed: boolean;
    }
  | { readonly kind: 'held'; readonly by: NodeIdentity; readonly epoch: Epoch }
  /** The shard has been served from other data than this node's. */
  | { readonly kind: 'foreign'; readonly home: string; readonly epoch: Epoch };

export interface Ownership {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** True while `now < lease expiry − margin` by the monotonic clock; false for ever after. Cheap: asked for each request. */
  isValid(): boolean;
  /** Resolves once the ownership has ended for good (lost or released); the holder must acquire again. */
  readonly ended: Promise<'lost' | 'released'>;
  /** Notes for every later owner that the shard has been served, before it is. Rejects with `control-unavailable`. */
  noteServed(): Promise<void>;
  /** Gives the shard up at once; a successor need not wait for the lease. Harmless when repeated or already lost. */
  release(): Promise<void>;
}

export interface ShardRecord {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly home: string;
  readonly owner: NodeIdentity | undefined;
}
