import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { localRoot, type LocalEntry } from './local-tree.js';
import { readLocalFile } from './read-local-file.js';

let directory: string;
let file: string;
let listed: LocalEntry;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-read-'));
  file = join(directory, 'file');
  await writeFile(file, 'as listed');
  listed = await localRoot(file);
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

describe('a small local file', () => {
  test('is read whole, with the size and time that it was listed with', async () => {
    const read = await readLocalFile(listed, 100);
    expect(Buffer.from(read?.bytes ?? []).toString()).toBe('as listed');
    expect(read?.entry).toBe(listed);
  });

  test('that was written to since is told as it is now', async () => {
    await appendFile(file, ', and more');
    const read = await readLocalFile(listed, 100);
    expect(Buffer.from(read?.bytes ?? []).toString()).toBe('as listed, and more');
    expect(read?.entry).toMatchObject({ size: 19, type: 'file' });
    await writeFile(file, 'new');
    expect((await readLocalFile(listed, 100))?.entry.size).toBe(3);
    expect(await readLocalFile(listed, 2)).toBeUndefined();
  });

  test('that has become something else is refused, without waiting for it and without following it', async () => {
    await rename(file, join(directory, 'elsewhere'));
    await symlink('elsewhere', file);
    await expect(readLocalFile(listed, 100)).rejects.toMatchObject({ code: 'symlink-loop' });
    await rm(file);
    execFileSync('mkfifo', [file]);
    await expect(readLocalFile(listed, 100)).rejects.toMatchObject({ code: 'source-changed' });
    await rm(file);
    await expect(readLocalFile(listed, 100)).rejects.toMatchObject({ code: 'not-found' });
  });
});
