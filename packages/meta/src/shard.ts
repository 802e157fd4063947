/**
 * A shard over an ordered key-value store: checks and makes its system rows, draws what commands need, answers reads, remembers
 * requests and joins retries. The commit pipeline below does the writing, `maintenance.ts` the background work.
 *
 * Reads answer at once unless they saw a row whose commit is not flushed; then they wait for that flush.
 */
import {
  BATCH_MAX,
  LISTED_OPERATIONS,
  ID_RANDOM_BYTES,
  COLLECT_ROWS_MAX,
  NokvError,
  REQUEST_ID_CHARACTERS_MAX,
  RETENTION_POLICY_DEFAULT,
  assert,
  batchItemIds,
  checkCaller,
  makeInodeNumber,
  makeSessionId,
  makeUploadId,
  requestId as checkRequestId,
  timespecToMs,
  toNokvError,
  type BatchAnswer,
  type BatchItem,
  type Caller,
  type ChangeCursor,
  type Clock,
  type DiffArgs,
  type DiffItem,
  type Epoch,
  type FsckItem,
  type InodeNumber,
  type MutationOperation,
  type MutationOperations,
  type MutationResult,
  type Random,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
  type ShardFigures,
  type ShardFiguresArgs,
  type RequestId,
  type RetentionPolicy,
  type SessionId,
  type ShardId,
  type Timespec,
  type TransactArgs,
  type UploadId,
  type Version,
} from '@nokv/types';
import { bodiesNaming, deadBlocks, type NamingBody, type SpaceItem } from './dead-blocks.js';
import { deferred } from './deferred.js';
import { collectPlan, type CollectPlan } from './collect-plan.js';
import { familyFigures, storeFigures } from './shard-figures.js';
import type { BlockInventory } from './fsck/block-inventory.js';
import { fsck, type FsckOptions } from './fsck/fsck.js';
import { freshInodesOf } from './operations/fresh-inodes.js';
import { checkTransact } from './operations/transact.js';
import type {
  Command,
  MutationCommand,
  InternalOperation,
  InternalOperations,
  RepairFix,
  Retention,
  MovePieces,
  StrayUpload,
} from './command.js';
import { BatchWaiters } from './batch-waiters.js';
import { CommitPipeline, type Pending, type Waiter } from './commit-pipeline.js';
import { localSink, type DurabilitySink } from './durability-sink.js';
import { RESERVED_AHEAD, RESERVED_LEFT_MIN, reserveFrom, type Evaluated, type PipelineState } from './evaluated-batch.js';
import { diffItems } from './history/diff-items.js';
import { versionAtTime } from './history/moment.js';
import { policyDefault } from './history/retention.js';
import { Unmaterialised } from './history/unmaterialised.js';
import { SYSTEM_ITEM, countersKey, extentKey, inodeKey, keyAfter, requestKey, systemKey, uploadKey } from './key.js';
import { writeImage, type WrittenImage } from './log/write-image.js';
import { Maintenance, type LogWindow } from './maintenance.js';
import type { KvReader, KvWrite, OrderedKv } from './ordered-kv.js';
import { Overlay, ShardView } from './overlay.js';
import { PathLog, type PathLogOptions } from './changes/path-log.js';
import { ReadView } from './read-view.js';
import { read } from './reads.js';
import { digestOf } from './request-digest.js';
import { decodeResult } from './request-result.js';
import type { Committed, ImageOptions, MutateContext, ReadContext, ShardEngine, ShardGate, ShardStats } from './shard-engine.js';
import { isPackable } from './row-writer.js';
import type { ShardRoots } from './transaction.js';
import { decodeUpload } from './value-body.js';
import { Inode, encodeInode } from './value-inode.js';
import {
  decodeCounters,
  decodeEpoch,
  decodeFormat,
  decodeProgress,
  decodeRequest,
  encodeCounters,
  encodeEpoch,
  encodeFormat,
  encodeProgress,
  type ProgressRow,
} from './value-log.js';

