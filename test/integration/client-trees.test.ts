import { execFile } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readFile, readlink, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Progress } from '@nokv/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { patternBytes, sha256, startClientFixture, type ClientFixture } from './client-fixture.js';

const run = promisify(execFile);
let fixture: ClientFixture;
let local: string;
let trees = 0;
/** A fresh remote path for each test. */
let remote: string;

beforeAll(async () => {
  fixture = await startClientFixture();
});

afterAll(async () => {
  await fixture?.close();
});

beforeEach(async () => {
  local = await mkdtemp(join(tmpdir(), 'nokv-trees-'));
  remote = `/trees/${++trees}`;
});

afterEach(async () => {
  await rm(local, { recursive: true, force: true });
});

/** Every kind of entry, with bodies around each limit of how they are sent. */
async function makeSource(): Promise<string> {
  const source = join(local, 'source');
  await mkdir(join(source, 'empty'), { recursive: true });
  await mkdir(join(source, 'deep/er/and/deeper'), { recursive: true });
  const sizes = [0, 1, 16_384, 16_385, 100_000, 1024 * 1024, 1024 * 1024 + 1, 5_000_000];
  for (const size of sizes) await writeFile(join(source, `size-${size}`), patternBytes(size, size));
  for (let index = 0; index < 120; index++) {
    await writeFile(join(source, 'deep/er', `packed-${index}`), patternBytes(40_000 + index * 700, index));
    await writeFile(join(source, 'deep/er/and/deeper', `small-${index}`), `small ${index}`);
  }
  await writeFile(join(source, 'run.sh'), '#!/bin/sh\nexit 0\n');
  await chmod(join(source, 'run.sh'), 0o755);
  await writeFile(join(source, 'private'), 'secret', { mode: 0o600 });
  await symlink('deep/er', join(source, 'to-directory'));
  await symlink('../nowhere', join(source, 'dangling'));
  await writeFile(Buffer.concat([Buffer.from(`${source}/bytes-`), Buffer.of(0xff, 0xfe)]), 'not UTF-8');
  await utimes(join(source, 'run.sh'), 1_500_000_000, 1_500_000_000.25);
  await utimes(join(source, 'deep/er'), 1_400_000_000, 1_400_000_000);
  await chmod(join(source, 'empty'), 0o500);
  return source;
}

