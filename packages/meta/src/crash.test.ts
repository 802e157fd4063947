import { describe, expect, test } from 'vitest';
import { NokvError, ROOT_INODE, type ChangeRecord } from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import { OWNER, TestShard, at } from './testing/test-shard.js';

/** Lets everything that can run without the store run. */
async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
}

function watched<T>(promise: Promise<T>): { state: 'pending' | 'fulfilled' | 'rejected'; readonly promise: Promise<T> } {
  const box = { state: 'pending' as 'pending' | 'fulfilled' | 'rejected', promise };
  promise.then(
    () => (box.state = 'fulfilled'),
    () => (box.state = 'rejected'),
  );
  return box;
}

/** A shard whose store commits and flushes only when told; opened with a store that does so by itself. */
async function manualShard(): Promise<{ shard: TestShard; kv: MemoryKv }> {
  const first = await TestShard.open(new MemoryKv());
  await first.mkdir('/d');
  await first.put('/f', 'before');
  await first.engine.close();
  const kv = (first.kv as MemoryKv).powerCut({ manual: true });
  const opening = TestShard.open(kv, { clock: first.clock, prefix: 'm' });
  await turns();
  kv.applyNext();
  kv.flush();
  return { shard: await opening, kv };
}

function store(kv: MemoryKv): void {
  // Ends: each turn takes one waiting commit.
  while (kv.applyNext());
  kv.flush();
}

describe('acknowledgements', () => {
  test('a durable reply waits for the flush, a visible one does not', async () => {
    const { shard, kv } = await manualShard();
    const durable = watched(shard.create('/a'));
    const visible = watched(shard.do('create', { entry: at('/b'), mode: 0o644, type: 'file', exclusive: true, ...OWNER }, 'visible'));
    await turns();
    expect([durable.state, visible.state]).toEqual(['pending', 'fulfilled']);
    expect(shard.engine.durableVersion).toBeLessThan(shard.engine.visibleVersion);
    kv.applyNext();
    await turns();
    expect(durable.state).toBe('pending');
    kv.flush();
    await turns();
    expect(durable.state).toBe('fulfilled');
    expect(shard.engine.durableVersion).toBe(shard.engine.visibleVersion);
  });

  test('a read waits for the flush of what it saw and of nothing else', async () => {
    const { shard, kv } = await manualShard();
    const write = watched(shard.put('/f', 'after'));
    await turns();
    const untouched = shard.engine.read('list', { node: at('/d'), limit: 10, attributes: true }, { visible: false });
    expect(untouched).not.toBeInstanceOf(Promise);
    const visible = shard.engine.read('open-read', { node: at('/f') }, { visible: true });
    expect(visible).toMatchObject({ body: { bytes: Uint8Array.from(Buffer.from('after')) } });
    const waiting = watched(shard.read('open-read', { node: at('/f') }));
    await turns();
    expect([write.state, waiting.state]).toEqual(['pending', 'pending']);
    store(kv);
    await turns();
    expect([write.state, waiting.state]).toEqual(['fulfilled', 'fulfilled']);
    expect(shard.engine.read('open-read', { node: at('/f') }, { visible: false })).not.toBeInstanceOf(Promise);
  });

  test('so does the answer that something is gone', async () => {
    const { shard, kv } = await manualShard();
    const removal = watched(shard.do('unlink', { entry: at('/f') }));
    await turns();
    const missing = watched(shard.stat('/f'));
    const refused = watched(shard.do('unlink', { entry: at('/f') }));
    const listed = watched(shard.read('list', { node: at('/'), limit: 10, attributes: false }));
    expect(() => shard.engine.read('stat', { node: at('/f') }, { visible: true })).toThrow('/f');
    await turns();
    expect([removal.state, missing.state, refused.state, listed.state]).toEqual(['pending', 'pending', 'pending', 'pending']);
    store(kv);
    await turns();
    expect([removal.state, missing.state, refused.state, listed.state]).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
  });

  test('commands that wait together share one commit and one flush', async () => {
    const { shard, kv } = await manualShard();
    const creates = Array.from({ length: 100 }, (_, i) => watched(shard.create(`/d/f${i}`)));
    await turns();
    expect(kv.waiting).toBe(1);
    store(kv);
    await turns();
    expect(creates.every(({ state }) => state === 'fulfilled')).toBe(true);
    expect(shard.engine.stats).toMatchObject({ batches: 1, flushes: 1 });
  });

  test('the next batch is evaluated while the last is on its way, and no more than six are', async () => {
    const { shard, kv } = await manualShard();
    const creates = [];
    for (let i = 0; i < 9; i++) {
      creates.push(watched(shard.create(`/d/f${i}`)));
      await turns();
    }
    expect(kv.waiting).toBe(6);
    store(kv);
    await turns();
    store(kv);
    await turns();
    expect(creates.map(({ state }) => state)).toEqual(Array(9).fill('fulfilled'));
    expect(await shard.names('/d')).toEqual(['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f7', 'f8']);
  });

  test('visible commands do not wait for a place on the disk', async () => {
    const { shard, kv } = await manualShard();
    for (let i = 0; i < 50; i++) {
      const entry = at(`/d/f${i}`);
      await shard.do('create', { entry, mode: 0o644, type: 'file', exclusive: true, ...OWNER }, 'visible');
    }
    expect(kv.waiting).toBe(6);
    const last = watched(shard.stat('/d/f49'));
    await turns();
    expect(last.state).toBe('pending');
    store(kv);
    await turns();
    store(kv);
    await turns();
    expect(last.state).toBe('fulfilled');
    expect(shard.engine.stats.batches).toBe(7);
    expect(await shard.stat('/d')).toMatchObject({ children: 50 });
  });

  test('changes reach listeners after their flush, in order, batch by batch', async () => {
    const { shard, kv } = await manualShard();
    const heard: [number, string[]][] = [];
    const names = (changes: readonly ChangeRecord[]): string[] => changes.map(({ name }) => Buffer.from(name ?? []).toString());
    shard.engine.onDurable((version, changes) => heard.push([version, names(changes)]));
    const creates = [shard.create('/d/a'), shard.create('/d/b')];
    await turns();
    creates.push(shard.create('/d/c'));
    await turns();
    expect(heard).toEqual([]);
    store(kv);
    await Promise.all(creates);
    expect(heard.map(([, changed]) => changed)).toEqual([['a', 'b'], ['c']]);
    expect(heard.at(-1)?.[0]).toBe(shard.engine.durableVersion);
  });
});

