/** Import and export: what goes in comes out alike, again and again, and what cannot be moved is told. */
import { execFile } from 'node:child_process';
import { chmod, link, lstat, mkdir, mkdtemp, open, readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TreeChange } from '@nokv/client';
import { localCalls, type LocalCalls } from '@nokv/client/local-calls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { patternBytes, startClientFixture, type ClientFixture } from './client-fixture.js';

const run = promisify(execFile);
const isRoot = process.geteuid?.() === 0;
let fixture: ClientFixture;
let calls: LocalCalls;
let local: string;
let source: string;
let back: string;
let trees = 0;
let remote: string;

beforeAll(async () => {
  fixture = await startClientFixture();
  const loaded = await localCalls();
  if (loaded === undefined) throw new Error('the optional package koffi is not installed; run node scripts/prepare.mjs');
  calls = loaded;
});
afterAll(async () => await fixture?.close());
beforeEach(async () => {
  local = await mkdtemp(join(tmpdir(), 'nokv-sync-'));
  source = join(local, 'source');
  back = join(local, 'back');
  remote = `/sync/${++trees}`;
});
afterEach(async () => {
  await run('chmod', ['-R', 'u+rwx', local]).catch(() => undefined);
  await rm(local, { recursive: true, force: true });
});

/** Everything that a restore must keep. */
async function makeSource(): Promise<void> {
  await mkdir(join(source, 'deep/er/empty'), { recursive: true });
  for (const size of [0, 1, 16_385, 100_000, 1024 * 1024 + 1]) await writeFile(join(source, `size-${size}`), patternBytes(size, size));
  for (let index = 0; index < 40; index++) await writeFile(join(source, 'deep', `f${index}`), patternBytes(index * 1000, index));
  await writeFile(join(source, 'run'), 'x');
  await chmod(join(source, 'run'), 0o4751);
  await writeFile(join(source, 'linked'), patternBytes(50_000, 9));
  await link(join(source, 'linked'), join(source, 'deep/er/again'));
  await link(join(source, 'linked'), join(source, 'a-first'));
  await symlink('deep/er', join(source, 'to-directory'));
  await symlink('/nowhere', join(source, 'dangling'));
  await writeFile(Buffer.concat([Buffer.from(`${source}/bytes-`), Buffer.of(0xff, 0xfe)]), 'not UTF-8');
  await run('mkfifo', ['-m', '640', join(source, 'pipe')]);
  calls.makeNode(Buffer.from(join(source, 'socket')), 0o140600, 0);
  if (isRoot) {
    calls.makeNode(Buffer.from(join(source, 'null')), 0o020666, (1 << 8) | 3);
    await run('chown', ['-h', '1234:567', join(source, 'dangling'), join(source, 'size-1'), join(source, 'deep')]);
  }
  const sparse = await open(join(source, 'sparse'), 'w');
  await sparse.write(Buffer.from('begin'), 0, 5, 0);
  await sparse.write(Buffer.from('end'), 0, 3, 40_000_000);
  await sparse.close();
  calls.setXattr(Buffer.from(join(source, 'run')), Buffer.from('user.color'), Buffer.from([0, 1, 255]));
  calls.setXattr(Buffer.from(join(source, 'deep/er')), Buffer.from('user.note'), Buffer.from('of a directory'));
  calls.setXattr(Buffer.from(join(source, 'size-100000')), Buffer.from('user.empty'), Buffer.alloc(0));
  await chmod(join(source, 'deep/er/empty'), 0o1500);
  for (const [index, name] of ['run', 'pipe', 'dangling', 'size-100000', 'deep/er', 'deep'].entries()) {
    calls.setTimes(Buffer.from(join(source, name)), undefined, { sec: 1_500_000_000 + index, nsec: 123_456_789 + index });
  }
}

