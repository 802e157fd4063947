/** Open handles: a file that loses its last name while it is open lives on until the last of them is closed. */
import { describe, expect, test } from 'vitest';
import type { InodeNumber, SessionId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';
import { lock, openSession } from './testing/test-sessions.js';

async function opened(shard: TestShard, path: string, session: SessionId): Promise<InodeNumber> {
  return (await shard.do('open-handle', { node: at(path), session })).result.attributes.ino;
}

async function textOf(shard: TestShard, ino: InodeNumber): Promise<string> {
  const { body } = await shard.read('open-read', { node: { ino } });
  return body.kind === 'inline' ? Buffer.from(body.bytes).toString() : '(blocks)';
}

const inodesUsed = async (shard: TestShard): Promise<number> => (await shard.read('statfs', {})).inodesUsed;

describe('a file that is open when its last name goes', () => {
  const ways: Record<string, (shard: TestShard) => Promise<unknown>> = {
    unlink: (shard) => shard.do('unlink', { entry: at('/d/f') }),
    'rename over it': async (shard) => {
      await shard.create('/other');
      await shard.do('rename', { from: at('/other'), to: at('/d/f'), mode: 'replace' });
    },
    'remove-tree of it': (shard) => shard.do('remove-tree', { entry: at('/d/f') }),
    'remove-tree above it': async (shard) => {
      await shard.do('remove-tree', { entry: at('/d') });
      await shard.maintain();
    },
    'publish-tree over it': async (shard) => {
      const { result } = await shard.do('begin-tree', { mode: 0o755, ttlMs: 60_000, ...OWNER });
      await shard.do('publish-tree', { root: result.root, to: at('/d'), replace: true, ...OWNER });
      await shard.maintain();
    },
    'both of its names': async (shard) => {
      await shard.do('link', { node: at('/d/f'), entry: at('/g') });
      await shard.do('unlink', { entry: at('/g') });
      await shard.do('unlink', { entry: at('/d/f') });
    },
  };

  test.each(Object.entries(ways))('by %s, is read, written, stated and counted until the last close', async (_way, remove) => {
    const shard = await TestShard.open();
    await shard.mkdir('/d');
    await shard.put('/d/f', 'first');
    await shard.do('xattr-set', { node: at('/d/f'), name: Buffer.from('user.a'), value: Buffer.from('1'), mode: 'set' });
    const [a, b] = [await openSession(shard), await openSession(shard)];
    const ino = await opened(shard, '/d/f', a);
    await opened(shard, '/d/f', a);
    await opened(shard, '/d/f', b);
    await remove(shard);
    expect(await shard.read('getattr', { ino })).toMatchObject({ nlink: 0, size: 5 });
    expect(await textOf(shard, ino)).toBe('first');
    await shard.do('publish', { node: { ino }, body: inline('second'), mode: 0o644, ...OWNER });
    await shard.do('setattr', { node: { ino }, size: 3, mode: 0o600 });
    expect(await textOf(shard, ino)).toBe('sec');
    expect(await shard.read('xattr-get', { node: { ino }, name: Buffer.from('user.a') })).toEqual({ value: Uint8Array.from([0x31]) });
    await expect(shard.read('path-of', { ino })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.do('link', { node: { ino }, entry: at('/back') })).rejects.toMatchObject({ code: 'not-found' });
    expect(contradictions(shard.kv)).toEqual([]);

    const used = await shard.read('statfs', {});
    const close = async (session: SessionId): Promise<boolean> => (await shard.do('close-handle', { ino, session })).result.removed;
    expect([await close(a), await close(b), await close(a)]).toEqual([false, false, true]);
    await expect(shard.read('getattr', { ino })).rejects.toMatchObject({ code: 'not-found' });
    const left = await shard.read('statfs', {});
    expect({ bytes: used.bytesUsed - left.bytesUsed, inodes: used.inodesUsed - left.inodesUsed }).toEqual({ bytes: 3, inodes: 1 });
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('goes with the end of its session, by close or by time, with its locks', async () => {
    const shard = await TestShard.open();
    const [closing, ending] = [await openSession(shard), await openSession(shard, 2000)];
    for (const [path, session] of [
      ['/a', closing],
      ['/b', ending],
    ] as const) {
      await shard.put(path, 'x');
      await opened(shard, path, session);
      await lock(shard, path, { session });
      await shard.do('unlink', { entry: at(path) });
    }
    expect(await inodesUsed(shard)).toBe(2);
    await shard.do('close-session', { session: closing });
    expect(await inodesUsed(shard)).toBe(1);
    shard.clock.ms += 2000;
    await shard.maintain();
    expect(await inodesUsed(shard)).toBe(0);
    expect([...shard.kv.range(familyStart(FAMILY.hold), familyEnd(FAMILY.hold))]).toEqual([]);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('keeps its body for the time of retention after the last close, and no longer', async () => {
    const shard = await TestShard.open(new MemoryKv(), { retention: { bodyMs: 10_000 } });
    const session = await openSession(shard, 60_000);
    const { result } = await shard.put('/f', 'kept');
    const ino = await opened(shard, '/f', session);
    await shard.do('unlink', { entry: at('/f') });
    shard.clock.ms += 20_000;
    await shard.maintain();
    expect(await textOf(shard, ino)).toBe('kept');
    await shard.do('close-handle', { ino, session });
    const read = (): Promise<unknown> => shard.read('open-read', { node: { ino }, generation: result.generation });
    shard.clock.ms += 9_000;
    await shard.maintain();
    expect(await read()).toMatchObject({ attributes: { nlink: 0 } });
    shard.clock.ms += 2_000;
    await shard.maintain();
    await expect(read()).rejects.toMatchObject({ code: 'retention-ended' });
    await shard.engine.close();
  });

  test('lives on over a restart', async () => {
    const kv = new MemoryKv();
    const shard = await TestShard.open(kv);
    const session = await openSession(shard, 60_000);
    await shard.put('/f', 'kept');
    const ino = await opened(shard, '/f', session);
    await shard.do('unlink', { entry: at('/f') });
    const { clock } = shard;
    const again = await TestShard.open(kv.powerCut(), { clock, prefix: 'again' });
    await again.maintain();
    expect(await textOf(again, ino)).toBe('kept');
    expect((await again.do('close-handle', { ino, session })).result.removed).toBe(true);
    expect(contradictions(again.kv)).toEqual([]);
    await again.engine.close();
  });
});

describe('handles', () => {
  test('of directories, of what is not there and of ended sessions are refused', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/d');
    await shard.create('/f');
    const session = await openSession(shard);
    await expect(opened(shard, '/d', session)).rejects.toMatchObject({ code: 'is-directory' });
    await expect(opened(shard, '/none', session)).rejects.toMatchObject({ code: 'not-found' });
    await expect(opened(shard, '/f', '0'.repeat(32) as SessionId)).rejects.toMatchObject({ code: 'no-session' });
    const ino = await opened(shard, '/f', session);
    await shard.do('close-handle', { ino, session });
    await expect(shard.do('close-handle', { ino, session })).rejects.toMatchObject({ code: 'not-found' });
    await shard.engine.close();
  });

  test('a file that is not open goes with its last name, whoever has locks on it', async () => {
    const shard = await TestShard.open();
    const session = await openSession(shard);
    await shard.create('/f');
    const ino = await lock(shard, '/f', { session });
    await shard.do('unlink', { entry: at('/f') });
    await expect(shard.read('getattr', { ino })).rejects.toMatchObject({ code: 'not-found' });
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });
});

describe('with the past and with forks', () => {
  async function shardWithOpenFile(): Promise<{ shard: TestShard; session: SessionId; ino: InodeNumber }> {
    const shard = await TestShard.open();
    await shard.mkdir('/d');
    await shard.put('/d/f', 'first');
    const session = await openSession(shard, 3_600_000);
    return { shard, session, ino: await opened(shard, '/d/f', session) };
  }

  const closed = async (shard: TestShard, ino: InodeNumber, session: SessionId): Promise<void> => {
    expect((await shard.do('close-handle', { ino, session })).result.removed).toBe(true);
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  };

  test('what was removed is brought back beside the open file, which stays what it is', async () => {
    const { shard, session, ino } = await shardWithOpenFile();
    await shard.do('unlink', { entry: at('/d/f') });
    await shard.do('publish', { node: { ino }, body: inline('second'), mode: 0o644, ...OWNER });
    await shard.do('undelete', { entry: at('/d/f'), ...OWNER });
    expect(await shard.text('/d/f')).toBe('first');
    expect(await textOf(shard, ino)).toBe('second');
    expect((await shard.stat('/d/f')).ino).not.toBe(ino);
    expect(await shard.read('getattr', { ino })).toMatchObject({ nlink: 0 });
    expect(contradictions(shard.kv)).toEqual([]);
    await closed(shard, ino, session);
  });

  test('a snapshot goes on to show a file that was removed and written while it was open', async () => {
    const { shard, session, ino } = await shardWithOpenFile();
    const { pin } = (await shard.do('snapshot-create', { node: at('/d'), ttlMs: 3_600_000 })).result;
    await shard.do('unlink', { entry: at('/d/f') });
    await shard.do('publish', { node: { ino }, body: inline('second'), mode: 0o644, ...OWNER });
    await shard.maintain();
    const seen = async (): Promise<string> => {
      const { body } = await shard.read('open-read', { node: at('/d/f'), at: { snapshot: pin.id } });
      return body.kind === 'inline' ? Buffer.from(body.bytes).toString() : '(blocks)';
    };
    expect(await seen()).toBe('first');
    expect((await shard.do('close-handle', { ino, session })).result.removed).toBe(true);
    shard.clock.ms += 3_000_000;
    await shard.maintain();
    expect(await seen()).toBe('first');
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });

  test('a file of a fork that nobody touched before is opened and locked, and outlives the fork', async () => {
    const { shard, session } = await shardWithOpenFile();
    await shard.do('clone', { from: at('/d'), to: at('/c'), ...OWNER });
    await lock(shard, '/c/f', { session });
    const ino = await opened(shard, '/c/f', session);
    expect(ino).not.toBe((await shard.stat('/d/f')).ino);
    await shard.do('remove-tree', { entry: at('/c') });
    await shard.maintain();
    expect(await textOf(shard, ino)).toBe('first');
    expect(contradictions(shard.kv)).toEqual([]);
    await closed(shard, ino, session);
  });

  test('a file that is open when its directory is rolled back lives on', async () => {
    const { shard, ino } = await shardWithOpenFile();
    const { version } = await shard.put('/d/g', 'x');
    await shard.put('/d/f', 'second');
    await shard.do('rollback', { node: at('/d'), at: { version }, undoTtlMs: 60_000 });
    await shard.maintain();
    expect(await shard.text('/d/f')).toBe('first');
    expect(await textOf(shard, ino)).toBe('second');
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  });
});
