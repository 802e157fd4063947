/**
 * Background work of a shard, in slices that are bounded in rows: due work of the gc queue, the trash, results and changes past
 * their window, history that no reader may ask for any more. Decides from what is durable, acts through commands, which check again.
 *
 * Nothing is deleted that could still be read or published: blocks go only when their upload is over and no stored body
 * names it, both of them durably, and only while the gate is open; their rows go after them.
 */
import { timespecToMs, type Clock, type InodeNumber, type PinId, type UploadId, type Version } from '@nokv/types';
import type { CommitPipeline } from './commit-pipeline.js';
import type { InternalOperation, InternalOperations } from './command.js';
import type { Evaluated } from './evaluated-batch.js';
import { HistoryReader } from './history/history-view.js';
import { birthOf, keyOfHistory, replacedAt } from './history/past-rows.js';
import { PinCoverage, placeOfRow } from './history/pin-coverage.js';
import {
  FAMILY,
  changeKey,
  extentKey,
  familyEnd,
  familyStart,
  gcPolicyKey,
  gcUploadKey,
  GC_HELD_MS,
  GC_KIND,
  inodeKey,
  keyAfter,
  parseChangeKey,
  parseGcKey,
  requestKey,
  uploadKey,
} from './key.js';
import type { ShardView } from './overlay.js';
import { PolicyReview } from './policy-review.js';
import { ReadView } from './read-view.js';
import type { ShardRoots } from './transaction.js';
import { decodeExtent, decodeUpload } from './value-body.js';
import { decodeInode } from './value-inode.js';
import { decodeChange, decodeRequest } from './value-log.js';

export interface LogWindow {
  /** Results of requests (default 1 hour, 1,000,000 versions). */
  readonly requestMs: number;
  readonly requestVersionsMax: number;
  /**
   * Changes, and with them history (default 24 hours, 10,000,000 versions, 2 GiB of log); by time and versions never less than the
   * window of requests. Where the log has too many bytes its oldest requests are forgotten with their changes.
   */
  readonly changeMs: number;
  readonly changeVersionsMax: number;
  readonly changeBytesMax: number;
}

const WINDOW_DEFAULT: LogWindow = {
  requestMs: 3600 * 1000,
  requestVersionsMax: 1_000_000,
  changeMs: 24 * 3600 * 1000,
  changeVersionsMax: 10_000_000,
  changeBytesMax: 2 * 2 ** 30,
};
const DUE_ROWS_MAX = 64;
/** What a slice writes when it takes trash apart: some milliseconds of work. */
const TRASH_ROWS_MAX = 1024;
const TRASH_BYTES_MAX = 2 * 1024 * 1024;
const LOG_ROWS_MAX = 1024;
const HISTORY_ROWS_MAX = 512;
const HISTORY_WALK_MS = 60 * 1000;
/** How many times as long as a walk the rest after it is at least. */
const HISTORY_REST = 19;
/** Ended snapshots that are still known to have been there. */
const ENDED_PINS_MAX = 1000;
const PINS_A_COMMAND_MAX = 256;
/** Beyond every inode number that fits a key. */
const INODE_NUMBER_MAX = Number.MAX_SAFE_INTEGER;
/** Between two looks at all pins. */
const PINS_LOOK_MS = 1000;

type Submit = <Op extends InternalOperation>(operation: Op, args: InternalOperations[Op]) => Promise<Evaluated>;

export class Maintenance {
  readonly #view: ShardView;
  readonly #roots: ShardRoots;
  readonly #pipeline: CommitPipeline;
  readonly #submit: Submit;
  readonly #refusal: () => Error | undefined;
  readonly #clock: Clock;
  readonly #window: LogWindow;
  #running: Promise<{ readonly more: boolean }> | undefined;
  /** Where the walk over history goes on; undefined while none is under way. */
  #historyAt: Uint8Array | undefined;
  /** Changes forgotten when the last walk over history began. */
  #historyFloor: Version = 0 as Version;
  #historyPinsEnded = -1;
  #historyBegunMs = 0;
  #historyDueMs = Number.NEGATIVE_INFINITY;
  /** Where the walk over what pins hold goes on; undefined while none is under way. */
  #heldAt: Buffer | undefined;
  #heldPinsEnded = -1;
  #coverage: { readonly of: string; readonly coverage: PinCoverage } | undefined;
  #pinsDueMs = Number.NEGATIVE_INFINITY;
  readonly #history: HistoryReader;
  readonly #reader: ReadView;
  /** Of the directory whose policy was changed and whose files are looked at. */
  #review: PolicyReview | undefined;

