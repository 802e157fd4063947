/**
 * Those who wait for locks: bounded queues, one an inode, in the order of arrival.
 *
 * What is held is in the shard; here is only who waits for it, in the memory of the process that serves: who loses the connection
 * or the server asks again and waits at the end of the queue.
 *
 * Invariants: a waiter is tried when it arrives, when locks of its inode go, when the session that stands in its way ends, and every
 * {@link RETRY_MS_MAX}; never while somebody before it waits for a lock that excludes its own, unless it holds locks of the inode
 * already (then it may be what the other waits for). A waiter that would close a circle of owners that wait for each other is
 * refused with `deadlock`; as long as there is no circle, somebody in each queue can go on.
 */
import { isInTheWay, type Committed, type MutateContext, type ShardEngine } from '@nokv/meta';
import type { LockWaitItem } from '@nokv/protocol';
import { NokvError, isNokvError, toNokvError, type Clock, type InodeNumber, type LockArgs, type LockHolder } from '@nokv/types';
import { LockWaiter } from './lock-waiter.js';

export const WAITERS_PER_INODE_MAX = 1024;
export const WAITERS_MAX = 8192;
/** Whoever may go on is tried this often, whatever happens: its own session may have ended. */
const RETRY_MS_MAX = 10_000;

export interface LockWaitsParts {
  readonly engine: Pick<ShardEngine, 'read' | 'onReleased'>;
  readonly clock: Clock;
  /** Takes a lock or rejects. */
  readonly lock: (args: LockArgs, context: MutateContext) => Promise<Committed<{ readonly ino: InodeNumber }>>;
}

interface Queue {
  readonly ino: InodeNumber;
  readonly waiters: Set<LockWaiter>;
  isPumping: boolean;
  /** Something happened while it was pumped. */
  again: boolean;
  /** Ends the wait for the next try by time. */
  timer: AbortController | undefined;
}

export class LockWaits {
  readonly #parts: LockWaitsParts;
  readonly #queues = new Map<InodeNumber, Queue>();
  readonly #byOwner = new Map<string, Set<LockWaiter>>();
  #waiting = 0;

  constructor(parts: LockWaitsParts) {
    this.#parts = parts;
    parts.engine.onReleased((inodes) => {
      for (const ino of inodes) {
        const queue = this.#queues.get(ino);
        if (queue !== undefined) this.#tryAll(queue);
      }
    });
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Says once who stands in the way, if somebody does, then that the lock is held. Ends without it when the signal fires. */
  async *wait(asked: LockArgs, context: MutateContext, signal: AbortSignal): AsyncGenerator<LockWaitItem> {
    // A path may lead elsewhere by the time that the lock is free.
    const { ino } = await this.#parts.engine.read('stat', { node: asked.node, follow: true }, { visible: true, caller: context.caller });
    const waiter = new LockWaiter({ ...asked, node: { ino } }, context, signal);
    const queue = this.#enter(ino, waiter);
    try {
      void this.#pump(queue);
      // Ends with the lock, the refusal or the signal.
      for (let item = await waiter.next(); item !== undefined; item = await waiter.next()) yield item;
    } finally {
      this.#leave(queue, waiter);
    }
  }

  #enter(ino: InodeNumber, waiter: LockWaiter): Queue {
    this.#replaceEarlier(waiter);
    const queue = this.#queues.get(ino) ?? { ino, waiters: new Set(), isPumping: false, again: false, timer: undefined };
    const isFull = queue.waiters.size >= WAITERS_PER_INODE_MAX;
    if (isFull || this.#waiting >= WAITERS_MAX) {
      const where = isFull ? `for locks of inode ${ino}` : 'for locks';
      throw new NokvError('too-busy', `${isFull ? WAITERS_PER_INODE_MAX : WAITERS_MAX} wait ${where} already; try again in a moment`);
    }
    this.#queues.set(ino, queue);
    queue.waiters.add(waiter);
    this.#waiting += 1;
    const siblings = this.#byOwner.get(waiter.owner);
    if (siblings === undefined) this.#byOwner.set(waiter.owner, new Set([waiter]));
    else siblings.add(waiter);
    return queue;
  }

