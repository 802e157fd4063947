/**
 * What a batch of commands comes to: the rows it writes, its change records, the counters and the progress after it. The commit
 * pipeline evaluates batches as they come, replay those of a log; both through here, so that the same commands give the same rows.
 *
 * Invariants: versions in a batch follow on each other without a gap; a command that fails leaves no trace in it.
 */
import { localOfInode, type ChangeRecord, type InodeNumber, type Timespec, type Version } from '@nokv/types';
import { apply } from './apply.js';
import type { Command, MutationCommand } from './command.js';
import { SYSTEM_ITEM, changeKey, countersKey, requestKey, systemKey } from './key.js';
import type { KvWrite } from './ordered-kv.js';
import { OverlayRow, rowId, type ShardView } from './overlay.js';
import { encodeResult, operationNumber, type AnyMutationResult } from './request-result.js';
import { Transaction, type ChangeDraft, type ShardRoots } from './transaction.js';
import {
  encodeChange,
  encodeCounters,
  encodeProgress,
  encodeRequest,
  type ChangeRow,
  type CountersRow,
  type ProgressRow,
} from './value-log.js';

/** Numbers reserved ahead of use; more than can ever be unflushed, so that none is used twice across a power cut. */
export const RESERVED_AHEAD = 1 << 20;
export const RESERVED_LEFT_MIN = 1 << 18;

export interface Evaluated {
  readonly version: Version;
  readonly result: AnyMutationResult | undefined;
}

export interface PipelineState {
  readonly counters: CountersRow;
  readonly progress: ProgressRow;
}

/** Stands in change records for the request, where a shard mends itself. */
const NO_REQUEST = 'nokv-repair';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface EvaluatedBatch {
  /** Rises from batch to batch of one pipeline; marks the rows of the overlay. */
  readonly number: number;
  /** The newest value of each row that later commands may read, by {@link OverlayRow.at}. */
  readonly rows: OverlayRow[];
  /** Rows that no command reads through the overlay. */
  writes: KvWrite[];
  readonly changes: ChangeRecord[];
  /** Inodes whose locks it lets go or lowers. */
  readonly released: Set<InodeNumber>;
  readonly firstVersion: Version;
  readonly counters: Mutable<CountersRow>;
  readonly progress: Mutable<ProgressRow>;
}

export function beginBatch(number: number, { counters, progress }: PipelineState): EvaluatedBatch {
  return {
    number,
    rows: [],
    writes: [],
    changes: [],
    released: new Set(),
    firstVersion: (progress.version + 1) as Version,
    counters: { ...counters },
    progress: { ...progress },
  };
}

/** Applies a command to the view and notes what it writes in the batch. Throws where it fails; nothing has happened then. */
export function evaluateCommand(view: ShardView, roots: ShardRoots, batch: EvaluatedBatch, command: Command): Evaluated {
  const version = (batch.progress.version + 1) as Version;
  const transaction = new Transaction(view, roots, version, command, batch.progress);
  if ('caller' in command) transaction.caller = command.caller;
  view.touched = 0;
  const result = apply(transaction, command);
  for (const { id, key, value, decoded, decodedBefore } of transaction.finish()) {
    enter(view, batch, new OverlayRow(id, key, value, decoded, decodedBefore, batch.number));
  }
  for (const { key, value } of transaction.history) {
    enter(view, batch, new OverlayRow(rowId(key), key, value, undefined, undefined, batch.number));
  }
  for (const write of transaction.blind) batch.writes.push(write);
  if (transaction.released !== undefined) for (const ino of transaction.released) batch.released.add(ino);
  if ('requestId' in command) log(batch, command, transaction, result as AnyMutationResult);
  else logChanges(batch, command, transaction, NO_REQUEST);
  batch.counters.bytes += transaction.bytesDelta;
  batch.counters.inodes += transaction.inodesDelta;
  advance(batch.progress, command, transaction);
  return { version, result };
}

/** Shows a row to whoever comes next; it takes the place of what the same batch wrote under its key. */
function enter({ overlay }: ShardView, { rows, number }: EvaluatedBatch, row: OverlayRow): void {
  const last = overlay.get(row.id);
  row.at = last !== undefined && last.batch === number ? last.at : rows.length;
  rows[row.at] = row;
  overlay.set(row);
}

