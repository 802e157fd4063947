import { describe, expect, test } from 'vitest';
import type { At, DiffSide, Generation, InodeNumber, PinId, Version } from '@nokv/types';
import { FAMILY } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';
import { dump } from './testing/tree-dump.js';

const WEEK_MS = 7 * 24 * 3600 * 1000;

async function open(): Promise<TestShard> {
  return TestShard.open(new MemoryKv());
}

async function snapshot(shard: TestShard, path: string, ttlMs = WEEK_MS): Promise<PinId> {
  return (await shard.do('snapshot-create', { node: at(path), ttlMs })).result.pin.id;
}

/** A tree with every kind of node, xattrs and hard links across directories. */
async function fill(shard: TestShard, root: string): Promise<void> {
  await shard.mkdir(root);
  await shard.mkdir(`${root}/d`);
  await shard.mkdir(`${root}/d/e`);
  await shard.mkdir(`${root}/empty`);
  for (let i = 0; i < 20; i++) await shard.put(`${root}/d/f${i}`, `text ${i}`);
  await shard.put(`${root}/d/e/deep`, 'deep');
  await shard.put(`${root}/a`, 'one');
  await shard.do('link', { node: at(`${root}/a`), entry: at(`${root}/d/e/hard`) });
  await shard.do('link', { node: at(`${root}/a`), entry: at(`${root}/b`) });
  await shard.do('symlink', { entry: at(`${root}/link`), target: Buffer.from('d/e/deep'), ...OWNER });
  await shard.do('create', { entry: at(`${root}/pipe`), type: 'fifo', mode: 0o600, exclusive: true, ...OWNER });
  await shard.do('xattr-set', { node: at(`${root}/a`), name: Buffer.from('user.k'), value: Buffer.from('v'), mode: 'set' });
  await shard.do('xattr-set', { node: at(`${root}/d`), name: Buffer.from('user.d'), value: Buffer.from('w'), mode: 'set' });
}

/** Changes everything that {@link fill} made. */
async function disturb(shard: TestShard, root: string): Promise<void> {
  await shard.do('rename', { from: at(`${root}/d/e`), to: at(`${root}/moved`), mode: 'replace' });
  await shard.put(`${root}/a`, 'two, longer');
  await shard.do('unlink', { entry: at(`${root}/b`) });
  for (let i = 0; i < 20; i += 2) await shard.do('unlink', { entry: at(`${root}/d/f${i}`) });
  await shard.do('setattr', { node: at(`${root}/d`), mode: 0o700 });
  await shard.do('setattr', { node: at(`${root}/d/f1`), mode: 0o600 });
  await shard.do('xattr-remove', { node: at(`${root}/a`), name: Buffer.from('user.k') });
  await shard.put(`${root}/d/new`, 'new');
  await shard.do('unlink', { entry: at(`${root}/link`) });
  await shard.do('rmdir', { entry: at(`${root}/empty`) });
  await shard.mkdir(`${root}/empty2`);
}

