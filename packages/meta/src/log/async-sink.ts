/**
 * Durability by this node's disk, with the shared log following behind: a batch is acknowledged once it is flushed here, and shipped within
 * a bound. A takeover may lose what was not shipped; nothing else is different from the shared log.
 *
 * Invariants:
 * - A batch is committed together with its row in the outbox, which goes when the batch is in the log: a restart ships what is left.
 * - What waits is bounded in time and bytes; beyond the bound writes are refused, cleanly, until the log has caught up.
 * - The bytes of one segment are tried until they are in the log, or somebody else's are: then this sink is over.
 */
import { NokvError, toNokvError } from '@nokv/types';
import { deferred, type Deferred } from '../deferred.js';
import type { DurableBatch } from '../durability-sink.js';
import type { KvCommit } from '../ordered-kv.js';
import { APPEND_TIMEOUT_MS_DEFAULT, APPEND_TRUST_MS_DEFAULT, appendSegment, momentOf, type LogMoment } from './append-segment.js';
import { segmentKey } from './log-key.js';
import { logPositionWrite, type LogPosition } from './log-position.js';
import type { LogSink, LogStats } from './log-sink.js';
import { outboxRemoval, outboxWrite } from './outbox.js';
import { rowsDigest } from './rows-digest.js';
import { encodeSegment, type EncodedSegment, type LoggedBatch } from './segment.js';
import { fencedAt, type SharedSinkOptions } from './shared-sink.js';

export interface ShipBound {
  /** How long a batch may wait (default 5 s). */
  readonly ms: number;
  /** What may wait (default 64 MiB). */
  readonly bytes: number;
}

export const SHIP_BOUND_DEFAULT: ShipBound = { ms: 5000, bytes: 64 * 1024 * 1024 };

const SEGMENT_BYTES = 16 * 1024 * 1024;
/** Between two tries of a store that refuses. */
const RETRY_MS = 200;

interface Unshipped {
  readonly batch: LoggedBatch;
  readonly bytes: number;
  readonly sinceMs: number;
}

export class AsyncSink implements LogSink {
  readonly #options: SharedSinkOptions;
  readonly #bound: ShipBound;
  /** Flushed here, in order; the first ones are on their way. */
  readonly #unshipped: Unshipped[] = [];
  #unshippedBytes = 0;
  /** Handed to the store and not flushed yet. */
  #committing = 0;
  #position: LogPosition;
  #known: LogMoment;
  #isShipping = false;
  #end: NokvError | undefined;
  readonly #whenEnded = deferred<NokvError>();
  #segments = 0;
  #bytes = 0;
  /** Commits that wait because somebody asked for a moment between two segments. */
  readonly #held: { readonly batch: DurableBatch; readonly committed: Deferred<void>; readonly flushed: Deferred<void> }[] = [];
  #holds = 0;
  readonly #idle: Deferred<void>[] = [];

  constructor(options: SharedSinkOptions, bound: Partial<ShipBound> = {}) {
    this.#options = options;
    this.#bound = { ...SHIP_BOUND_DEFAULT, ...bound };
    this.#position = options.position;
    this.#known = momentOf(options.clock);
  }

