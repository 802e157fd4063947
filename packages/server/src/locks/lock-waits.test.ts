import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryKv, openShard, type ShardEngine } from '@nokv/meta';
import { contradictions } from '@nokv/meta/testing';
import type { LockWaitItem } from '@nokv/protocol';
import {
  ID_RANDOM_BYTES,
  LOCK_END_MAX,
  epoch,
  makeRequestId,
  parsePath,
  shardId,
  systemRandom,
  timespecFromMs,
  type Clock,
  type LockArgs,
  type MutationOperation,
  type MutationOperations,
  type SessionId,
} from '@nokv/types';
import { LockWaits, WAITERS_PER_INODE_MAX } from './lock-waits.js';

/** Moves when it is told; those whose time has come wake then. */
class SteppedClock implements Clock {
  ms = 1_800_000_000_000;
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  now = (): ReturnType<Clock['now']> => timespecFromMs(this.ms);
  nowMs = (): number => this.ms;
  monotonicMs = (): number => this.ms;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.ms + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      const end = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      if (signal?.aborted === true) end();
      signal?.addEventListener('abort', end, { once: true });
    });
  }

  advance(ms: number): void {
    this.ms += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.ms) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}

const clock = new SteppedClock();
let kv: MemoryKv;
let engine: ShardEngine;
let waits: LockWaits;
let attempts = 0;
const stops: AbortController[] = [];

beforeEach(async () => {
  kv = new MemoryKv();
  attempts = 0;
  engine = await openShard({ kv, shard: shardId(0), clock, random: systemRandom });
  await engine.adoptEpoch(epoch(1));
  waits = new LockWaits({
    engine,
    clock,
    lock: (args, context) => {
      attempts += 1;
      return engine.mutate('lock', args, context);
    },
  });
  for (const path of ['/f', '/g']) {
    await mutate('create', { entry: { path: parsePath(path) }, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 });
  }
});

afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort();
  await settled(() => waits.waiting === 0);
  expect(contradictions(kv)).toEqual([]);
  await engine.close();
});

async function mutate<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args']) {
  return (await engine.mutate(operation, args, contextOf())).result;
}

function contextOf(): Parameters<ShardEngine['mutate']>[2] {
  const requestId = makeRequestId(clock.ms, systemRandom.bytes(ID_RANDOM_BYTES));
  return { requestId, actor: 'tester', acknowledgement: 'durable' };
}

const openSession = async (ttlMs = 30_000): Promise<SessionId> => (await mutate('open-session', { name: 's', ttlMs })).session;

function asked(session: SessionId, more: Partial<Omit<LockArgs, 'node'>> & { readonly path?: string } = {}): LockArgs {
  const { path = '/f', ...rest } = more;
  return { node: { path: parsePath(path) }, session, owner: 1, kind: 'range', type: 'exclusive', start: 0, end: LOCK_END_MAX, ...rest };
}

/** A wait under way, with what it said so far. */
interface Wait {
  readonly said: LockWaitItem['kind'][];
  readonly error: { code?: string } | undefined;
  readonly isOver: boolean;
  cancel(): void;
}

function wait(args: LockArgs, context = contextOf()): Wait {
  const stop = new AbortController();
  stops.push(stop);
  const state = { said: [] as LockWaitItem['kind'][], error: undefined as { code?: string } | undefined, isOver: false };
  void (async () => {
    try {
      for await (const { kind } of waits.wait(args, context, stop.signal)) state.said.push(kind);
    } catch (error) {
      state.error = error as { code?: string };
    } finally {
      state.isOver = true;
    }
  })();
  return Object.assign(state, { cancel: () => stop.abort() });
}

/** Everything that is due runs in turns of the event loop, since the clock stands still. */
async function settled(isSo: () => boolean): Promise<void> {
  for (let turns = 0; turns < 200 && !isSo(); turns++) await new Promise((resolve) => setImmediate(resolve));
  expect(isSo(), isSo.toString()).toBe(true);
}

const waiting = (one: Wait): Promise<void> => settled(() => one.said.length === 1 && one.said[0] === 'waiting');
const locked = (one: Wait): Promise<void> => settled(() => one.said.at(-1) === 'locked' && one.isOver);

