/** Locks: byte ranges as fcntl(2) has them, whole files as flock(2) has them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LOCKS_PER_INODE_MAX, LOCK_END_MAX, isNokvError, requestId, type InodeNumber, type LockType, type SessionId } from '@nokv/types';
import { setRange, type LockRange } from './operations/lock.js';
import { contradictions } from './testing/check-rows.js';
import { TestShard, at } from './testing/test-shard.js';
import { FLOCK, lock, lockLines, openSession, unlock } from './testing/test-sessions.js';

async function withTwo(): Promise<{ shard: TestShard; a: SessionId; b: SessionId; both: readonly SessionId[] }> {
  const shard = await TestShard.open();
  await shard.put('/f', 'x');
  const [a, b] = [await openSession(shard, 30_000, 'first'), await openSession(shard, 30_000, 'second')];
  return { shard, a, b, both: [a, b] };
}

describe('setRange', () => {
  const range = (start: number, end: number, type: LockType = 'exclusive'): LockRange => ({ start, end, type });

  test.each([
    ['into nothing', [], range(5, 9), [range(5, 9)]],
    ['beside its kind', [range(0, 5)], range(5, 9), [range(0, 9)]],
    ['beside another type', [range(0, 5, 'shared')], range(5, 9), [range(0, 5, 'shared'), range(5, 9)]],
    ['inside, raising', [range(0, 9, 'shared')], range(3, 5), [range(0, 3, 'shared'), range(3, 5), range(5, 9, 'shared')]],
    ['inside, the same', [range(0, 9)], range(3, 5), [range(0, 9)]],
    ['over several', [range(0, 2), range(4, 6, 'shared'), range(8, 9)], range(1, 9), [range(0, 9)]],
    ['closing a gap', [range(0, 2), range(4, 6)], range(2, 4), [range(0, 6)]],
  ] as const)('%s', (_what, held, asked, after) => {
    expect(setRange(held, asked, asked.type)).toEqual(after);
  });

  test('freeing the middle splits', () => {
    expect(setRange([range(0, 9)], { start: 3, end: 5 }, undefined)).toEqual([range(0, 3), range(5, 9)]);
    expect(setRange([range(0, 9)], { start: 0, end: 9 }, undefined)).toEqual([]);
  });

  test('says byte by byte what was asked last', () => {
    const asked = fc.record({
      start: fc.integer({ min: 0, max: 15 }),
      length: fc.integer({ min: 1, max: 16 }),
      type: fc.constantFrom<(LockType | undefined)[]>('shared', 'exclusive', undefined),
    });
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 12 }), (steps) => {
        const bytes = Array.from({ length: 32 }, (): LockType | undefined => undefined);
        let held: readonly LockRange[] = [];
        for (const { start, length, type } of steps) {
          held = setRange(held, { start, end: start + length }, type);
          bytes.fill(type, start, start + length);
        }
        const shown = bytes.map((_byte, i) => held.find((r) => r.start <= i && i < r.end)?.type);
        expect(shown).toEqual(bytes);
        for (const [i, r] of held.entries()) {
          const next = held[i + 1];
          if (next !== undefined) expect(r.end < next.start || (r.end === next.start && r.type !== next.type)).toBe(true);
        }
      }),
    );
  });
});

describe('ranges', () => {
  test('exclude by bytes: exclusive against all, shared against exclusive', async () => {
    const { shard, a, b, both } = await withTwo();
    await lock(shard, '/f', { session: a, start: 0, end: 10 });
    await expect(lock(shard, '/f', { session: b, start: 9, end: 20 })).rejects.toMatchObject({ code: 'lock-conflict', kind: 'conflict' });
    await lock(shard, '/f', { session: b, start: 10, end: 20, type: 'shared' });
    await lock(shard, '/f', { session: a, start: 15, end: 30, type: 'shared' });
    await expect(lock(shard, '/f', { session: a, start: 12, end: 16 })).rejects.toMatchObject({ code: 'lock-conflict' });
    expect(await lockLines(shard, '/f', both)).toEqual(['0/1 exclusive 0-10', '0/1 shared 15-30', '1/1 shared 10-20']);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('a conflict names the holder, the range and until when', async () => {
    const { shard, a, b } = await withTwo();
    const ino = await lock(shard, '/f', { session: a, owner: 77, start: 4, end: 8 });
    await expect(lock(shard, '/f', { session: b })).rejects.toMatchObject({
      message: expect.stringMatching(/"first" \([0-9a-f]{32}\) holds an exclusive lock of bytes 4 to 7 as owner 77/) as string,
      details: {
        ino,
        holder: a,
        holderName: 'first',
        holderOwner: 77,
        kind: 'range',
        type: 'exclusive',
        start: 4,
        end: 8,
        expiresAtMs: shard.clock.ms + 30_000,
      },
    });
    await shard.engine.close();
  });

  test('owners of one session exclude each other; one owner never itself', async () => {
    const { shard, a, both } = await withTwo();
    await lock(shard, '/f', { session: a, owner: 1, end: 100 });
    await expect(lock(shard, '/f', { session: a, owner: 2, end: 1 })).rejects.toMatchObject({ code: 'lock-conflict' });
    await lock(shard, '/f', { session: a, owner: 1, start: 40, end: 60, type: 'shared' });
    await lock(shard, '/f', { session: a, owner: 2, start: 45, end: 50, type: 'shared' });
    await unlock(shard, '/f', { session: a, owner: 1, start: 90 });
    expect(await lockLines(shard, '/f', both)).toEqual([
      '0/1 exclusive 0-40',
      '0/1 shared 40-60',
      '0/1 exclusive 60-90',
      '0/2 shared 45-50',
    ]);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('a raise that fails leaves what was held', async () => {
    const { shard, a, b, both } = await withTwo();
    await lock(shard, '/f', { session: a, type: 'shared' });
    await lock(shard, '/f', { session: b, type: 'shared' });
    await expect(lock(shard, '/f', { session: a })).rejects.toMatchObject({ code: 'lock-conflict' });
    expect(await lockLines(shard, '/f', both)).toEqual(['0/1 shared 0-end', '1/1 shared 0-end']);
    await unlock(shard, '/f', { session: b });
    await lock(shard, '/f', { session: a });
    expect(await lockLines(shard, '/f', both)).toEqual(['0/1 exclusive 0-end']);
    await shard.engine.close();
  });

  test('test-lock says who is in the way and takes nothing', async () => {
    const { shard, a, b, both } = await withTwo();
    const args = { node: at('/f'), owner: 1, kind: 'range', start: 0, end: 5, type: 'shared' } as const;
    expect(await shard.read('test-lock', { ...args, session: b })).toEqual({});
    await lock(shard, '/f', { session: a, start: 3, end: 4 });
    expect(await shard.read('test-lock', { ...args, session: b })).toMatchObject({
      holder: { session: a, start: 3, end: 4, name: 'first' },
    });
    expect(await shard.read('test-lock', { ...args, session: a })).toEqual({});
    expect(await shard.read('test-lock', { ...args, session: b, end: 3 })).toEqual({});
    expect(await lockLines(shard, '/f', both)).toEqual(['0/1 exclusive 3-4']);
    await shard.engine.close();
  });

  test('are bounded: the next one is refused, those that are there stay', async () => {
    const { shard, a, both } = await withTwo();
    for (let i = 0; i < LOCKS_PER_INODE_MAX; i++) await lock(shard, '/f', { session: a, start: 2 * i, end: 2 * i + 1 });
    await expect(lock(shard, '/f', { session: a, start: 5000, end: 5001 })).rejects.toMatchObject({ code: 'lock-limit', kind: 'quota' });
    // What makes fewer of them is fine.
    await lock(shard, '/f', { session: a, start: 0, end: 2000 });
    expect((await lockLines(shard, '/f', both)).length).toBe(LOCKS_PER_INODE_MAX - 1000);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('bad ranges and owners are refused', async () => {
    const { shard, a } = await withTwo();
    for (const asked of [{ start: 5, end: 5 }, { start: -1 }, { end: 2 ** 53 }, { owner: -1 }, { owner: 0.5 }, { start: 9, end: 4 }]) {
      await expect(lock(shard, '/f', { session: a, ...asked })).rejects.toMatchObject({ code: 'invalid-argument' });
    }
    await expect(lock(shard, '/f', { session: a, kind: 'flock', end: 5 })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(lock(shard, '/none', { session: a })).rejects.toMatchObject({ code: 'not-found' });
    await shard.engine.close();
  });
});

describe('flock', () => {
  test('excludes by file, apart from ranges', async () => {
    const { shard, a, b } = await withTwo();
    await lock(shard, '/f', { session: a, ...FLOCK });
    await lock(shard, '/f', { session: b, kind: 'range' });
    await expect(lock(shard, '/f', { session: b, ...FLOCK, type: 'shared' })).rejects.toMatchObject({
      code: 'lock-conflict',
      message: expect.stringContaining('lock of the file') as string,
    });
    await lock(shard, '/f', { session: a, ...FLOCK, type: 'shared' });
    await lock(shard, '/f', { session: b, ...FLOCK, type: 'shared' });
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });
});

describe('the engine tells of locks that went', () => {
  test('by unlock, lowering, close and removal, with the inode; not of others', async () => {
    const { shard, a, b } = await withTwo();
    const told: InodeNumber[][] = [];
    shard.engine.onReleased((inodes) => told.push([...inodes]));
    const ino = await lock(shard, '/f', { session: a, end: 10 });
    await lock(shard, '/f', { session: a, start: 20, end: 30 });
    expect(told).toEqual([]);
    await unlock(shard, '/f', { session: a, end: 5 });
    await unlock(shard, '/f', { session: a, start: 100 });
    expect(told).toEqual([[ino]]);
    await lock(shard, '/f', { session: a, start: 20, end: 30, type: 'shared' });
    expect(told).toEqual([[ino], [ino]]);
    await shard.do('close-session', { session: a });
    expect(told.length).toBe(3);
    await lock(shard, '/f', { session: b });
    await shard.do('unlink', { entry: at('/f') });
    expect(told.length).toBe(4);
    await shard.engine.close();
  });
});

test('random locks over random sessions never exclude each other, and equal a table of bytes', async () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 3 }),
    start: fc.integer({ min: 0, max: 11 }),
    length: fc.integer({ min: 1, max: 12 }),
    type: fc.constantFrom<(LockType | undefined)[]>('shared', 'exclusive', 'exclusive', undefined),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const shard = await TestShard.open();
      await shard.create('/f');
      const sessions = [await openSession(shard), await openSession(shard)];
      const owners = [0, 1, 2, 3].map((i) => ({ session: sessions[i >> 1] as SessionId, owner: i }));
      const table = owners.map(() => Array.from({ length: 24 }, (): LockType | undefined => undefined));
      for (const { who, start, length, type } of steps) {
        const end = start + length;
        const mine = { ...(owners[who] as (typeof owners)[number]), start, end };
        const blocked = table.some(
          (bytes, i) => i !== who && bytes.slice(start, end).some((b) => b !== undefined && (b === 'exclusive' || type === 'exclusive')),
        );
        if (type === undefined) await unlock(shard, '/f', mine);
        else {
          const refused = await lock(shard, '/f', { ...mine, type }).then(
            () => false,
            (error: unknown) => isNokvError(error, 'lock-conflict'),
          );
          expect(refused).toBe(blocked);
        }
        if (type === undefined || !blocked) (table[who] as (LockType | undefined)[]).fill(type, start, end);
      }
      const { locks } = await shard.read('list-locks', { node: at('/f') });
      const shown = owners.map(({ owner }) =>
        Array.from({ length: 24 }, (_, i) => locks.find((l) => l.owner === owner && l.start <= i && i < l.end)?.type),
      );
      expect(shown).toEqual(table);
      expect(contradictions(shard.kv)).toEqual([]);
      expect(locks.every(({ end }) => end < LOCK_END_MAX)).toBe(true);
      await shard.engine.close();
    }),
    { numRuns: 60 },
  );
});

describe('a caller of limited rights', () => {
  const caller = { uid: 1001, gid: 1001, groups: [] };
  const context = (request: string) => ({ requestId: requestId(request), actor: 't', acknowledgement: 'durable', caller }) as const;

  test.each([
    [0o600, { open: false, flock: false, shared: false, exclusive: false }],
    [0o604, { open: true, flock: true, shared: true, exclusive: false }],
    [0o602, { open: true, flock: true, shared: false, exclusive: true }],
    [0o606, { open: true, flock: true, shared: true, exclusive: true }],
  ])("may, of a stranger's file of mode %o: %o", async (mode, expected) => {
    const shard = await TestShard.open();
    await shard.put('/f', 'x', { mode });
    const { session } = (await shard.engine.mutate('open-session', { name: '', ttlMs: 30_000 }, context('s'))).result;
    const node = at('/f');
    const range = { node, session, owner: 1, kind: 'range', start: 0, end: 1 } as const;
    const asked = {
      open: shard.engine.mutate('open-handle', { node, session }, context('o')),
      flock: shard.engine.mutate('lock', { node, session, owner: 1, ...FLOCK, type: 'exclusive' }, context('f')),
      shared: shard.engine.mutate('lock', { ...range, type: 'shared' }, context('r')),
      exclusive: shard.engine.mutate('lock', { ...range, type: 'exclusive' }, context('w')),
    };
    const got: Record<string, boolean> = {};
    for (const [what, answer] of Object.entries(asked)) {
      got[what] = await answer.then(
        () => true,
        (error: unknown) => !isNokvError(error, 'permission-denied'),
      );
    }
    expect(got).toEqual(expected);
    await expect(shard.engine.mutate('close-session', { session }, context('c'))).resolves.toBeDefined();
    await shard.engine.close();
  });
});
