/** Sessions: what is held under one ends with it, and never before. */
import { describe, expect, test } from 'vitest';
import { SESSIONS_MAX, type SessionId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, sessionsKey } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { TestShard, at } from './testing/test-shard.js';
import { FLOCK, lock, lockLines, msOf, openSession, unlock } from './testing/test-sessions.js';
import { encodeHeld } from './value-session.js';

const rowsOf = (shard: TestShard, family: (typeof FAMILY)[keyof typeof FAMILY]): number =>
  [...shard.kv.range(familyStart(family), familyEnd(family))].length;

async function listed(shard: TestShard): Promise<readonly string[]> {
  const { sessions } = await shard.read('list-sessions', { limit: 100 });
  return sessions.map(({ name, live, locks, handles }) => `${name} ${live ? 'live' : 'over'} ${locks} ${handles}`);
}

describe('a session', () => {
  test('lives from its opening for its time, and is listed with what it holds', async () => {
    const shard = await TestShard.open();
    const { result } = await shard.do('open-session', { name: 'backup', ttlMs: 5000 });
    expect(msOf(result.expiresAt)).toBe(shard.clock.ms + 5000);
    await shard.create('/f');
    await lock(shard, '/f', { session: result.session });
    await shard.do('open-handle', { node: at('/f'), session: result.session });
    const { sessions, more } = await shard.read('list-sessions', { limit: 10 });
    expect(more).toBe(false);
    expect(sessions).toEqual([
      {
        session: result.session,
        name: 'backup',
        actor: 'tester',
        openedAt: shard.clock.now(),
        expiresAt: result.expiresAt,
        live: true,
        locks: 1,
        handles: 1,
      },
    ]);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('is renewed forwards only', async () => {
    const shard = await TestShard.open();
    const session = await openSession(shard, 60_000);
    const opened = shard.clock.ms;
    const shorter = await shard.do('renew-session', { session, ttlMs: 1000 });
    expect(msOf(shorter.result.expiresAt)).toBe(opened + 60_000);
    shard.clock.ms += 59_999;
    const renewed = await shard.do('renew-session', { session, ttlMs: 60_000 });
    expect(msOf(renewed.result.expiresAt)).toBe(shard.clock.ms + 60_000);
    await shard.maintain();
    expect(await listed(shard)).toEqual([' live 0 0']);
    await shard.engine.close();
  });

  test('has ended the moment its time is over, swept or not', async () => {
    const shard = await TestShard.open();
    await shard.create('/f');
    const session = await openSession(shard, 2000);
    await lock(shard, '/f', { session });
    shard.clock.ms += 2000;
    expect(await lockLines(shard, '/f', [session])).toEqual([]);
    expect(await listed(shard)).toEqual([' over 1 0']);
    for (const refused of [
      shard.do('renew-session', { session, ttlMs: 2000 }),
      lock(shard, '/f', { session }),
      unlock(shard, '/f', { session }),
      shard.do('open-handle', { node: at('/f'), session }),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: 'no-session', kind: 'not-found' });
    }
    await shard.maintain();
    expect(await listed(shard)).toEqual([]);
    expect(rowsOf(shard, FAMILY.hold) + rowsOf(shard, FAMILY.sessionHold) + rowsOf(shard, FAMILY.sessions)).toBe(0);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('whose lock was taken over stays over, though the clock goes back', async () => {
    const shard = await TestShard.open();
    await shard.create('/f');
    const [old, young] = [await openSession(shard, 2000), await openSession(shard, 60_000)];
    await lock(shard, '/f', { session: old });
    shard.clock.ms += 2500;
    await lock(shard, '/f', { session: young });
    shard.clock.ms -= 2000;
    await expect(shard.do('renew-session', { session: old, ttlMs: 2000 })).rejects.toMatchObject({ code: 'no-session' });
    expect(await lockLines(shard, '/f', [old, young])).toEqual(['1/1 exclusive 0-end']);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('is closed with all that it holds, however much, in slices; closing it again is fine', async () => {
    const shard = await TestShard.open();
    const [session, other] = [await openSession(shard), await openSession(shard)];
    for (let i = 0; i < 600; i++) {
      await shard.create(`/f${i}`);
      await lock(shard, `/f${i}`, { session, type: 'shared' });
      await lock(shard, `/f${i}`, { session: other, type: 'shared' });
    }
    await shard.do('close-session', { session });
    // At once in nobody's way, before the rest is swept.
    expect(await lockLines(shard, '/f599', [session, other])).toEqual(['1/1 shared 0-end']);
    expect(rowsOf(shard, FAMILY.hold)).toBe(1200 - 256);
    expect(await shard.maintain()).toBeGreaterThan(1);
    expect(rowsOf(shard, FAMILY.hold)).toBe(600);
    expect(await listed(shard)).toEqual([' live 600 0']);
    await shard.do('close-session', { session });
    await expect(lock(shard, '/f1', { session })).rejects.toMatchObject({ code: 'no-session' });
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('leaves no row of the queue behind when it is closed', async () => {
    const shard = await TestShard.open();
    for (let i = 0; i < 5; i++) await shard.do('close-session', { session: await openSession(shard, 3_600_000) });
    expect(rowsOf(shard, FAMILY.gc)).toBe(0);
    await shard.engine.close();
  });

  test('lives through a restart with its locks; its time goes on meanwhile', async () => {
    const kv = new MemoryKv();
    const shard = await TestShard.open(kv);
    await shard.create('/f');
    const [short, long] = [await openSession(shard, 2000), await openSession(shard, 60_000)];
    await lock(shard, '/f', { session: short, end: 10 });
    await lock(shard, '/f', { session: long, start: 10, end: 20 });
    const { clock } = shard;
    await shard.engine.close();
    clock.ms += 10_000;
    const again = await TestShard.open(kv.powerCut(), { clock, prefix: 'again' });
    expect(await lockLines(again, '/f', [short, long])).toEqual(['1/1 exclusive 10-20']);
    await again.do('renew-session', { session: long, ttlMs: 60_000 });
    await lock(again, '/f', { session: long, end: 10 });
    await again.maintain();
    expect(await lockLines(again, '/f', [short, long])).toEqual(['1/1 exclusive 0-20']);
    expect(contradictions(again.kv)).toEqual([]);
    await again.engine.close();
  });

  test('is opened once however often the request arrives', async () => {
    const shard = await TestShard.open();
    const first = await shard.as('same', 'open-session', { name: 'a', ttlMs: 5000 });
    expect(await shard.as('same', 'open-session', { name: 'a', ttlMs: 5000 })).toEqual(first);
    expect(await listed(shard)).toEqual(['a live 0 0']);
    await shard.engine.close();
  });
});

test('bad arguments are refused by name', async () => {
  const shard = await TestShard.open();
  for (const ttlMs of [0, 999, 24 * 3600 * 1000 + 1, 1500.5, Number.NaN]) {
    await expect(shard.do('open-session', { name: '', ttlMs })).rejects.toMatchObject({ code: 'invalid-argument' });
  }
  await expect(shard.do('open-session', { name: 'n'.repeat(256), ttlMs: 1000 })).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(shard.do('renew-session', { session: 'f'.repeat(32) as SessionId, ttlMs: 1000 })).rejects.toMatchObject({
    code: 'no-session',
  });
  await expect(shard.read('list-sessions', { limit: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
  expect(await listed(shard)).toEqual([]);
  await shard.engine.close();
});

test('sessions are bounded in number', async () => {
  const shard = await TestShard.open();
  // As if as many others were open.
  await shard.kv.commit([{ key: sessionsKey(), value: encodeHeld(sessionsKey(), { rows: SESSIONS_MAX - 1 }) }]).flushed;
  const session = await openSession(shard);
  await expect(openSession(shard)).rejects.toMatchObject({ code: 'session-limit', kind: 'quota' });
  await shard.do('close-session', { session });
  await openSession(shard);
  await shard.engine.close();
});

test('pages list each session once', async () => {
  const shard = await TestShard.open();
  for (let i = 0; i < 25; i++) {
    shard.clock.ms += 1;
    await openSession(shard, 60_000, String(i));
  }
  const names: string[] = [];
  for (let after: SessionId | undefined; ;) {
    const page = await shard.read('list-sessions', { limit: 10, ...(after === undefined ? {} : { after }) });
    for (const { name } of page.sessions) names.push(name);
    after = page.sessions.at(-1)?.session;
    if (!page.more) break;
  }
  expect(names).toEqual(Array.from({ length: 25 }, (_, i) => String(i)));
  expect(contradictions(shard.kv)).toEqual([]);
  await shard.engine.close();
});

test('flock of a removed directory goes with it', async () => {
  const shard = await TestShard.open();
  await shard.mkdir('/d');
  const session = await openSession(shard);
  await lock(shard, '/d', { session, ...FLOCK });
  await shard.do('rmdir', { entry: at('/d') });
  expect(await listed(shard)).toEqual([' live 0 0']);
  expect(contradictions(shard.kv)).toEqual([]);
  await shard.engine.close();
});
