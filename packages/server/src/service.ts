/**
 * What the doors of the process (RPC listener, HTTP, in-process plane) call: the shard engine, with publishes verified
 * against the store, uploads answered with tickets, and the ways to reach blocks.
 *
 * Every call is refused with `lease-lost`, `not-owner` or `draining` while this process may not serve: the engine asks
 * the gate.
 */
import type { Committed, MutateContext, ReadContext, ShardEngine } from '@nokv/meta';
import type { ObjectStore } from '@nokv/object';
import type { TicketedUpload, WatchItem, WireMutationResult } from '@nokv/protocol';
import {
  timespecToMs,
  version,
  type AccessResult,
  type DiffArgs,
  type DiffItem,
  type MutationOperation,
  type MutationOperations,
  type PublishArgs,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
  type UploadResult,
  type Version,
} from '@nokv/types';
import type { HitFailpoint } from './failpoints.js';
import { verifyNewBlocks } from './publish-verification.js';
import type { Tickets } from './tickets.js';
import { watchChanges } from './watch-changes.js';

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
  /** How blocks are reached by this peer, in order of preference. */
  access(peer: Peer): AccessResult;
  watch(options: WatchOptions): AsyncIterable<WatchItem>;
  /** The differences between two nodes, now or at moments. Throws `NokvError`, also while iterating. */
  diff(args: DiffArgs): AsyncIterable<DiffItem>;
  /** The highest version that was acknowledged as visible before it was durable; 0 while there was none. */
  readonly shownVersion: Version;
}

export interface ServiceParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly tickets: Tickets;
  readonly access: (peer: Peer) => AccessResult;
  readonly failpoint: HitFailpoint;
}

export function makeService(parts: ServiceParts): Service {
  const { engine, failpoint } = parts;
  let shownVersion = version(0);

  async function commit<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    context: ServedMutateContext,
  ): Promise<Committed<WireMutationResult<Op>>> {
    if (operation === 'publish') {
      await verifyPublish(args as PublishArgs, context.signal);
      await failpoint?.('before-publish-commit');
    }
    const committed = await engine.mutate(operation, args, context);
    if (context.acknowledgement === 'visible' && committed.version > shownVersion) shownVersion = committed.version;
    if (operation === 'begin-upload') await failpoint?.('after-begin-upload');
    if (operation === 'publish') await failpoint?.('after-publish-commit');
    await failpoint?.('after-commit-before-reply');
    const result =
      operation === 'begin-upload' || operation === 'renew-upload' ? withTicket(committed.result as UploadResult) : committed.result;
    return { version: committed.version, result: result as WireMutationResult<Op> };
  }

  /**
   * Without a ledger row there is nothing to verify: it is a repeat of a publish that went through, and the engine
   * answers it by its request id, or the upload has ended, and the engine refuses it.
   */
  async function verifyPublish({ upload, body }: PublishArgs, signal: AbortSignal | undefined): Promise<void> {
    if (upload === undefined || body.kind === 'inline' || !engine.hasUpload(upload)) return;
    await verifyNewBlocks(parts.store, upload, body.manifest, signal);
  }

  function withTicket(result: UploadResult): TicketedUpload {
    return { ...result, ticket: parts.tickets.uploadTicket(result.upload, timespecToMs(result.expiresAt)) };
  }

  return {
    read: (operation, args, context) => engine.read(operation, args, context),
    mutate: commit,
    access: parts.access,
    watch: ({ since, signal }) => watchChanges(engine, since, signal),
    diff: (args) => engine.diff(args),
    get shownVersion() {
      return shownVersion;
    },
  };
}
