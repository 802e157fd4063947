/**
 * A new owner's first act: a fence at the next sequence of the log, under its epoch. From then on an append of any earlier owner
 * collides. Segments that an earlier owner managed to append meanwhile are replayed first; they were acknowledged.
 */
import { NokvError, type Clock, type Epoch, type ShardId } from '@nokv/types';
import type { OrderedKv } from '../ordered-kv.js';
import { APPEND_TIMEOUT_MS_DEFAULT, APPEND_TRUST_MS_DEFAULT, appendSegment } from './append-segment.js';
import { completeImages } from './complete-images.js';
import { sequenceOfImage } from './log-key.js';
import { logPositionWrite, type LogPosition } from './log-position.js';
import type { LogStore } from './log-store.js';
import { readOutbox } from './outbox.js';
import { replayLog } from './recover-shard.js';
import { Replay } from './replay.js';
import { encodeSegment } from './segment.js';

export interface FenceOptions {
  readonly kv: OrderedKv;
  readonly store: LogStore;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly clock: Clock;
  readonly appendTimeoutMs?: number | undefined;
}

/** An owner that still writes is outrun by then, or holds a newer epoch than ours. */
const TRIES_MAX = 100;

/** @returns the position of the fence, which the store holds durably. */
export async function fenceLog(options: FenceOptions, from: LogPosition): Promise<LogPosition> {
  const { kv, store, shard, epoch, clock, appendTimeoutMs = APPEND_TIMEOUT_MS_DEFAULT } = options;
  let position = from;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if (position.epoch >= epoch) {
      throw new NokvError('fenced', `the log of shard ${shard} has seen epoch ${position.epoch}; epoch ${epoch} is over`, {
        details: { epoch: position.epoch, asked: epoch },
      });
    }
    const sequence = position.sequence + 1;
    const fence = encodeSegment({ shard, epoch, sequence, previous: position.digest, batches: [] });
    const limits = { clock, timeoutMs: appendTimeoutMs, trustMs: APPEND_TRUST_MS_DEFAULT };
    // Whatever was read before this may be long ago.
    const outcome = await appendSegment(store, shard, sequence, fence.bytes, limits, undefined);
    if (outcome.kind === 'appended') {
      const fenced: LogPosition = { sequence, epoch, digest: fence.digest };
      await kv.commit([logPositionWrite(fenced)]).flushed;
      return fenced;
    }
    if (outcome.kind !== 'collided') throw outcome.error;
    const [newest] = await completeImages(store, shard);
    if (newest !== undefined && sequenceOfImage(shard, newest) >= sequence) {
      throw new NokvError('unavailable', `the log of shard ${shard} went on while it was taken over; try again`);
    }
    if (readOutbox(kv).length > 0) throw new NokvError('unavailable', `the log of shard ${shard} grew while it was taken over; try again`);
    const replay = new Replay(kv, shard, position);
    await replayLog(replay, store, shard);
    await replay.flushed();
    position = replay.position;
  }
  throw new NokvError('unavailable', `an earlier owner of shard ${shard} kept appending to its log; try again`);
}