describe('failed commits', () => {
  const full = new NokvError('no-space', 'the disk is full');

  test('fail what was evaluated on them, nothing of it is seen, and the shard goes on', async () => {
    const { shard, kv } = await manualShard();
    const lost: [number, number][] = [];
    shard.engine.onLost((first, last) => lost.push([first, last]));
    const early = watched(shard.create('/d/early'));
    await turns();
    kv.applyNext();
    const doomed = watched(shard.mkdir('/doomed'));
    const visible = await shard.do('mkdir', { entry: at('/seen'), mode: 0o755, ...OWNER }, 'visible');
    await turns();
    const after = watched(shard.create('/doomed/inside'));
    await turns();
    const reader = watched(shard.stat('/doomed'));
    kv.failNext({ at: 'commit', error: full });
    store(kv);
    await turns();
    expect([early.state, doomed.state, after.state, reader.state]).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    await expect(doomed.promise).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
    await expect(after.promise).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
    expect(lost).toHaveLength(1);
    expect(lost[0]?.[0]).toBeLessThanOrEqual(visible.version);
    expect(lost[0]?.[1]).toBeGreaterThanOrEqual(visible.version);
    expect(await shard.names('/')).toEqual(['d', 'f']);
    expect(await shard.names('/d')).toEqual(['early']);

    const again = shard.mkdir('/doomed');
    await turns();
    store(kv);
    expect(await again).toBeGreaterThan(visible.result.attributes.ino);
    expect(shard.engine.durableVersion).toBeGreaterThan(lost[0]?.[1] ?? Number.MAX_SAFE_INTEGER);
    expect(await shard.stat('/')).toMatchObject({ children: 3 });
    expect(await shard.read('statfs', {})).toMatchObject({ inodesUsed: 4 });
  });

  test('earlier unflushed commits stay unflushed for readers', async () => {
    const { shard, kv } = await manualShard();
    const first = watched(shard.put('/f', 'first'));
    await turns();
    kv.applyNext();
    const second = watched(shard.put('/f', 'second'));
    await turns();
    kv.failNext({ at: 'commit', error: full });
    kv.applyNext();
    await turns();
    expect([first.state, second.state]).toEqual(['pending', 'rejected']);
    const reader = watched(shard.text('/f'));
    await turns();
    expect(reader.state).toBe('pending');
    kv.flush();
    expect(await reader.promise).toBe('first');
    await first.promise;
  });

  test('a failed flush stops the shard with outcome unknown', async () => {
    const { shard, kv } = await manualShard();
    const create = watched(shard.create('/a'));
    await turns();
    kv.failNext({ at: 'flush', error: new Error('EIO') });
    store(kv);
    await expect(create.promise).rejects.toMatchObject({ kind: 'unavailable', outcome: 'unknown' });
    await expect(shard.create('/b')).rejects.toMatchObject({ code: 'unavailable' });
    expect(() => shard.engine.read('getattr', { ino: ROOT_INODE }, { visible: true })).toThrow('flush');
  });

  test('a shard that has stopped for good says so, also when nobody asks it anything; one that goes on does not', async () => {
    const { shard, kv } = await manualShard();
    const failed = watched(shard.engine.failed);
    const refused = watched(shard.create('/a'));
    await turns();
    kv.failNext({ at: 'commit', error: full });
    store(kv);
    await turns();
    expect([refused.state, failed.state]).toEqual(['rejected', 'pending']);
    const stopped = watched(shard.create('/b'));
    await turns();
    kv.failNext({ at: 'flush', error: new Error('EIO') });
    store(kv);
    await turns();
    expect(stopped.state).toBe('rejected');
    expect(await failed.promise).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/EIO.*look at the disk/) as string });
  });
});

