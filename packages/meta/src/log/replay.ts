/**
 * Brings a store forward by segments of the log. Each is checked (its place in the chain, its epoch, its versions), its commands are
 * applied as its writer applied them, and what they write must be what the writer wrote. One commit a segment, with the position.
 */
import { NokvError, assert, toNokvError, type ShardId, type Version } from '@nokv/types';
import { beginBatch, evaluateCommand, reserve, takeWrites, type PipelineState } from '../evaluated-batch.js';
import { SHARD_FORMAT, SYSTEM_ITEM, countersKey, systemKey } from '../key.js';
import type { KvCommit, KvReader, KvWrite, OrderedKv } from '../ordered-kv.js';
import { Overlay, ShardView } from '../overlay.js';
import { rootsOf } from '../shard.js';
import type { ShardRoots } from '../transaction.js';
import { decodeCounters, decodeProgress } from '../value-log.js';
import { logPositionWrite, type LogPosition } from './log-position.js';
import { rowsDigest } from './rows-digest.js';
import { altered, decodeSegment, type DecodedSegment, type LoggedBatch } from './segment.js';

export class Replay {
  readonly #kv: OrderedKv;
  readonly #shard: ShardId;
  readonly #roots: ShardRoots;
  readonly #view: ShardView;
  #state: PipelineState;
  #position: LogPosition;
  #batchNumber = 0;
  #lastVersion = 0;
  #lastCommit: KvCommit | undefined;

  constructor(kv: OrderedKv, shard: ShardId, position: LogPosition) {
    this.#kv = kv;
    this.#shard = shard;
    this.#roots = rootsOf(shard);
    this.#view = new ShardView(kv, new Overlay());
    this.#state = readState(kv, this.#roots);
    this.#position = position;
  }

  get position(): LogPosition {
    return this.#position;
  }

  /** The next segment. Afterwards its rows are committed, not flushed. */
  async apply(key: string, bytes: Uint8Array): Promise<void> {
    const segment = nextSegment(key, bytes, this.#shard, this.#position);
    const { sequence, epoch, digest, shardFormat } = segment;
    if (segment.batches.length > 0 && shardFormat !== SHARD_FORMAT) {
      throw new NokvError(
        'unsupported-format',
        `this build replays shard format ${SHARD_FORMAT}, ${key} was written in format ${shardFormat}; serve with the build that wrote it`,
        { details: { key, expected: SHARD_FORMAT, found: shardFormat } },
      );
    }
    const writes = segment.batches.flatMap((batch) => this.#evaluate(key, batch));
    const position = { sequence, epoch, digest: Uint8Array.from(digest) };
    writes.push(logPositionWrite(position));
    this.#lastCommit = this.#kv.commit(writes);
    await this.#lastCommit.committed;
    this.#view.overlay.clear();
    this.#position = position;
  }

  /** Resolves when everything that was applied survives the loss of power. */
  async flushed(): Promise<void> {
    await this.#lastCommit?.flushed;
  }

  #evaluate(key: string, { firstVersion, commands, rowsDigest: expected }: LoggedBatch): KvWrite[] {
    const { counters, progress } = this.#state;
    // A start skips versions without a word in the log, so that only what was replayed says where the next may begin.
    if (firstVersion <= this.#lastVersion) throw altered(key, `its version ${firstVersion} is not above ${this.#lastVersion}`);
    this.#batchNumber += 1;
    const batch = beginBatch(this.#batchNumber, { counters, progress: { ...progress, version: (firstVersion - 1) as Version } });
    for (const command of commands) {
      try {
        evaluateCommand(this.#view, this.#roots, batch, command);
      } catch (error) {
        throw diverged(key, `${command.operation} failed: ${toNokvError(error).message}`, error);
      }
    }
    reserve(batch.progress);
    this.#lastVersion = batch.progress.version;
    this.#state = { counters: { ...batch.counters }, progress: { ...batch.progress } };
    const writes = takeWrites(batch, this.#roots);
    if (Buffer.compare(rowsDigest(writes), expected) !== 0) {
      throw diverged(key, `versions ${firstVersion} to ${batch.progress.version} wrote other rows`, undefined);
    }
    return writes;
  }
}

/** The segment, checked to be the one that follows on this position. */
export function nextSegment(key: string, bytes: Uint8Array, shard: ShardId, position: LogPosition): DecodedSegment {
  const segment = decodeSegment(key, bytes);
  const { sequence, epoch, previous } = segment;
  if (segment.shard !== shard || sequence !== position.sequence + 1) {
    throw altered(key, `it says to be segment ${sequence} of shard ${segment.shard}`);
  }
  if (Buffer.compare(previous, position.digest) !== 0) throw altered(key, 'it does not follow on the segment before it');
  if (epoch < position.epoch) throw altered(key, `its epoch ${epoch} is over: the log has seen epoch ${position.epoch}`);
  return segment;
}

function readState(kv: KvReader, roots: ShardRoots): PipelineState {
  const progress = kv.get(systemKey(SYSTEM_ITEM.progress));
  assert(progress !== undefined, 'a shard has a progress row');
  const decoded = decodeProgress(progress);
  const counters = kv.get(countersKey(roots.root));
  assert(counters !== undefined, 'a shard has a counters row');
  return { counters: decodeCounters(counters), progress: decoded };
}

function diverged(key: string, what: string, cause: unknown): NokvError {
  return new NokvError('corrupt', `replaying ${key} gives another state than its writer had: ${what}; recover from an earlier image`, {
    details: { key },
    cause,
  });
}
