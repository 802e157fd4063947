/**
 * The single writer of a shard: takes waiting commands in batches, evaluates them over the overlay, hands each batch to the store as
 * one commit, and evaluates the next while the last ones are on their way to disk.
 *
 * Invariants:
 * - A command gets its version when it is evaluated; versions rise with the order of evaluation, which is the order of commits.
 * - A durable reply goes out after the flush of the command's batch, and a refusal after the flush of the newest batch whose
 *   rows it rests on. A visible reply goes out once evaluated, when every later read of this shard sees it.
 * - At most `BATCHES_IN_FLIGHT_MAX` batches are with the store; one more is open and takes what is evaluated meanwhile, so that
 *   whoever waits to see a command does not wait for the disk. The open batch and the queue are bounded.
 * - A batch that nobody waits for (visible replies alone) stays open for `LINGER_MS`, so that a stream of them shares commits: a
 *   commit costs ten times what a command does. Whoever comes to wait for such a batch closes it.
 * - A failed commit drops the overlay and fails everything that was evaluated on it; the state is then that of the store.
 *   Versions and inode numbers that were handed out are not handed out again.
 * - A failed flush leaves it open what a power cut would undo, and a commit that is fenced or of unknown outcome leaves it open who
 *   writes: the shard stops serving.
 */
import { NokvError, toNokvError, type ChangeRecord, type InodeNumber, type RequestId, type Version } from '@nokv/types';
import type { Command } from './command.js';
import { deferred, type Deferred } from './deferred.js';
import { Unmaterialised } from './history/unmaterialised.js';
import type { DurabilitySink } from './durability-sink.js';
import {
  beginBatch,
  evaluateCommand,
  reserve,
  takeWrites,
  type Evaluated,
  type EvaluatedBatch,
  type PipelineState,
} from './evaluated-batch.js';
import type { KvCommit } from './ordered-kv.js';
import type { ShardView } from './overlay.js';
import type { ShardRoots } from './transaction.js';

/** A commit costs as much as tens of commands: one of many commands is cheaper for each. */
const BATCH_COMMANDS_MAX = 256;
/** Of a batch that finds the store idle: small enough that the next is evaluated while this one is on its way, also for few callers. */
const FIRST_COMMANDS_MAX = 128;
/** What the open batch may hold while every place in flight is taken: what a power cut can take from those who saw it. */
const OPEN_COMMANDS_MAX = 1024;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
const BATCHES_IN_FLIGHT_MAX = 6;
/** How long a batch that nobody waits for may gather: little beside a flush, much beside a command. */
export const LINGER_MS = 3;
const QUEUE_COMMANDS_MAX = 32_768;
/** Somebody who waits for a command. */
export interface Waiter {
  resolve(evaluated: Evaluated): void;
  reject(error: Error): void;
}

/** A command on its way, with everyone who waits for it. */
export class Pending {
  readonly command: Command;
  readonly bytes: number;
  /** Set once evaluated with success. */
  evaluated: Evaluated | undefined;
  /** Made when somebody waits: most commands have one who waits for one of the two. */
  #visible: Waiter[] | undefined;
  #durable: Waiter[] | undefined;

  constructor(command: Command, bytes: number) {
    this.command = command;
    this.bytes = bytes;
  }

  /** Somebody waits until it is durable. */
  get isAwaited(): boolean {
    return this.#durable !== undefined;
  }

  wait(acknowledgement: 'durable' | 'visible'): Promise<Evaluated> {
    const waiter = deferred<Evaluated>();
    this.tell(waiter, acknowledgement);
    return waiter.promise;
  }

