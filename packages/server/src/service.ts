/**
 * What the doors of the process (RPC listener, HTTP, in-process plane) call: the shard engine, with publishes verified
 * against the store, uploads answered with tickets, and the ways to reach blocks.
 *
 * Every call is refused with `lease-lost`, `not-owner` or `draining` while this process may not serve: the engine asks
 * the gate.
 */
import type { Committed, MutateContext, ReadContext, ShardEngine } from '@nokv/meta';
import type { ObjectStore } from '@nokv/object';
import type {
  LockWaitArgs,
  LockWaitItem,
  TicketedUpload,
  WatchItem,
  WatchPathArgs,
  WatchPathItem,
  WireMutationResult,
} from '@nokv/protocol';
import {
  type BackupArgs,
  type BackupItem,
  NokvError,
  batchItemIds,
  isNokvError,
  timespecToMs,
  toNokvError,
  version,
  type AccessResult,
  type DiffArgs,
  type DiffItem,
  type BatchAnswer,
  type BatchItem,
  type ListedMutation,
  type Clock,
  type CollectArgs,
  type CollectResult,
  type FsckArgs,
  type FsckItem,
  type ShardFigures,
  type ShardFiguresArgs,
  type MutationOperation,
  type MutationOperations,
  type PublishArgs,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
  type TransactArgs,
  type UploadResult,
  type Version,
} from '@nokv/types';
import { blockInventory } from './block-inventory.js';
import { collect } from './collect.js';
import { backupShard, type BackupParts } from './backup.js';
import type { DeadBlockSweep } from './dead-block-sweep.js';
import type { HitFailpoint } from './failpoints.js';
import type { Presigning } from './presigning.js';
import { inLanes } from './lanes.js';
import { lookingOnce, verifyNewBlocks, type VerifiedStore } from './publish-verification.js';
import { LockWaits } from './locks/lock-waits.js';
import type { Tickets } from './tickets.js';
import { watchChanges } from './watch-changes.js';
import { WatchHub, type WatchStats } from './watch/watch-hub.js';

/** Who asks, as far as it decides how blocks may be reached. */
export interface Peer {
  /** True for unix sockets and loopback connections: the peer may be able to open our directories. */
  readonly isLocal: boolean;
}

export interface ServedMutateContext extends MutateContext {
  /** Fires when the caller gave up; work that has not begun stops, a queued commit does not. */
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions {
  /** Changes of versions above this one; absent: from now on. */
  readonly since?: Version | undefined;
  readonly signal: AbortSignal;
}

export interface Service {
  /** Answers at once where it can: doors batch the synchronous answers of one tick. Throws or rejects with `NokvError`. */
  read<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    context: ReadContext,
  ): ReadResult<Op> | Promise<ReadResult<Op>>;
  mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: ServedMutateContext,
  ): Promise<Committed<WireMutationResult<Op>>>;
  /** Independent mutations with an answer each; rejects only where nothing of the batch was taken. */
  mutateMany(items: readonly BatchItem[], context: ServedMutateContext): Promise<readonly BatchAnswer[]>;
  /** How blocks are reached by this peer, in order of preference. */
  access(peer: Peer): Promise<AccessResult>;
  /** URLs of the store for clients without credentials. */
  readonly presigning: Presigning;
  watch(options: WatchOptions): AsyncIterable<WatchItem>;
  /** The differences between two nodes, now or at moments. Throws `NokvError`, also while iterating. */
  diff(args: DiffArgs): AsyncIterable<DiffItem>;
  /** Changes below a root with their paths; ends when the signal fires. */
  watchPath(args: WatchPathArgs, signal: AbortSignal): AsyncIterable<WatchPathItem>;
  readonly watchStats: WatchStats;
  /** Waits until a lock is had; ends without it when the signal fires. */
  waitForLock(args: LockWaitArgs, signal: AbortSignal): AsyncIterable<LockWaitItem>;
  /** Those who wait for locks now. */
  readonly lockWaiters: number;
  /** Writes a backup of the shard; see `backup.ts`. */
  backup(args: BackupArgs, signal: AbortSignal): AsyncIterable<BackupItem>;
  /** Checks the shard against itself and its store, and mends what it is asked to; ends when the signal fires. */
  fsck(args: FsckArgs, signal: AbortSignal): AsyncIterable<FsckItem>;
  figures(args: ShardFiguresArgs): Promise<ShardFigures>;
  /** Lists background work and, unless it is a dry run, does what is due. */
  collect(args: CollectArgs, signal?: AbortSignal): Promise<CollectResult>;
  /** The highest version that was acknowledged as visible before it was durable; 0 while there was none. */
  readonly shownVersion: Version;
}