  get stats(): LogStats {
    const [oldest] = this.#unshipped;
    const ageMs = oldest === undefined ? 0 : this.#options.clock.monotonicMs() - oldest.sinceMs;
    const unshipped = { batches: this.#unshipped.length, bytes: this.#unshippedBytes, ageMs };
    return { segments: this.#segments, bytes: this.#bytes, position: this.#position, unshipped };
  }

  get ended(): NokvError | undefined {
    return this.#end;
  }

  get whenEnded(): Promise<NokvError> {
    return this.#whenEnded.promise;
  }

  commit(batch: DurableBatch): KvCommit {
    const refusal = this.#end ?? this.#overBound();
    if (refusal !== undefined) return refused(refusal);
    if (this.#holds === 0) return this.#commit(batch);
    const held = { batch, committed: deferred<void>(), flushed: deferred<void>() };
    held.committed.promise.catch(() => undefined);
    held.flushed.promise.catch(() => undefined);
    this.#held.push(held);
    return { committed: held.committed.promise, flushed: held.flushed.promise };
  }

  resume(): void {
    this.#options.kv.resume();
  }

  /** What was not shipped stays in the outbox. */
  stop(): void {
    this.#end ??= new NokvError('draining', 'this ownership of the shard is over');
    this.#tellIdle();
    this.#release();
  }

  async shipped(): Promise<void> {
    while (!this.#isIdle()) {
      const idle = deferred<void>();
      this.#idle.push(idle);
      await idle.promise;
    }
  }

  async atSegment<T>(act: () => T): Promise<T> {
    this.#holds += 1;
    try {
      await this.shipped();
      if (this.#end !== undefined) throw this.#end;
      return act();
    } finally {
      this.#holds -= 1;
      if (this.#holds === 0) this.#release();
    }
  }

  #commit({ writes, done, firstVersion, bytes }: DurableBatch): KvCommit {
    const { kv, clock } = this.#options;
    const batch: LoggedBatch = { firstVersion, commands: done.map(({ command }) => command), rowsDigest: rowsDigest(writes) };
    const row = outboxWrite(batch);
    writes.push(row);
    const sinceMs = clock.monotonicMs();
    const commit = kv.commit(writes);
    this.#committing += 1;
    const unshipped: Unshipped = { batch, bytes: Math.max(bytes, row.value?.length ?? 0), sinceMs };
    // Only what a power cut here cannot undo may be in the log.
    commit.flushed.then(
      () => this.#flushed(unshipped),
      () => this.#committed(),
    );
    return commit;
  }

  #flushed(unshipped: Unshipped): void {
    this.#unshipped.push(unshipped);
    this.#unshippedBytes += unshipped.bytes;
    this.#committed();
    if (!this.#isShipping) void this.#ship();
  }

  #committed(): void {
    this.#committing -= 1;
    this.#tellIdle();
  }

  /** Ends when nothing waits or nothing more may be appended. */
  async #ship(): Promise<void> {
    this.#isShipping = true;
    while (this.#unshipped.length > 0 && this.#end === undefined) {
      try {
        await this.#shipSegment();
      } catch (error) {
        if (this.#end !== undefined) break;
        this.#end = toNokvError(error);
        this.#whenEnded.resolve(this.#end);
      }
    }
    this.#isShipping = false;
    this.#tellIdle();
  }

  async #shipSegment(): Promise<void> {
    const { kv, shard, epoch } = this.#options;
    const group = this.#takeGroup();
    const sequence = this.#position.sequence + 1;
    const batches = group.map(({ batch }) => batch);
    const segment = encodeSegment({ shard, epoch, sequence, previous: this.#position.digest, batches });
    await this.#append(sequence, segment);
    this.#segments += 1;
    this.#bytes += segment.bytes.length;
    const position: LogPosition = { sequence, epoch, digest: segment.digest };
    // Not stored, or lost: then a restart finds in the log what it still has in its outbox, and takes it out.
    await kv.commit([...batches.map(outboxRemoval), logPositionWrite(position)]).committed;
    this.#position = position;
    this.#unshipped.splice(0, group.length);
    for (const { bytes } of group) this.#unshippedBytes -= bytes;
  }

  #takeGroup(): readonly Unshipped[] {
    let bytes = 0;
    let count = 0;
    for (const unshipped of this.#unshipped) {
      bytes += unshipped.bytes;
      if (count > 0 && bytes > SEGMENT_BYTES) break;
      count += 1;
    }
    return this.#unshipped.slice(0, count);
  }

  /** Until it is in the log, or somebody else's is. */
  async #append(sequence: number, { bytes }: EncodedSegment): Promise<void> {
    const { store, shard, epoch, clock } = this.#options;
    const { appendTimeoutMs: timeoutMs = APPEND_TIMEOUT_MS_DEFAULT, appendTrustMs: trustMs = APPEND_TRUST_MS_DEFAULT } = this.#options;
    while (this.#end === undefined) {
      const begun = momentOf(clock);
      const outcome = await appendSegment(store, shard, sequence, bytes, { clock, timeoutMs, trustMs }, this.#known);
      if (outcome.kind === 'appended') {
        this.#known = begun;
        return;
      }
      if (outcome.kind === 'collided') throw fencedAt(segmentKey(shard, sequence), shard, epoch);
      await clock.sleep(RETRY_MS);
    }
    throw this.#end;
  }

  #overBound(): NokvError | undefined {
    const { ageMs, bytes } = this.stats.unshipped;
    if (ageMs <= this.#bound.ms && bytes <= this.#bound.bytes) return undefined;
    return new NokvError(
      'unavailable',
      `the shared log is ${Math.round(ageMs)} ms and ${bytes} bytes behind, more than it may be; look at ${this.#options.store.description}, or try again shortly`,
    );
  }

  #isIdle(): boolean {
    return this.#end !== undefined || (this.#committing === 0 && this.#unshipped.length === 0 && !this.#isShipping);
  }

  #tellIdle(): void {
    if (!this.#isIdle()) return;
    for (const idle of this.#idle.splice(0)) idle.resolve();
  }

  #release(): void {
    for (const { batch, committed, flushed } of this.#held.splice(0)) {
      const commit = this.#end === undefined ? this.#commit(batch) : refused(this.#end);
      commit.committed.then(committed.resolve, committed.reject);
      commit.flushed.then(flushed.resolve, flushed.reject);
    }
  }
}

function refused(error: NokvError): KvCommit {
  const refusal = Promise.reject(error);
  refusal.catch(() => undefined);
  return { committed: refusal, flushed: refusal };
}