async function quiet(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a waiter', () => {
  it('has a free lock at once', async () => {
    const a = await openSession();
    const one = wait(asked(a));
    await locked(one);
    expect(one.said).toEqual(['locked']);
  });

  it.each([
    ['is let go', (held: LockArgs) => mutate('unlock', held)],
    ['is lowered', (held: LockArgs) => mutate('lock', { ...held, type: 'shared' })],
    ['goes with its session', (held: LockArgs) => mutate('close-session', { session: held.session })],
  ])('gets the lock when it %s', async (_how, free) => {
    const [a, b] = [await openSession(), await openSession()];
    await mutate('lock', asked(a));
    const one = wait(asked(b, { type: 'shared' }));
    await waiting(one);
    await free(asked(a));
    await locked(one);
    expect(one.said).toEqual(['waiting', 'locked']);
  });

  it("gets the lock the moment that the holder's session ends, and not while it is renewed", async () => {
    const [a, b] = [await openSession(5000), await openSession(60_000)];
    await mutate('lock', asked(a));
    const one = wait(asked(b));
    await waiting(one);
    clock.advance(4000);
    await mutate('renew-session', { session: a, ttlMs: 5000 });
    clock.advance(4999);
    await quiet();
    expect(one.said).toEqual(['waiting']);
    clock.advance(2);
    await locked(one);
  });

  it('is told that the file is gone, and that its own session has ended', async () => {
    const [a, b] = [await openSession(60_000), await openSession(2000)];
    await mutate('lock', asked(a));
    await mutate('lock', asked(a, { path: '/g' }));
    const [gone, dead] = [wait(asked(b)), wait(asked(b, { path: '/g' }))];
    await waiting(gone);
    await waiting(dead);
    await mutate('unlink', { entry: { path: parsePath('/f') } });
    await settled(() => gone.isOver);
    expect(gone.error).toMatchObject({ code: 'not-found' });
    clock.advance(10_002);
    await settled(() => dead.isOver);
    expect(dead.error).toMatchObject({ code: 'no-session' });
  });

  it('that asks again over another connection waits once', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await mutate('lock', asked(a));
    const context = contextOf();
    const first = wait(asked(b), context);
    await waiting(first);
    const again = wait(asked(b), context);
    await waiting(again);
    await settled(() => first.isOver);
    expect(waits.waiting).toBe(1);
    await mutate('unlock', asked(a));
    await locked(again);
    expect(first.error).toMatchObject({ code: 'cancelled' });
  });

  it('that gives up leaves its place, and those behind it go on', async () => {
    const [a, b, c] = [await openSession(), await openSession(), await openSession()];
    await mutate('lock', asked(a, { type: 'shared' }));
    const writer = wait(asked(b));
    await waiting(writer);
    const reader = wait(asked(c, { type: 'shared' }));
    await waiting(reader);
    writer.cancel();
    await locked(reader);
    expect(writer.said).toEqual(['waiting']);
    expect(waits.waiting).toBe(0);
  });
});

describe('a queue', () => {
  it('is served in the order of arrival, by one try each time', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => openSession()));
    const [holder, ...others] = sessions as [SessionId, ...SessionId[]];
    await mutate('lock', asked(holder));
    const queue: Wait[] = [];
    for (const session of others) {
      const one = wait(asked(session));
      await waiting(one);
      queue.push(one);
    }
    let before = holder;
    for (const [i, one] of queue.entries()) {
      attempts = 0;
      await mutate('unlock', asked(before));
      await locked(one);
      expect(queue.filter(({ isOver }) => isOver)).toHaveLength(i + 1);
      // The one that got it, and the next, who was refused.
      expect(attempts).toBeLessThanOrEqual(2);
      before = others[i] as SessionId;
    }
  });

  it('lets nobody pass who came later and excludes the first, but all who do not', async () => {
    const [a, b, c, d] = [await openSession(), await openSession(), await openSession(), await openSession()];
    await mutate('lock', asked(a, { type: 'shared', start: 0, end: 10 }));
    const writer = wait(asked(b, { start: 0, end: 10 }));
    await waiting(writer);
    const reader = wait(asked(c, { type: 'shared', start: 5, end: 6 }));
    await waiting(reader);
    await locked(wait(asked(d, { start: 10, end: 20 })));
    await mutate('unlock', asked(a));
    await locked(writer);
    await quiet();
    expect(reader.isOver).toBe(false);
    await mutate('unlock', asked(b));
    await locked(reader);
  });

  it('is bounded', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await mutate('lock', asked(a));
    const all = Array.from({ length: WAITERS_PER_INODE_MAX }, (_, i) => wait(asked(b, { owner: i + 10, start: i, end: i + 1 })));
    await settled(() => waits.waiting === WAITERS_PER_INODE_MAX);
    const more = wait(asked(b, { owner: 5 }));
    await settled(() => more.isOver);
    expect(more.error).toMatchObject({ code: 'too-busy', kind: 'unavailable' });
    for (const one of all) one.cancel();
  });
});

describe('a circle of owners that wait for each other', () => {
  it('is refused where it would close, whoever of them comes last', async () => {
    const [a, b, c] = [await openSession(), await openSession(), await openSession()];
    await mutate('lock', asked(a, { start: 0, end: 1 }));
    await mutate('lock', asked(b, { start: 1, end: 2 }));
    await mutate('lock', asked(c, { path: '/g' }));
    const [ab, bc] = [wait(asked(a, { start: 1, end: 2 })), wait(asked(b, { path: '/g' }))];
    await waiting(ab);
    await waiting(bc);
    const ca = wait(asked(c, { start: 0, end: 1 }));
    await settled(() => ca.isOver);
    expect(ca.error).toMatchObject({ code: 'deadlock', kind: 'conflict' });
    // The others go on as soon as the last one lets go.
    await mutate('unlock', asked(c, { path: '/g' }));
    await locked(bc);
    await mutate('unlock', asked(b, { start: 1, end: 2 }));
    await locked(ab);
  });

  it('of two that raise shared locks is refused, and the other gets its lock', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await mutate('lock', asked(a, { type: 'shared' }));
    await mutate('lock', asked(b, { type: 'shared' }));
    const first = wait(asked(a));
    await waiting(first);
    const second = wait(asked(b));
    await settled(() => second.isOver);
    expect(second.error).toMatchObject({ code: 'deadlock' });
    await mutate('unlock', asked(b));
    await locked(first);
  });

  it('is not seen where a holder only raises what others wait for', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await mutate('lock', asked(a, { type: 'shared' }));
    const other = wait(asked(b));
    await waiting(other);
    await locked(wait(asked(a)));
    await mutate('unlock', asked(a));
    await locked(other);
  });
});