describe('snapshots', () => {
  test('show what was there, whatever happens to it afterwards', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    const id = await snapshot(shard, '/r');
    shard.clock.ms += 10;
    await disturb(shard, '/r');
    const disturbed = await dump(shard, '/r');
    expect(disturbed).not.toEqual(before);
    expect(await dump(shard, '/r', { at: { snapshot: id } })).toEqual(before);
    await shard.do('remove-tree', { entry: at('/r') });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    expect(await dump(shard, '/r', { at: { snapshot: id } })).toEqual(before);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.do('snapshot-retire', { snapshot: id });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    expect([...shard.kv.range(Uint8Array.of(FAMILY.history), Uint8Array.of(FAMILY.history + 1))]).toEqual([]);
    expect([...shard.kv.range(Uint8Array.of(FAMILY.body), Uint8Array.of(FAMILY.body + 1))]).toEqual([]);
  });

  test('are told apart while commits are on their way to disk', async () => {
    const kv = new MemoryKv({ manual: true });
    const opening = TestShard.open(kv);
    for (let i = 0; i < 10; i++) {
      kv.applyNext();
      kv.flush();
      await Promise.resolve();
    }
    const shard = await opening;
    const visible = { visible: true } as const;
    const put = (text: string): Promise<unknown> =>
      shard.do('publish', { node: at('/f'), body: inline(text), mode: 0o644, ...OWNER }, 'visible');
    await put('one');
    const { result } = await shard.do('snapshot-create', { node: { ino: 1 as InodeNumber }, ttlMs: WEEK_MS }, 'visible');
    await put('two');
    await put('three');
    const plan = await shard.engine.read('open-read', { node: at('/f'), at: { snapshot: result.pin.id } }, visible);
    expect(plan.body).toEqual(inline('one'));
    const now = await shard.engine.read('open-read', { node: at('/f') }, visible);
    expect(now.body).toEqual(inline('three'));
  });

  test('show nothing outside their root', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const other = await shard.mkdir('/other');
    const id = await snapshot(shard, '/r/d');
    const moment: At = { snapshot: id };
    await expect(shard.read('stat', { node: at('/other'), at: moment })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.read('stat', { node: at('/r/a'), at: moment })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.read('getattr', { ino: other, at: moment })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.read('list', { node: at('/r'), limit: 10, attributes: false, at: moment })).rejects.toMatchObject({
      code: 'not-found',
    });
    const inside = await shard.read('stat', { node: at('/r/d/f1'), at: moment });
    expect(Buffer.from((await shard.read('path-of', { ino: inside.ino, at: moment })).path).toString()).toBe('/r/d/f1');
    // The way to the root leads there as it did, whatever it is called now.
    await shard.do('rename', { from: at('/r'), to: at('/s'), mode: 'replace' });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    expect((await shard.read('stat', { node: at('/r/d/f1'), at: moment })).ino).toBe(inside.ino);
  });

  test('end with their lease, by name, and a renewal never shortens', async () => {
    const shard = await open();
    await shard.put('/f', 'one');
    const id = await snapshot(shard, '/f', 10_000);
    const renewed = await shard.do('snapshot-renew', { snapshot: id, ttlMs: 1 });
    expect(renewed.result.pin.expiresAt?.sec).toBe(1_800_000_010);
    await shard.do('snapshot-renew', { snapshot: id, ttlMs: 20_000 });
    shard.clock.ms += 15_000;
    expect((await shard.read('stat', { node: at('/f'), at: { snapshot: id } })).size).toBe(3);
    shard.clock.ms += 6_000;
    await expect(shard.read('stat', { node: at('/f'), at: { snapshot: id } })).rejects.toMatchObject({ code: 'snapshot-expired' });
    await expect(shard.do('snapshot-renew', { snapshot: id, ttlMs: 20_000 })).rejects.toMatchObject({ code: 'snapshot-expired' });
    await shard.maintain();
    await expect(shard.read('stat', { node: at('/f'), at: { snapshot: id } })).rejects.toMatchObject({ code: 'snapshot-expired' });
    await expect(shard.read('stat', { node: at('/f'), at: { snapshot: 999_999 as PinId } })).rejects.toMatchObject({ code: 'not-found' });
    expect((await shard.read('pins', { limit: 10 })).pins).toEqual([]);
  });

  test('of one directory keep nothing of another', async () => {
    const shard = await TestShard.open(new MemoryKv(), { retention: { bodiesKept: 0 } });
    await shard.mkdir('/a');
    await shard.mkdir('/b');
    await shard.put('/a/f', 'a1');
    await shard.put('/b/f', 'b1');
    await snapshot(shard, '/a');
    await shard.put('/a/f', 'a2');
    await shard.put('/b/f', 'b2');
    // What leaves the pinned directory stays pinned.
    await shard.do('rename', { from: at('/a/f'), to: at('/b/g'), mode: 'replace' });
    await shard.put('/b/g', 'a3');
    shard.clock.ms += 2 * 24 * 3600 * 1000;
    await shard.maintain();
    const texts = [...shard.kv.range(Uint8Array.of(FAMILY.body), Uint8Array.of(FAMILY.body + 1))].map(({ value }) =>
      Buffer.from(value.subarray(value.length - 2)).toString(),
    );
    expect(texts.sort()).toEqual(['a1', 'a3', 'b2']);
  });
});

