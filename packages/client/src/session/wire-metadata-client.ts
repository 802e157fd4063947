/** {@link MetadataClient} over a {@link Link}: request ids, deadlines, retries and the change stream. */
import type {
  AccessResult,
  Acknowledgement,
  BackupArgs,
  BackupItem,
  BatchAnswer,
  BatchItem,
  Caller,
  ChangeRecord,
  ChangeRoot,
  Clock,
  CollectArgs,
  CollectResult,
  DiffArgs,
  DiffItem,
  ErrorCode,
  FsckArgs,
  FsckItem,
  LockArgs,
  MutationOperation,
  MutationOperations,
  MutationResult,
  PresignGetsArgs,
  PresignPutsArgs,
  PresignResult,
  Random,
  ReadOperation,
  ReadOperations,
  ReadResult,
  ShardFigures,
  ShardFiguresArgs,
  Version,
} from '@nokv/types';
import { NokvError, isNokvError, toNokvError } from '@nokv/types';
import type { ServerInfo, WatchPathArgs, WatchPathItem } from '@nokv/protocol';
import type {
  CallOptions,
  LockWaitOptions,
  MetadataClient,
  MutateOptions,
  Mutated,
  TicketedUpload,
  WatchPathOptions,
} from '../metadata-client.js';
import type { RequestIds } from '../request-ids.js';
import type { Connection } from '../wire/connection.js';
import { DurableMarks } from './durable-marks.js';
import type { Link } from './link.js';
import { takeLock } from './lock-wait.js';
import { isPassing, retryDelayMs, retrying, type CallBudget, type RetryPolicy } from './retry.js';
import { sharedSignal } from './shared-signal.js';
import { withinBudget } from './within-budget.js';

export interface WireMetadataOptions {
  readonly link: Link;
  readonly actor: string;
  /** Whom every call acts for; absent: they are trusted. */
  readonly caller?: Caller | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly requestIds: RequestIds;
}