export interface ShardOptions {
  /** Owned by the shard from now on: `close` closes it. */
  readonly kv: OrderedKv;
  /** What makes commits durable (default: the flush of `kv`); writes to this `kv`. */
  readonly sink?: DurabilitySink;
  readonly shard: ShardId;
  readonly clock: Clock;
  readonly random: Random;
  /** Default: bodies 24 hours and at least one, blocks of ended uploads 1 minute, blocks that no body names any more 10 minutes. */
  readonly retention?: Partial<Retention>;
  /** How long and how many request results and changes are kept; see {@link LogWindow} for the defaults. */
  readonly window?: Partial<LogWindow>;
  /** Whether the disk is about to be full: what makes the shard grow is then refused with `no-space`. Asked for each mutation. */
  readonly isRoomScarce?: () => boolean;
  /** What `statfs` calls the size of the namespace (default 1 PiB). */
  readonly bytesCapacity?: number;
}

const RETENTION_DEFAULT: Retention = {
  bodyMs: RETENTION_POLICY_DEFAULT.keepMs,
  bodiesKept: RETENTION_POLICY_DEFAULT.keepLast,
  uploadMs: 60 * 1000,
  extentMs: 10 * 60 * 1000,
};
const BYTES_CAPACITY_DEFAULT = 2 ** 50;
/** Directories whose places one page of past changes keeps. */
const DIRECTORIES_OF_A_PAGE_MAX = 4096;
const DIRECTORY_MODE = 0o755;
/** Bytes of a command beside its body, for the bounds of batches. */
const COMMAND_BYTES = 512;
/** What adds more than it takes away; the rest goes on while there is little room. */
const GROWING: ReadonlySet<MutationOperation> = new Set<MutationOperation>([
  'mkdir',
  'create',
  'symlink',
  'link',
  'publish',
  'publish-tree',
  'begin-tree',
  'begin-upload',
  'xattr-set',
  'transact',
  'clone',
  'undelete',
  'merge',
]);
/** Numbers that one command may draw: fewer than are always reserved beyond those in use. */
const FRESH_INODES_MAX = RESERVED_LEFT_MIN / 2;
const LISTED: ReadonlySet<string> = new Set(LISTED_OPERATIONS);
/** What is added to the id of a batch. */
const PLACE_CHARACTERS_MAX = 1 + String(BATCH_MAX).length;
/** Entries that a directory of a fork takes over at once: little beside what a flush costs. */
const MATERIALISE_ENTRIES = 256;
const MATERIALISE_STEPS_MAX = 10_000;

/** Opens a shard, making it where the store is empty. Refuses stores of another format or another shard. */
export async function openShard(options: ShardOptions): Promise<ShardEngine> {
  const { kv, shard, clock } = options;
  const roots = rootsOf(shard);
  const format = kv.get(systemKey(SYSTEM_ITEM.format));
  const newFormat = format === undefined ? undefined : checkFormat(format, shard);
  if (format === undefined) await bootstrapShard(kv, shard, clock);
  const state = await reserve(kv, roots, newFormat);
  return new Shard(options, roots, state);
}

/** A command while its members are put together. */
interface CommandDraft extends Omit<MutationCommand, 'caller' | 'operation' | 'args'> {
  readonly operation: MutationOperation;
  readonly args: MutationOperations[MutationOperation]['args'];
  caller?: Caller;
  freshSession?: SessionId;
}

class Shard implements ShardEngine {
  readonly #options: ShardOptions;
  readonly #retention: Retention;
  readonly #view: ShardView;
  readonly #reader: ReadView;
  readonly #roots: ShardRoots;
  readonly #pipeline: CommitPipeline;
  readonly #maintenance: Maintenance;
  readonly #durableListeners = new Set<Parameters<ShardEngine['onDurable']>[0]>();
  readonly #lostListeners = new Set<Parameters<ShardEngine['onLost']>[0]>();
  readonly #releasedListeners = new Set<Parameters<ShardEngine['onReleased']>[0]>();
  readonly #retentionDefault: RetentionPolicy;
  readonly #now = (): Timespec => this.#options.clock.now();
  readonly #pageLog: PathLogOptions;
  #gate: ShardGate | undefined;
  #nextLocal: number;
  #epoch: Epoch;
  #reads = 0;
  #closing: Promise<void> | undefined;
  /** Each reads a snapshot of the store, which outlives it. */
  readonly #images = new Set<Promise<unknown>>();
  /** Reads a snapshot of the store, too. */
  #check: AsyncGenerator<FsckItem, void> | undefined;