describe('tags', () => {
  test('last, move by compare-and-set, and hold what they name', async () => {
    const shard = await open();
    await shard.put('/f', 'one');
    const first = (await shard.do('tag-set', { name: 'v1', node: at('/f'), ifPin: 0 as PinId })).result.pin;
    await expect(shard.do('tag-set', { name: 'v1', node: at('/f'), ifPin: 0 as PinId })).rejects.toMatchObject({ code: 'exists' });
    await shard.put('/f', 'two');
    shard.clock.ms += 400 * 24 * 3600 * 1000;
    await shard.maintain();
    const tagged = await shard.read('open-read', { node: at('/f'), at: { tag: 'v1' } });
    expect(tagged.body).toEqual(inline('one'));
    await expect(shard.do('tag-set', { name: 'v1', node: at('/f'), ifPin: 77 as PinId })).rejects.toMatchObject({ code: 'tag-mismatch' });
    const second = (await shard.do('tag-set', { name: 'v1', node: at('/f'), ifPin: first.id })).result.pin;
    expect((await shard.read('open-read', { node: at('/f'), at: { tag: 'v1' } })).body).toEqual(inline('two'));
    expect((await shard.read('pins', { kind: 'tag', limit: 10 })).pins.map(({ id }) => id)).toEqual([second.id]);
    await shard.do('tag-remove', { name: 'v1' });
    await expect(shard.read('stat', { node: at('/f'), at: { tag: 'v1' } })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('can be set to a snapshot, which may then go', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r/d');
    const id = await snapshot(shard, '/r', 1000);
    await disturb(shard, '/r');
    await shard.do('tag-set', { name: 't', node: at('/r/d'), at: { snapshot: id } });
    shard.clock.ms += 5 * 24 * 3600 * 1000;
    await shard.maintain();
    expect(await dump(shard, '/r/d', { at: { tag: 't' } })).toEqual(before);
  });
});

describe('versions and times', () => {
  test('name the state after a commit, as long as history lasts', async () => {
    const shard = await open();
    const first = await shard.put('/f', 'one');
    shard.clock.ms += 1000;
    const second = await shard.put('/f', 'two!');
    shard.clock.ms += 1000;
    await shard.do('rename', { from: at('/f'), to: at('/g'), mode: 'replace' });
    const size = async (moment: At): Promise<number> => (await shard.read('stat', { node: at('/f'), at: moment })).size;
    expect(await size({ version: first.version })).toBe(3);
    expect(await size({ version: second.version })).toBe(4);
    expect(await size({ time: { sec: 1_800_000_000, nsec: 500_000_000 } })).toBe(3);
    expect(await size({ time: { sec: 1_800_000_001, nsec: 0 } })).toBe(4);
    await expect(size({ time: { sec: 1_800_000_009, nsec: 0 } })).rejects.toMatchObject({ code: 'not-found' });
    await expect(size({ version: 999_999_999 as Version })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect((await shard.read('open-read', { node: at('/f'), generation: first.result.generation })).body).toEqual(inline('one'));
    shard.clock.ms += 2 * 24 * 3600 * 1000;
    await shard.put('/h', '');
    await shard.maintain();
    await expect(size({ version: first.version })).rejects.toMatchObject({ code: 'retention-ended' });
    await expect(size({ time: { sec: 1_800_000_000, nsec: 0 } })).rejects.toMatchObject({ code: 'retention-ended' });
  });
});

describe('the log of a file', () => {
  test('has a row a generation; revert copies nothing; prune does what its plan says', async () => {
    const shard = await open();
    const generations: Generation[] = [];
    for (const text of ['one', 'two', 'three']) {
      generations.push((await shard.put('/f', text, { digest: `sha256:${'0'.repeat(63)}${text.length}` })).result.generation);
      shard.clock.ms += 1000;
    }
    const { rows } = await shard.read('log', { node: at('/f'), limit: 10 });
    expect(rows.map(({ generation, ordinal, size, isCurrent, actor }) => ({ generation, ordinal, size, isCurrent, actor }))).toEqual([
      { generation: generations[2], ordinal: 3, size: 5, isCurrent: true, actor: 'tester' },
      { generation: generations[1], ordinal: 2, size: 3, isCurrent: false, actor: 'tester' },
      { generation: generations[0], ordinal: 1, size: 3, isCurrent: false, actor: 'tester' },
    ]);
    expect(rows.every(({ digest }) => digest?.startsWith('sha256:00'))).toBe(true);
    const reverted = await shard.do('revert', { node: at('/f'), generation: generations[0] as Generation });
    expect(await shard.text('/f')).toBe('one');
    expect(reverted.result.attributes.ordinal).toBe(4);
    const args = { node: at('/'), keepLast: 1, keepMs: 0, limit: 10 };
    const plan = await shard.read('prune-plan', args);
    expect(plan.bodies.map(({ generation }) => generation).sort()).toEqual([generations[0], generations[1]].sort());
    expect((await shard.do('prune', args)).result).toEqual(plan);
    expect((await shard.read('log', { node: at('/f'), limit: 10 })).rows).toHaveLength(2);
    await expect(shard.do('revert', { node: at('/f'), generation: generations[0] as Generation })).rejects.toMatchObject({
      code: 'retention-ended',
    });
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('is as long as the policy of the nearest directory says', async () => {
    const shard = await open();
    await shard.mkdir('/many/inside', true);
    await shard.mkdir('/few');
    await shard.do('retention-set', { node: at('/many'), policy: { keepLast: 3, keepMs: 0 } });
    await shard.do('retention-set', { node: at('/few'), policy: { keepLast: 0, keepMs: 1000 } });
    for (const text of ['1', '2', '3', '4', '5', '6']) {
      await shard.put('/many/inside/f', text);
      await shard.put('/few/f', text);
      shard.clock.ms += 100;
    }
    shard.clock.ms += 2 * 24 * 3600 * 1000;
    await shard.maintain();
    const kept = async (path: string): Promise<number[]> =>
      (await shard.read('log', { node: at(path), limit: 10 })).rows.map(({ ordinal }) => ordinal);
    expect(await kept('/many/inside/f')).toEqual([6, 5, 4, 3]);
    expect(await kept('/few/f')).toEqual([6]);
    expect((await shard.read('retention-get', { node: at('/many/inside/f') })).policy).toEqual({ keepLast: 3, keepMs: 0 });
  });
});

describe('forks', () => {
  test('show what their base was, whatever happens to either, and end their hold when they have taken it over', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    await disturb(shard, '/r');
    await shard.do('remove-tree', { entry: at('/r') });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    const places = new Map<InodeNumber, string[]>();
    expect(await dump(shard, '/fork', { places })).toEqual(before);
    expect([...places.values()].filter((paths) => paths.length > 1)).toEqual([['/fork/a', '/fork/b', '/fork/d/e/hard']]);
    expect(contradictions(shard.kv)).toEqual([]);
    expect((await shard.read('pins', { kind: 'fork', limit: 10 })).pins).toHaveLength(1);
    // Its root gone, nobody can merge the fork any more; what was moved out of it lasts.
    await shard.do('rename', { from: at('/fork/d'), to: at('/d'), mode: 'replace' });
    await shard.do('remove-tree', { entry: at('/fork') });
    await shard.maintain();
    const kept = await dump(shard, '/d');
    for (let i = 0; i < 2; i++) {
      await shard.put('/other', `${i}`);
      shard.clock.ms += 3 * 24 * 3600 * 1000;
    }
    await shard.maintain();
    expect((await shard.read('pins', { kind: 'fork', limit: 10 })).pins).toEqual([]);
    expect(await dump(shard, '/d')).toEqual(kept);
    expect([...shard.kv.range(Uint8Array.of(FAMILY.history), Uint8Array.of(FAMILY.history + 1))]).toEqual([]);
    expect([...shard.kv.range(Uint8Array.of(FAMILY.origin), Uint8Array.of(FAMILY.counterpart + 1))]).toEqual([]);
  });

  test('are changed without a look at the rest: one name taken over at a time', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    await disturb(shard, '/fork');
    const disturbed = await dump(shard, '/fork');
    const plain = await open();
    await fill(plain, '/fork');
    await disturb(plain, '/fork');
    const withoutTimes = (tree: unknown): unknown =>
      JSON.parse(JSON.stringify(tree, (key, value: unknown) => (key === 'mtime' ? '' : value)));
    expect(withoutTimes(disturbed)).toEqual(withoutTimes(await dump(plain, '/fork')));
    await expect(shard.do('mkdir', { entry: at('/fork/moved'), mode: 0o755, ...OWNER })).rejects.toMatchObject({ code: 'exists' });
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('of forks, eight deep, of past moments, and with names that were never there', async () => {
    const shard = await open();
    await fill(shard, '/f0');
    const before = await dump(shard, '/f0');
    for (let i = 0; i < 8; i++) {
      await shard.do('clone', { from: at(`/f${i}`), to: at(`/f${i + 1}`), ...OWNER });
      await shard.do('remove-tree', { entry: at(`/f${i}`) });
    }
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    await expect(shard.stat('/f8/nothing')).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.stat('/f8/d/nothing')).rejects.toMatchObject({ code: 'not-found' });
    expect((await shard.stat('/f8/d/e/hard')).nlink).toBe(3);
    expect(await dump(shard, '/f8')).toEqual(before);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('are themselves shown by snapshots, also parts that nobody had looked at, also after their removal', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    const untouched = await snapshot(shard, '/fork');
    await shard.put('/fork/a', 'changed');
    await shard.do('unlink', { entry: at('/fork/d/e/hard') });
    const touched = await snapshot(shard, '/fork');
    await shard.do('remove-tree', { entry: at('/fork') });
    await shard.do('remove-tree', { entry: at('/r') });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    expect(await dump(shard, '/fork', { at: { snapshot: untouched } })).toEqual(before);
    const later = await dump(shard, '/fork', { at: { snapshot: touched } });
    expect(later.children?.['a']).toMatchObject({ text: 'changed', nlink: 2 });
    expect(later.children?.['d']?.children?.['e']?.children).toEqual({ deep: before.children?.['d']?.children?.['e']?.children?.['deep'] });
    expect(later.children?.['d']?.children?.['f3']).toEqual(before.children?.['d']?.children?.['f3']);
    await shard.do('snapshot-retire', { snapshot: untouched });
    await shard.do('snapshot-retire', { snapshot: touched });
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.maintain();
    shard.clock.ms += 61_000;
    await shard.maintain();
    for (const family of [FAMILY.history, FAMILY.body, FAMILY.origin, FAMILY.counterpart, FAMILY.fork, FAMILY.whiteout]) {
      expect([...shard.kv.range(Uint8Array.of(family), Uint8Array.of(family + 1))].length, `family ${family}`).toBe(0);
    }
  });

  test('refuse their own descendant and what is there', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await expect(shard.do('clone', { from: at('/r'), to: at('/r/d/x'), ...OWNER })).rejects.toMatchObject({ code: 'own-descendant' });
    await expect(shard.do('clone', { from: at('/r'), to: at('/r'), ...OWNER })).rejects.toMatchObject({ code: 'exists' });
    await expect(shard.do('clone', { from: at('/none'), to: at('/x'), ...OWNER })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('come from many callers at once', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    const clones = Array.from({ length: 5 }, (_, i) => shard.do('clone', { from: at('/r'), to: at(`/c${i}`), ...OWNER }));
    const touches = Array.from({ length: 5 }, (_, i) => shard.put(`/c${i}/d/e/deep`, `mine ${i}`));
    await Promise.all([...clones, ...touches]);
    for (let i = 0; i < 5; i++) {
      expect(await shard.text(`/c${i}/d/e/deep`)).toBe(`mine ${i}`);
      expect((await dump(shard, `/c${i}`)).children?.['a']).toEqual(before.children?.['a']);
    }
    expect(await dump(shard, '/r')).toEqual(before);
  });
});

describe('rollback and undelete', () => {
  test('put a directory back as it was, and back again', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    const id = await snapshot(shard, '/r');
    await disturb(shard, '/r');
    const disturbed = await dump(shard, '/r');
    const { result } = await shard.do('rollback', { node: at('/r'), at: { snapshot: id }, undoTtlMs: WEEK_MS });
    expect(await dump(shard, '/r')).toEqual(before);
    await shard.do('rollback', { node: at('/r'), at: { snapshot: result.undo.id }, undoTtlMs: WEEK_MS });
    expect(await dump(shard, '/r')).toEqual(disturbed);
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('put the root of the namespace back, again and again', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.put('/top', 'one');
    await shard.do('link', { node: at('/r/a'), entry: at('/hard') });
    await shard.do('xattr-set', { node: at('/'), name: Buffer.from('user.k'), value: Buffer.from('v'), mode: 'set' });
    const first = await dump(shard, '/');
    const id = await snapshot(shard, '/');
    shard.clock.ms += 1000;
    await disturb(shard, '/r');
    await shard.put('/top', 'two');
    await shard.put('/other', 'x');
    await shard.do('xattr-remove', { node: at('/'), name: Buffer.from('user.k') });
    const second = await dump(shard, '/');
    const { result } = await shard.do('rollback', { node: at('/'), at: { snapshot: id }, undoTtlMs: WEEK_MS });
    expect(await shard.text('/top')).toBe('one');
    await shard.put('/r/a', 'third');
    const third = await snapshot(shard, '/');
    const shown = await dump(shard, '/', { at: { snapshot: third } });
    await shard.do('rollback', { node: at('/'), at: { snapshot: result.undo.id }, undoTtlMs: WEEK_MS });
    const withoutRoot = ({ children }: { readonly children?: unknown }): unknown => children;
    expect(withoutRoot(await dump(shard, '/'))).toEqual(withoutRoot(second));
    await shard.do('rollback', { node: at('/'), at: { snapshot: third }, undoTtlMs: WEEK_MS });
    expect(withoutRoot(await dump(shard, '/'))).toEqual(withoutRoot(shown));
    expect(shown.children?.['hard']).toMatchObject({ text: 'third', nlink: 4 });
    await shard.do('rollback', { node: at('/'), at: { snapshot: id }, undoTtlMs: WEEK_MS });
    expect(await dump(shard, '/')).toMatchObject({ children: first.children, xattrs: { 'user.k': 'v' } });
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
    expect(await dump(shard, '/', { at: { snapshot: id } })).toEqual(first);
  });

  test('bring back what was removed last', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const before = await dump(shard, '/r');
    await shard.do('unlink', { entry: at('/r/d/f3') });
    await shard.do('undelete', { entry: at('/r/d/f3'), ...OWNER });
    expect(await shard.text('/r/d/f3')).toBe('text 3');
    await shard.do('remove-tree', { entry: at('/r') });
    await shard.maintain();
    await shard.do('undelete', { entry: at('/r'), to: at('/back'), ...OWNER });
    const back = await dump(shard, '/back');
    expect(Object.keys(back.children ?? {})).toEqual(Object.keys(before.children ?? {}));
    expect(back.children?.['d']?.children?.['e']).toEqual(before.children?.['d']?.children?.['e']);
    await expect(shard.do('undelete', { entry: at('/never'), ...OWNER })).rejects.toMatchObject({ code: 'retention-ended' });
    expect(contradictions(shard.kv)).toEqual([]);
  });
});

test('what is removed comes back whole or not at all: not from what retention left of it', async () => {
  const shard = await TestShard.open(new MemoryKv(), { window: { requestMs: 1000, changeMs: 10_000 } });
  await shard.mkdir('/d');
  await shard.put('/d/f', 'one');
  await snapshot(shard, '/d');
  shard.clock.ms += 5000;
  await shard.put('/d/g', 'two');
  await shard.do('remove-tree', { entry: at('/d') });
  shard.clock.ms += 60_000;
  await shard.put('/later', '');
  shard.clock.ms += 60_000;
  await shard.maintain();
  await expect(shard.do('undelete', { entry: at('/d'), ...OWNER })).rejects.toMatchObject({ code: 'retention-ended' });
});

test('a body that retention took before its removal was undone says so, and hides nothing else', async () => {
  const shard = await open();
  await shard.mkdir('/e');
  await shard.put('/e/short', 'one');
  await shard.put('/e/kept', 'two');
  const version = (await shard.do('rename', { from: at('/e/kept'), to: at('/e/moved'), mode: 'replace' })).version;
  await shard.do('retention-set', { node: at('/e'), policy: { keepLast: 0, keepMs: 0 } });
  await shard.put('/e/short', 'two, and so one is superseded');
  shard.clock.ms += 1000;
  await shard.do('prune', { node: at('/e'), keepLast: 0, keepMs: 0, limit: 10 });
  await shard.do('clone', { from: at('/e'), at: { version }, to: at('/c'), ...OWNER });
  expect(await shard.names('/c')).toEqual(['moved', 'short']);
  expect(await shard.text('/c/moved')).toBe('two');
  expect((await shard.stat('/c/short')).size).toBe(3);
  await expect(shard.text('/c/short')).rejects.toMatchObject({ code: 'retention-ended' });
  await expect(shard.do('setattr', { node: at('/c/short'), size: 2 })).rejects.toMatchObject({ code: 'retention-ended' });
  expect(contradictions(shard.kv)).toEqual([]);
  await shard.put('/c/short', 'new');
  expect(await shard.text('/c/short')).toBe('new');
});

describe('differences', () => {
  interface Shown {
    readonly kind: string;
    readonly path: string;
    readonly from?: string;
    readonly attributes?: string;
  }

  async function diff(shard: TestShard, a: DiffSide, b: DiffSide): Promise<Shown[]> {
    const shown: Shown[] = [];
    for await (const { rows } of shard.engine.diff({ a, b })) {
      for (const { kind, path, fromPath, attributes } of rows) {
        shown.push({
          kind,
          path: Buffer.from(path).toString(),
          ...(fromPath === undefined ? {} : { from: Buffer.from(fromPath).toString() }),
          ...(attributes.length === 0 ? {} : { attributes: attributes.join() }),
        });
      }
    }
    return shown;
  }

  test('between a snapshot and now are what was done, renames and attributes included, and nothing else', async () => {
    const shard = await open();
    await fill(shard, '/r');
    const id = await snapshot(shard, '/r');
    expect(await diff(shard, { node: at('/r'), at: { snapshot: id } }, { node: at('/r') })).toEqual([]);
    shard.clock.ms += 1000;
    await disturb(shard, '/r');
    const expected = [
      { kind: 'modified', path: 'a', attributes: 'mtime,xattrs' },
      { kind: 'attributes', path: 'd', attributes: 'mode' },
      { kind: 'attributes', path: 'd/f1', attributes: 'mode' },
      { kind: 'renamed', path: 'moved', from: 'd/e' },
      { kind: 'modified', path: 'moved/hard', attributes: 'mtime,xattrs' },
      { kind: 'removed', path: 'b' },
      ...[0, 10, 12, 14, 16, 18, 2, 4, 6, 8].map((i) => ({ kind: 'removed', path: `d/f${i}` })),
      { kind: 'removed', path: 'empty' },
      { kind: 'removed', path: 'link' },
      { kind: 'added', path: 'd/new' },
      { kind: 'added', path: 'empty2' },
    ];
    expect(await diff(shard, { node: at('/r'), at: { snapshot: id } }, { node: at('/r') })).toEqual(expected);
    // The other way round, and by a walk when the log of changes is gone.
    const back = await diff(shard, { node: at('/r') }, { node: at('/r'), at: { snapshot: id } });
    expect(back.map(({ kind }) => kind).sort()).toEqual(
      expected.map(({ kind }) => (kind === 'added' ? 'removed' : kind === 'removed' ? 'added' : kind)).sort(),
    );
    shard.clock.ms += 3 * 24 * 3600 * 1000;
    await shard.put('/else', '');
    await shard.maintain();
    expect(await diff(shard, { node: at('/r'), at: { snapshot: id } }, { node: at('/r') })).toEqual(expected);
  });

  test('of a fork are what was done in it, read without taking anything over', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    expect(await diff(shard, { node: at('/r') }, { node: at('/fork') })).toEqual([]);
    shard.clock.ms += 1000;
    await shard.put('/fork/d/f7', 'changed');
    await shard.do('rename', { from: at('/fork/d/f8'), to: at('/fork/d/e/f8'), mode: 'replace' });
    const rows = await diff(shard, { node: at('/r') }, { node: at('/fork') });
    expect(rows).toEqual([
      { kind: 'renamed', path: 'd/e/f8', from: 'd/f8' },
      { kind: 'modified', path: 'd/f7', attributes: 'mtime' },
    ]);
    await shard.do('unlink', { entry: at('/r/d/f9') });
    expect(await diff(shard, { node: at('/r') }, { node: at('/fork') })).toEqual([...rows, { kind: 'added', path: 'd/f9' }]);
    const taken = [...shard.kv.range(Uint8Array.of(FAMILY.counterpart), Uint8Array.of(FAMILY.counterpart + 1))];
    expect(taken.length, 'directories of the fork that have rows').toBe(3);
    const before = shard.engine.stats.rowsRead;
    expect(await diff(shard, { node: at('/fork') }, { node: at('/fork') })).toEqual([]);
    expect(shard.engine.stats.rowsRead - before).toBeLessThan(50);
  });

  test('of a big tree with few changes cost what the changes do', async () => {
    const shard = await open();
    await shard.mkdir('/big');
    for (let d = 0; d < 20; d++) {
      await shard.mkdir(`/big/${d}`);
      await Promise.all(Array.from({ length: 50 }, (_, i) => shard.put(`/big/${d}/${i}`, `${i}`)));
    }
    const id = await snapshot(shard, '/big');
    shard.clock.ms += 1000;
    await shard.put('/big/3/7', 'x');
    await shard.do('unlink', { entry: at('/big/4/8') });
    await shard.put('/big/5/new', 'y');
    const before = shard.engine.stats.rowsRead;
    expect(await diff(shard, { node: at('/big'), at: { snapshot: id } }, { node: at('/big') })).toEqual([
      { kind: 'modified', path: '3/7', attributes: 'mtime' },
      { kind: 'removed', path: '4/8' },
      { kind: 'added', path: '5/new' },
    ]);
    expect(shard.engine.stats.rowsRead - before).toBeLessThan(200);
  });
});

describe('merge', () => {
  const text = (path: Uint8Array): string => Buffer.from(path).toString();

  test('brings what a fork changed into its base, once and again', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    shard.clock.ms += 1000;
    await disturb(shard, '/fork');
    await shard.put('/fork/d/sub/dir/file', 'new below new', { parents: true });
    await shard.put('/r/d/f19', 'the base goes on elsewhere');
    const wanted = await dump(shard, '/fork');
    const { result } = await shard.do('merge', { fork: at('/fork') });
    expect(result).toMatchObject({ applied: true, conflicts: [], conflictCount: 0 });
    const merged = await dump(shard, '/r');
    const plain = (tree: unknown): unknown =>
      JSON.parse(JSON.stringify(tree, (key, value: unknown) => (['mtime', 'nlink', 'f19'].includes(key) ? '' : value)));
    expect(plain(merged)).toEqual(plain(wanted));
    expect(await shard.text('/r/d/f19')).toBe('the base goes on elsewhere');
    expect((await shard.do('merge', { fork: at('/fork') })).result).toMatchObject({ applied: true, changes: 0 });
    shard.clock.ms += 1000;
    await shard.put('/fork/a', 'once more');
    await shard.put('/fork/d/new', 'and here');
    expect((await shard.do('merge', { fork: at('/fork') })).result).toMatchObject({ applied: true, changes: 3 });
    expect(await shard.text('/r/a')).toBe('once more');
    expect(await shard.text('/r/d/new')).toBe('and here');
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('leaves alone what only the base changed since the last one, and what a fork only touched', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    shard.clock.ms += 1000;
    await shard.put('/fork/d/f1', 'fork');
    await shard.do('unlink', { entry: at('/fork/d/f2') });
    await shard.put('/fork/new', 'fork');
    await shard.do('setattr', { node: at('/fork/d/f3'), mtime: 'now' });
    expect((await shard.do('merge', { fork: at('/fork') })).result).toMatchObject({ applied: true, changes: 3 });
    shard.clock.ms += 1000;
    await shard.put('/r/d/f1', 'base since');
    await shard.put('/r/d/f2', 'base since');
    await shard.put('/r/d/f3', 'base since');
    await shard.do('unlink', { entry: at('/r/new') });
    await shard.put('/fork/d/f4', 'fork since');
    expect((await shard.do('merge', { fork: at('/fork') })).result).toMatchObject({ applied: true, changes: 1, conflictCount: 0 });
    for (const i of [1, 2, 3]) expect(await shard.text(`/r/d/f${i}`)).toBe('base since');
    expect(await shard.text('/r/d/f4')).toBe('fork since');
    await expect(shard.stat('/r/new')).rejects.toMatchObject({ code: 'not-found' });
    await shard.put('/fork/d/f1', 'both since');
    expect((await shard.do('merge', { fork: at('/fork') })).result).toMatchObject({ applied: false, conflictCount: 1 });
  });

  test('applies nothing where both changed the same, and names each', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/x'), ...OWNER });
    await shard.do('clone', { from: at('/r'), to: at('/y'), ...OWNER });
    shard.clock.ms += 1000;
    const base = (await shard.stat('/r/d/f1')).generation;
    await shard.put('/x/d/f1', 'x');
    await shard.put('/x/d/f2', 'x too');
    await shard.do('remove-tree', { entry: at('/x/d/e') });
    await shard.put('/x/both', 'same');
    await shard.put('/y/d/f1', 'y');
    await shard.put('/y/d/e/more', 'y');
    await shard.put('/y/both', 'same');
    await shard.do('unlink', { entry: at('/y/d/f2') });
    await shard.put('/y/fine', 'y');
    const own = (await shard.stat('/y/d/f1')).generation;
    expect((await shard.do('merge', { fork: at('/x') })).result.applied).toBe(true);
    const live = (await shard.stat('/r/d/f1')).generation;
    const before = await dump(shard, '/r');
    const { result } = await shard.do('merge', { fork: at('/y') });
    expect(result.applied).toBe(false);
    expect(result.conflicts.map(({ path, fork, live: there }) => `${text(path)}: ${fork}, ${there}`).sort()).toEqual([
      'd/e/more: added, removed',
      'd/f1: modified, modified',
      'd/f2: removed, modified',
    ]);
    expect(result.conflicts.find(({ path }) => text(path) === 'd/f1')).toMatchObject({
      baseGeneration: base,
      liveGeneration: live,
      forkGeneration: own,
    });
    expect(await dump(shard, '/r')).toEqual(before);
    expect((await shard.do('merge', { fork: at('/y'), dryRun: true })).result.conflictCount).toBe(3);
    await expect(shard.do('merge', { fork: at('/r') })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('takes directories for files and files for directories', async () => {
    const shard = await open();
    await fill(shard, '/r');
    await shard.do('clone', { from: at('/r'), to: at('/fork'), ...OWNER });
    await shard.do('unlink', { entry: at('/fork/d/f1') });
    await shard.put('/fork/d/f1/now/deep', 'deep', { parents: true });
    await shard.do('remove-tree', { entry: at('/fork/d/e') });
    await shard.put('/fork/d/e', 'a file now');
    await shard.do('rename', { from: at('/fork/d/f2'), to: at('/fork/renamed'), mode: 'replace' });
    expect((await shard.do('merge', { fork: at('/fork') })).result.applied).toBe(true);
    expect(await shard.text('/r/d/f1/now/deep')).toBe('deep');
    expect(await shard.text('/r/d/e')).toBe('a file now');
    expect(await shard.text('/r/renamed')).toBe('text 2');
    await expect(shard.stat('/r/d/f2')).rejects.toMatchObject({ code: 'not-found' });
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });
});