export interface ServiceParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  /** Whether a read of the store is a read of a local file. */
  readonly readsBack: boolean;
  readonly tickets: Tickets;
  readonly access: (peer: Peer) => Promise<AccessResult>;
  readonly presigning: Presigning;
  readonly failpoint: HitFailpoint;
  readonly backup: BackupParts;
  readonly clock: Clock;
  /** How long blocks that nothing knows stay after they were found. */
  readonly orphanGraceMs?: number | undefined;
  readonly deadBlocks?: DeadBlockSweep | undefined;
  /** From the time of a commit until its changes are handed to those who watch by path. */
  readonly onWatchLag?: (elapsedMs: number) => void;
}

/** Publishes of one batch that are compared with a bucket side by side. */
const VERIFIED_AT_ONCE = 16;

/** Whether the arguments or the result concern the object store. */
function hasErrands(operation: MutationOperation, args: MutationOperations[MutationOperation]['args']): boolean {
  switch (operation) {
    case 'publish':
      return (args as PublishArgs).upload !== undefined;
    case 'transact':
    case 'begin-upload':
    case 'renew-upload':
      return true;
    default:
      return false;
  }
}

export function makeService(parts: ServiceParts): Service {
  const { engine, failpoint } = parts;
  const { clock, onWatchLag: onLag } = parts;
  const hub = new WatchHub({ engine, clock, ...(onLag === undefined ? {} : { onLag }) });
  const lockWaits = new LockWaits({ engine, clock, lock: (args, context) => commit('lock', args, context) });
  let shownVersion = version(0);

  /** What needs no look at the store and no ticket goes straight to the engine: a promise more costs as much as a row. */
  function mutate<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: ServedMutateContext,
  ): Promise<Committed<WireMutationResult<Op>>> {
    const isPlain = failpoint === undefined && context.acknowledgement === 'durable' && !hasErrands(operation, args);
    return isPlain
      ? (engine.mutate(operation, args, context) as Promise<Committed<WireMutationResult<Op>>>)
      : commit(operation, args, context);
  }

  async function commit<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: ServedMutateContext,
  ): Promise<Committed<WireMutationResult<Op>>> {
    if (operation === 'publish') {
      await verifyPublish(args as PublishArgs, context);
      await failpoint?.('before-publish-commit');
    } else if (operation === 'transact') {
      await verifyPublishes((args as TransactArgs).operations, context);
      await failpoint?.('before-transact-commit');
    }
    const committed = await engine.mutate(operation, args, context);
    if (context.acknowledgement === 'visible' && committed.version > shownVersion) shownVersion = committed.version;
    if (operation === 'begin-upload') await failpoint?.('after-begin-upload');
    if (operation === 'publish') await failpoint?.('after-publish-commit');
    if (operation === 'transact') await failpoint?.('after-transact-commit');
    await failpoint?.('after-commit-before-reply');
    const result =
      operation === 'begin-upload' || operation === 'renew-upload' ? withTicket(committed.result as UploadResult) : committed.result;
    return { version: committed.version, result: result as WireMutationResult<Op> };
  }

  /**
   * Without a ledger row there is nothing to verify: it is a repeat of a publish that went through, and the engine
   * answers it by its request id, or the upload has ended, and the engine refuses it.
   */
  async function verifyPublish(
    { upload, body, packed }: PublishArgs,
    context: { readonly signal?: AbortSignal | undefined },
    store: VerifiedStore = parts.store,
  ): Promise<void> {
    if (upload === undefined || body.kind === 'inline' || !engine.hasUpload(upload)) return;
    await failpoint?.('before-publish-verification');
    const { signal } = context;
    await verifyNewBlocks(store, { upload, manifest: body.manifest, packed }, { readsBack: parts.readsBack, signal });
  }

  /** In a list one that fails refuses the list, saying which it was. */
  async function verifyPublishes(list: readonly ListedMutation[], context: ServedMutateContext): Promise<void> {
    for (const [index, { operation, args }] of list.entries()) {
      if (!isStaged({ operation, args } as ListedMutation)) continue;
      try {
        await verifyPublish(args as PublishArgs, context);
      } catch (error) {
        if (!isNokvError(error)) throw error;
        const message = `operation ${index} (publish): ${error.message}; nothing of the transaction was applied`;
        throw new NokvError(error.code, message, { outcome: error.outcome, details: { ...error.details, index }, cause: error });
      }
    }
  }

  async function commitMany(items: readonly BatchItem[], context: ServedMutateContext): Promise<readonly BatchAnswer[]> {
    const answers = items.some(isStaged) ? await commitStaged(items, context) : await engine.mutateMany(items, context);
    if (context.acknowledgement === 'visible') {
      for (const answer of answers) if (answer.ok && answer.value.version > shownVersion) shownVersion = answer.value.version;
    }
    await failpoint?.('after-commit-before-reply');
    return answers;
  }

  /** What does not pass the verification is answered on the spot; the rest keeps its request ids. */
  async function commitStaged(items: readonly BatchItem[], context: ServedMutateContext): Promise<readonly BatchAnswer[]> {
    const refused = new Map<number, BatchAnswer>();
    const store = lookingOnce(parts.store);
    const staged = [...items.entries()].filter(([, item]) => isStaged(item));
    // What is read back is held in memory meanwhile.
    await inLanes(staged, parts.readsBack ? 1 : VERIFIED_AT_ONCE, async ([at, item]) => {
      try {
        await verifyPublish(item.args as PublishArgs, context, store);
      } catch (error) {
        refused.set(at, { ok: false, error: toNokvError(error) });
      }
    });
    const idAt = batchItemIds(context.requestId);
    const taken = items.map((item, at) => ({ ...item, requestId: item.requestId ?? idAt(at) }));
    const answers = await engine.mutateMany(
      taken.filter((_, at) => !refused.has(at)),
      context,
    );
    let next = 0;
    return items.map((_, at) => refused.get(at) ?? (answers[next++] as BatchAnswer));
  }

  function withTicket(result: UploadResult): TicketedUpload {
    return { ...result, ticket: parts.tickets.uploadTicket(result.upload, timespecToMs(result.expiresAt)) };
  }

  return {
    read: (operation, args, context) => engine.read(operation, args, context),
    mutate,
    mutateMany: commitMany,
    access: parts.access,
    presigning: parts.presigning,
    watch: ({ since, signal }) => watchChanges(engine, since, signal),
    diff: (args) => engine.diff(args),
    backup: (args, signal) => backupShard(parts.backup, args, signal),
    fsck: (args, signal) => engine.fsck({ ...args, blocks: blockInventory(parts.store, () => engine.mustServe()), signal }),
    figures: (args) => engine.figures(args),
    collect: (args, signal) => collect(parts, args, signal),
    watchPath: (args, signal) => hub.watch(args, signal),
    waitForLock: ({ requestId, actor, caller, ...asked }, signal) =>
      lockWaits.wait(asked, { requestId, actor, caller, acknowledgement: 'durable' }, signal),
    get lockWaiters() {
      return lockWaits.waiting;
    },
    get watchStats() {
      return hub.stats;
    },
    get shownVersion() {
      return shownVersion;
    },
  };
}

/** A publish whose blocks are to be looked for in the store. */
function isStaged({ operation, args }: ListedMutation): boolean {
  return operation === 'publish' && args.upload !== undefined && args.body.kind === 'blocks';
}
