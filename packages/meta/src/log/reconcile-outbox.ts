/**
 * After a restart: which batches of the outbox are in the log already. A crash between an append and the commit that notes it leaves them
 * in both. What follows in the log and was not sent from here means that another owner went on without them: this store went its own way.
 */
import type { LogPosition } from './log-position.js';
import { logPositionWrite } from './log-position.js';
import { segmentKey } from './log-key.js';
import { headsOutbox, outboxRemoval, readOutbox } from './outbox.js';
import { lookAgain, type RecoverOptions } from './recover-shard.js';
import { nextSegment } from './replay.js';

/** @returns the position under what is left in the outbox; undefined where the log went on without it. */
export async function reconcileOutbox({ kv, store, shard }: RecoverOptions, from: LogPosition): Promise<LogPosition | undefined> {
  const outbox = readOutbox(kv);
  let position = from;
  // Each turn takes one segment of the log, which ends.
  while (outbox.length > 0) {
    const key = segmentKey(shard, position.sequence + 1);
    const bytes = (await store.get(key)) ?? (await lookAgain(store, shard, key));
    if (bytes === undefined) return position;
    const segment = nextSegment(key, bytes, shard, position);
    if (!headsOutbox(segment, outbox)) return undefined;
    const { sequence, epoch, digest } = segment;
    position = { sequence, epoch, digest: Uint8Array.from(digest) };
    const shipped = outbox.splice(0, segment.batches.length);
    await kv.commit([...shipped.map(outboxRemoval), logPositionWrite(position)]).flushed;
  }
  return position;
}
