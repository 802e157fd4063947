import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { blocksOf } from '../store-blocks.js';
import { blockStoreConformance, codeOf, objectStoreConformance } from '../testing/index.js';
import { openFileStore } from './file-object-store.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-file-store-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function openScratch() {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-file-store-'));
  return { store: await openFileStore(directory), remove: async () => rmSync(directory, { recursive: true, force: true }) };
}

objectStoreConformance('file', openScratch);
blockStoreConformance('over the file store', async () => {
  const { store, remove } = await openScratch();
  return { blocks: blocksOf(store), remove };
});

describe('opening', () => {
  test('what was put is there after opening again, by path and by URL', async () => {
    const directory = scratch();
    const first = await openFileStore(directory);
    await first.putIfAbsent('a/b', Buffer.from('kept'));
    await first.close();
    for (const name of [directory, pathToFileURL(directory).href]) {
      expect(Buffer.from(await (await openFileStore(name)).get('a/b')).toString()).toBe('kept');
    }
  });

  test('another format is refused with both numbers and left alone', async () => {
    const directory = scratch();
    writeFileSync(join(directory, 'format'), 'nokv file store 7\n');
    await expect(openFileStore(directory)).rejects.toMatchObject({
      code: 'unsupported-format',
      message: expect.stringMatching(/format 1.*found 7/),
    });
    expect(readdirSync(directory)).toEqual(['format']);
  });

  test('without leave to make one, a directory that is no store is refused and left alone', async () => {
    const directory = scratch();
    expect(await codeOf(openFileStore(directory, { create: false }))).toBe('no-bucket');
    expect(readdirSync(directory)).toEqual([]);
  });

  test('two openings of a fresh directory at once agree', async () => {
    const directory = scratch();
    const stores = await Promise.all([openFileStore(directory), openFileStore(directory)]);
    const outcomes = await Promise.all(stores.map((store, at) => store.putIfAbsent('k', Buffer.from(`${at}`))));
    expect(outcomes.toSorted()).toEqual(['created', 'exists']);
  });

  test('a file in place of the directory is named', async () => {
    const directory = scratch();
    writeFileSync(join(directory, 'file'), '');
    await expect(openFileStore(join(directory, 'file'))).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringContaining('ENOTDIR'),
    });
  });
});