  tell(waiter: Waiter, acknowledgement: 'durable' | 'visible'): void {
    if (acknowledgement === 'durable') (this.#durable ??= []).push(waiter);
    else if (this.evaluated === undefined) (this.#visible ??= []).push(waiter);
    else waiter.resolve(this.evaluated);
  }

  becameVisible(evaluated: Evaluated): void {
    this.evaluated = evaluated;
    const waiters = this.#visible;
    this.#visible = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter.resolve(evaluated);
  }

  becameDurable(evaluated: Evaluated): void {
    const waiters = this.#durable;
    this.#durable = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter.resolve(evaluated);
  }

  /** Tells those who did not ask for durability. */
  refuseVisible(error: Error): void {
    const waiters = this.#visible;
    this.#visible = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter.reject(error);
  }

  fail(error: Error): void {
    this.refuseVisible(error);
    const waiters = this.#durable;
    this.#durable = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter.reject(error);
  }
}

interface Batch extends EvaluatedBatch {
  readonly done: Pending[];
  /** Refusals that rest on rows of this batch. */
  readonly refused: { readonly pending: Pending; readonly error: NokvError }[];
  /** Reads that saw rows of this batch. */
  readonly readers: Deferred<void>[];
  /** About the bytes that its commands hold. */
  bytes: number;
  /** Somebody waits for its flush. */
  isAwaited: boolean;
  linger: 'not-yet' | 'lingers' | 'over';
}

export interface PipelineListeners {
  onDurable(version: Version, changes: readonly ChangeRecord[]): void;
  /** Inodes whose locks were let go or lowered. */
  onReleased(inodes: ReadonlySet<InodeNumber>): void;
  /** Versions that were shown as visible and will never be durable. */
  onLost(first: Version, last: Version): void;
}

export class CommitPipeline {
  readonly #view: ShardView;
  readonly #sink: DurabilitySink;
  readonly #roots: ShardRoots;
  readonly #listeners: PipelineListeners;
  readonly #refusal: () => Error | undefined;
  readonly #pause: (ms: number) => Promise<void>;
  readonly #materialise: (missing: Unmaterialised) => Promise<void>;
  readonly #queue: Pending[] = [];
  readonly #inFlight: Batch[] = [];
  /** Evaluated, and waiting for a place in flight or for company. Never empty. */
  #open: Batch | undefined;
  readonly #requests = new Map<RequestId, Pending>();
  /** As after the last flush, and as after the last evaluation. */
  #settled: PipelineState;
  #current: PipelineState;
  #batchNumber = 0;
  #isPumpQueued = false;
  /** Commands that wait for directories of forks to take something over. */
  #detours = 0;
  #fatal: NokvError | undefined;
  readonly #failed = deferred<NokvError>();
  #idle: Deferred<void> | undefined;
  commands = 0;
  batches = 0;
  flushes = 0;

  constructor(
    view: ShardView,
    sink: DurabilitySink,
    roots: ShardRoots,
    state: PipelineState,
    listeners: PipelineListeners,
    refusal: () => Error | undefined,
    pause: (ms: number) => Promise<void>,
    materialise: (missing: Unmaterialised) => Promise<void>,
  ) {
    this.#view = view;
    this.#sink = sink;
    this.#roots = roots;
    this.#settled = state;
    this.#current = state;
    this.#listeners = listeners;
    this.#refusal = refusal;
    this.#pause = pause;
    this.#materialise = materialise;
  }

  get visible(): PipelineState {
    return this.#current;
  }

  get durable(): PipelineState {
    return this.#settled;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Why the shard cannot go on, once it cannot: what every later call is told. */
  get fatal(): NokvError | undefined {
    return this.#fatal;
  }

  /** Resolves with the reason once the shard cannot go on. */
  get failed(): Promise<NokvError> {
    return this.#failed.promise;
  }

  /** The command that is under way under this request id. */
  underWay(requestId: RequestId): Pending | undefined {
    return this.#requests.get(requestId);
  }

  submit(command: Command, bytes: number): Pending {
    if (this.#fatal !== undefined) throw this.#fatal;
    this.refuseBeyond(1);
    const pending = new Pending(command, bytes);
    this.#queue.push(pending);
    if ('requestId' in command) this.#requests.set(command.requestId, pending);
    this.#schedule();
    return pending;
  }

  /** Refuses so many more commands where the queue has no room for all of them. */
  refuseBeyond(count: number): void {
    if (this.#queue.length + count <= QUEUE_COMMANDS_MAX) return;
    throw new NokvError(
      'too-busy',
      `${this.#queue.length} mutations wait already, ${QUEUE_COMMANDS_MAX} at most may; try again in a moment`,
    );
  }

  /** The newest batch that is not flushed, if `touched` is at least that young; else undefined: durable already. */
  whenFlushed(touched: number): Promise<void> | undefined {
    const batch = this.#batchOf(touched);
    if (batch === undefined) return undefined;
    const reader = deferred<void>();
    batch.readers.push(reader);
    if (batch === this.#open) this.hurry();
    return reader.promise;
  }

  /** Somebody waits for what is evaluated: the open batch lingers no more. */
  hurry(): void {
    if (this.#open === undefined || this.#open.isAwaited) return;
    this.#open.isAwaited = true;
    this.#schedule();
  }

  /** Resolves when nothing waits and nothing is in flight. */
  async drained(): Promise<void> {
    if (this.#queue.length === 0 && this.#inFlight.length === 0 && this.#open === undefined && this.#detours === 0) return;
    this.hurry();
    this.#idle ??= deferred();
    await this.#idle.promise;
  }

  /** Commands that arrive in one turn of the event loop share a batch. */
  #schedule(): void {
    if (this.#isPumpQueued) return;
    this.#isPumpQueued = true;
    queueMicrotask(() => this.#pump());
  }

  /** Evaluates one batch of what waits and commits it if there is a place; the rest follows in the next turn. */
  #pump(): void {
    this.#isPumpQueued = false;
    if (this.#fatal !== undefined) return this.#tellIdle();
    const hasPlace = this.#inFlight.length < BATCHES_IN_FLIGHT_MAX;
    const batch = this.#open ?? this.#newBatch();
    const taken = this.#takeCommands(this.#commandsMax() - batch.done.length, BATCH_BYTES_MAX - batch.bytes);
    this.#evaluate(batch, taken);
    this.#open = batch.done.length === 0 ? undefined : batch;
    if (hasPlace && this.#open !== undefined && !this.#lingers(batch)) {
      this.#open = undefined;
      this.#commit(batch);
    }
    if (taken > 0 && this.#queue.length > 0) {
      // The store's writer starts between turns of the event loop, and reads get theirs.
      this.#isPumpQueued = true;
      setImmediate(() => this.#pump());
    }
    this.#tellIdle();
  }

  /** What the batch that is evaluated now may hold. */
  #commandsMax(): number {
    if (this.#inFlight.length >= BATCHES_IN_FLIGHT_MAX) return OPEN_COMMANDS_MAX;
    return this.#inFlight.length === 0 ? FIRST_COMMANDS_MAX : BATCH_COMMANDS_MAX;
  }

  /** Whether the batch may gather more; the first time that it may, its time begins to run. */
  #lingers(batch: Batch): boolean {
    const isWanted = batch.isAwaited || batch.refused.length > 0 || batch.readers.length > 0 || this.#idle !== undefined;
    if (isWanted || batch.linger === 'over' || batch.done.length >= BATCH_COMMANDS_MAX) return false;
    if (batch.linger === 'lingers') return true;
    batch.linger = 'lingers';
    const over = (): void => {
      batch.linger = 'over';
      if (this.#open === batch) this.#schedule();
    };
    this.#pause(LINGER_MS).then(over, over);
    return true;
  }

  /** How many of the waiting commands fit; always one when there is room at all. */
  #takeCommands(countMax: number, bytesMax: number): number {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      bytes += pending.bytes;
      if (count >= Math.min(countMax, BATCH_COMMANDS_MAX) || (bytes > bytesMax && (count > 0 || this.#open !== undefined))) break;
      count += 1;
    }
    return count;
  }

  #newBatch(): Batch {
    return {
      ...beginBatch(++this.#batchNumber, this.#current),
      done: [],
      refused: [],
      readers: [],
      bytes: 0,
      isAwaited: false,
      linger: 'not-yet',
    };
  }

  #evaluate(batch: Batch, count: number): void {
    const refusal = this.#refusal();
    for (const pending of this.#queue.splice(0, count)) {
      this.commands += 1;
      // Adopting an epoch is how a closed gate comes to open.
      if (refusal === undefined || pending.command.operation === 'adopt-epoch') this.#evaluateOne(batch, pending);
      else this.#refuse(pending, toNokvError(refusal));
    }
    if (batch.done.length === 0) return;
    reserve(batch.progress);
    this.#current = { counters: { ...batch.counters }, progress: { ...batch.progress } };
  }

  #evaluateOne(batch: Batch, pending: Pending): void {
    let evaluated: Evaluated;
    try {
      evaluated = evaluateCommand(this.#view, this.#roots, batch, pending.command);
    } catch (error) {
      if (error instanceof Unmaterialised) this.#detour(pending, error);
      else this.#refuseWhenDurable(batch, pending, notApplied(error), this.#view.touched);
      return;
    }
    batch.bytes += pending.bytes;
    batch.done.push(pending);
    if (pending.isAwaited) batch.isAwaited = true;
    pending.becameVisible(evaluated);
  }

  /** No refusal: what the command looked for is made, then it is evaluated again, whoever waits for it meanwhile. */
  #detour(pending: Pending, missing: Unmaterialised): void {
    if (pending.command.operation === 'materialise') return this.#refuse(pending, missing);
    this.#detours += 1;
    const again = (): void => {
      this.#detours -= 1;
      if (this.#fatal !== undefined) return this.#refuse(pending, this.#fatal);
      this.#queue.push(pending);
      this.#schedule();
    };
    const refused = (error: unknown): void => {
      this.#detours -= 1;
      this.#refuse(pending, notApplied(error));
      this.#tellIdle();
    };
    this.#materialise(missing).then(again, refused);
  }

  #commit(batch: Batch): void {
    const writes = takeWrites(batch, this.#roots);
    const { done, firstVersion, bytes } = batch;
    this.#inFlight.push(batch);
    this.batches += 1;
    void this.#settle(batch, this.#sink.commit({ writes, done, firstVersion, bytes }));
  }

  /** Batches settle in the order of their commits, since the store's promises do. */
  async #settle(batch: Batch, commit: KvCommit): Promise<void> {
    try {
      await commit.committed;
    } catch (error) {
      const cause = toNokvError(error);
      // A store that fails without a word of ours has stored nothing: it keeps its promise of all or nothing.
      if (error === cause && (cause.kind === 'fenced' || cause.outcome === 'unknown')) this.#stepDown(batch, cause);
      else this.#lose(batch, cause);
      return;
    }
    try {
      await commit.flushed;
    } catch (error) {
      this.#stop(batch, toNokvError(error));
      return;
    }
    if (!this.#inFlight.includes(batch)) return;
    this.flushes += 1;
    for (const earlier of this.#inFlight.splice(0, this.#inFlight.indexOf(batch) + 1)) this.#flushed(earlier);
    this.#pump();
  }

  #flushed(batch: Batch): void {
    for (const row of batch.rows) this.#view.overlay.settle(row);
    this.#settled = { counters: batch.counters, progress: batch.progress };
    for (const pending of batch.done) {
      this.#forgetRequest(pending);
      if (pending.evaluated !== undefined) pending.becameDurable(pending.evaluated);
    }
    for (const { pending, error } of batch.refused) this.#refuse(pending, error);
    for (const reader of batch.readers) reader.resolve();
    this.#listeners.onDurable(batch.progress.version, batch.changes);
    if (batch.released.size > 0) this.#listeners.onReleased(batch.released);
  }

  /** A commit that did not happen: neither it nor anything evaluated on it did. */
  #lose(batch: Batch, cause: NokvError): void {
    const at = this.#inFlight.indexOf(batch);
    // A batch that was evaluated on a lost one and went with it.
    if (at < 0) return;
    const lost = [...this.#inFlight.splice(at), ...this.#takeOpen()];
    const { version } = this.#current.progress;
    const base = this.#inFlight.at(-1) ?? this.#settled;
    // Versions that were shown are not shown again; the reservation in the store covers them.
    this.#current = { counters: base.counters, progress: { ...base.progress, version } };
    this.#abandon(lost, new NokvError(cause.code, cause.message, { outcome: 'not-applied', details: cause.details, cause }));
    for (const { rows } of this.#inFlight) for (const row of rows) this.#view.overlay.set(row);
    this.#sink.resume();
    this.#pump();
  }

  /** A flush that failed: what is stored is no longer known. */
  #stop(batch: Batch, cause: NokvError): void {
    const error = new NokvError(
      cause.code === 'no-space' ? 'no-space' : 'unavailable',
      `the metadata could not be flushed to disk (${cause.message}); the shard has stopped: look at the disk and start the server again`,
      { outcome: 'unknown', cause },
    );
    const lost = [...this.#inFlight.splice(0), ...this.#takeOpen()];
    this.#abandon(lost.includes(batch) ? lost : [batch, ...lost], error);
    this.#end(error);
  }

  /**
   * Another owner writes, or nobody can tell what became of the batch; what was evaluated after it certainly never happened.
   * Earlier batches settle as they would have.
   */
  #stepDown(batch: Batch, cause: NokvError): void {
    if (this.#fatal !== undefined) return;
    const at = this.#inFlight.indexOf(batch);
    if (at < 0) return;
    const [, ...later] = [...this.#inFlight.splice(at), ...this.#takeOpen()];
    this.#abandon([batch], cause);
    this.#abandon(later, new NokvError(cause.code, cause.message, { details: cause.details, cause }));
    this.#end(cause);
  }

  #end(error: NokvError): void {
    // Whatever waits or comes from now on is certainly not applied.
    this.#fatal = new NokvError(error.code, error.message, { details: error.details, cause: error });
    for (const pending of this.#queue.splice(0)) this.#refuse(pending, this.#fatal);
    this.#tellIdle();
    this.#failed.resolve(error);
  }

  #tellIdle(): void {
    if (this.#queue.length > 0 || this.#inFlight.length > 0 || this.#open !== undefined || this.#detours > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  #takeOpen(): Batch[] {
    const open = this.#open;
    this.#open = undefined;
    return open === undefined ? [] : [open];
  }

  #abandon(lost: readonly Batch[], error: NokvError): void {
    this.#view.overlay.clear();
    const [first] = lost;
    const last = lost.at(-1);
    if (first !== undefined && last !== undefined) this.#listeners.onLost(first.firstVersion, last.progress.version);
    for (const { done, refused, readers } of lost) {
      for (const pending of done) this.#refuse(pending, error);
      for (const { pending } of refused) this.#refuse(pending, error);
      for (const reader of readers) reader.reject(error);
    }
  }

  #refuseWhenDurable(batch: Batch, pending: Pending, error: NokvError, touched: number): void {
    const restsOn = touched === batch.number ? batch : this.#batchOf(touched);
    pending.refuseVisible(error);
    if (restsOn === undefined) this.#refuse(pending, error);
    else restsOn.refused.push({ pending, error });
  }

  #refuse(pending: Pending, error: NokvError | Unmaterialised): void {
    this.#forgetRequest(pending);
    pending.fail(error);
  }

  #forgetRequest({ command }: Pending): void {
    if ('requestId' in command) this.#requests.delete(command.requestId);
  }

  #batchOf(number: number): Batch | undefined {
    if (number === 0) return undefined;
    return this.#inFlight.find((batch) => batch.number >= number) ?? this.#open;
  }
}

/** Whatever went wrong while a command was evaluated, nothing of it was written. */
function notApplied(error: unknown): NokvError {
  const { code, message, details, outcome } = toNokvError(error);
  return error instanceof NokvError && outcome === 'not-applied' ? error : new NokvError(code, message, { details, cause: error });
}
