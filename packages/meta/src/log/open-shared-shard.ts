/**
 * Opens a shard whose truth is the shared log: recovers the store, fences every earlier owner, and serves with appends before commits.
 */
import type { Epoch } from '@nokv/types';
import type { ShardEngine } from '../shard-engine.js';
import { bootstrapShard, openShard, type ShardOptions } from '../shard.js';
import { AsyncSink, type ShipBound } from './async-sink.js';
import { fenceLog } from './fence.js';
import type { LogSink } from './log-sink.js';
import type { LogStore } from './log-store.js';
import { recoverShard, type Recovered } from './recover-shard.js';
import { SharedSink } from './shared-sink.js';
import { shipOutbox } from './ship-outbox.js';

export interface SharedShardOptions extends Omit<ShardOptions, 'sink'> {
  readonly store: LogStore;
  /** Above every epoch that the log has seen: `fenced` otherwise, with the log's epoch in its details. */
  readonly epoch: Epoch;
  /** Whether anybody ever served the shard, as far as its coordinator knows. */
  readonly hasBeenServed: boolean;
  /** For one append with all its tries; default 10 s. */
  readonly appendTimeoutMs?: number | undefined;
  /** How long an append is trusted without a look at the images; well below their retention (default 1 minute). */
  readonly appendTrustMs?: number | undefined;
  /** When a write is acknowledged: `shared` (default) once it is in the log, `async` once it is on this disk. */
  readonly mode?: 'shared' | 'async' | undefined;
  /** How far the log may fall behind in `async`. */
  readonly shipBound?: Partial<ShipBound> | undefined;
}

export interface SharedShard {
  readonly engine: ShardEngine;
  readonly sink: LogSink;
  readonly recovered: Recovered;
}

/** Once it resolves the shard has adopted the epoch and may serve. On failure the store is left to the caller. */
export async function openSharedShard(options: SharedShardOptions): Promise<SharedShard> {
  const { kv, store, shard, clock, random, epoch, hasBeenServed, appendTimeoutMs, appendTrustMs, mode = 'shared', shipBound } = options;
  const bootstrap = (empty: typeof kv): Promise<void> => bootstrapShard(empty, shard, clock);
  const recovered = await recoverShard({ kv, store, shard, clock, random, hasBeenServed, bootstrap });
  const owner = { kv, store, shard, epoch, clock, appendTimeoutMs, appendTrustMs };
  const fence = await fenceLog(owner, recovered.position);
  const position = await shipOutbox(owner, fence);
  const sink = mode === 'async' ? new AsyncSink({ ...owner, position }, shipBound) : new SharedSink({ ...owner, position });
  const engine = await openShard({ ...options, sink });
  await engine.adoptEpoch(epoch);
  return { engine, sink, recovered };
}