/** One line an entry: type, mode, owner, names, size, time to the nanosecond, target, device, attributes. */
async function listing(directory: string): Promise<string[]> {
  const { stdout } = await run('find', ['.', '-printf', '%P\\t%y\\t%m\\t%U:%G\\t%n\\t%s\\t%T@\\t%l\\t%D:%i\\n'], {
    cwd: directory,
    encoding: 'latin1',
  });
  const groups = new Map<string, string>();
  return Promise.all(
    stdout
      .trimEnd()
      .split('\n')
      .toSorted()
      .map(async (line) => {
        const [path = '', type, mode, owner, names, size, time, target, inode = ''] = line.split('\t');
        // Which entries are one inode, by the first of their names.
        if (!groups.has(inode)) groups.set(inode, path);
        const bytes = Buffer.from(path === '' ? directory : `${directory}/${path}`, path === '' ? 'utf8' : 'latin1');
        const xattrs = calls.listXattrs(bytes).filter((name) => name.toString().startsWith('user.'));
        const values = xattrs.map((name) => `${name}=${calls.getXattr(bytes, name).toString('hex')}`).toSorted();
        const { rdev } = await lstat(bytes);
        return [
          path,
          type,
          mode,
          owner,
          type === 'd' ? '' : names,
          type === 'd' ? '' : size,
          time,
          target,
          type === 'c' ? rdev : '',
          groups.get(inode),
          ...values,
        ].join(' ');
      }),
  );
}

async function same(): Promise<void> {
  expect(await listing(back)).toEqual(await listing(source));
  // diff(1) would read the fifo and the devices.
  const { stdout } = await run('diff', ['-r', '--no-dereference', '-x', 'pipe', '-x', 'socket', '-x', 'null', source, back]);
  expect(stdout).toBe('');
}

