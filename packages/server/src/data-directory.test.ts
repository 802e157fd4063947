import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemRandom } from '@nokv/types';
import { openDataDirectory } from './data-directory.js';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'nokv-data-'));
});
afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

describe('the data directory', () => {
  it('is made when absent, and keeps its ids and its key', async () => {
    const path = join(parent, 'a/b');
    const first = await openDataDirectory(path, systemRandom);
    await first.close();
    const second = await openDataDirectory(path, systemRandom);
    await second.close();
    expect(second).toMatchObject({ namespace: first.namespace, home: first.home, node: first.node });
    expect(Buffer.from(second.ticketKey)).toEqual(Buffer.from(first.ticketKey));
  });

  it('keeps its key from others', async () => {
    await (await openDataDirectory(parent, systemRandom)).close();
    expect((await stat(join(parent, 'ticket-key.json'))).mode & 0o777).toBe(0o600);
  });

  it('refuses a directory of something else by name and leaves it as it was', async () => {
    await writeFile(join(parent, 'notes.txt'), 'mine');
    await expect(openDataDirectory(parent, systemRandom)).rejects.toThrow(/notes\.txt/);
    expect(await readdir(parent)).toEqual(['notes.txt']);
  });

  it('refuses another format number, naming both', async () => {
    await (await openDataDirectory(parent, systemRandom)).close();
    const path = join(parent, 'format.json');
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), number: 99 }));
    const before = await readdir(parent);
    await expect(openDataDirectory(parent, systemRandom)).rejects.toMatchObject({
      code: 'unsupported-format',
      message: expect.stringMatching(/format 1 .*found 99/) as string,
    });
    expect(await readdir(parent)).toEqual(before);
  });

  it('refuses a file in its place', async () => {
    const path = join(parent, 'file');
    await writeFile(path, '');
    await expect(openDataDirectory(path, systemRandom)).rejects.toMatchObject({ code: 'bad-configuration' });
  });

  it('starts anew where its own first start was interrupted', async () => {
    await mkdir(join(parent, 'x'));
    await writeFile(join(parent, 'x', 'format.json.new'), '{"format"');
    await (await openDataDirectory(join(parent, 'x'), systemRandom)).close();
  });

  it('refuses a second opening and names the pid', async () => {
    const first = await openDataDirectory(parent, systemRandom);
    await expect(openDataDirectory(parent, systemRandom)).rejects.toThrow(new RegExp(`pid ${process.pid}`));
    await first.close();
  });
});
