/**
 * Background work of a shard, in slices that are bounded in rows: due work of the gc queue, the trash, results and changes past
 * their window, history that no reader may ask for any more. Decides from what is durable, acts through commands, which check again.
 *
 * Nothing is deleted that could still be read or published: blocks go only when their upload is over and no stored body
 * names it, both of them durably, and only while the gate is open; their rows go after them.
 */
import { timespecToMs, type Clock, type UploadId, type Version } from '@nokv/types';
import type { CommitPipeline } from './commit-pipeline.js';
import type { InternalOperation, InternalOperations } from './command.js';
import type { Evaluated } from './evaluated-batch.js';
import {
  FAMILY,
  changeKey,
  extentKey,
  familyEnd,
  familyStart,
  gcUploadKey,
  GC_KIND,
  inodeKey,
  keyAfter,
  parseChangeKey,
  parseGcKey,
  requestKey,
  uploadKey,
} from './key.js';
import type { ShardView } from './overlay.js';
import { readU64 } from './row-reader.js';
import type { ShardRoots } from './transaction.js';
import { decodeExtent, decodeUpload } from './value-body.js';
import { decodeInode } from './value-inode.js';
import { decodeChange, decodeRequest } from './value-log.js';

export interface LogWindow {
  /** Results of requests (default 1 hour, 1,000,000 versions). */
  readonly requestMs: number;
  readonly requestVersionsMax: number;
  /** Changes, and with them history (default 24 hours, 10,000,000 versions); never less than the window of requests. */
  readonly changeMs: number;
  readonly changeVersionsMax: number;
}

const WINDOW_DEFAULT: LogWindow = {
  requestMs: 3600 * 1000,
  requestVersionsMax: 1_000_000,
  changeMs: 24 * 3600 * 1000,
  changeVersionsMax: 10_000_000,
};
const DUE_ROWS_MAX = 64;
/** What a slice writes when it takes trash apart: some milliseconds of work. */
const TRASH_ROWS_MAX = 2048;
const TRASH_BYTES_MAX = 4 * 1024 * 1024;
const LOG_ROWS_MAX = 1024;

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
    const history = await this.#forgetHistory();
    return { more: due || trash || requests || changes || history };
  }

  async #sweepDue(removeBlocks: (upload: UploadId) => Promise<void>): Promise<boolean> {
    const end = gcUploadKey(Math.max(0, Math.floor(this.#clock.nowMs())) + 1, GC_KIND.upload, '0'.repeat(32) as UploadId);
    const keys: Uint8Array[] = [];
    for (const { key } of this.#view.kv.range(familyStart(FAMILY.gc), end, { limit: DUE_ROWS_MAX })) keys.push(Uint8Array.from(key));
    const leftOver = await Promise.all(keys.map((key) => this.#sweepOne(key, removeBlocks)));
    return keys.length === DUE_ROWS_MAX || leftOver.includes(true);
  }

  /** @returns whether there is more of it to do at once. */
  async #sweepOne(key: Uint8Array, removeBlocks: (upload: UploadId) => Promise<void>): Promise<boolean> {
    const work = parseGcKey(key);
    const removes = work?.kind === 'extent' && this.#isGarbage(work.upload);
    if (work?.kind === 'extent' && removes) {
      const refusal = this.#refusal();
      if (refusal !== undefined) throw refusal;
      await removeBlocks(work.upload);
    }
    await this.#submit('sweep', { key, blocksRemoved: removes });
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
    const oldestVersion = progress.version - this.#window.requestVersionsMax;
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
    await this.#submit('forget', { keys: stale, requestsForgotten, requestsForgottenMs, changesForgotten: progress.changesForgotten });
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
    const oldestVersion = progress.version - this.#window.changeVersionsMax;
    const keys: Uint8Array[] = [];
    let { changesForgotten } = progress;
    for (const { key, value } of this.#view.kv.range(changeKey(0 as Version, 0), familyEnd(FAMILY.change))) {
      const { version, ordinal } = parseChangeKey(key);
      if (version > progress.requestsForgotten || (keys.length >= LOG_ROWS_MAX && ordinal === 0)) break;
      if (timespecToMs(decodeChange(version, ordinal, value).time) > oldestMs && version > oldestVersion) break;
      keys.push(Uint8Array.from(key));
      changesForgotten = version;
    }
    if (keys.length === 0) return false;
    const { requestsForgotten, requestsForgottenMs } = progress;
    await this.#submit('forget', { keys, requestsForgotten, requestsForgottenMs, changesForgotten });
    return keys.length >= LOG_ROWS_MAX;
  }

  /** Walks all of history once after changes were forgotten, and drops what was replaced at one of their versions. */
  async #forgetHistory(): Promise<boolean> {
    const { changesForgotten } = this.#pipeline.durable.progress;
    if (this.#historyAt === undefined) {
      if (changesForgotten <= this.#historyFloor) return false;
      this.#historyFloor = changesForgotten;
      this.#historyAt = familyStart(FAMILY.history);
    }
    const keys: Uint8Array[] = [];
    let last: Uint8Array | undefined;
    let rows = 0;
    for (const { key } of this.#view.kv.range(this.#historyAt, familyEnd(FAMILY.history), { limit: LOG_ROWS_MAX })) {
      rows += 1;
      last = key;
      if (readU64(key, key.length - 8) <= this.#historyFloor) keys.push(Uint8Array.from(key));
    }
    this.#historyAt = rows < LOG_ROWS_MAX || last === undefined ? undefined : keyAfter(last);
    if (keys.length > 0) await this.#submit('forget-history', { keys });
    return this.#historyAt !== undefined;
  }
}