describe('import and export', () => {
  test('keep contents, empty directories, modes, owners, nanoseconds, links, attributes, special files, names, holes', async () => {
    await makeSource();
    const report = await fixture.client.importTree(source, remote);
    expect(report).toMatchObject({
      failed: 0,
      failures: [],
      skipped: [],
      symlinks: 2,
      links: 2,
      unchanged: 0,
      deleted: 0,
      specials: isRoot ? 3 : 2,
    });
    const exported = await fixture.client.exportTree(remote, back);
    expect(exported).toMatchObject({ failed: 0, skipped: [], files: report.files, links: 2, symlinks: 2, specials: report.specials });
    await same();
    expect((await fixture.client.stat(`${remote}/sparse`)).blocks * 512).toBeLessThan(12_000_000);
    expect((await stat(join(back, 'sparse'))).blocks * 512).toBeLessThan(12_000_000);
    expect((await fixture.client.stat(`${remote}/linked`)).nlink).toBe(3);
  });

  test('converge: a second round moves nothing, whichever way', async () => {
    await makeSource();
    const first = await fixture.client.importTree(source, remote);
    const total = first.files + first.symlinks + first.links + first.specials + first.directories - 1;
    const before = await fixture.client.metadata.read('statfs', {});
    const version = (await fixture.client.mkdir('/mark', { parents: true })).version;
    const nothing = { files: 0, bytes: 0, directories: 0, symlinks: 0, links: 0, specials: 0, attributes: 0, deleted: 0, failed: 0 };
    expect(await fixture.client.importTree(source, remote, { delete: true })).toMatchObject({ ...nothing, unchanged: total });
    expect(await fixture.client.importTree(source, remote, { checksum: true })).toMatchObject({ ...nothing, unchanged: total });
    await fixture.client.exportTree(remote, back);
    expect(await fixture.client.exportTree(remote, back, { delete: true })).toMatchObject({ ...nothing, unchanged: total });
    expect(await fixture.client.exportTree(remote, back, { checksum: true })).toMatchObject({ ...nothing, unchanged: total });
    expect(await fixture.client.importTree(back, remote)).toMatchObject({ ...nothing, unchanged: total });
    // Not one commit: the next one has the next version.
    expect((await fixture.client.mkdir(`/mark-${trees}`)).version).toBe(version + 1);
    expect(await fixture.client.metadata.read('statfs', {})).toMatchObject({ bytesUsed: before.bytesUsed });
    await same();
  });

  test('move only what changed: bodies, attributes, kinds, and with `delete` what is gone', async () => {
    await makeSource();
    await fixture.client.importTree(source, remote);
    await fixture.client.exportTree(remote, back);
    await writeFile(join(source, 'deep/f7'), 'another');
    await chmod(join(source, 'deep/f8'), 0o600);
    calls.setXattr(Buffer.from(join(source, 'deep/f9')), Buffer.from('user.new'), Buffer.from('1'));
    calls.removeXattr(Buffer.from(join(source, 'run')), Buffer.from('user.color'));
    await rm(join(source, 'dangling'));
    await writeFile(join(source, 'dangling'), 'a file now');
    await rm(join(source, 'deep/f1'));
    await symlink('f2', join(source, 'deep/f1'));
    await rm(join(source, 'size-0'));
    await mkdir(join(source, 'size-0'));
    await writeFile(join(source, 'size-0/below'), 'below');
    await rm(join(source, 'deep/er/again'));
    await rm(join(source, 'to-directory'));
    const changes: TreeChange[] = [];
    const report = await fixture.client.importTree(source, remote, { delete: true, onChange: (change) => changes.push(change) });
    expect(report).toMatchObject({ files: 3, symlinks: 1, directories: 1, deleted: 2, failed: 0 });
    expect(changes).toContainEqual({ action: 'update', path: 'deep/f7', type: 'file' });
    expect(changes).toContainEqual({ action: 'attributes', path: 'deep/f8', type: 'file' });
    expect(changes).toContainEqual({ action: 'attributes', path: 'deep/f9', type: 'file' });
    expect(changes).toContainEqual({ action: 'update', path: 'size-0', type: 'directory' });
    expect(changes).toContainEqual({ action: 'delete', path: 'to-directory', type: 'symlink' });
    expect(await fixture.client.exportTree(remote, back, { delete: true })).toMatchObject({ files: 3, symlinks: 1, deleted: 2, failed: 0 });
    await same();
  });

  test('never write through names that are shared: a link elsewhere keeps its body', async () => {
    await mkdir(source);
    await writeFile(join(source, 'f'), 'new body');
    const { client } = fixture;
    await client.put(`${remote}-else/kept`, 'kept', { parents: true });
    await client.mkdir(remote, { parents: true });
    await client.link(`${remote}-else/kept`, `${remote}/f`);
    await client.importTree(source, remote);
    expect(await (await client.get(`${remote}-else/kept`)).text()).toBe('kept');
    // And a symlink in the place of a file is replaced, not followed.
    await client.unlink(`${remote}/f`);
    await client.symlink(`${remote}-else/kept`, `${remote}/f`);
    await client.importTree(source, remote);
    expect(await (await client.get(`${remote}-else/kept`)).text()).toBe('kept');
    expect((await client.stat(`${remote}/f`, { follow: false })).type).toBe('file');
  });

  test('tell what they would do, and do nothing, in a dry run', async () => {
    await makeSource();
    const changes: string[] = [];
    const dry = await fixture.client.importTree(source, remote, {
      dryRun: true,
      onChange: ({ action, path }) => changes.push(`${action} ${path}`),
    });
    expect(await fixture.client.exists(remote)).toBe(false);
    expect(changes).toContain('create deep/er/empty');
    expect(changes.filter((change) => change.startsWith('link'))).toHaveLength(2);
    const real = await fixture.client.importTree(source, remote);
    expect({ files: dry.files, links: dry.links, symlinks: dry.symlinks }).toEqual({
      files: real.files,
      links: real.links,
      symlinks: real.symlinks,
    });
    await fixture.client.exportTree(remote, back, { dryRun: true });
    await expect(stat(back)).rejects.toMatchObject({ code: 'ENOENT' });
    await mkdir(back);
    await writeFile(join(back, 'mine'), 'mine');
    expect(await fixture.client.exportTree(remote, back, { dryRun: true, delete: true })).toMatchObject({ deleted: 1, files: real.files });
    expect(await readdir(back)).toEqual(['mine']);
  });

  test('leave out what globs name, and do not delete it', async () => {
    await mkdir(join(source, 'logs/old'), { recursive: true });
    await mkdir(join(source, 'cache'));
    for (const name of ['a.md', 'b.txt', 'logs/c.log', 'logs/old/d.log', 'cache/e.md']) await writeFile(join(source, name), name);
    const { client } = fixture;
    await client.put(`${remote}/cache/keep`, 'keep', { parents: true });
    await client.put(`${remote}/gone/deep/x.log`, 'x', { parents: true });
    await client.put(`${remote}/gone/y`, 'y');
    await client.importTree(source, remote, { exclude: ['cache/', '*.log'], delete: true });
    expect(await paths(remote)).toEqual([
      'a.md',
      'b.txt',
      'cache',
      'cache/keep',
      'gone',
      'gone/deep',
      'gone/deep/x.log',
      'logs',
      'logs/old',
    ]);
    await client.importTree(source, `${remote}-md`, { include: ['*.md'] });
    expect(await paths(`${remote}-md`)).toEqual(['a.md', 'cache', 'cache/e.md', 'logs', 'logs/old']);
    await client.importTree(source, `${remote}-both`, { exclude: ['logs/**'], include: ['**/old', '**/old/**'] });
    expect(await paths(`${remote}-both`)).toEqual(['a.md', 'b.txt', 'cache', 'cache/e.md', 'logs', 'logs/old', 'logs/old/d.log']);
    await client.importTree(source, `${remote}-all`);
    await mkdir(join(back, 'junk'), { recursive: true });
    await writeFile(join(back, 'junk/x.log'), 'x');
    await writeFile(join(back, 'junk/y'), 'y');
    await client.exportTree(`${remote}-all`, back, { exclude: ['*.log'], delete: true });
    expect((await run('find', ['.', '-mindepth', '1', '-printf', '%P\n'], { cwd: back })).stdout.trim().split('\n').toSorted()).toEqual([
      'a.md',
      'b.txt',
      'cache',
      'cache/e.md',
      'junk',
      'junk/x.log',
      'logs',
      'logs/old',
    ]);
  });
});