describe('leftovers of crashed puts', () => {
  test('those of a process that is gone are removed, those of a running one are not', async () => {
    const directory = scratch();
    const store = await openFileStore(directory);
    await store.putIfAbsent('a', Buffer.from('x'));
    const script = `
      import { openFileStore } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
      import { open, readdir } from 'node:fs/promises';
      const { ownTag } = await import(${JSON.stringify(new URL('../../dist/file/leftovers.js', import.meta.url).href)});
      await (await open(${JSON.stringify(join(directory, 'tmp'))} + '/' + (await ownTag()) + '-0-0', 'wx')).close();
      process.stdout.write('ready');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve, reject) => {
        child.stdout.once('data', resolve);
        child.once('exit', () => reject(new Error('the child ended early')));
      });
      await openFileStore(directory);
      expect(readdirSync(join(directory, 'tmp'))).toHaveLength(1);
    } finally {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    await openFileStore(directory);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });

  test('those of another machine or boot go after a day', async () => {
    const directory = scratch();
    await openFileStore(directory);
    for (const name of ['0badcafe-1-1-0-0', '0badcafe-1-1-0-1']) await writeFile(join(directory, 'tmp', name), 'x');
    const long = Date.now() / 1000 - 2 * 86_400;
    await utimes(join(directory, 'tmp/0badcafe-1-1-0-1'), long, long);
    await openFileStore(directory);
    expect(readdirSync(join(directory, 'tmp'))).toEqual(['0badcafe-1-1-0-0']);
  });

  test('puts leave nothing in the temporary directory, and deletions no empty directories', async () => {
    const directory = scratch();
    const store = await openFileStore(directory);
    await Promise.all(Array.from({ length: 30 }, (_, at) => store.putIfAbsent(`x/${at % 3}/${at % 10}`, Buffer.from('x'))));
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    await store.delete((await store.list('', { limit: 1000 })).objects.map(({ key }) => key));
    expect(readdirSync(join(directory, 'data'))).toEqual([]);
  });
});

test('a writer killed at any moment leaves whole objects only, and every acknowledged one', async () => {
  const directory = scratch();
  await openFileStore(directory);
  const script = `
    const { openFileStore } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
    const store = await openFileStore(${JSON.stringify(directory)});
    const round = process.argv[1];
    await Promise.all([0, 1, 2, 3].map(async (writer) => {
      for (let at = 0; ; at += 1) {
        const key = round + '/' + writer + '/' + at;
        await store.putIfAbsent(key, Buffer.alloc(100_000, key));
        process.stdout.write(key + '\\n');
      }
    }));`;
  let acknowledged = 0;
  for (let round = 0; round < 3; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    const gone = new Promise((resolve) => child.once('close', resolve));
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.length > 100 * (round + 1)) child.kill('SIGKILL');
    });
    await gone;
    const store = await openFileStore(directory);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    const { objects } = await store.list(`${round}/`, { limit: 1000 });
    for (const { key } of objects) expect(Buffer.compare(await store.get(key), Buffer.alloc(100_000, key))).toBe(0);
    const keys = new Set(objects.map(({ key }) => key));
    for (const key of printed.split('\n').slice(0, -1)) expect(keys.has(key), key).toBe(true);
    acknowledged += printed.split('\n').length - 1;
  }
  expect(acknowledged).toBeGreaterThan(30);
});

test('failed and cancelled calls leave no file open', async () => {
  const directory = scratch();
  const store = await openFileStore(directory);
  const open = () => readdirSync('/proc/self/fd').filter((fd) => targetOf(`/proc/self/fd/${fd}`).startsWith(directory));
  await store.putIfAbsent('k', Buffer.alloc(1000));
  for (let turn = 0; turn < 20; turn += 1) {
    await Promise.all(
      [store.get('k', { offset: 900, length: 200 }), store.get('none'), store.putIfAbsent('k/below', Buffer.from('x'))].map(codeOf),
    );
  }
  expect(open()).toEqual([]);
});

/** They mount a small disk, or become another user. */
const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('errors of the disk (needs root)', () => {
  test('a full disk is no-space, changes nothing, and the store works again when there is room', async () => {
    const directory = mountTmpfs('size=1m');
    const store = await openFileStore(directory);
    await store.putIfAbsent('a', Buffer.alloc(600_000));
    await expect(store.putIfAbsent('b', Buffer.alloc(600_000))).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
    expect(await store.head('b')).toBeUndefined();
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    await store.delete(['a']);
    expect(await store.putIfAbsent('b', Buffer.alloc(600_000))).toBe('created');
  });

  test('a read-only file system is named', async () => {
    const directory = mountTmpfs('size=1m');
    const store = await openFileStore(directory);
    await store.putIfAbsent('a', Buffer.from('x'));
    execFileSync('mount', ['-o', 'remount,ro', directory]);
    await expect(store.putIfAbsent('b', Buffer.from('x'))).rejects.toMatchObject({ code: 'read-only', outcome: 'not-applied' });
    expect(Buffer.from(await store.get('a')).toString()).toBe('x');
    await expect(openFileStore(join(directory, 'fresh'))).rejects.toMatchObject({ code: 'read-only' });
  });

  test('a store that another user closed off is permission-denied', async () => {
    const directory = scratch();
    await openFileStore(directory);
    chmodSync(directory, 0o700);
    const script = `
      process.setgid(65534); process.setuid(65534);
      const { openFileStore } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
      await openFileStore(${JSON.stringify(directory)}).then(() => console.log('opened'), (error) => console.log(error.code));`;
    const found = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(found.trim()).toBe('permission-denied');
  });
});

test('a directory that vanished is named', async () => {
  const directory = scratch();
  const store = await openFileStore(directory);
  rmSync(directory, { recursive: true });
  await expect(store.putIfAbsent('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'store-unavailable' });
});

test('a key that is the directory of another is refused either way round', async () => {
  const store = await openFileStore(scratch());
  await store.putIfAbsent('a', Buffer.from('x'));
  await store.putIfAbsent('d/e', Buffer.from('x'));
  expect(await codeOf(store.putIfAbsent('a/b', Buffer.from('x')))).toBe('invalid-argument');
  expect(await codeOf(store.putIfAbsent('d', Buffer.from('x')))).toBe('invalid-argument');
});

test('a symbolic link among the objects is not followed into other directories by a listing', async () => {
  const directory = scratch();
  const store = await openFileStore(directory);
  await store.putIfAbsent('a/b', Buffer.from('x'));
  symlinkSync('/etc', join(directory, 'data', 'link'));
  expect((await store.list('', { limit: 10 })).objects.map(({ key }) => key)).toEqual(['a/b']);
});

test('an object’s bytes are a plain file under its key', async () => {
  const directory = scratch();
  const store = await openFileStore(directory);
  await store.putIfAbsent('blocks/ab/x/0', Buffer.from('plain'));
  expect(await readFile(join(directory, 'data/blocks/ab/x/0'), 'utf8')).toBe('plain');
  expect((await stat(join(directory, 'data/blocks/ab/x/0'))).nlink).toBe(1);
});

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return ''; // Closed meanwhile.
  }
}

function mountTmpfs(options: string): string {
  const directory = scratch();
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'nokv-test', directory]);
  cleanups.push(() => execFileSync('umount', ['-l', directory]));
  return directory;
}