describe('power cuts', () => {
  test('leave a prefix of the commits that holds every acknowledged command, and numbers are not used twice', async () => {
    for (let cut = 0; cut < 12; cut++) {
      const { shard, kv } = await manualShard();
      const acknowledged = new Set<string>();
      const shown: { version: number; ino: number }[] = [];
      for (let i = 0; i < 10; i++) {
        const name = `f${i}`;
        const entry = { parent: ROOT_INODE, name: Buffer.from(name) };
        const args = { entry, mode: 0o644, type: 'file', exclusive: true, ...OWNER } as const;
        const durable = i % 2 === 0;
        shard.do('create', args, durable ? 'durable' : 'visible').then(
          ({ version, result }) => {
            shown.push({ version, ino: result.attributes.ino });
            if (durable) acknowledged.add(name);
          },
          () => undefined,
        );
        await turns(2);
        if ((i + cut) % 3 === 0) kv.applyNext();
        if ((i * 7 + cut) % 5 === 0) kv.flush();
        await turns(2);
        if (i === cut) break;
      }
      const survivor = await TestShard.open(kv.powerCut(), { prefix: 's' });
      const files = (await survivor.names('/')).filter((name) => /^f\d/.test(name));
      expect(files).toEqual(files.map((_, i) => `f${i}`));
      for (const name of acknowledged) expect(files).toContain(name);
      const { version, result } = await survivor.do('mkdir', { entry: at('/fresh'), mode: 0, ...OWNER });
      for (const seen of shown) {
        expect(version).toBeGreaterThan(seen.version);
        expect(result.attributes.ino).toBeGreaterThan(seen.ino);
      }
      await survivor.engine.close();
    }
  });

  test('a lost command that is sent again takes effect once', async () => {
    const { shard, kv } = await manualShard();
    const args = { node: at('/f'), body: { kind: 'inline' as const, bytes: Buffer.from('x') }, mode: 0o644, ...OWNER };
    const first = await shard.as('same', 'publish', args, 'visible');
    const survivor = await TestShard.open(kv.powerCut());
    const again = await survivor.as('same', 'publish', args);
    expect(again.result.generation).toBeGreaterThan(first.result.generation);
    expect(await survivor.as('same', 'publish', args)).toEqual(again);
    expect(await survivor.stat('/f')).toMatchObject({ ordinal: 2 });
  });

  test('after an orderly close numbers continue without a gap', async () => {
    const first = await TestShard.open(new MemoryKv());
    const { version, result } = await first.do('mkdir', { entry: at('/a'), mode: 0, ...OWNER });
    await first.engine.close();
    const second = await TestShard.open((first.kv as MemoryKv).powerCut(), { prefix: 's' });
    const next = await second.do('mkdir', { entry: at('/b'), mode: 0, ...OWNER });
    expect(next.version).toBe(version + 1);
    expect(next.result.attributes.ino).toBe(result.attributes.ino + 1);
  });
});