  constructor(
    view: ShardView,
    roots: ShardRoots,
    pipeline: CommitPipeline,
    submit: Submit,
    refusal: () => Error | undefined,
    clock: Clock,
    window: Partial<LogWindow>,
  ) {
    this.#view = view;
    this.#history = new HistoryReader(view, roots.root);
    this.#reader = new ReadView(view, roots.root);
    this.#roots = roots;
    this.#pipeline = pipeline;
    this.#submit = submit;
    this.#refusal = refusal;
    this.#clock = clock;
    this.#window = { ...WINDOW_DEFAULT, ...window };
  }

  /** One slice; calls while one is under way share it. */
  slice(removeBlocks: (upload: UploadId) => Promise<void>): Promise<{ readonly more: boolean }> {
    this.#running ??= this.#slice(removeBlocks).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #slice(removeBlocks: (upload: UploadId) => Promise<void>): Promise<{ readonly more: boolean }> {
    const due = await this.#sweepDue(removeBlocks);
    const trash = await this.#reapTrash();
    const requests = await this.#forgetRequests();
    const changes = await this.#forgetChanges();
    const pins = await this.#endPins();
    const history = await this.#forgetHistory();
    const held = await this.#sweepHeld(removeBlocks);
    const policies = await this.#reviewPolicies();
    return { more: due || trash || requests || changes || pins || history || held || policies };
  }