const NO_OPTIONS: CallOptions = {};
/** Items of a comparison on their way; each has up to thousands of rows. */
const DIFF_WINDOW = 4;
/** Connections in a row that a check may lose before it tells anything. */
const CHECK_FAILURES_MAX = 3;
/** Servers that answer so may not serve us now, another address may. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['not-owner', 'lease-lost', 'fenced', 'draining']);

export class WireMetadataClient implements MetadataClient {
  readonly #link: Link;
  readonly #options: WireMetadataOptions;
  readonly #policy: RetryPolicy;
  readonly #closing = new AbortController();
  readonly #durable = new DurableMarks();
  /** Watches under way: their announcements feed the marks. */
  #watchers = 0;

  constructor(options: WireMetadataOptions) {
    this.#link = options.link;
    this.#options = options;
    this.#policy = { clock: options.clock, random: options.random };
  }

  read<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    options: CallOptions = NO_OPTIONS,
  ): Promise<ReadResult<Op>> {
    const { signal, visible } = options;
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      // The generic call cannot tell reads from mutations before `Op` is known; the overload picked here is the read's.
      (connection.call as ReadCall)(operation, args, { signal, timeoutMs, visible, caller: this.#options.caller }),
    ) as Promise<ReadResult<Op>>;
  }

  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    options: MutateOptions = NO_OPTIONS,
  ): Promise<Mutated<Op extends 'begin-upload' | 'renew-upload' ? TicketedUpload : MutationResult<Op>>> {
    const { signal, acknowledgement = 'durable' } = options;
    const requestId = options.requestId ?? this.#options.requestIds.draw();
    const firstAttemptMs = options.firstAttemptMs ?? this.#options.clock.nowMs();
    const { actor, caller } = this.#options;
    return this.#retry(options, requestId, (connection, timeoutMs) => {
      const call = (connection.call as MutationCall)(operation, args, {
        requestId,
        actor,
        acknowledgement,
        firstAttemptMs,
        caller,
        signal,
        timeoutMs,
      });
      return call.then((answer) => {
        this.#durable.answered(connection.server.incarnation, answer.version, acknowledgement === 'durable');
        return answer;
      });
    }) as Promise<Mutated<Op extends 'begin-upload' | 'renew-upload' ? TicketedUpload : MutationResult<Op>>>;
  }

  async waitForLock(args: LockArgs, options: LockWaitOptions = {}): Promise<Mutated<MutationResult<'lock'>>> {
    const { onWaiting, timeoutMs = Number.POSITIVE_INFINITY } = options;
    const requestId = options.requestId ?? this.#options.requestIds.draw();
    const { actor, caller, clock } = this.#options;
    const asked = { ...args, requestId, actor, ...(caller === undefined ? {} : { caller }) };
    let why: string | undefined;
    const waits = (reason: string): void => {
      if (why === undefined) onWaiting?.(reason);
      why = reason;
    };
    const end = new AbortController();
    const signal = options.signal === undefined ? end.signal : AbortSignal.any([sharedSignal(options.signal), end.signal]);
    const freed = new AbortController();
    if (Number.isFinite(timeoutMs)) {
      const late = (): void =>
        end.abort(new NokvError('deadline-exceeded', `the lock was not free within ${timeoutMs} ms${why === undefined ? '' : `: ${why}`}`));
      clock.sleep(timeoutMs, freed.signal).then(late, () => undefined);
    }
    let isAsked = false;
    try {
      return await this.#retry({ signal, timeoutMs: Number.POSITIVE_INFINITY }, undefined, (connection) => {
        isAsked = true;
        return takeLock(connection.stream('lock-wait', asked, { signal }), waits);
      });
    } catch (thrown) {
      const { code, message, details } = toNokvError(thrown);
      if (!signal.aborted || !isAsked) throw thrown;
      throw new NokvError(code, message, { outcome: 'unknown', details: { ...details, requestId }, cause: thrown });
    } finally {
      freed.abort();
    }
  }

  async mutateMany(items: readonly BatchItem[], options: MutateOptions = NO_OPTIONS): Promise<readonly BatchAnswer[]> {
    const { signal, acknowledgement = 'durable' } = options;
    const requestId = options.requestId ?? this.#options.requestIds.draw(items.length);
    const firstAttemptMs = options.firstAttemptMs ?? this.#options.clock.nowMs();
    const { actor, caller } = this.#options;
    let partial: { readonly answers: readonly BatchAnswer[]; readonly because: NokvError } | undefined;
    try {
      return await this.#retry(options, requestId, async (connection, timeoutMs) => {
        const call = { requestId, actor, acknowledgement, firstAttemptMs, caller, signal, timeoutMs };
        const { answers } = await connection.call('batch', { items }, call);
        this.#answeredMany(connection, answers, acknowledgement);
        // Items that the server could not take for the moment: the batch is sent again, the others keep their results.
        const passing = answers.find((answer) => !answer.ok && isPassing(answer.error));
        if (passing === undefined || passing.ok) return answers;
        partial = { answers, because: passing.error };
        throw passing.error;
      });
    } catch (error) {
      if (partial !== undefined && (error === partial.because || (error as Error).cause === partial.because)) return partial.answers;
      throw error;
    }
  }

  #answeredMany({ server }: Connection, answers: readonly BatchAnswer[], acknowledgement: Acknowledgement): void {
    let newest = 0;
    for (const answer of answers) if (answer.ok && answer.value.version > newest) newest = answer.value.version;
    if (newest > 0) this.#durable.answered(server.incarnation, newest as Version, acknowledgement === 'durable');
  }

  access(options: CallOptions = NO_OPTIONS): Promise<AccessResult> {
    return this.#retry(options, undefined, (connection, timeoutMs) => connection.call('access', {}, { signal: options.signal, timeoutMs }));
  }

  presignPuts(args: PresignPutsArgs, options: CallOptions = NO_OPTIONS): Promise<PresignResult> {
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      connection.call('presign-puts', args, { signal: options.signal, timeoutMs }),
    );
  }

  presignGets(args: PresignGetsArgs, options: CallOptions = NO_OPTIONS): Promise<PresignResult> {
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      connection.call('presign-gets', args, { signal: options.signal, timeoutMs }),
    );
  }

  /**
   * Goes on after `next` of the last item when a connection ends, so nothing is missed and nothing comes twice. Without
   * `since` the first announcement of the server is where it begins. Ends when the signal fires or the client closes.
   */
  async *watch(options: { readonly since?: Version; readonly signal?: AbortSignal } = {}): AsyncGenerator<readonly ChangeRecord[]> {
    this.#refuseCaller('a watch');
    this.#watchers += 1;
    try {
      yield* this.#changes(options.since, options.signal);
    } finally {
      this.#watchers -= 1;
      // Those who wait for durability depended on this watch's announcements.
      if (this.#watchers === 0 && this.#durable.isAwaited && !this.#closing.signal.aborted) this.#listen();
    }
  }

  async *diff(args: DiffArgs, options: CallOptions = NO_OPTIONS): AsyncGenerator<DiffItem> {
    this.#refuseCaller('a diff');
    yield* this.#stream(options, (connection, signal) => connection.stream('diff', args, { signal, window: DIFF_WINDOW }));
  }

  async *backup(args: BackupArgs, options: CallOptions = NO_OPTIONS): AsyncGenerator<BackupItem> {
    this.#refuseCaller('a backup');
    yield* this.#stream(options, (connection, signal) => connection.stream('backup', args, { signal }));
  }

  async *fsck(args: FsckArgs, options: CallOptions = NO_OPTIONS): AsyncGenerator<FsckItem> {
    this.#refuseCaller('a check');
    let cursor = args.resume;
    let failures = 0;
    // Ends with the check, or when there is no connection to be had any more.
    for (;;) {
      const asked = cursor === undefined ? args : { ...args, resume: cursor };
      try {
        for await (const item of this.#stream(options, (connection, signal) => connection.stream('fsck', asked, { signal }))) {
          failures = 0;
          if (item.kind === 'progress') ({ cursor } = item);
          yield item;
          if (item.kind === 'done') return;
        }
        throw new NokvError('connection-lost', 'the server ended the check without a word', { outcome: 'unknown' });
      } catch (error) {
        if (options.signal?.aborted === true || !isNokvError(error, 'connection-lost') || ++failures > CHECK_FAILURES_MAX) throw error;
      }
    }
  }

  shardFigures(args: ShardFiguresArgs, options: CallOptions = NO_OPTIONS): Promise<ShardFigures> {
    this.#refuseCaller('the figures of a shard');
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      connection.call('shard-figures', args, { signal: options.signal, timeoutMs }),
    );
  }

  serverInfo(options: CallOptions = NO_OPTIONS): Promise<ServerInfo> {
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      connection.call('server-info', {}, { signal: options.signal, timeoutMs }),
    );
  }

  collect(args: CollectArgs, options: CallOptions = NO_OPTIONS): Promise<CollectResult> {
    this.#refuseCaller('background work');
    return this.#retry(options, undefined, (connection, timeoutMs) =>
      connection.call('collect', args, { signal: options.signal, timeoutMs }),
    );
  }

  get connections(): number {
    return this.#link.dials;
  }

  get durableVersion(): Version {
    return this.#durable.version;
  }

  async durable(version: Version, options: CallOptions = NO_OPTIONS): Promise<void> {
    if (this.#durable.isDurable(version) === true) return;
    if (this.#watchers === 0) this.#listen();
    const budget = this.#budget(options);
    await this.#durable.waitFor(version, (reached) =>
      withinBudget(reached, budget, this.#options.clock, () => `version ${version} was not announced as durable`),
    );
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#link.close();
  }

  /** Asked again over another connection until the first item came. */
  async *#stream<Item>(
    options: CallOptions,
    open: (connection: Connection, signal: AbortSignal | undefined) => AsyncIterable<Item>,
  ): AsyncGenerator<Item> {
    const { items, first } = await this.#retry(options, undefined, async (connection) => {
      const opened = open(connection, options.signal)[Symbol.asyncIterator]();
      return { items: opened, first: await opened.next() };
    });
    try {
      // Ends with the stream, which the server bounds by what there is to tell.
      for (let step = first; step.done !== true; step = await items.next()) yield step.value;
    } finally {
      await items.return?.();
    }
  }

  /** A watch of our own, for the announcements alone. */
  #listen(): void {
    void (async () => {
      for await (const changes of this.watch()) void changes;
    })().catch((error: unknown) => this.#durable.fail(toNokvError(error)));
  }

  async *watchPath(root: ChangeRoot, options: WatchPathOptions = {}): AsyncGenerator<WatchPathItem> {
    this.#refuseCaller('a watch');
    const { filter, since, signal } = options;
    let place: WatchPathArgs = { root, ...(filter === undefined ? {} : { filter }), ...(since === undefined ? {} : { since }) };
    const items = this.#endless(signal, (connection, stop) => connection.stream('watch-path', place, { signal: stop }));
    for await (const item of items) {
      // A symlink was followed at the start: it is not to be followed elsewhere when a connection is lost.
      place = { ...place, root: item.kind === 'position' ? item.root : place.root, since: item.at };
      yield item;
    }
  }

  async *#changes(start: Version | undefined, stop: AbortSignal | undefined): AsyncGenerator<readonly ChangeRecord[]> {
    let since = start;
    const items = this.#endless(stop, async function* (connection, signal) {
      const { incarnation } = connection.server;
      for await (const item of connection.stream('watch', since === undefined ? {} : { since }, { signal })) yield { incarnation, item };
    });
    for await (const { incarnation, item } of items) {
      if (item.kind === 'durable') {
        since ??= item.version;
        this.#durable.announced(incarnation, item.version);
      } else {
        since = item.next;
        this.#durable.announced(incarnation, item.next);
        if (item.changes.length > 0) yield item.changes;
      }
    }
  }

  /** Items of a stream that is opened again wherever a server is reached; `open` says where it goes on. */
  async *#endless<Item>(
    stop: AbortSignal | undefined,
    open: (connection: Connection, signal: AbortSignal) => AsyncIterable<Item>,
  ): AsyncGenerator<Item> {
    const signal = stop === undefined ? this.#closing.signal : AbortSignal.any([sharedSignal(stop), this.#closing.signal]);
    const budget: CallBudget = { deadlineMs: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY, signal };
    let failures = 0;
    // Endless by nature: a subscription lives until its signal fires or an error that no reconnect can mend.
    while (!signal.aborted) {
      try {
        const connection = await this.#link.connection(budget);
        this.#durable.enter(connection.server.incarnation);
        for await (const item of open(connection, signal)) {
          failures = 0;
          yield item;
        }
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toNokvError(thrown);
        if (!isPassing(error) && error.code !== 'deadline-exceeded') throw error;
      }
      failures += 1;
      await this.#options.clock.sleep(retryDelayMs(failures, this.#options.random), signal).catch(() => undefined);
    }
  }

  /** Streams show names and changes without looking at permissions: they are not for those who act for a user. */
  #refuseCaller(what: string): void {
    const { caller } = this.#options;
    if (caller === undefined || caller.uid === 0) return;
    throw new NokvError('not-permitted', `user ${caller.uid} may not ask for ${what}: it is for user 0 and trusted clients`);
  }

  #retry<Result>(
    options: CallOptions,
    requestId: MutateOptions['requestId'],
    call: (connection: Connection, timeoutMs: number) => Promise<Result>,
  ): Promise<Result> {
    const budget = this.#budget(options);
    let connection: Connection | undefined;
    const callOver = (live: Connection, remainingMs: number): Promise<Result> => {
      if (this.#closing.signal.aborted) throw new NokvError('cancelled', 'this client is closed; connect again');
      connection = live;
      this.#durable.enter(live.server.incarnation);
      return call(live, Math.max(1, remainingMs));
    };
    return retrying(this.#policy, budget, requestId, {
      // Without a wait where there is a connection: this is the path of every call.
      run: (remainingMs) => {
        const live = this.#link.connection(budget);
        return live instanceof Promise ? live.then((dialled) => callOver(dialled, remainingMs)) : callOver(live, remainingMs);
      },
      failed: (error) => {
        if (connection !== undefined && ELSEWHERE.has(error.code)) this.#link.avoid(connection);
      },
    });
  }

  #budget(options: CallOptions): CallBudget {
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    return { deadlineMs: this.#options.clock.monotonicMs() + timeoutMs, timeoutMs, signal: sharedSignal(options.signal) };
  }
}

type ReadCall = <Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args'], options: object) => Promise<ReadResult<Op>>;
type MutationCall = <Op extends MutationOperation>(
  operation: Op,
  args: MutationOperations[Op]['args'],
  options: object,
) => Promise<Mutated<unknown>>;
