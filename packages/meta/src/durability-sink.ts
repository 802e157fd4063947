/**
 * Where the commit pipeline hands its batches: what makes a batch durable before its commands are acknowledged.
 *
 * Guarantees, as those of a store's commits: batches settle in the order in which they were handed in; `committed` resolves when every
 * later read of the store sees the batch, `flushed` when it survives what this mode promises to survive. After one failed, every
 * later one fails too, until `resume`. A refusal with the outcome `not-applied` says that neither this batch nor anything after it
 * will ever take effect. An error of the kind `fenced`, or with the outcome `unknown`, means that this shard may not go on: what it
 * holds is to be thrown away and made anew from what is durable.
 */
import type { Version } from '@nokv/types';
import type { Command } from './command.js';
import type { KvCommit, KvWrite, OrderedKv } from './ordered-kv.js';

export interface DurabilitySink {
  commit(batch: DurableBatch): KvCommit;
  /** Takes batches again after a refused one; everything that was evaluated on it has been dropped. */
  resume(): void;
}

export interface DurableBatch {
  /** Everything that the batch writes; given up by the caller. */
  readonly writes: KvWrite[];
  /** The commands that succeeded, in order, with versions from `firstVersion` on without a gap. */
  readonly done: readonly { readonly command: Command }[];
  readonly firstVersion: Version;
  /** About what its commands hold. */
  readonly bytes: number;
}

/** Durable once the store has flushed it: one machine, one disk. */
export function localSink(kv: OrderedKv): DurabilitySink {
  return {
    commit: ({ writes }) => kv.commit(writes),
    resume: () => kv.resume(),
  };
}