describe('an import', () => {
  test('without the one file that cannot be read moves the others, says so and deletes nothing', async () => {
    await mkdir(source);
    for (let index = 0; index < 10; index++) await writeFile(join(source, `f${index}`), `f${index}`);
    await fixture.client.put(`${remote}/extra`, 'extra', { parents: true });
    // Whoever may read everything meets a directory in the way instead.
    await fixture.client.mkdir(`${remote}/f3/below`, { parents: true });
    const report = await fixture.client.importTree(source, remote);
    expect(report).toMatchObject({ files: 9, failed: 1, failures: [{ path: 'f3', code: 'is-directory' }] });
    await fixture.client.put(`${remote}/f5`, 'as before');
    const missing = fixture.client.importTree(join(local, 'missing'), remote);
    await expect(missing).rejects.toMatchObject({ code: 'not-found' });
    await expect(fixture.client.importTree(join(source, 'f1'), remote)).rejects.toMatchObject({ code: 'not-directory' });
    await expect(fixture.client.importTree(source, `${remote}/extra`)).rejects.toMatchObject({ code: 'not-directory' });
    expect(await fixture.client.exists(`${remote}/extra`)).toBe(true);
    expect(await fixture.client.importTree(source, remote, { delete: true })).toMatchObject({ failed: 0, deleted: 1, files: 2 });
  });

  test('ends with its signal and with its deadline', async () => {
    await makeSource();
    const abort = new AbortController();
    const importing = fixture.client.importTree(source, remote, {
      signal: abort.signal,
      onProgress: ({ phase, files }) => {
        if (phase === 'transfer' && files > 5) abort.abort();
      },
    });
    await expect(importing).rejects.toMatchObject({ code: 'cancelled' });
    await expect(fixture.client.importTree(source, `${remote}-late`, { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'deadline-exceeded',
    });
    expect(await fixture.client.importTree(source, remote)).toMatchObject({ failed: 0 });
    await fixture.client.exportTree(remote, back);
    await same();
  });
});

describe('an export', () => {
  test('never leaves its destination through a symlink: the symlink makes room for what belongs there', async () => {
    const { client } = fixture;
    await client.put(`${remote}/sub/file`, 'remote', { parents: true });
    await client.put(`${remote}/name`, 'remote');
    await mkdir(join(local, 'outside'));
    await writeFile(join(local, 'precious'), 'precious');
    await mkdir(back);
    await symlink('../outside', join(back, 'sub'));
    await symlink('../precious', join(back, 'name'));
    await client.exportTree(remote, back);
    expect(await readdir(join(local, 'outside'))).toEqual([]);
    expect(await readFile(join(local, 'precious'), 'utf8')).toBe('precious');
    expect((await lstat(join(back, 'sub'))).isDirectory()).toBe(true);
    expect(await readFile(join(back, 'sub/file'), 'utf8')).toBe('remote');
    expect(await readFile(join(back, 'name'), 'utf8')).toBe('remote');
  });

  test('refuses a directory in the place of a file, unless it may delete', async () => {
    const { client } = fixture;
    await client.put(`${remote}/name`, 'remote', { parents: true });
    await client.put(`${remote}/other`, 'other');
    await mkdir(join(back, 'name/full'), { recursive: true });
    const report = await client.exportTree(remote, back);
    expect(report).toMatchObject({ failed: 1, files: 1, failures: [{ path: 'name', code: 'is-directory' }] });
    expect(await client.exportTree(remote, back, { delete: true })).toMatchObject({ failed: 0, files: 1, unchanged: 1 });
    expect(await readFile(join(back, 'name'), 'utf8')).toBe('remote');
    await expect(client.exportTree(remote, join(back, 'other'))).rejects.toMatchObject({ code: 'not-directory' });
    await expect(client.exportTree(`${remote}/name`, join(local, 'x'))).rejects.toMatchObject({ code: 'not-directory' });
  });

  test('restores the tree as it was at a moment', async () => {
    const { client } = fixture;
    await client.put(`${remote}/f`, 'before', { parents: true });
    const { version } = await client.setXattr(`${remote}/f`, 'user.then', 'then');
    await client.put(`${remote}/f`, 'after');
    await client.removeXattr(`${remote}/f`, 'user.then');
    await client.put(`${remote}/g`, 'g');
    await client.exportTree(remote, back, { at: { version } });
    expect(await readdir(back)).toEqual(['f']);
    expect(await readFile(join(back, 'f'), 'utf8')).toBe('before');
    expect(calls.getXattr(Buffer.from(join(back, 'f')), Buffer.from('user.then')).toString()).toBe('then');
    await client.exportTree(remote, back);
    expect(calls.listXattrs(Buffer.from(join(back, 'f')))).toEqual([]);
  });

  test.runIf(isRoot)('to a full disk is told, leaves no half file and goes on when there is room', async () => {
    const { client } = fixture;
    await client.put(`${remote}/big`, patternBytes(3_000_000), { parents: true });
    await mkdir(back);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', back]);
    try {
      await expect(client.exportTree(remote, back)).rejects.toMatchObject({ code: 'no-space', message: expect.stringContaining('big') });
      expect(await readdir(back)).toEqual([]);
      await run('mount', ['-o', 'remount,size=8m', back]);
      expect(await client.exportTree(remote, back)).toMatchObject({ files: 1, failed: 0 });
    } finally {
      await run('umount', [back]);
    }
  });
});

test('times that another program set are seen to the nanosecond', async () => {
  await mkdir(source);
  await writeFile(join(source, 'f'), 'one');
  await fixture.client.importTree(source, remote);
  await utimes(join(source, 'f'), 1_600_000_000, 1_600_000_000);
  calls.setTimes(Buffer.from(join(source, 'f')), undefined, { sec: 1_600_000_000, nsec: 1 });
  expect(await fixture.client.importTree(source, remote)).toMatchObject({ files: 1, attributes: 0 });
  expect((await fixture.client.stat(`${remote}/f`)).mtime).toEqual({ sec: 1_600_000_000, nsec: 1 });
});

async function paths(top: string): Promise<string[]> {
  const found: string[] = [];
  const below = async (path: string): Promise<void> => {
    for await (const entry of fixture.client.list(path)) {
      found.push(`${path}/${entry.name}`.slice(top.length + 1));
      if (entry.type === 'directory') await below(`${path}/${entry.name}`);
    }
  };
  await below(top);
  return found.toSorted();
}