describe('a tree', () => {
  test('comes back equal: contents, modes, times, symlinks, empty directories, names as bytes', async () => {
    const source = await makeSource();
    const put = await fixture.client.putTree(source, `${remote}/tree`);
    const restored = join(local, 'restored');
    const got = await fixture.client.getTree(`${remote}/tree`, restored);
    const { stdout } = await run('diff', ['-r', '--no-dereference', source, restored]);
    expect(stdout).toBe('');
    expect({ ...got, version: undefined, requestId: undefined }).toEqual({ ...put, version: undefined, requestId: undefined });
    expect(got).toMatchObject({ symlinks: 2, directories: 6, skipped: [] });
    const list = async (directory: string) =>
      (await run('find', ['.', '-printf', '%y %m %P %l\n'], { cwd: directory, encoding: 'latin1' })).stdout.split('\n').toSorted();
    expect(await list(restored)).toEqual(await list(source));
    expect((await stat(join(restored, 'run.sh'))).mtimeMs).toBe(1_500_000_000_250);
    expect((await stat(join(restored, 'deep/er'))).mtimeMs).toBe(1_400_000_000_000);
    const card = await fixture.client.stat(`${remote}/tree/size-5000000`);
    expect(card.digest).toBe(sha256(patternBytes(5_000_000, 5_000_000)));
  });

  test('is not visible before it is published, then all of it is', async () => {
    const source = await makeSource();
    const seen = new Set<number>();
    let done = false;
    const watching = (async () => {
      while (!done) {
        seen.add((await fixture.client.exists(`${remote}/tree`)) ? (await fixture.client.stat(`${remote}/tree`)).children : 0);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await fixture.client.putTree(source, `${remote}/tree`);
    done = true;
    await watching;
    const children = (await readdir(source)).length;
    for (const count of seen) expect([0, children]).toContain(count);
  });

  test('replaces in one commit only when asked to', async () => {
    const source = await makeSource();
    await fixture.client.putTree(source, `${remote}/tree`);
    await rm(join(source, 'size-1'));
    await writeFile(join(source, 'new'), 'new');
    await expect(fixture.client.putTree(source, `${remote}/tree`)).rejects.toMatchObject({ code: 'exists' });
    expect(await fixture.client.exists(`${remote}/tree/new`)).toBe(false);
    await fixture.client.putTree(source, `${remote}/tree`, { replace: true });
    expect(await fixture.client.exists(`${remote}/tree/new`)).toBe(true);
    expect(await fixture.client.exists(`${remote}/tree/size-1`)).toBe(false);
  });

  test('with a fifo in it is refused before anything is sent, or told what was skipped', async () => {
    await mkdir(join(local, 'odd'));
    await run('mkfifo', [join(local, 'odd/pipe')]);
    await writeFile(join(local, 'odd/file'), 'x');
    await expect(fixture.client.putTree(join(local, 'odd'), remote)).rejects.toMatchObject({
      code: 'not-regular-file',
      message: expect.stringContaining('odd/pipe'),
    });
    expect(await fixture.client.exists(remote)).toBe(false);
    const report = await fixture.client.putTree(join(local, 'odd'), remote, { specialFiles: 'skip' });
    expect(report).toMatchObject({ files: 1, skipped: [{ path: join(local, 'odd/pipe') }] });
  });

  test('that is aborted in the middle leaves nothing visible', async () => {
    const source = await makeSource();
    const abort = new AbortController();
    const put = fixture.client.putTree(source, `${remote}/tree`, {
      signal: abort.signal,
      onProgress: ({ phase, files }) => {
        if (phase === 'transfer' && files > 20) abort.abort();
      },
    });
    await expect(put).rejects.toMatchObject({ code: 'cancelled' });
    expect(await fixture.client.exists(`${remote}/tree`)).toBe(false);
  });

  test('goes through a server that restarts meanwhile, whole', async () => {
    const source = await makeSource();
    let restarting: Promise<void> | undefined;
    await fixture.client.putTree(source, `${remote}/tree`, {
      // As it begins: a quick one may be over before its progress is told again.
      onProgress: ({ phase }) => {
        if (phase === 'transfer') restarting ??= fixture.restart();
      },
    });
    expect(restarting).toBeDefined();
    await restarting;
    await fixture.client.getTree(`${remote}/tree`, join(local, 'back'));
    expect((await run('diff', ['-r', '--no-dereference', source, join(local, 'back')])).stdout).toBe('');
  });

  test('tells what it does: totals are known before the transfer and reached at its end', async () => {
    const source = await makeSource();
    const told: Progress[] = [];
    const report = await fixture.client.putTree(source, `${remote}/tree`, { onProgress: (progress) => told.push(progress) });
    const last = told.at(-1);
    expect(last).toMatchObject({ phase: 'done', files: last?.filesTotal, bytes: last?.bytesTotal });
    expect(last?.bytes).toBe(report.bytes);
    expect(told.map(({ phase }) => phase)).toContain('publish');
  });
});

describe('a plain recursive put', () => {
  test('merges into what is there: overwrites files and symlinks, keeps the rest', async () => {
    const source = await makeSource();
    const { client } = fixture;
    await client.mkdir(`${remote}/to/deep`, { parents: true });
    await client.put(`${remote}/to/deep/kept`, 'kept');
    await client.put(`${remote}/to/run.sh`, 'old', { mode: 0o600 });
    await client.symlink('old', `${remote}/to/dangling`);
    const report = await client.putInto(source, `${remote}/to`);
    expect(await (await client.get(`${remote}/to/deep/kept`)).text()).toBe('kept');
    expect(await (await client.get(`${remote}/to/run.sh`)).text()).toContain('exit 0');
    expect((await client.stat(`${remote}/to/run.sh`)).mode).toBe(0o755);
    expect(Buffer.from(await client.readlink(`${remote}/to/dangling`)).toString()).toBe('../nowhere');
    await client.getTree(`${remote}/to`, join(local, 'back'));
    await rm(join(local, 'back/deep/kept'));
    expect((await run('diff', ['-r', '--no-dereference', source, join(local, 'back')])).stdout).toBe('');
    expect(report.files).toBeGreaterThan(240);
  });
});

describe('a restore', () => {
  test('writes over nothing unless asked to', async () => {
    const { client } = fixture;
    await client.put(`${remote}/one`, 'remote', { parents: true });
    await mkdir(join(local, 'full'));
    await writeFile(join(local, 'full/one'), 'local');
    await expect(client.getTree(remote, join(local, 'full'))).rejects.toMatchObject({ code: 'exists' });
    await expect(client.getFile(`${remote}/one`, join(local, 'full/one'))).rejects.toMatchObject({ code: 'exists' });
    expect(await readFile(join(local, 'full/one'), 'utf8')).toBe('local');
    await client.getTree(remote, join(local, 'full'), { replace: true });
    expect(await readFile(join(local, 'full/one'), 'utf8')).toBe('remote');
    await client.put(`${remote}/one`, 'newer', { mode: 0o640 });
    await client.getFile(`${remote}/one`, join(local, 'full/one'), { replace: true });
    expect(await readFile(join(local, 'full/one'), 'utf8')).toBe('newer');
    expect((await stat(join(local, 'full/one'))).mode & 0o777).toBe(0o640);
    expect(await readdir(join(local, 'full'))).toEqual(['one']);
  });

  test('never descends through a local symlink that leads outside', async () => {
    const { client } = fixture;
    await client.put(`${remote}/sub/file`, 'remote', { parents: true });
    await mkdir(join(local, 'outside'));
    await mkdir(join(local, 'inside'));
    await symlink('../outside', join(local, 'inside/sub'));
    await expect(client.getTree(remote, join(local, 'inside'), { replace: true })).rejects.toMatchObject({ code: 'outside-root' });
    expect(await readdir(join(local, 'outside'))).toEqual([]);
  });

  test('replaces a local symlink itself, not what it points to', async () => {
    const { client } = fixture;
    await client.put(`${remote}/file`, 'remote', { parents: true });
    await mkdir(join(local, 'inside'));
    await writeFile(join(local, 'target'), 'untouched');
    await symlink('../target', join(local, 'inside/file'));
    await client.getTree(remote, join(local, 'inside'), { replace: true });
    expect(await readFile(join(local, 'target'), 'utf8')).toBe('untouched');
    expect((await lstat(join(local, 'inside/file'))).isFile()).toBe(true);
  });

  test('keeps the targets of symlinks as they are, wherever they lead', async () => {
    const { client } = fixture;
    await client.mkdir(remote, { parents: true });
    await client.symlink('/etc/passwd', `${remote}/absolute`);
    await client.getTree(remote, join(local, 'links'));
    expect(await readlink(join(local, 'links/absolute'))).toBe('/etc/passwd');
  });
});

test('files of medium size share blocks, across restores too', async () => {
  const source = join(local, 'medium');
  await mkdir(source);
  await Promise.all(Array.from({ length: 200 }, (_, index) => writeFile(join(source, `${index}`), patternBytes(65_536, index))));
  const blocks = async () =>
    (await run('find', [join(fixture.directory, 'data/objects'), '-path', '*/blocks/*', '-type', 'f'])).stdout.split('\n').length - 1;
  const before = await blocks();
  await fixture.client.putTree(source, `${remote}/medium`);
  // 200 files of 64 KiB are 12.5 MiB: four blocks of 4 MiB.
  expect((await blocks()) - before).toBe(4);
  await fixture.client.getTree(`${remote}/medium`, join(local, 'medium-back'));
  expect((await run('diff', ['-r', source, join(local, 'medium-back')])).stdout).toBe('');
});

test('some thousand files go and come back within seconds', async () => {
  const source = join(local, 'many');
  for (let directory = 0; directory < 30; directory++) {
    await mkdir(join(source, `d${directory}`), { recursive: true });
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        writeFile(join(source, `d${directory}`, `f${index}`), `file ${directory} ${index}`.repeat(50)),
      ),
    );
  }
  const report = await fixture.client.putTree(source, `${remote}/many`);
  expect(report).toMatchObject({ files: 3000, directories: 31 });
  const got = await fixture.client.getTree(`${remote}/many`, join(local, 'many-back'));
  expect(got.files).toBe(3000);
  expect((await run('diff', ['-r', source, join(local, 'many-back')])).stdout).toBe('');
});