/** Everything that the batch writes, given up by it. */
export function takeWrites(batch: EvaluatedBatch, roots: ShardRoots): KvWrite[] {
  const { rows, writes } = batch;
  for (const row of rows) writes.push(row);
  writes.push({ key: countersKey(roots.root), value: encodeCounters(batch.counters) });
  writes.push({ key: systemKey(SYSTEM_ITEM.progress), value: encodeProgress(batch.progress) });
  batch.writes = [];
  return writes;
}

/** Rows of the change log and the request's result. */
function log(batch: EvaluatedBatch, command: MutationCommand, transaction: Transaction, result: AnyMutationResult): void {
  const { version, changes, root } = transaction;
  const { requestId, operation } = command;
  // A request that changes nothing still leaves a row, by which its result is found when its time is over.
  if (changes.length === 0) changes.push({ kind: 'request', ino: root, type: 'directory' });
  logChanges(batch, command, transaction, requestId);
  const row = { version, digest: command.digest, operation: operationNumber(operation), result: encodeResult(operation, result) };
  batch.writes.push({ key: requestKey(requestId), value: encodeRequest(row) });
}

function logChanges(batch: EvaluatedBatch, { actor }: Command, transaction: Transaction, requestId: string): void {
  const { version, time, changes } = transaction;
  for (let ordinal = 0; ordinal < changes.length; ordinal++) {
    const change = changeOf(version, ordinal, changes[ordinal] as ChangeDraft, requestId, actor, time);
    const key = changeKey(version, ordinal);
    const value = encodeChange(change);
    batch.progress.changeBytes += key.length + value.length;
    batch.writes.push({ key, value });
    if (isWatchable(change)) batch.changes.push(change);
  }
}

/** Written out: spreading the draft costs more than encoding the row. */
function changeOf(version: Version, ordinal: number, draft: ChangeDraft, requestId: string, actor: string, time: Timespec): ChangeRow {
  const { kind, ino, type, parent, name, fromParent, fromName, generation } = draft;
  const change: { -readonly [Key in keyof ChangeRow]: ChangeRow[Key] } = { version, ordinal, kind, ino, type, requestId, actor, time };
  if (parent !== undefined) change.parent = parent;
  if (name !== undefined) change.name = name;
  if (fromParent !== undefined) change.fromParent = fromParent;
  if (fromName !== undefined) change.fromName = fromName;
  if (generation !== undefined) change.generation = generation;
  return change;
}

export function isWatchable(change: ChangeRow): change is ChangeRecord {
  return change.kind !== 'request';
}

function advance(progress: Mutable<ProgressRow>, command: Command, transaction: Transaction): void {
  progress.version = transaction.version;
  progress.newestPinned = transaction.newestPinned;
  progress.pins += transaction.pinsDelta;
  progress.forks += transaction.forksDelta;
  progress.policies += transaction.policiesDelta;
  progress.pinsEnded += transaction.pinsEndedDelta;
  const needed = localOfInode(command.freshInode) + RESERVED_LEFT_MIN;
  if (needed > progress.inodesReserved) progress.inodesReserved = needed + RESERVED_AHEAD;
  if (command.operation !== 'forget') return;
  progress.requestsForgotten = command.args.requestsForgotten;
  progress.requestsForgottenMs = command.args.requestsForgottenMs;
  progress.changesForgotten = command.args.changesForgotten;
  progress.changeBytes -= command.args.changeBytes;
}

/** What a reopened shard counts on from: nothing below was ever shown to anyone. */
export function reserveFrom(progress: ProgressRow): ProgressRow {
  const version = Math.max(progress.version, progress.versionsReserved);
  return {
    ...progress,
    version: version as Version,
    versionsReserved: (version + RESERVED_AHEAD) as Version,
    inodesReserved: progress.inodesReserved + RESERVED_AHEAD,
  };
}

/** Keeps more versions reserved than can be unflushed at any time. */
export function reserve(progress: Mutable<ProgressRow>): void {
  if (progress.versionsReserved - progress.version <= RESERVED_LEFT_MIN) {
    progress.versionsReserved = (progress.version + RESERVED_AHEAD) as Version;
  }
}
