/** What an earlier ownership of this node acknowledged and did not ship goes into the log before anything new. */
import { APPEND_TIMEOUT_MS_DEFAULT, APPEND_TRUST_MS_DEFAULT, appendSegment } from './append-segment.js';
import type { FenceOptions } from './fence.js';
import { segmentKey } from './log-key.js';
import { logPositionWrite, type LogPosition } from './log-position.js';
import { outboxRemoval, readOutbox } from './outbox.js';
import { encodeSegment } from './segment.js';
import { fencedAt } from './shared-sink.js';

/** Batches a segment: each is at most as large as a batch of the pipeline. */
const BATCHES_MAX = 4;

/** @param from the fence of the new ownership. @returns the position of the last segment, with an empty outbox. */
export async function shipOutbox(options: FenceOptions, from: LogPosition): Promise<LogPosition> {
  const { kv, store, shard, epoch, clock, appendTimeoutMs = APPEND_TIMEOUT_MS_DEFAULT } = options;
  const outbox = readOutbox(kv);
  let position = from;
  while (outbox.length > 0) {
    const batches = outbox.splice(0, BATCHES_MAX);
    const sequence = position.sequence + 1;
    const { bytes, digest } = encodeSegment({ shard, epoch, sequence, previous: position.digest, batches });
    const limits = { clock, timeoutMs: appendTimeoutMs, trustMs: APPEND_TRUST_MS_DEFAULT };
    const outcome = await appendSegment(store, shard, sequence, bytes, limits, undefined);
    if (outcome.kind === 'collided') throw fencedAt(segmentKey(shard, sequence), shard, epoch);
    if (outcome.kind !== 'appended') throw outcome.error;
    position = { sequence, epoch, digest };
    await kv.commit([...batches.map(outboxRemoval), logPositionWrite(position)]).flushed;
  }
  return position;
}