  async #sweepDue(removeBlocks: (upload: UploadId) => Promise<void>): Promise<boolean> {
    const end = gcUploadKey(Math.max(0, Math.floor(this.#clock.nowMs())) + 1, GC_KIND.upload, '0'.repeat(32) as UploadId);
    const rows = this.#gcRows(familyStart(FAMILY.gc), end);
    const isSession = ({ key }: GcRow): boolean => parseGcKey(key)?.kind === 'session';
    const leftOver = await Promise.all(rows.filter((row) => !isSession(row)).map((row) => this.#sweepOne(row, removeBlocks)));
    // One after the other: each may take hundreds of holds, and together they would be one long batch.
    for (const row of rows.filter(isSession)) leftOver.push(await this.#sweepOne(row, removeBlocks));
    return rows.length === DUE_ROWS_MAX || leftOver.includes(true);
  }

  #gcRows(start: Buffer, end: Buffer, limit = DUE_ROWS_MAX): GcRow[] {
    const rows: GcRow[] = [];
    for (const { key, value } of this.#view.kv.range(start, end, { limit })) {
      rows.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
    }
    return rows;
  }

  /** @returns whether there is more of it to do at once. */
  async #sweepOne({ key, value }: GcRow, removeBlocks: (upload: UploadId) => Promise<void>): Promise<boolean> {
    const work = parseGcKey(key);
    // Reviews that wait apart end when they are done.
    if (work?.kind === 'policy' && work.dueMs === GC_HELD_MS) return false;
    const removes = work?.kind === 'extent' && this.#isGarbage(work.upload);
    if (work?.kind === 'extent' && removes) {
      const refusal = this.#refusal();
      if (refusal !== undefined) throw refusal;
      await removeBlocks(work.upload);
    }
    await this.#submit('sweep', { key, value, blocksRemoved: removes });
    if (work?.kind === 'policy' && this.#review?.directory === work.root) this.#review = undefined;
    // A session that holds much ends in several slices.
    return work?.kind === 'session' && this.#view.kv.get(key) !== undefined;
  }

  /** Durably over and durably unnamed. Reads the store below the overlay, and refuses while a younger row is on its way. */
  #isGarbage(upload: UploadId): boolean {
    this.#view.touched = 0;
    const extentRow = this.#view.get(extentKey(upload));
    const isNamed = extentRow !== undefined && decodeExtent(extentRow).references > 0;
    const uploadRow = this.#view.get(uploadKey(upload));
    const isOpen = uploadRow !== undefined && decodeUpload(uploadRow).state === 'open';
    return !isNamed && !isOpen && this.#view.touched === 0;
  }

  async #reapTrash(): Promise<boolean> {
    if (this.#trashed() === 0) return false;
    await this.#submit('reap', { rows: TRASH_ROWS_MAX, bytes: TRASH_BYTES_MAX });
    return this.#trashed() > 0;
  }

  #trashed(): number {
    const bytes = this.#view.get(inodeKey(this.#roots.trash));
    return bytes === undefined ? 0 : decodeInode(this.#roots.trash, bytes).children;
  }

  async #forgetRequests(): Promise<boolean> {
    const { progress } = this.#pipeline.durable;
    const oldestMs = this.#clock.nowMs() - this.#window.requestMs;
    const oldestVersion = Math.max(progress.version - this.#window.requestVersionsMax, this.#oversizeUpTo());
    const keys: Uint8Array[] = [];
    let { requestsForgotten, requestsForgottenMs } = progress;
    let rows = 0;
    for (const { key, value } of this.#view.kv.range(changeKey((requestsForgotten + 1) as Version, 0), familyEnd(FAMILY.change))) {
      const { version, ordinal } = parseChangeKey(key);
      if (version > progress.version || rows >= LOG_ROWS_MAX) break;
      const change = decodeChange(version, ordinal, value);
      const timeMs = timespecToMs(change.time);
      if (timeMs > oldestMs && version > oldestVersion) break;
      rows += 1;
      requestsForgotten = version;
      requestsForgottenMs = Math.max(requestsForgottenMs, Math.floor(timeMs));
      if (ordinal === 0) keys.push(Uint8Array.from(requestKey(change.requestId as Parameters<typeof requestKey>[0])));
    }
    if (rows === 0) return false;
    const stale = keys.filter((key) => this.#isOfVersion(key, requestsForgotten));
    const { changesForgotten } = progress;
    await this.#submit('forget', { keys: stale, requestsForgotten, requestsForgottenMs, changesForgotten, changeBytes: 0 });
    return rows >= LOG_ROWS_MAX;
  }

  /** Whether a request row is no younger than `newest`: its id may have been used again after it was forgotten. */
  #isOfVersion(key: Uint8Array, newest: Version): boolean {
    const bytes = this.#view.kv.get(key);
    return bytes !== undefined && decodeRequest(bytes).version <= newest;
  }

  async #forgetChanges(): Promise<boolean> {
    const { progress } = this.#pipeline.durable;
    const oldestMs = this.#clock.nowMs() - this.#window.changeMs;
    const oldestVersion = Math.max(progress.version - this.#window.changeVersionsMax, this.#oversizeUpTo());
    const keys: Uint8Array[] = [];
    let { changesForgotten } = progress;
    let changeBytes = 0;
    for (const { key, value } of this.#view.kv.range(changeKey(0 as Version, 0), familyEnd(FAMILY.change))) {
      const { version, ordinal } = parseChangeKey(key);
      if (version > progress.requestsForgotten || (keys.length >= LOG_ROWS_MAX && ordinal === 0)) break;
      if (timespecToMs(decodeChange(version, ordinal, value).time) > oldestMs && version > oldestVersion) break;
      keys.push(Uint8Array.from(key));
      changeBytes += key.length + value.length;
      changesForgotten = version;
    }
    if (keys.length === 0) return false;
    const { requestsForgotten, requestsForgottenMs } = progress;
    await this.#submit('forget', { keys, requestsForgotten, requestsForgottenMs, changesForgotten, changeBytes });
    return keys.length >= LOG_ROWS_MAX;
  }

  /** The version up to which changes have to go so that the log has no more bytes than it may, as far as one slice sees. */
  #oversizeUpTo(): Version {
    const { progress } = this.#pipeline.durable;
    let oversize = progress.changeBytes - this.#window.changeBytesMax;
    let upTo = 0 as Version;
    if (oversize <= 0) return upTo;
    const start = changeKey((progress.changesForgotten + 1) as Version, 0);
    for (const { key, value } of this.#view.kv.range(start, familyEnd(FAMILY.change), { limit: LOG_ROWS_MAX })) {
      if (oversize <= 0) break;
      oversize -= key.length + value.length;
      upTo = parseChangeKey(key).version;
    }
    return upTo;
  }

  /**
   * Walks all of history after changes were forgotten or pins ended, and drops what was replaced before that and is not held. Not
   * more often than once a minute, nor for more than a twentieth of the time: the walk costs what is kept, not what may go.
   */
  async #forgetHistory(): Promise<boolean> {
    const { changesForgotten, pinsEnded } = this.#pipeline.durable.progress;
    if (this.#historyAt === undefined) {
      const isDue = this.#clock.monotonicMs() >= this.#historyDueMs;
      if (!isDue || (changesForgotten <= this.#historyFloor && pinsEnded === this.#historyPinsEnded)) return false;
      this.#historyBegunMs = this.#clock.monotonicMs();
      this.#historyFloor = changesForgotten;
      this.#historyPinsEnded = pinsEnded;
      this.#historyAt = familyStart(FAMILY.history);
    }
    const coverage = this.#coverageNow();
    const keys: Uint8Array[] = [];
    let last: Uint8Array | undefined;
    let rows = 0;
    for (const { key, value } of this.#view.kv.range(this.#historyAt, familyEnd(FAMILY.history), { limit: HISTORY_ROWS_MAX })) {
      rows += 1;
      last = key;
      const replaced = replacedAt(key);
      if (replaced > this.#historyFloor || coverage.covers(placeOfRow(keyOfHistory(key)), birthOf(value), replaced)) continue;
      keys.push(Uint8Array.from(key));
    }
    this.#historyAt = rows < HISTORY_ROWS_MAX || last === undefined ? undefined : keyAfter(last);
    const nowMs = this.#clock.monotonicMs();
    this.#historyDueMs = nowMs + Math.max(HISTORY_WALK_MS, (nowMs - this.#historyBegunMs) * HISTORY_REST);
    // The command decides again, by the pins that are there when it is evaluated.
    if (keys.length > 0) await this.#submit('forget-history', { keys, floor: this.#historyFloor });
    return this.#historyAt !== undefined;
  }

  /** Read again when a pin or fork was made or ended: a shard may have thousands. */
  #coverageNow(): PinCoverage {
    const { newestPinned, pinsEnded } = this.#pipeline.visible.progress;
    const of = `${newestPinned}-${pinsEnded}`;
    if (this.#coverage?.of !== of) this.#coverage = { of, coverage: new PinCoverage(this.#history) };
    return this.#coverage.coverage;
  }

  /** Ends snapshots whose lease is over, and forgets ended ones after the window of changes, the newest for so long. */
  async #endPins(): Promise<boolean> {
    const nowMs = this.#clock.nowMs();
    if (this.#clock.monotonicMs() < this.#pinsDueMs) return false;
    this.#pinsDueMs = this.#clock.monotonicMs() + PINS_LOOK_MS;
    const endedBeforeMs = nowMs - this.#window.changeMs;
    const due: PinId[] = [];
    const ended: PinId[] = [];
    for (const { id, row } of this.#history.pins()) {
      if (row.state === 'ended') (row.endedMs <= endedBeforeMs ? due : ended).push(id);
      else if (row.expires !== undefined && timespecToMs(row.expires) <= nowMs) due.push(id);
    }
    const tooMany = ended.slice(0, Math.max(0, ended.length - ENDED_PINS_MAX));
    if (due.length === 0 && tooMany.length === 0) return false;
    if (due.length > 0) await this.#submit('end-pins', { ids: due.slice(0, PINS_A_COMMAND_MAX), endedBeforeMs });
    if (tooMany.length > 0) await this.#submit('end-pins', { ids: tooMany.slice(0, PINS_A_COMMAND_MAX), endedBeforeMs: nowMs });
    const isMore = due.length > PINS_A_COMMAND_MAX || tooMany.length > PINS_A_COMMAND_MAX;
    if (isMore) this.#pinsDueMs = Number.NEGATIVE_INFINITY;
    return isMore;
  }

  /** A page of the files below a directory whose policy was changed. */
  async #reviewPolicies(): Promise<boolean> {
    const next = this.#gcRows(gcPolicyKey(GC_HELD_MS, 0 as InodeNumber), gcPolicyKey(GC_HELD_MS, INODE_NUMBER_MAX as InodeNumber), 1)[0];
    const work = next === undefined ? undefined : parseGcKey(next.key);
    if (next === undefined || work?.kind !== 'policy') return false;
    if (this.#review?.directory !== work.root) this.#review = new PolicyReview(this.#reader, work.root);
    const { files, isDone } = this.#review.page();
    if (files.length > 0) await this.#submit('review-bodies', { files });
    if (isDone) {
      await this.#submit('sweep', { ...next, blocksRemoved: false });
      this.#review = undefined;
    }
    return true;
  }

  /** Bodies that pins held come up again once a pin has ended. */
  async #sweepHeld(removeBlocks: (upload: UploadId) => Promise<void>): Promise<boolean> {
    const { pinsEnded } = this.#pipeline.durable.progress;
    if (this.#heldAt === undefined) {
      if (pinsEnded === this.#heldPinsEnded) return false;
      this.#heldPinsEnded = pinsEnded;
      this.#heldAt = heldStart();
    }
    const rows = this.#gcRows(this.#heldAt, familyEnd(FAMILY.gc));
    const last = rows.at(-1);
    this.#heldAt = rows.length < DUE_ROWS_MAX || last === undefined ? undefined : keyAfter(last.key);
    await Promise.all(rows.map((row) => this.#sweepOne(row, removeBlocks)));
    return this.#heldAt !== undefined;
  }
}

interface GcRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** First key of work that waits for a pin to go. */
function heldStart(): Buffer {
  return gcUploadKey(GC_HELD_MS, GC_KIND.upload, '0'.repeat(32) as UploadId);
}
