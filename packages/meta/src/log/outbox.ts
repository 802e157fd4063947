/**
 * Batches that are committed in this store and not in the shared log yet, kept as rows beside what they wrote, in the same commit. The
 * store is then the state after its position in the log, followed by these batches in order.
 *
 * outbox row: MessagePack `[[first version, commands, rows digest]]`, as in a segment
 */
import { SYSTEM_ITEM, outboxKey, systemKey } from '../key.js';
import type { KvReader, KvWrite } from '../ordered-kv.js';
import { packBatch, unpackBatch, type LoggedBatch, type Segment } from './segment.js';

export function outboxWrite(batch: LoggedBatch): KvWrite {
  return { key: outboxKey(batch.firstVersion), value: packBatch(batch) };
}

export function outboxRemoval({ firstVersion }: LoggedBatch): KvWrite {
  return { key: outboxKey(firstVersion), value: undefined };
}

/** In the order of their versions. Bounded by what the sink lets wait. */
export function readOutbox(kv: KvReader): LoggedBatch[] {
  const batches: LoggedBatch[] = [];
  for (const { key, value } of kv.range(outboxKey(0), systemKey(SYSTEM_ITEM.outbox + 1))) {
    batches.push(unpackBatch(`the outbox row ${Buffer.from(key).toString('hex')}`, Uint8Array.from(value)));
  }
  return batches;
}

/** Whether the segment is a fence, or carries exactly what heads the outbox: it then was sent from here, or changed nothing. */
export function headsOutbox(segment: Pick<Segment, 'batches'>, outbox: readonly LoggedBatch[]): boolean {
  return segment.batches.every((batch, at) => {
    const ours = outbox[at];
    return (
      ours !== undefined &&
      ours.firstVersion === batch.firstVersion &&
      ours.commands.length === batch.commands.length &&
      Buffer.compare(ours.rowsDigest, batch.rowsDigest) === 0
    );
  });
}