  /** The same request over another connection: the one before is lost, even if this side has not noticed yet. */
  #replaceEarlier({ owner, context }: LockWaiter): void {
    for (const earlier of this.#byOwner.get(owner) ?? []) {
      if (earlier.context.requestId !== context.requestId) continue;
      const queue = this.#queues.get(earlier.ino);
      if (queue !== undefined) this.#leave(queue, earlier);
      earlier.refused(new NokvError('cancelled', 'the same wait was asked for again over another connection'));
    }
  }

  /** Nobody waits for it any more: who was behind it may go on. */
  #leave(queue: Queue, waiter: LockWaiter): void {
    if (this.#remove(queue, waiter) && queue.waiters.size > 0) this.#tryAll(queue);
  }

  /** @returns whether it was still there. */
  #remove(queue: Queue, waiter: LockWaiter): boolean {
    if (!queue.waiters.delete(waiter)) return false;
    this.#waiting -= 1;
    const siblings = this.#byOwner.get(waiter.owner);
    siblings?.delete(waiter);
    if (siblings?.size === 0) this.#byOwner.delete(waiter.owner);
    if (queue.waiters.size === 0) {
      queue.timer?.abort();
      this.#queues.delete(queue.ino);
    }
    return true;
  }

  #tryAll(queue: Queue): void {
    for (const waiter of queue.waiters) waiter.isDue = true;
    void this.#pump(queue);
  }

  /** Tries those who are due, in order; one pump of a queue at a time. */
  async #pump(queue: Queue): Promise<void> {
    if (queue.isPumping) {
      queue.again = true;
      return;
    }
    queue.isPumping = true;
    do {
      queue.again = false;
      // Those who come meanwhile are at the end of it.
      for (const waiter of queue.waiters) {
        if (waiter.isOver || !waiter.isDue) continue;
        waiter.isDue = false;
        waiter.retryAtMs = this.#parts.clock.nowMs() + RETRY_MS_MAX;
        await this.#try(queue, waiter);
      }
    } while (queue.again && queue.waiters.size > 0);
    queue.isPumping = false;
    this.#planRetry(queue);
  }

  async #try(queue: Queue, waiter: LockWaiter): Promise<void> {
    try {
      const answer = this.#isBehind(queue, waiter) ? undefined : await this.#ask(waiter);
      if (answer !== undefined && !(answer instanceof NokvError)) {
        this.#remove(queue, waiter);
        waiter.locked(answer.version, answer.result.ino);
        return;
      }
      waiter.waits(answer);
      this.#refuseDeadlock(waiter);
      // When the session that stands in the way ends, if it renews no more.
      const endsAtMs = answer?.details['expiresAtMs'];
      if (typeof endsAtMs === 'number') waiter.retryAtMs = Math.min(waiter.retryAtMs, endsAtMs);
    } catch (error) {
      this.#remove(queue, waiter);
      waiter.refused(toNokvError(error));
    }
  }

  /** The lock, or who stands in its way; every other refusal is thrown. */
  async #ask(waiter: LockWaiter): Promise<Committed<{ readonly ino: InodeNumber }> | NokvError> {
    try {
      return await this.#parts.lock(waiter.args, waiter.context);
    } catch (error) {
      if (isNokvError(error, 'lock-conflict')) return error;
      throw error;
    }
  }

  #planRetry(queue: Queue): void {
    queue.timer?.abort();
    if (queue.waiters.size === 0) return;
    const timer = new AbortController();
    queue.timer = timer;
    const { clock } = this.#parts;
    let atMs = Number.POSITIVE_INFINITY;
    for (const { retryAtMs } of queue.waiters) atMs = Math.min(atMs, retryAtMs);
    // One millisecond more: a session is over at its last moment, not before.
    clock.sleep(Math.max(1, Math.ceil(atMs - clock.nowMs()) + 1), timer.signal).then(
      () => this.#tryAll(queue),
      () => undefined,
    );
  }

  /** Whether it has to let somebody before it go first. */
  #isBehind(queue: Queue, waiter: LockWaiter): boolean {
    if (waiter === first(queue.waiters)) return false;
    if (this.#locksOf(queue.ino).some((held) => held.kind === waiter.args.kind && waiter.isOwn(held))) return false;
    return this.#ahead(queue, waiter).length > 0;
  }

  /** Those who came earlier and ask for what excludes its lock. */
  #ahead(queue: Queue, waiter: LockWaiter): LockWaiter[] {
    const ahead: LockWaiter[] = [];
    for (const earlier of queue.waiters) {
      if (earlier === waiter) break;
      const excludes = earlier.args.kind === waiter.args.kind && earlier.owner !== waiter.owner && isInTheWay(earlier.args, waiter.args);
      if (!earlier.isOver && excludes) ahead.push(earlier);
    }
    return ahead;
  }

  #refuseDeadlock(waiter: LockWaiter): void {
    const seen = new Set<string>();
    const locks = new Map<InodeNumber, readonly LockHolder[]>();
    const waiting = [...this.#inTheWayOf(waiter, locks)];
    // Ends: each owner is followed once.
    for (let owner = waiting.pop(); owner !== undefined; owner = waiting.pop()) {
      if (owner === waiter.owner) {
        const { kind, type } = waiter.args;
        throw new NokvError(
          'deadlock',
          `waiting for this ${type} ${kind} lock would never end: who holds it waits for a lock of this owner; let that go first`,
        );
      }
      if (seen.has(owner)) continue;
      seen.add(owner);
      for (const other of this.#byOwner.get(owner) ?? []) waiting.push(...this.#inTheWayOf(other, locks));
    }
  }

  /** Owners that it waits for: holders, and those before it in the queue. */
  #inTheWayOf(waiter: LockWaiter, known: Map<InodeNumber, readonly LockHolder[]>): Set<string> {
    const { ino } = waiter;
    const locks = known.get(ino) ?? this.#locksOf(ino);
    known.set(ino, locks);
    const owners = new Set<string>();
    for (const held of locks) {
      if (held.kind === waiter.args.kind && !waiter.isOwn(held) && isInTheWay(held, waiter.args))
        owners.add(`${held.session}/${held.owner}`);
    }
    const queue = this.#queues.get(ino);
    const holds = locks.some((held) => held.kind === waiter.args.kind && waiter.isOwn(held));
    if (queue !== undefined && !holds) for (const earlier of this.#ahead(queue, waiter)) owners.add(earlier.owner);
    return owners;
  }

  /** What is held now. An inode that is gone has no locks: whoever waits for one is told when it is tried. */
  #locksOf(ino: InodeNumber): readonly LockHolder[] {
    try {
      const listed = this.#parts.engine.read('list-locks', { node: { ino } }, { visible: true });
      // Visible reads answer at once.
      return listed instanceof Promise ? [] : listed.locks;
    } catch (error) {
      if (isNokvError(error, 'not-found')) return [];
      throw error;
    }
  }
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}
