import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatName } from '@nokv/types';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { localRoot, scanLocal, walkLocal, type LocalEntry, type WalkedDirectory } from './local-tree.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-local-tree-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('a walk over a local directory', () => {
  test('meets parents before children, every entry once, and follows no symlink', async () => {
    await mkdir(join(directory, 'a/b'), { recursive: true });
    await mkdir(join(directory, 'empty'));
    await writeFile(join(directory, 'a/b/file'), 'four');
    await symlink('..', join(directory, 'a/up'));
    const seen: string[] = [];
    for (const entry of await collect(walkLocal(await localRoot(directory)))) {
      const parents: string[] = [];
      for (let at: typeof entry | undefined = entry; at?.parent !== undefined; at = at.parent) parents.unshift(formatName(at.name));
      seen.push(`${parents.join('/')} ${entry.type}`);
    }
    expect(seen.toSorted()).toEqual(['a directory', 'a/b directory', 'a/b/file file', 'a/up symlink', 'empty directory']);
    expect(seen.indexOf('a directory')).toBeLessThan(seen.indexOf('a/b directory'));
    expect(seen.indexOf('a/b directory')).toBeLessThan(seen.indexOf('a/b/file file'));
  });

  test('keeps names that are not UTF-8 as bytes, modes and nanoseconds', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${directory}/`), Buffer.of(0xff, 0x41)]), 'x', { mode: 0o640 });
    const root = await localRoot(directory);
    const entries = await collect(walkLocal(root));
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ type: 'file', size: 1, mode: 0o640 });
    expect([...(entries[0]?.name ?? [])]).toEqual([0xff, 0x41]);
    expect(entries[0]?.mtime.nsec).toBeLessThan(1e9);
  });

  test('a scan counts entries and bytes without changing anything', async () => {
    await mkdir(join(directory, 'd'));
    await writeFile(join(directory, 'd/1'), '1234');
    await writeFile(join(directory, '2'), '12');
    const root = await localRoot(directory);
    expect(await scanLocal(root, { sizes: true })).toEqual({ entries: 4, bytes: 6, special: [], specials: 0 });
    expect(await scanLocal(root, { sizes: false })).toMatchObject({ bytes: undefined });
  });

  test('a directory that is not there is a typed error that names it', async () => {
    await expect(localRoot(join(directory, 'missing'))).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('missing'),
    });
  });
});

async function collect(directories: AsyncIterable<WalkedDirectory>): Promise<LocalEntry[]> {
  const all: LocalEntry[] = [];
  for await (const { entries } of directories) all.push(...entries);
  return all;
}
