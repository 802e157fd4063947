import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { INLINE_BYTES_MAX, ROOT_INODE, formatName, type Generation, type InodeNumber, type InodeType } from '@nokv/types';
import { openLmdbKv } from './lmdb-kv.js';
import { MemoryKv } from './memory-kv.js';
import { OWNER, TestShard, at } from './testing/test-shard.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

describe.each(['memory', 'LMDB'] as const)('namespace over %s', (kind) => {
  let shard: TestShard;
  let directory: string | undefined;

  beforeEach(async () => {
    directory = kind === 'LMDB' ? await mkdtemp(join(tmpdir(), 'nokv-shard-')) : undefined;
    shard = await TestShard.open(directory === undefined ? new MemoryKv() : await openLmdbKv({ directory }));
  });

  afterEach(async () => {
    await shard.engine.close();
    if (directory !== undefined) await rm(directory, { recursive: true });
  });

  test('a fresh shard holds an empty root', async () => {
    expect(await shard.stat('/')).toMatchObject({ ino: ROOT_INODE, type: 'directory', nlink: 2, children: 0 });
    expect(await shard.names('/')).toEqual([]);
  });

  test('stat by path equals getattr by inode', async () => {
    const ino = await shard.mkdir('/a');
    expect(await shard.stat('/a')).toMatchObject(await shard.read('getattr', { ino }));
    expect(await shard.read('lookup', { parent: ROOT_INODE, name: bytes('a') })).toEqual(await shard.read('getattr', { ino }));
  });

  test('a second mkdir is refused with exists, with parents it succeeds', async () => {
    const ino = await shard.mkdir('/a');
    await expect(shard.mkdir('/a')).rejects.toMatchObject({ code: 'exists' });
    const again = await shard.do('mkdir', { entry: at('/a'), mode: 0o700, parents: true, ...OWNER });
    expect(again.result).toMatchObject({ created: false, attributes: { ino, mode: 0o755 } });
    await shard.mkdir('/x/y/z', true);
    expect(await shard.stat('/x/y')).toMatchObject({ type: 'directory', nlink: 3, children: 1 });
  });

  test('missing parents, files as parents and long names are told apart', async () => {
    await shard.put('/f', 'x');
    await expect(shard.mkdir('/none/a')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('/none/a') as string,
    });
    await expect(shard.mkdir('/f/a')).rejects.toMatchObject({ code: 'not-directory' });
    await expect(shard.mkdir('/f/a/b', true)).rejects.toMatchObject({ code: 'not-directory' });
    await expect(
      shard.do('mkdir', { entry: { parent: ROOT_INODE, name: new Uint8Array(256).fill(97) }, mode: 0, ...OWNER }),
    ).rejects.toMatchObject({ code: 'name-too-long' });
    await expect(shard.do('mkdir', { entry: { parent: 77 as InodeNumber, name: bytes('a') }, mode: 0, ...OWNER })).rejects.toMatchObject({
      code: 'not-found',
    });
    expect(await shard.names('/')).toEqual(['f']);
  });

  test("a directory's times, links and count follow its entries", async () => {
    await shard.mkdir('/d');
    const before = await shard.stat('/d');
    shard.clock.ms += 5000;
    await shard.create('/d/f');
    const withFile = await shard.stat('/d');
    expect(withFile).toMatchObject({ nlink: 2, children: 1, mtime: shard.clock.now(), ctime: shard.clock.now(), atime: before.atime });
    expect(withFile.revision).toBe(before.revision + 1);
    await shard.mkdir('/d/s');
    expect(await shard.stat('/d')).toMatchObject({ nlink: 3, children: 2 });
    shard.clock.ms += 5000;
    await shard.do('unlink', { entry: at('/d/f') });
    await shard.do('rmdir', { entry: at('/d/s') });
    expect(await shard.stat('/d')).toMatchObject({ nlink: 2, children: 0, mtime: shard.clock.now() });
  });

  test('names are bytes', async () => {
    for (const name of [Uint8Array.of(0xff), Uint8Array.of(0x80, 0x20, 0x0a), bytes('é'), Uint8Array.of(1)]) {
      await shard.do('create', { entry: { parent: ROOT_INODE, name }, mode: 0o600, type: 'file', exclusive: true, ...OWNER });
      const { ino } = await shard.read('lookup', { parent: ROOT_INODE, name });
      expect((await shard.read('path-of', { ino })).path).toEqual(Uint8Array.of(0x2f, ...name));
    }
    const { entries } = await shard.read('list', { node: at('/'), limit: 10, attributes: false });
    expect(entries.map(({ name }) => name[0])).toEqual([0x01, 0x80, 0xc3, 0xff]);
  });

  test('rmdir says not-empty only of what is not empty', async () => {
    await shard.mkdir('/d/s', true);
    await shard.create('/f');
    await expect(shard.do('rmdir', { entry: at('/d') })).rejects.toMatchObject({ code: 'not-empty' });
    await expect(shard.do('rmdir', { entry: at('/f') })).rejects.toMatchObject({ code: 'not-directory' });
    await expect(shard.do('rmdir', { entry: at('/none') })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.do('rmdir', { entry: at('/') })).rejects.toMatchObject({ code: 'not-permitted' });
    await shard.do('rmdir', { entry: at('/d/s') });
    await shard.do('rmdir', { entry: at('/d') });
    await expect(shard.stat('/d')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('create racing rmdir has one winner', async () => {
    for (let round = 0; round < 20; round++) {
      await shard.mkdir('/d');
      const outcomes = await Promise.allSettled([shard.create('/d/f'), shard.do('rmdir', { entry: at('/d') })]);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      await shard.do('remove-tree', { entry: at('/d') }).catch(() => undefined);
    }
  });

  test('special nodes keep type and device number', async () => {
    for (const type of ['fifo', 'socket', 'char', 'block'] satisfies InodeType[]) {
      await shard.do('create', { entry: at(`/${type}`), mode: 0o640, type, rdev: 0x103, exclusive: true, ...OWNER });
      expect(await shard.stat(`/${type}`)).toMatchObject({ type, mode: 0o640, rdev: type === 'char' || type === 'block' ? 0x103 : 0 });
    }
    await expect(shard.put('/fifo', 'x')).rejects.toMatchObject({ code: 'not-regular-file' });
  });

  test('create without exclusive returns the file that is there', async () => {
    const ino = await shard.create('/f');
    const again = await shard.do('create', { entry: at('/f'), mode: 0, type: 'file', exclusive: false, ...OWNER });
    expect(again.result).toMatchObject({ created: false, attributes: { ino, mode: 0o644 } });
    await expect(shard.create('/f')).rejects.toMatchObject({ code: 'exists' });
    await shard.mkdir('/d');
    await expect(shard.do('create', { entry: at('/d'), mode: 0, type: 'file', exclusive: false, ...OWNER })).rejects.toMatchObject({
      code: 'is-directory',
    });
  });

  test('symlinks resolve on the way and, when asked, at the end', async () => {
    await shard.mkdir('/a/b', true);
    await shard.put('/a/b/f', 'deep');
    const link = (path: string, target: string): Promise<unknown> =>
      shard.do('symlink', { entry: at(path), target: bytes(target), ...OWNER });
    await link('/abs', '/a/b');
    await link('/a/rel', 'b/../b/./f');
    await link('/a/b/up', '../../a/b/f');
    await link('/dangling', 'nowhere');
    await link('/loop1', 'loop2');
    await link('/loop2', 'loop1');
    expect(await shard.text('/abs/f')).toBe('deep');
    expect(await shard.text('/a/rel')).toBe('deep');
    expect(await shard.text('/abs/up')).toBe('deep');
    expect(await shard.stat('/abs', false)).toMatchObject({ type: 'symlink', size: 4, target: bytes('/a/b') });
    expect(await shard.read('readlink', { node: at('/abs') })).toEqual({ target: bytes('/a/b') });
    await expect(shard.read('readlink', { node: at('/a') })).rejects.toMatchObject({ code: 'not-symlink' });
    await expect(shard.stat('/dangling')).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.stat('/loop1')).rejects.toMatchObject({ code: 'symlink-loop' });
    await expect(shard.stat('/loop1/x')).rejects.toMatchObject({ code: 'symlink-loop' });
    await expect(link('/abs', '/x')).rejects.toMatchObject({ code: 'exists' });
  });

  test('forty symlinks are followed, forty-one are not', async () => {
    await shard.put('/s0', 'end');
    for (let i = 1; i <= 41; i++) await shard.do('symlink', { entry: at(`/s${i}`), target: bytes(`s${i - 1}`), ...OWNER });
    expect(await shard.text('/s40')).toBe('end');
    await expect(shard.text('/s41')).rejects.toMatchObject({ code: 'symlink-loop' });
  });

  test('directories that -p makes behind symlinks have numbers of their own, up to a bound', async () => {
    await shard.do('symlink', { entry: at('/a'), target: bytes('/b/a/a'), ...OWNER });
    await shard.do('symlink', { entry: at('/b'), target: bytes('/c/a/a'), ...OWNER });
    await shard.mkdir('/a', true);
    await shard.mkdir('/a/x');
    const paths = ['/c', '/c/a', '/c/a/a', '/c/a/a/a', '/c/a/a/a/a', '/a/x'];
    const numbers = await Promise.all(paths.map(async (path) => (await shard.stat(path)).ino));
    expect(new Set(numbers).size).toBe(paths.length);
    await shard.do('symlink', { entry: at('/deep'), target: bytes('/d'.repeat(200)), ...OWNER });
    await expect(shard.mkdir('/deep/x', true)).rejects.toMatchObject({ code: 'path-too-long' });
    await expect(shard.stat('/d')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('hard links share an inode until the last is gone', async () => {
    const { result } = await shard.put('/f', 'shared');
    const { ino } = result.attributes;
    await shard.mkdir('/d');
    await shard.do('link', { node: at('/f'), entry: at('/d/g') });
    await shard.do('link', { node: { ino }, entry: at('/h') });
    expect(await shard.stat('/d/g')).toMatchObject({ ino, nlink: 3 });
    await shard.do('setattr', { node: at('/h'), mode: 0o600 });
    expect(await shard.read('lookup', { parent: ROOT_INODE, name: bytes('f') })).toMatchObject({ mode: 0o600, nlink: 3 });
    expect((await shard.do('unlink', { entry: at('/f') })).result).toEqual({ ino, nlink: 2 });
    expect((await shard.do('unlink', { entry: at('/h') })).result).toEqual({ ino, nlink: 1 });
    expect(formatName((await shard.read('path-of', { ino })).path)).toBe('/d/g');
    await shard.do('setattr', { node: { ino }, mode: 0o640 });
    const [entry] = (await shard.read('list', { node: at('/d'), limit: 1, attributes: true })).entries;
    expect(entry?.attributes).toMatchObject({ ino, nlink: 1, mode: 0o640 });
    expect(await shard.text('/d/g')).toBe('shared');
    await shard.do('unlink', { entry: at('/d/g') });
    await expect(shard.read('getattr', { ino })).rejects.toMatchObject({ code: 'not-found' });
    await expect(shard.do('link', { node: at('/d'), entry: at('/e') })).rejects.toMatchObject({ code: 'not-permitted' });
  });

  test('unlink of a directory and of nothing is refused', async () => {
    await shard.mkdir('/d');
    await expect(shard.do('unlink', { entry: at('/d') })).rejects.toMatchObject({ code: 'is-directory' });
    await expect(shard.do('unlink', { entry: at('/x') })).rejects.toMatchObject({ code: 'not-found' });
  });

  describe('rename', () => {
    const rename = (from: string, to: string, mode: 'replace' | 'no-replace' | 'exchange' = 'replace'): Promise<unknown> =>
      shard.do('rename', { from: at(from), to: at(to), mode });

    test('moves a file and replaces one', async () => {
      await shard.mkdir('/d');
      const { result } = await shard.put('/a', 'new');
      await shard.put('/d/b', 'old');
      shard.clock.ms += 1000;
      await rename('/a', '/d/b');
      expect(await shard.text('/d/b')).toBe('new');
      expect(await shard.stat('/d/b')).toMatchObject({
        ino: result.attributes.ino,
        generation: result.generation,
        ctime: shard.clock.now(),
      });
      expect(await shard.names('/')).toEqual(['d']);
      expect(await shard.stat('/d')).toMatchObject({ children: 1 });
    });

    test('no-replace refuses, exchange swaps, exchange with nothing is not-found', async () => {
      await shard.put('/a', 'A');
      await shard.mkdir('/d/s', true);
      await expect(rename('/a', '/d', 'no-replace')).rejects.toMatchObject({ code: 'exists' });
      await rename('/a', '/d/s', 'exchange');
      expect(await shard.text('/d/s')).toBe('A');
      expect(await shard.stat('/a')).toMatchObject({ type: 'directory' });
      expect(await shard.stat('/')).toMatchObject({ nlink: 4, children: 2 });
      expect(await shard.stat('/d')).toMatchObject({ nlink: 2, children: 1 });
      await expect(rename('/a', '/none', 'exchange')).rejects.toMatchObject({ code: 'not-found' });
    });

    test('a directory replaces an empty directory and nothing else', async () => {
      await shard.mkdir('/a');
      await shard.put('/a/f', 'in');
      await shard.mkdir('/empty');
      await shard.mkdir('/full/x', true);
      await shard.create('/f');
      await expect(rename('/a', '/full')).rejects.toMatchObject({ code: 'not-empty' });
      await expect(rename('/a', '/f')).rejects.toMatchObject({ code: 'not-directory' });
      await expect(rename('/f', '/a')).rejects.toMatchObject({ code: 'is-directory' });
      await rename('/a', '/empty');
      expect(await shard.text('/empty/f')).toBe('in');
      expect(await shard.names('/')).toEqual(['empty', 'f', 'full']);
      expect(await shard.stat('/')).toMatchObject({ nlink: 4 });
    });

    test('a directory never moves into itself', async () => {
      await shard.mkdir('/a/b/c', true);
      await expect(rename('/a', '/a/b/c/d')).rejects.toMatchObject({ code: 'own-descendant' });
      await expect(rename('/a', '/a/b')).rejects.toMatchObject({ code: 'own-descendant' });
      await expect(rename('/a', '/a/b', 'exchange')).rejects.toMatchObject({ code: 'own-descendant' });
      await expect(rename('/a/b/c', '/a', 'exchange')).rejects.toMatchObject({ code: 'own-descendant' });
      await rename('/a', '/a');
      expect(await shard.stat('/a/b/c')).toMatchObject({ type: 'directory' });
    });

    test('two names of one inode stay as they are', async () => {
      await shard.put('/a', 'x');
      await shard.do('link', { node: at('/a'), entry: at('/b') });
      await rename('/a', '/b');
      expect(await shard.names('/')).toEqual(['a', 'b']);
      await rename('/b', '/c');
      expect(await shard.stat('/c')).toMatchObject({ nlink: 2 });
      await shard.do('unlink', { entry: at('/a') });
      expect(await shard.stat('/c')).toMatchObject({ nlink: 1 });
    });

    test('of a big directory writes as many rows as of an empty one', async () => {
      const writes: number[] = [];
      for (const count of [0, 300]) {
        await shard.mkdir(`/d${count}`);
        for (let i = 0; i < count; i++) await shard.create(`/d${count}/f${i}`);
        const original = shard.kv.commit.bind(shard.kv);
        shard.kv.commit = (rows) => {
          writes.push(rows.length);
          return original(rows);
        };
        await rename(`/d${count}`, `/e${count}`);
        shard.kv.commit = original;
      }
      expect(writes[1]).toBe(writes[0]);
      expect(writes[0]).toBeLessThan(15);
    });
  });

  test('chmod, chown and utimes keep the generation and nanoseconds', async () => {
    const { generation } = (await shard.put('/f', 'body')).result;
    await shard.do('setattr', { node: at('/f'), mode: 0o4755 });
    await shard.do('setattr', { node: at('/f'), atime: { sec: -5, nsec: 1 }, mtime: { sec: 2 ** 33, nsec: 999_999_999 } });
    const card = await shard.stat('/f');
    expect(card).toMatchObject({
      generation,
      mode: 0o4755,
      atime: { sec: -5, nsec: 1 },
      mtime: { sec: 2 ** 33, nsec: 999_999_999 },
      revision: 3,
    });
    await shard.do('setattr', { node: at('/f'), uid: 7 });
    expect(await shard.stat('/f')).toMatchObject({ uid: 7, gid: 1000, mode: 0o755 });
    expect(await shard.text('/f')).toBe('body');
    await expect(shard.do('setattr', { node: at('/f'), mtime: { sec: 1, nsec: 1e9 } })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('a set-gid directory passes its group on', async () => {
    await shard.mkdir('/d');
    await shard.do('setattr', { node: at('/d'), gid: 50, mode: 0o2775 });
    await shard.create('/d/f');
    await shard.mkdir('/d/s');
    expect(await shard.stat('/d/f')).toMatchObject({ gid: 50, mode: 0o644 });
    expect(await shard.stat('/d/s')).toMatchObject({ gid: 50, mode: 0o2755 });
  });

  test('xattrs: create, replace, list, remove, limits', async () => {
    await shard.put('/f', 'x');
    const set = (name: string, value: Uint8Array, mode: 'set' | 'create' | 'replace' = 'set'): Promise<unknown> =>
      shard.do('xattr-set', { node: at('/f'), name: bytes(name), value, mode });
    await set('user.b', bytes('1'));
    await set('user.a', new Uint8Array(65_536).fill(9), 'create');
    await expect(set('user.a', bytes('2'), 'create')).rejects.toMatchObject({ code: 'exists' });
    await expect(set('user.c', bytes('2'), 'replace')).rejects.toMatchObject({ code: 'no-xattr' });
    await expect(set('user.c', new Uint8Array(65_537))).rejects.toMatchObject({ code: 'too-large' });
    await expect(set('n'.repeat(256), bytes('2'))).rejects.toMatchObject({ code: 'name-too-long' });
    expect((await shard.read('xattr-list', { node: at('/f') })).names.map((name) => Buffer.from(name).toString())).toEqual([
      'user.a',
      'user.b',
    ]);
    expect((await shard.read('xattr-get', { node: at('/f'), name: bytes('user.a') })).value).toHaveLength(65_536);
    expect((await shard.stat('/f')).xattrs).toHaveLength(2);
    await shard.do('xattr-remove', { node: at('/f'), name: bytes('user.a') });
    await expect(shard.do('xattr-remove', { node: at('/f'), name: bytes('user.a') })).rejects.toMatchObject({ code: 'no-xattr' });
    await expect(shard.read('xattr-get', { node: at('/f'), name: bytes('user.a') })).rejects.toMatchObject({ code: 'no-xattr' });
    await shard.do('unlink', { entry: at('/f') });
    expect([...shard.kv.range(Uint8Array.of(0x14), Uint8Array.of(0x15))]).toHaveLength(0);
  });

  test('listing a thousand files reads no row but their entries', async () => {
    const parent = await shard.mkdir('/d');
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        shard.do('create', {
          entry: { parent, name: bytes(`f${String(i).padStart(4, '0')}`) },
          mode: 0o644,
          type: 'file',
          exclusive: true,
          ...OWNER,
        }),
      ),
    );
    const before = shard.engine.stats.rowsRead;
    let after: Uint8Array | undefined;
    const names: string[] = [];
    let pages = 0;
    do {
      const page = await shard.read('list', {
        node: { ino: parent },
        limit: 300,
        attributes: true,
        ...(after === undefined ? {} : { after }),
      });
      for (const { name, ino, attributes } of page.entries) {
        names.push(Buffer.from(name).toString());
        expect(attributes).toMatchObject({ ino, type: 'file', mode: 0o644 });
      }
      after = page.more ? page.entries.at(-1)?.name : undefined;
      pages += 1;
    } while (after !== undefined);
    expect(names).toEqual([...names].sort());
    expect(new Set(names).size).toBe(1000);
    // Each page reads its directory and looks one entry ahead.
    expect(shard.engine.stats.rowsRead - before).toBeLessThanOrEqual(1000 + 2 * pages);
  });

  test('pages stay stable while names come and go', async () => {
    for (const name of ['a', 'c', 'e', 'g', 'i']) await shard.create(`/${name}`);
    const first = await shard.read('list', { node: at('/'), limit: 2, attributes: false });
    await shard.create('/b');
    await shard.do('unlink', { entry: at('/c') });
    await shard.create('/f');
    const rest = await shard.read('list', { node: at('/'), limit: 10, attributes: false, after: first.entries[1]?.name ?? bytes('') });
    expect(rest.entries.map(({ name }) => Buffer.from(name).toString())).toEqual(['e', 'f', 'g', 'i']);
    expect(rest.more).toBe(false);
  });

  test('remove-tree takes away everything at once and the trash is taken apart in slices', async () => {
    for (let d = 0; d < 4; d++) for (let f = 0; f < 100; f++) await shard.put(`/t/d${d}/s/f${f}`, 'x', { parents: true });
    await shard.put('/keep', 'k');
    expect(await shard.read('statfs', {})).toMatchObject({ bytesUsed: 401, inodesUsed: 410 });
    await shard.do('remove-tree', { entry: at('/t') });
    expect(await shard.names('/')).toEqual(['keep']);
    await expect(shard.stat('/t/d0')).rejects.toMatchObject({ code: 'not-found' });
    await shard.maintain();
    expect(await shard.read('statfs', {})).toMatchObject({ bytesUsed: 1, inodesUsed: 1 });
    expect([...shard.kv.range(Uint8Array.of(0x10), Uint8Array.of(0x11))]).toHaveLength(4);
  });

  test('a staged tree is out of sight until it is published whole', async () => {
    const { root } = (await shard.do('begin-tree', { mode: 0o755, ttlMs: 60_000, ...OWNER })).result;
    await shard.do('publish', {
      node: { parent: root, name: bytes('f') },
      body: { kind: 'inline', bytes: bytes('1') },
      mode: 0o644,
      ...OWNER,
    });
    expect(await shard.names('/')).toEqual([]);
    await shard.do('publish-tree', { root, to: at('/ckpt/7'), replace: false, parents: true, ...OWNER });
    expect(await shard.text('/ckpt/7/f')).toBe('1');
    const second = (await shard.do('begin-tree', { mode: 0o755, ttlMs: 60_000, ...OWNER })).result.root;
    await expect(shard.do('publish-tree', { root: second, to: at('/ckpt/7'), replace: false, ...OWNER })).rejects.toMatchObject({
      code: 'exists',
    });
    await shard.do('publish-tree', { root: second, to: at('/ckpt/7'), replace: true, ...OWNER });
    expect(await shard.names('/ckpt/7')).toEqual([]);
    await expect(shard.do('publish-tree', { root: second, to: at('/x'), replace: false, ...OWNER })).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  test('an expired staged tree is swept', async () => {
    const { root } = (await shard.do('begin-tree', { mode: 0o755, ttlMs: 1000, ...OWNER })).result;
    await shard.do('create', { entry: { parent: root, name: bytes('f') }, mode: 0o644, type: 'file', exclusive: true, ...OWNER });
    shard.clock.ms += 2000;
    await shard.maintain();
    await expect(shard.read('getattr', { ino: root })).rejects.toMatchObject({ code: 'not-found' });
    expect(await shard.read('statfs', {})).toMatchObject({ inodesUsed: 0 });
  });

  test('every change is in the log once, in order, with its place', async () => {
    await shard.mkdir('/d');
    await shard.put('/d/f', '1');
    await shard.do('rename', { from: at('/d/f'), to: at('/g'), mode: 'replace' });
    await shard.do('setattr', { node: at('/g'), mode: 0o600 });
    await shard.do('unlink', { entry: at('/g') });
    const { changes, next } = await shard.read('changes', { since: 1 as never, limit: 100 });
    expect(changes.map(({ kind, name, fromName }) => [kind, name && formatName(name), fromName && formatName(fromName)])).toEqual([
      ['created', 'd', undefined],
      ['created', 'f', undefined],
      ['published', 'f', undefined],
      ['renamed', 'g', 'f'],
      ['attributes', 'g', undefined],
      ['removed', 'g', undefined],
    ]);
    expect(next).toBe(shard.engine.durableVersion);
    expect((await shard.read('changes', { since: next, limit: 100 })).changes).toEqual([]);
    const page = await shard.read('changes', { since: 1 as never, limit: 2 });
    expect(page.changes).toHaveLength(3);
    expect((await shard.read('changes', { since: page.next, limit: 100 })).changes.map(({ kind }) => kind)).toEqual([
      'renamed',
      'attributes',
      'removed',
    ]);
  });

  test('inline bodies end at their limit, truncating and extending them keeps zeros', async () => {
    await shard.put('/f', 'x'.repeat(INLINE_BYTES_MAX));
    await expect(shard.put('/f', 'x'.repeat(INLINE_BYTES_MAX + 1))).rejects.toMatchObject({ code: 'too-large' });
    await shard.put('/f', 'hello');
    const cut = (await shard.do('setattr', { node: at('/f'), size: 2 })).result.attributes;
    expect(cut).toMatchObject({ size: 2, ordinal: 3 });
    await shard.do('setattr', { node: at('/f'), size: 4 });
    expect(await shard.text('/f')).toBe('he\0\0');
    await expect(shard.do('setattr', { node: at('/f'), size: 2 ** 40 })).rejects.toMatchObject({ code: 'too-large' });
    await shard.create('/sparse');
    await shard.do('setattr', { node: at('/sparse'), size: 100 * 2 ** 30 });
    expect(await shard.stat('/sparse')).toMatchObject({ size: 100 * 2 ** 30, blocks: 0 });
    await shard.do('setattr', { node: at('/sparse'), size: 10 });
    const { body } = await shard.read('open-read', { node: at('/sparse') });
    expect(body).toEqual({ kind: 'blocks', manifest: { size: 10, extents: [{ hole: true, take: 10 }] } });
    await expect(shard.do('setattr', { node: at('/'), size: 1 })).rejects.toMatchObject({ code: 'is-directory' });
  });

  test('a removed file can be read by inode and generation until its retention ends', async () => {
    const { attributes, generation } = (await shard.put('/f', 'still open')).result;
    await shard.put('/f', 'newer');
    await shard.do('unlink', { entry: at('/f') });
    const plan = await shard.read('open-read', { node: { ino: attributes.ino }, generation });
    expect(plan).toMatchObject({ generation, attributes: { nlink: 0, size: 10 } });
    shard.clock.ms += 25 * 3600 * 1000;
    await shard.maintain();
    await expect(shard.read('open-read', { node: { ino: attributes.ino }, generation: generation as Generation })).rejects.toMatchObject({
      kind: 'not-found',
    });
  });
});

test('a shard with little room left grows no more, but for what frees room', async () => {
  let isRoomScarce = false;
  const shard = await TestShard.open(new MemoryKv(), { isRoomScarce: () => isRoomScarce });
  await shard.put('/f', 'one');
  isRoomScarce = true;
  await expect(shard.put('/g', 'two')).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
  await expect(shard.mkdir('/d')).rejects.toMatchObject({ code: 'no-space' });
  expect(await shard.text('/f')).toBe('one');
  await shard.do('unlink', { entry: at('/f') });
  isRoomScarce = false;
  await shard.put('/g', 'two');
});