  constructor(options: ShardOptions, roots: ShardRoots, state: PipelineState) {
    this.#options = options;
    this.#roots = roots;
    this.#retention = { ...RETENTION_DEFAULT, ...options.retention };
    this.#retentionDefault = policyDefault(this.#retention);
    this.#pageLog = this.#logOptions(DIRECTORIES_OF_A_PAGE_MAX);
    this.#view = new ShardView(options.kv, new Overlay());
    this.#view.freshFrom = makeInodeNumber(options.shard, state.progress.inodesReserved - RESERVED_AHEAD);
    this.#reader = new ReadView(this.#view, roots.root);
    this.#nextLocal = state.progress.inodesReserved - RESERVED_AHEAD;
    this.#epoch = readEpoch(options.kv);
    this.#pipeline = new CommitPipeline(
      this.#view,
      options.sink ?? localSink(options.kv),
      roots,
      state,
      {
        onDurable: (version, changes) => this.#durableListeners.forEach((listener) => listener(version, changes)),
        onLost: (first, last) => this.#lostListeners.forEach((listener) => listener(first, last)),
        onReleased: (inodes) => this.#releasedListeners.forEach((listener) => listener(inodes)),
      },
      () => this.#gate?.refusal(),
      (ms) => options.clock.sleep(ms),
      (missing) => this.#materialise(missing),
    );
    this.#maintenance = new Maintenance(
      this.#view,
      roots,
      this.#pipeline,
      (operation, args) => this.#submitInternal(operation, args).wait('durable'),
      () => this.#gate?.refusal(),
      options.clock,
      options.window ?? {},
    );
  }

  read<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    context: ReadContext,
  ): ReadResult<Op> | Promise<ReadResult<Op>> {
    this.#refuseIfClosed();
    this.#reads += 1;
    const view = this.#view;
    view.touched = 0;
    let result: ReadResult<Op>;
    try {
      result = this.#answer(operation, args, context);
    } catch (error) {
      if (error instanceof Unmaterialised) return this.#materialise(error).then(() => this.read(operation, args, context));
      const flush = context.visible || view.touched === 0 ? undefined : this.#pipeline.whenFlushed(view.touched);
      if (flush === undefined) throw error;
      return flush.then(() => {
        throw error;
      });
    }
    if (context.visible || view.touched === 0) return result;
    const flush = this.#pipeline.whenFlushed(view.touched);
    return flush === undefined ? result : flush.then(() => result);
  }

  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: MutateContext,
  ): Promise<Committed<MutationResult<Op>>> {
    try {
      this.#refuseIfClosed();
      const waiter = deferred<Evaluated>();
      this.#mutate(operation, args, checkRequestId(context.requestId), context, waiter, this.#options.clock.now());
      return waiter.promise as Promise<Committed<MutationResult<Op>>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  diff(args: DiffArgs): AsyncIterable<DiffItem> {
    this.#refuseIfClosed();
    const { progress } = this.#pipeline.durable;
    const bounds = { newest: progress.version, forgotten: progress.changesForgotten, time: this.#now() };
    const source = {
      view: this.#view,
      root: this.#roots.root,
      bounds,
      materialise: (missing: Unmaterialised) => this.#materialise(missing, 'durable'),
      refuse: () => this.#refuseIfClosed(),
    };
    return diffItems(source, args);
  }

  mutateMany(items: readonly BatchItem[], context: MutateContext): Promise<readonly BatchAnswer[]> {
    try {
      this.#refuseIfClosed();
      checkBatch(items, context.requestId);
      this.#pipeline.refuseBeyond(items.length);
    } catch (error) {
      return Promise.reject(error);
    }
    const batch = new BatchWaiters(items);
    const idAt = batchItemIds(context.requestId);
    // One reading of the clock for all: they came at one time.
    const time = this.#options.clock.now();
    const isFirstTime = !this.#hasStored(idAt(0), idAt(items.length - 1));
    for (let at = 0; at < items.length; at++) {
      const { operation, args, requestId } = items[at] as BatchItem;
      const waiter = batch.at(at);
      try {
        const id = requestId === undefined ? idAt(at) : checkRequestId(requestId);
        this.#mutate(operation, args, id, context, waiter, time, isFirstTime && requestId === undefined);
      } catch (error) {
        waiter.reject(toNokvError(error));
      }
    }
    return batch.answers;
  }

  pathLog(after: ChangeCursor, directoriesMax: number): PathLog {
    this.#refuseIfClosed();
    const { visible } = this.#pipeline;
    if (after.version > visible.progress.version) {
      throw new NokvError(
        'invalid-argument',
        `the cursor is at version ${after.version}, ahead of the log, which ends at ${visible.progress.version}: it is another namespace's or this one was restored; read the tree again and go on from there`,
        { details: { next: this.durableVersion } },
      );
    }
    return new PathLog(after, this.#logOptions(directoriesMax));
  }

  hasUpload(upload: UploadId): boolean {
    const bytes = this.#view.get(uploadKey(upload));
    if (bytes === undefined) return false;
    const { state, expires } = decodeUpload(bytes);
    return state === 'open' && timespecToMs(expires) > this.#options.clock.nowMs();
  }

  get visibleVersion(): Version {
    return this.#pipeline.visible.progress.version;
  }

  get durableVersion(): Version {
    return this.#pipeline.durable.progress.version;
  }

  onDurable(listener: Parameters<ShardEngine['onDurable']>[0]): () => void {
    this.#durableListeners.add(listener);
    return () => this.#durableListeners.delete(listener);
  }

  onLost(listener: Parameters<ShardEngine['onLost']>[0]): () => void {
    this.#lostListeners.add(listener);
    return () => this.#lostListeners.delete(listener);
  }

  onReleased(listener: Parameters<ShardEngine['onReleased']>[0]): () => void {
    this.#releasedListeners.add(listener);
    return () => this.#releasedListeners.delete(listener);
  }

  get failed(): Promise<Error> {
    return this.#pipeline.failed;
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  async adoptEpoch(epoch: Epoch): Promise<void> {
    if (epoch <= this.#epoch) {
      throw new NokvError('fenced', `this shard has served under epoch ${this.#epoch}; epoch ${epoch} is over`, {
        details: { epoch: this.#epoch, asked: epoch },
      });
    }
    await this.#submitInternal('adopt-epoch', { epoch }).wait('durable');
    if (epoch > this.#epoch) this.#epoch = epoch;
  }

  setGate(gate: ShardGate): void {
    this.#gate = gate;
  }

  maintain(removeBlocks: (upload: UploadId) => Promise<void>): Promise<{ readonly more: boolean }> {
    try {
      this.#refuseIfClosed();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#maintenance.slice(removeBlocks);
  }

  unknownUploads(uploads: Iterable<UploadId>): readonly UploadId[] {
    this.#refuseIfClosed();
    const unknown: UploadId[] = [];
    for (const upload of uploads) {
      if (this.#view.get(extentKey(upload)) === undefined && this.#view.get(uploadKey(upload)) === undefined) unknown.push(upload);
    }
    return unknown;
  }

  async adoptStrays(strays: readonly StrayUpload[]): Promise<void> {
    this.#refuseIfClosed();
    if (strays.length > 0) await this.#submitInternal('adopt-strays', { strays }).wait('durable');
  }

  deadBlocks(store: BlockInventory, signal?: AbortSignal): AsyncIterable<SpaceItem> {
    return this.#overSnapshot(signal, (kv, pause) => deadBlocks({ kv, store, pause, signal }));
  }

  bodiesNaming(uploads: ReadonlySet<UploadId>, signal?: AbortSignal): AsyncIterable<NamingBody> {
    return this.#overSnapshot(signal, (kv, pause) => bodiesNaming(kv, uploads, pause));
  }

  async movePieces(moves: MovePieces): Promise<void> {
    this.#refuseIfClosed();
    await this.#submitInternal('move-pieces', moves).wait('durable');
  }

  /** What `look` finds in one state of the store; the shard is not closed before it has ended. */
  async *#overSnapshot<T>(
    signal: AbortSignal | undefined,
    look: (kv: KvReader, pause: () => Promise<void>) => AsyncIterable<T>,
  ): AsyncGenerator<T, void> {
    this.#refuseIfClosed();
    const ended = deferred<void>();
    this.#images.add(ended.promise);
    const snapshot = this.#options.kv.snapshot();
    const pause = async (): Promise<void> => {
      await new Promise<void>((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      this.#refuseIfClosed();
    };
    try {
      yield* look(snapshot, pause);
    } finally {
      snapshot.release();
      this.#images.delete(ended.promise);
      ended.resolve();
    }
  }

  mustServe(): void {
    this.#refuseIfClosed();
  }

  async writeImage(options: ImageOptions): Promise<WrittenImage> {
    this.#refuseIfClosed();
    const { kv, shard, clock, random } = this.#options;
    const snapshot = kv.snapshot();
    const mayGoOn = (): void => {
      this.#refuseIfClosed();
      options.mayGoOn?.();
    };
    const writing = writeImage({ ...options, mayGoOn, snapshot, shard, clock, random }).finally(() => snapshot.release());
    this.#images.add(writing);
    try {
      return await writing;
    } finally {
      this.#images.delete(writing);
    }
  }

  fsck(options: FsckOptions): AsyncIterable<FsckItem> {
    const check = this.#runCheck(options, () => {
      if (this.#check !== undefined) throw new NokvError('too-busy', 'another check of this shard is under way; wait for its end');
      this.#check = check;
    });
    return check;
  }

  async *#runCheck(options: FsckOptions, begin: () => void): AsyncGenerator<FsckItem, void> {
    this.#refuseIfClosed();
    begin();
    try {
      const { clock, kv } = this.#options;
      yield* fsck(
        {
          kv,
          roots: Object.values(this.#roots),
          nowMs: () => clock.nowMs(),
          inodes: this.#pipeline.durable.counters.inodes,
          mayShift: this.#options.sink === undefined,
          repair: (fix) => this.#repair(fix),
          pause: async () => {
            await new Promise<void>((resolve) => setImmediate(resolve));
            this.#refuseIfClosed();
          },
        },
        options,
      );
    } finally {
      this.#check = undefined;
    }
  }

  async figures({ rows }: ShardFiguresArgs): Promise<ShardFigures> {
    this.#refuseIfClosed();
    const { kv, shard } = this.#options;
    const { counters, progress } = this.#pipeline.durable;
    const trash = this.#reader.inode(this.#roots.trash);
    const { requestsForgotten, changesForgotten, pins, forks, policies, changeBytes } = progress;
    const pause = async (): Promise<void> => {
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.#refuseIfClosed();
    };
    return {
      shard,
      epoch: this.#epoch,
      visible: this.visibleVersion,
      durable: this.durableVersion,
      requestsForgotten,
      changesForgotten,
      pins,
      forks,
      policies,
      changeBytes,
      ...counters,
      trashed: trash?.children ?? 0,
      ...this.stats,
      store: storeFigures(kv),
      families: rows ? await familyFigures(kv, pause) : [],
    };
  }

  collectPlan(limit: number): CollectPlan {
    this.#refuseIfClosed();
    if (!Number.isInteger(limit) || limit < 1 || limit > COLLECT_ROWS_MAX) {
      throw new NokvError('invalid-argument', `a plan tells 1 to ${COLLECT_ROWS_MAX} rows, found limit ${limit}`);
    }
    return collectPlan(this.#options.kv, this.#options.clock.nowMs(), limit);
  }

  get stats(): ShardStats {
    const { commands, batches, flushes, queued } = this.#pipeline;
    return { commands, batches, flushes, queued, reads: this.#reads, rowsRead: this.#view.rowsRead };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #answer<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args'], { visible, caller }: ReadContext): ReadResult<Op> {
    const { visible: current, durable } = this.#pipeline;
    // Reads are synchronous: the reader acts for nobody else before this one is answered.
    this.#reader.caller = caller;
    return read(
      this.#reader,
      {
        counters: (visible ? current : durable).counters,
        newest: durable.progress.version,
        visible: current.progress.version,
        retentionDefault: this.#retentionDefault,
        // Rows go from the store as soon as their removal is committed, before it is flushed: whoever asks then must be told.
        changesForgotten: current.progress.changesForgotten,
        bytesCapacity: this.#options.bytesCapacity ?? BYTES_CAPACITY_DEFAULT,
        log: this.#pageLog,
        now: this.#now,
      },
      operation,
      args,
    );
  }

  #logOptions(directoriesMax: number): PathLogOptions {
    return {
      kv: this.#options.kv,
      root: this.#roots.root,
      bounds: () => {
        const { visible, durable } = this.#pipeline;
        return { newest: durable.progress.version, forgotten: visible.progress.changesForgotten };
      },
      refuse: () => this.#refuseIfClosed(),
      directoriesMax,
    };
  }

  /** Throws what keeps it out of the queue; everything else is told to the waiter. */
  #mutate(
    operation: MutationOperation,
    original: MutationOperations[MutationOperation]['args'],
    requestId: RequestId,
    context: MutateContext,
    waiter: Waiter,
    time: Timespec,
    isFirstTime = false,
  ): void {
    const { acknowledgement } = context;
    const caller = context.caller === undefined ? undefined : checkCaller(context.caller);
    const digest = digestOf(operation, caller === undefined ? original : { args: original, caller });
    const underWay = this.#pipeline.underWay(requestId);
    if (underWay !== undefined) return this.#join(underWay, digest, requestId, context, waiter);
    const stored = isFirstTime ? undefined : this.#storedResult(requestId, digest);
    if (stored !== undefined) return waiter.resolve(stored);
    this.#refuseExpired(requestId, context.attemptAgeMs);
    if (GROWING.has(operation) && this.#options.isRoomScarce?.() === true) throw noRoom();
    const args = this.#versioned(original);
    const bytes = COMMAND_BYTES + bytesOf(operation, args);
    const fresh = freshInodesOf(operation, args);
    if (fresh > FRESH_INODES_MAX) {
      throw new NokvError(
        'too-large',
        `a transaction may make ${FRESH_INODES_MAX} inodes at most, this one up to ${fresh}; make parents first`,
      );
    }
    // One shape for nearly all, and nothing copied: this is made for every mutation.
    const command: CommandDraft = {
      operation,
      args,
      requestId,
      digest,
      actor: checkActor(context.actor),
      time,
      freshInode: this.#drawInodes(fresh),
      freshUpload: operation === 'begin-upload' ? this.#drawUpload() : undefined,
      retention: this.#retention,
    };
    if (operation === 'open-session') command.freshSession = this.#drawSession();
    if (caller !== undefined) command.caller = caller;
    this.#pipeline.submit(command as Command, bytes).tell(waiter, acknowledgement);
  }

  /**
   * Makes directories of forks take over what somebody looked for: first what that rests on, forks of forks and directories on the
   * way to other names. Every step is a command that makes at least one more row stand on its own.
   */
  async #materialise(wanted: Unmaterialised, acknowledgement: 'durable' | 'visible' = 'visible'): Promise<void> {
    const waiting = [wanted];
    for (let steps = 0; ; steps++) {
      const next = waiting.at(-1);
      if (next === undefined) return;
      if (steps === MATERIALISE_STEPS_MAX) {
        throw new NokvError(
          'too-busy',
          `forks of forks lie more than ${MATERIALISE_STEPS_MAX} steps deep here; list the directories in between first`,
        );
      }
      const { directory, entry } = next;
      const args = { directory, entry, limit: MATERIALISE_ENTRIES };
      try {
        await this.#submitInternal('materialise', args, this.#drawInodes(freshInodesOf('materialise', args))).wait(acknowledgement);
        waiting.pop();
      } catch (error) {
        if (!(error instanceof Unmaterialised)) throw error;
        waiting.push(error);
      }
    }
  }

  /** Commands say versions, not times: which version a time names is decided here, by the change log. */
  #versioned<Args extends MutationOperations[MutationOperation]['args']>(args: Args): Args {
    const at = 'at' in args ? args.at : undefined;
    if (at === undefined || !('time' in at)) return args;
    const { version, changesForgotten } = this.#pipeline.durable.progress;
    return { ...args, at: { version: versionAtTime(this.#options.kv, at.time, version, changesForgotten) } };
  }

  /** The same request while its first arrival is under way. */
  #join(pending: Pending, digest: number, requestId: RequestId, { acknowledgement }: MutateContext, waiter: Waiter): void {
    if (!('digest' in pending.command) || pending.command.digest !== digest) throw reused(requestId);
    pending.tell(waiter, acknowledgement);
    if (acknowledgement === 'durable') this.#pipeline.hurry();
  }

  /** Whether there may be results of ids that follow on each other from `first` to `last`: one look for a whole batch. */
  #hasStored(first: RequestId, last: RequestId): boolean {
    const [start, end] = [requestKey(first), requestKey(last)];
    // Ids that began to count anew, and those whose order is not that of their places, are looked for one by one.
    if (start.length !== end.length || Buffer.compare(start, end) > 0 || !isPackable(first)) return true;
    for (const _found of this.#options.kv.range(start, keyAfter(end), { limit: 1 })) return true;
    return false;
  }

  #storedResult(requestId: RequestId, digest: number): Evaluated | undefined {
    const bytes = this.#options.kv.get(requestKey(requestId));
    if (bytes === undefined) return undefined;
    const row = decodeRequest(bytes);
    if (row.digest !== digest) throw reused(requestId);
    return { version: row.version, result: decodeResult(row.operation, row.result) };
  }

  /** A request first sent before the newest forgotten result may have had its result forgotten: it is not run again. */
  #refuseExpired(requestId: RequestId, attemptAgeMs: number | undefined): void {
    if (attemptAgeMs === undefined || attemptAgeMs <= 0) return;
    const { requestsForgottenMs } = this.#pipeline.visible.progress;
    if (requestsForgottenMs > 0 && this.#options.clock.nowMs() - attemptAgeMs <= requestsForgottenMs) {
      throw new NokvError(
        'request-expired',
        `request ${requestId} was first sent ${Math.round(attemptAgeMs / 1000)} s ago and its result, if any, is forgotten; look whether it took effect`,
        { outcome: 'unknown' },
      );
    }
  }

  #submitInternal<Op extends InternalOperation>(operation: Op, args: InternalOperations[Op], freshInode = this.#roots.root): Pending {
    const command = {
      operation,
      args,
      actor: 'nokv',
      time: this.#options.clock.now(),
      freshInode,
      freshUpload: undefined,
      retention: this.#retention,
    } as Command;
    return this.#pipeline.submit(command, COMMAND_BYTES);
  }

  async #repair(fix: RepairFix): Promise<void> {
    const args = { fix };
    try {
      await this.#submitInternal('repair', args, this.#drawInodes(freshInodesOf('repair', args))).wait('durable');
    } catch (error) {
      if (!(error instanceof Unmaterialised)) throw error;
      throw new NokvError(
        'revision-mismatch',
        'not mended: a directory of a fork there has no entries of its own yet; look into it, then check again',
      );
    }
  }

  #drawInodes(count: number): InodeNumber {
    const first = makeInodeNumber(this.#options.shard, this.#nextLocal);
    this.#nextLocal += count;
    return first;
  }

  #drawUpload(): UploadId {
    const { clock, random } = this.#options;
    return makeUploadId(clock.nowMs(), random.bytes(10));
  }

  #drawSession(): SessionId {
    const { clock, random } = this.#options;
    return makeSessionId(clock.nowMs(), random.bytes(ID_RANDOM_BYTES));
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw new NokvError('draining', 'the shard is closing; ask again in a moment, or another server');
    const refusal = this.#pipeline.fatal ?? this.#gate?.refusal();
    if (refusal !== undefined) throw refusal;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#images);
    await this.#check?.return().catch(() => undefined);
    await this.#pipeline.drained();
    if (this.#pipeline.fatal === undefined) await this.#returnReservation();
    await this.#options.kv.close();
  }

  /** After an orderly end the next start continues exactly here. */
  async #returnReservation(): Promise<void> {
    const { progress } = this.#pipeline.visible;
    const exact: ProgressRow = { ...progress, versionsReserved: progress.version, inodesReserved: this.#nextLocal };
    try {
      await this.#options.kv.commit([{ key: systemKey(SYSTEM_ITEM.progress), value: encodeProgress(exact) }]).flushed;
    } catch {
      // The reservation stays as it is: the next start skips the numbers in it, as after a crash.
    }
  }
}

/** The directories that every shard has. */
export function rootsOf(shard: ShardId): ShardRoots {
  return { root: makeInodeNumber(shard, 1), staging: makeInodeNumber(shard, 2), trash: makeInodeNumber(shard, 3) };
}

/** Makes the rows of a new shard, durably; refuses a store that is not empty. */
export async function bootstrapShard(kv: OrderedKv, shard: ShardId, clock: Clock): Promise<void> {
  const roots = rootsOf(shard);
  for (const { key } of kv.range(Uint8Array.of(0), Uint8Array.of(0xff), { limit: 1 })) {
    throw new NokvError(
      'unsupported-format',
      `expected a nokv shard or an empty environment, found a first key of ${key.length} bytes; choose another data directory`,
    );
  }
  const time = clock.now();
  const version = 1 as Version;
  const progress: ProgressRow = {
    version,
    versionsReserved: version,
    inodesReserved: 4,
    requestsForgotten: 0 as Version,
    requestsForgottenMs: 0,
    changesForgotten: 0 as Version,
    newestPinned: 0 as Version,
    pins: 0,
    forks: 0,
    policies: 0,
    pinsEnded: 0,
    changeBytes: 0,
  };
  const directories = Object.values(roots).map((ino: InodeNumber): KvWrite => {
    const inode = new Inode(ino, 'directory', time);
    inode.birth = version;
    inode.mode = DIRECTORY_MODE;
    inode.nlink = 2;
    return { key: inodeKey(ino), value: encodeInode(inode) };
  });
  await kv.commit([
    ...directories,
    { key: systemKey(SYSTEM_ITEM.format), value: encodeFormat({ shard, madeMs: Math.max(0, Math.floor(timespecToMs(time))) }) },
    { key: systemKey(SYSTEM_ITEM.epoch), value: encodeEpoch(0) },
    { key: systemKey(SYSTEM_ITEM.progress), value: encodeProgress(progress) },
    { key: countersKey(roots.root), value: encodeCounters({ bytes: 0, inodes: 0 }) },
  ]).flushed;
}

/** The row to be written in its place, where it is of an older format that can still be read. */
function checkFormat(bytes: Uint8Array, shard: ShardId): Buffer | undefined {
  const format = decodeFormat(bytes);
  if (format.shard !== shard) {
    throw new NokvError(
      'unsupported-format',
      `expected the environment of shard ${shard}, found that of shard ${format.shard}; choose its own data directory`,
    );
  }
  const newest = encodeFormat(format);
  return newest.equals(bytes) ? undefined : newest;
}

/** Continues above everything that was ever handed out, and makes that durable before anything new is. */
async function reserve(kv: OrderedKv, roots: ShardRoots, newFormat: Buffer | undefined): Promise<PipelineState> {
  const progressRow = kv.get(systemKey(SYSTEM_ITEM.progress));
  assert(progressRow !== undefined, 'a shard has a progress row');
  const progress = reserveFrom(decodeProgress(progressRow));
  const countersRow = kv.get(countersKey(roots.root));
  assert(countersRow !== undefined, 'a shard has a counters row');
  const counters = decodeCounters(countersRow);
  const writes: KvWrite[] = [{ key: systemKey(SYSTEM_ITEM.progress), value: encodeProgress(progress) }];
  // From now on rows are written that a build of an older format would misread.
  if (newFormat !== undefined) writes.push({ key: systemKey(SYSTEM_ITEM.format), value: newFormat });
  await kv.commit(writes).flushed;
  return { counters, progress };
}

function readEpoch(kv: OrderedKv): Epoch {
  const bytes = kv.get(systemKey(SYSTEM_ITEM.epoch));
  assert(bytes !== undefined, 'a shard has an epoch row');
  return decodeEpoch(bytes) as Epoch;
}

function noRoom(): NokvError {
  return new NokvError(
    'no-space',
    'the disk under the metadata is almost full; free some space, or remove something and wait for its retention',
  );
}

function reused(requestId: RequestId): NokvError {
  return new NokvError('request-reused', `request id ${requestId} was used for another request; draw a fresh one for each mutation`);
}

function checkActor(actor: string): string {
  if (Buffer.byteLength(actor) > 255) throw new NokvError('invalid-argument', 'an actor has at most 255 bytes');
  return actor;
}

function checkBatch(items: readonly BatchItem[], id: RequestId): void {
  if (items.length > BATCH_MAX)
    throw new NokvError('too-large', `a batch has at most ${BATCH_MAX} mutations, found ${items.length}; split it`);
  if (checkRequestId(id).length > REQUEST_ID_CHARACTERS_MAX - PLACE_CHARACTERS_MAX) {
    throw new NokvError(
      'invalid-argument',
      `the id of a batch has at most ${REQUEST_ID_CHARACTERS_MAX - PLACE_CHARACTERS_MAX} characters, found "${id}"`,
    );
  }
  for (const { operation } of items) {
    if (!LISTED.has(operation))
      throw new NokvError('invalid-argument', `a batch takes ${LISTED_OPERATIONS.join(', ')}, found ${operation}`);
  }
}

/** About the memory that a command holds. */
function bytesOf(operation: MutationOperation, args: MutationOperations[MutationOperation]['args']): number {
  return operation === 'transact' ? checkTransact(args as TransactArgs, (one) => COMMAND_BYTES + bytesOfOne(one.args)) : bytesOfOne(args);
}

function bytesOfOne(args: MutationOperations[MutationOperation]['args']): number {
  if ('body' in args) return args.body.kind === 'inline' ? args.body.bytes.length : args.body.manifest.extents.length * 64;
  return 'value' in args ? args.value.length : 0;
}
