/**
 * Durability by the shared log: append, then commit locally, then let the replies go.
 *
 * Invariants:
 * - One append is under way at a time, at the sequence after the last; it carries every batch that arrived meanwhile.
 * - The local store is always the state after a segment that is in the log: its position is committed with the rows.
 * - A collision, an append of which nobody can tell, and a local commit that failed after its append end this sink for good: the
 *   log knows more than the store then, and only recovery brings them together.
 */
import { NokvError, toNokvError, type Clock, type Epoch, type ShardId } from '@nokv/types';
import { deferred, type Deferred } from '../deferred.js';
import type { DurableBatch } from '../durability-sink.js';
import type { KvCommit, OrderedKv } from '../ordered-kv.js';
import { APPEND_TIMEOUT_MS_DEFAULT, APPEND_TRUST_MS_DEFAULT, appendSegment, momentOf, type LogMoment } from './append-segment.js';
import { segmentKey } from './log-key.js';
import { logPositionWrite, type LogPosition } from './log-position.js';
import { NOTHING_UNSHIPPED, type LogSink, type LogStats } from './log-sink.js';
import type { LogStore } from './log-store.js';
import { rowsDigest } from './rows-digest.js';
import { encodeSegment, type EncodedSegment } from './segment.js';

export interface SharedSinkOptions {
  readonly kv: OrderedKv;
  readonly store: LogStore;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** Where the store and the log are, both. */
  readonly position: LogPosition;
  readonly clock: Clock;
  readonly appendTimeoutMs?: number | undefined;
  readonly appendTrustMs?: number | undefined;
}

/** Bytes of commands after which an append takes no further batch: well below what a segment may hold. */
const APPEND_BYTES_MAX = 16 * 1024 * 1024;

interface Waiting {
  readonly batch: DurableBatch;
  readonly committed: Deferred<void>;
  readonly flushed: Deferred<void>;
}

export class SharedSink implements LogSink {
  readonly #options: SharedSinkOptions;
  readonly #queue: Waiting[] = [];
  #position: LogPosition;
  #known: LogMoment;
  #isAppending = false;
  /** Why batches are refused until `resume`. */
  #refusal: NokvError | undefined;
  /** Why this sink is over. */
  #end: NokvError | undefined;
  readonly #whenEnded = deferred<NokvError>();
  #segments = 0;
  #bytes = 0;

  constructor(options: SharedSinkOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#known = momentOf(options.clock);
  }

  get stats(): LogStats {
    return { segments: this.#segments, bytes: this.#bytes, position: this.#position, unshipped: NOTHING_UNSHIPPED };
  }

  /** Why nothing more is appended, ever. */
  get ended(): NokvError | undefined {
    return this.#end;
  }

  get whenEnded(): Promise<NokvError> {
    return this.#whenEnded.promise;
  }

  stop(): void {
    this.#end ??= new NokvError('draining', 'this ownership of the shard is over');
  }

  /** What is committed here is in the log. */
  shipped(): Promise<void> {
    return Promise.resolve();
  }

  async atSegment<T>(act: () => T): Promise<T> {
    return act();
  }

  commit(batch: DurableBatch): KvCommit {
    const waiting: Waiting = { batch, committed: deferred(), flushed: deferred() };
    // Whoever asked may look at one of the two promises only.
    waiting.committed.promise.catch(() => undefined);
    waiting.flushed.promise.catch(() => undefined);
    const refusal = this.#end ?? this.#refusal;
    if (refusal === undefined) {
      this.#queue.push(waiting);
      if (!this.#isAppending) void this.#run();
    } else {
      fail([waiting], refusal);
    }
    return { committed: waiting.committed.promise, flushed: waiting.flushed.promise };
  }

  resume(): void {
    this.#refusal = undefined;
    this.#options.kv.resume();
  }

  /** Ends when the queue is empty or nothing more may be appended. */
  async #run(): Promise<void> {
    this.#isAppending = true;
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#append(group);
      } catch (error) {
        const failure = toNokvError(error);
        if (failure.kind === 'fenced' || failure.outcome === 'unknown') {
          this.#end = failure;
          this.#whenEnded.resolve(failure);
        } else {
          this.#refusal = failure;
        }
        fail([...group, ...this.#queue.splice(0)], failure);
      }
    }
    this.#isAppending = false;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { batch } of this.#queue) {
      bytes += batch.bytes;
      if (count > 0 && bytes > APPEND_BYTES_MAX) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #append(group: readonly Waiting[]): Promise<void> {
    const { kv, store, shard, epoch, clock } = this.#options;
    const { appendTimeoutMs: timeoutMs = APPEND_TIMEOUT_MS_DEFAULT, appendTrustMs: trustMs = APPEND_TRUST_MS_DEFAULT } = this.#options;
    const sequence = this.#position.sequence + 1;
    const segment = this.#encode(group, sequence);
    const key = segmentKey(shard, sequence);
    const begun = momentOf(clock);
    const outcome = await appendSegment(store, shard, sequence, segment.bytes, { clock, timeoutMs, trustMs }, this.#known);
    switch (outcome.kind) {
      case 'refused':
        throw new NokvError('unavailable', `the shared log takes no appends (${outcome.error.message}); try again shortly`, {
          cause: outcome.error,
        });
      case 'collided':
        throw fencedAt(key, shard, epoch);
      case 'unclear':
        throw new NokvError(
          'unavailable',
          `nobody can tell whether ${key} was written (${outcome.error.message}); this owner of shard ${shard} steps down`,
          { outcome: 'unknown', details: { key, epoch }, cause: outcome.error },
        );
      case 'appended':
    }
    this.#known = begun;
    this.#segments += 1;
    this.#bytes += segment.bytes.length;
    this.#position = { sequence, epoch, digest: segment.digest };
    const writes = group.flatMap(({ batch }) => batch.writes);
    writes.push(logPositionWrite(this.#position));
    const commit = kv.commit(writes);
    try {
      await commit.committed;
    } catch (error) {
      throw inLogOnly(key, toNokvError(error));
    }
    for (const { committed, flushed } of group) {
      committed.resolve();
      commit.flushed.then(flushed.resolve, flushed.reject);
    }
  }

  #encode(group: readonly Waiting[], sequence: number): EncodedSegment {
    const { shard, epoch } = this.#options;
    const batches = group.map(({ batch: { firstVersion, done, writes } }) => ({
      firstVersion,
      commands: done.map(({ command }) => command),
      rowsDigest: rowsDigest(writes),
    }));
    return encodeSegment({ shard, epoch, sequence, previous: this.#position.digest, batches });
  }
}

export function fencedAt(key: string, shard: ShardId, epoch: Epoch): NokvError {
  return new NokvError('fenced', `another owner of shard ${shard} wrote ${key}: this one is fenced and serves no more`, {
    details: { key, epoch },
  });
}

function inLogOnly(key: string, cause: NokvError): NokvError {
  return new NokvError(
    cause.code,
    `${key} is in the shared log and could not be stored here (${cause.message}); this owner steps down and catches up when it can`,
    { outcome: 'unknown', details: { ...cause.details, key }, cause },
  );
}

function fail(group: readonly Waiting[], error: NokvError): void {
  for (const { committed, flushed } of group) {
    committed.reject(error);
    flushed.reject(error);
  }
}
