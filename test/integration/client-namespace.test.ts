import { formatName, isNokvError } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

let fixture: ClientFixture;

beforeAll(async () => {
  fixture = await startClientFixture();
});

afterAll(async () => {
  await fixture?.close();
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isNokvError(error)) return error.code;
    throw error;
  }
  return 'done';
}

describe('directories', () => {
  test('are made, listed page by page in byte order, and removed', async () => {
    const { client } = fixture;
    await client.mkdir('/pages');
    const names = Array.from({ length: 25 }, (_, index) => `n${index}`).toSorted();
    await Promise.all(names.map((name) => client.put(`/pages/${name}`, name)));
    const listed: string[] = [];
    for await (const entry of client.list('/pages', { limit: 4 })) {
      expect(entry.attributes?.size).toBe(entry.name.length);
      listed.push(entry.name);
    }
    expect(listed).toEqual(names);
    expect(await codeOf(client.rmdir('/pages'))).toBe('not-empty');
    await client.removeTree('/pages');
    expect(await client.exists('/pages')).toBe(false);
  });

  test('mkdir tells a directory that is there from one that was made, -p does not', async () => {
    const { client } = fixture;
    await client.mkdir('/made');
    expect(await codeOf(client.mkdir('/made'))).toBe('exists');
    expect(await codeOf(client.mkdir('/made/a/b'))).toBe('not-found');
    await client.mkdir('/made/a/b', { parents: true });
    await client.mkdir('/made/a/b', { parents: true });
    expect(await codeOf(client.mkdir('/no-such/\u0000'))).toBe('invalid-name');
  });

  test('a limit that is none is refused', async () => {
    expect(await codeOf(fixture.client.listPage('/', { limit: 0 }))).toBe('invalid-argument');
    expect(await codeOf(fixture.client.listPage('/', { limit: 4097 }))).toBe('invalid-argument');
  });
});

describe('entries', () => {
  test('rename replaces, refuses and exchanges', async () => {
    const { client } = fixture;
    await client.put('/r-a', 'a');
    await client.put('/r-b', 'b');
    expect(await codeOf(client.rename('/r-a', '/r-b', { mode: 'no-replace' }))).toBe('exists');
    await client.rename('/r-a', '/r-b', { mode: 'exchange' });
    expect(await (await client.get('/r-a')).text()).toBe('b');
    await client.rename('/r-a', '/r-b');
    expect(await client.exists('/r-a')).toBe(false);
    expect(await (await client.get('/r-b')).text()).toBe('b');
    await client.mkdir('/r-d');
    expect(await codeOf(client.rename('/r-d', '/r-d/below'))).toBe('own-descendant');
  });

  test('links and symlinks', async () => {
    const { client } = fixture;
    await client.put('/l-file', 'body');
    expect((await client.link('/l-file', '/l-other')).attributes.nlink).toBe(2);
    await client.symlink('l-file', '/l-sym');
    expect(Buffer.from(await client.readlink('/l-sym')).toString()).toBe('l-file');
    expect((await client.stat('/l-sym')).type).toBe('file');
    expect((await client.stat('/l-sym', { follow: false })).type).toBe('symlink');
    await client.unlink('/l-file');
    expect(await (await client.get('/l-other')).text()).toBe('body');
    expect(await codeOf(client.get('/l-sym'))).toBe('not-found');
  });

  test('remove takes a file, a symlink or an empty directory', async () => {
    const { client } = fixture;
    await client.put('/rm-file', '');
    await client.mkdir('/rm-dir');
    await client.symlink('rm-dir', '/rm-link');
    for (const path of ['/rm-link', '/rm-file', '/rm-dir']) await client.remove(path);
    expect(await codeOf(client.remove('/rm-file'))).toBe('not-found');
    await client.put('/rm-full/x', '', { parents: true });
    expect(await codeOf(client.remove('/rm-full'))).toBe('not-empty');
    expect(await codeOf(client.unlink('/rm-full'))).toBe('is-directory');
    expect(await codeOf(client.rmdir('/rm-full/x'))).toBe('not-directory');
  });

  test('attributes change without a new generation', async () => {
    const { client } = fixture;
    const { generation } = await client.put('/attr', 'x');
    await client.chmod('/attr', 0o4711);
    await client.chown('/attr', 12, 34);
    await client.utimes('/attr', new Date(1000), { sec: 2, nsec: 3 });
    expect(await client.stat('/attr')).toMatchObject({
      uid: 12,
      gid: 34,
      atime: { sec: 1, nsec: 0 },
      mtime: { sec: 2, nsec: 3 },
      generation,
    });
  });

  test('extended attributes are set, created, replaced, listed and removed', async () => {
    const { client } = fixture;
    await client.put('/xattr', 'x');
    await client.setXattr('/xattr', 'user.b', 'two');
    await client.setXattr('/xattr', 'user.a', Buffer.of(0, 255), { mode: 'create' });
    expect(await codeOf(client.setXattr('/xattr', 'user.a', 'x', { mode: 'create' }))).toBe('exists');
    expect(await codeOf(client.setXattr('/xattr', 'user.c', 'x', { mode: 'replace' }))).toBe('no-xattr');
    expect(await client.listXattrs('/xattr')).toEqual(['user.a', 'user.b']);
    expect(Buffer.from(await client.getXattr('/xattr', 'user.a'))).toEqual(Buffer.of(0, 255));
    await client.removeXattr('/xattr', 'user.a');
    expect(await codeOf(client.getXattr('/xattr', 'user.a'))).toBe('no-xattr');
  });

  test('names that are not UTF-8 are named as bytes or by their escapes', async () => {
    const { client } = fixture;
    const path = Buffer.concat([Buffer.from('/bytes-'), Buffer.of(0xff)]);
    await client.put(path, 'odd');
    expect(await (await client.get('/bytes-\\xff')).text()).toBe('odd');
    const { ino } = await client.stat(path);
    expect(await client.pathOf(ino)).toBe('/bytes-\\xff');
    const names: string[] = [];
    for await (const { name, nameBytes } of client.list('/')) {
      expect(formatName(nameBytes)).toBe(name);
      names.push(name);
    }
    expect(names).toContain('bytes-\\xff');
  });

  test('statfs counts what is there', async () => {
    const before = await fixture.client.statfs();
    await fixture.client.put('/counted', Buffer.alloc(1000));
    const after = await fixture.client.statfs();
    expect(after.inodesUsed).toBe(before.inodesUsed + 1);
    expect(after.bytesUsed).toBe(before.bytesUsed + 1000);
  });
});

describe('bad input changes nothing', () => {
  test.each([
    ['', 'invalid-path'],
    ['relative', 'invalid-path'],
    ['/..', 'invalid-path'],
    [`/${'n'.repeat(256)}`, 'name-too-long'],
    [`/${'p/'.repeat(2500)}`, 'path-too-long'],
    ['/\\z', 'invalid-name'],
  ])('path %j is %s', async (path, code) => {
    expect(await codeOf(fixture.client.put(path, 'x'))).toBe(code);
    expect(await codeOf(fixture.client.stat(path))).toBe(code);
  });

  test('an xattr of 64 KiB and a byte', async () => {
    await fixture.client.put('/big-xattr', '');
    expect(await codeOf(fixture.client.setXattr('/big-xattr', 'user.big', Buffer.alloc(65_537)))).not.toBe('done');
    expect(await fixture.client.listXattrs('/big-xattr')).toEqual([]);
  });
});