describe('opening', () => {
  test.each([1, 9])('format %i, an earlier or a later one, is refused, naming both numbers, and left as it is', async (found) => {
    const shard = await TestShard.open();
    const key = Uint8Array.of(1, 1);
    const row = Buffer.from(shard.kv.get(key) ?? []);
    row.writeUInt16BE(found, 4);
    await shard.kv.commit([{ key, value: row }]).flushed;
    const kv = (shard.kv as MemoryKv).powerCut();
    const before = kv.dump();
    await expect(TestShard.open(kv)).rejects.toMatchObject({
      code: 'unsupported-format',
      message: expect.stringMatching(new RegExp(`formats 2 to 3.*format ${found}`)) as string,
      details: { expected: 3, found },
    });
    expect(kv.dump()).toEqual(before);
  });

  test('format 2 becomes format 3, with all that is in it', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/kept');
    const key = Uint8Array.of(1, 1);
    const row = Buffer.from(shard.kv.get(key) ?? []);
    row.writeUInt16BE(2, 4);
    await shard.kv.commit([{ key, value: row }]).flushed;
    const again = await TestShard.open((shard.kv as MemoryKv).powerCut());
    expect(Buffer.from(again.kv.get(key) ?? []).readUInt16BE(4)).toBe(3);
    expect((await again.stat('/kept')).type).toBe('directory');
  });

  test('something else than a shard is refused and left alone', async () => {
    const kv = new MemoryKv();
    await kv.commit([{ key: Buffer.from('users'), value: Buffer.from('precious') }]).flushed;
    await expect(TestShard.open(kv)).rejects.toMatchObject({ code: 'unsupported-format' });
    expect(kv.dump()).toHaveLength(1);
  });

  test("another shard's environment is refused", async () => {
    const shard = await TestShard.open();
    await expect(TestShard.open((shard.kv as MemoryKv).powerCut(), { shard: 7 as never })).rejects.toMatchObject({
      code: 'unsupported-format',
      message: expect.stringContaining('shard 7') as string,
    });
  });

  test('an epoch only ever rises, survives, and is adopted while the gate is closed', async () => {
    const shard = await TestShard.open();
    shard.engine.setGate({ refusal: () => new NokvError('lease-lost', 'no lease yet') });
    await shard.engine.adoptEpoch(3 as never);
    await expect(shard.engine.adoptEpoch(3 as never)).rejects.toMatchObject({ code: 'fenced' });
    const reopened = await TestShard.open((shard.kv as MemoryKv).powerCut());
    expect(reopened.engine.epoch).toBe(3);
  });

  test('a closed shard refuses calls after finishing what was queued', async () => {
    const shard = await TestShard.open();
    const create = shard.create('/a');
    await shard.engine.close();
    await create;
    await expect(shard.create('/b')).rejects.toMatchObject({ code: 'draining' });
    expect(() => shard.engine.read('getattr', { ino: ROOT_INODE }, { visible: true })).toThrow('closing');
  });
});
