/** `nokv backup` and `nokv restore` as a person runs them: the node is wiped, the namespace comes back, writes go on. */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsonLines, nokv, startCliServer, type CliServer } from './cli-runner.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-backup-'));
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

const place = (name: string): string => join(directory, name);
const bodies = (): string[] => ['--object', `file://${place('bodies')}`];

async function fill(server: CliServer): Promise<void> {
  await server.must(['mkdir', '-p', '/runs/7']);
  await server.must(['put', '-', '/runs/7/small'], { input: 'inline' });
  await server.must(['put', '-', '/runs/7/big'], { input: 'x'.repeat(200_000) });
  await server.must(['ln', '-s', 'small', '/runs/7/link']);
  await server.must(['xattr', 'set', '/runs/7/small', 'user.a', 'b']);
  await server.must(['put', '-', '/runs/7/small'], { input: 'second' });
}

interface Report {
  readonly version: number;
  readonly digest: string;
}

async function backup(server: CliServer, to: string): Promise<Report> {
  const [report] = await server.json(['backup', to]);
  checkSchema('backup', report);
  return report as Report;
}

describe('nokv backup and restore', () => {
  it('bring a wiped node back: the same digest and bodies; writes go on', async () => {
    let taken: Report;
    {
      await using server = await startCliServer({ data: place('data'), flags: bodies() });
      await fill(server);
      taken = await backup(server, place('backup'));
      await server.must(['put', '-', '/after-the-backup'], { input: 'x' });
      await server.end('SIGTERM');
    }
    await rm(place('data'), { recursive: true });
    const restored = await nokv(['restore', place('backup'), '--data', place('data'), '--json']);
    expect(restored.stderr).toBe('');
    const [report] = jsonLines(restored.stdout);
    checkSchema('restore', report);
    expect(report).toMatchObject({ version: taken.version, digest: taken.digest, segments: 0 });

    await using again = await startCliServer({ data: place('data'), flags: bodies() });
    expect(await again.must(['cat', '/runs/7/small'])).toBe('second');
    expect(await again.must(['cat', '/runs/7/big'])).toBe('x'.repeat(200_000));
    expect(await again.must(['cat', '/runs/7/link'])).toBe('second');
    expect((await again.run(['stat', '/after-the-backup'])).code).toBe(3);
    await again.must(['put', '-', '/runs/8/new', '-p'], { input: 'new' });
    expect(await again.must(['cat', '/runs/8/new'])).toBe('new');
  });

  it('refuse a place that is taken, and write nothing there', async () => {
    await using server = await startCliServer({ data: place('data') });
    await fill(server);
    await backup(server, place('backup'));
    const twice = await server.run(['backup', place('backup')]);
    expect([twice.code, twice.stderr]).toEqual([4, expect.stringContaining('give a place that is empty')]);
    await mkdir(place('home'));
    await writeFile(place('home/precious'), 'mine');
    const over = await nokv(['restore', place('backup'), '--data', place('home')]);
    expect([over.code, over.stderr]).toEqual([5, expect.stringContaining('expected an empty directory')]);
    expect(await readdir(place('home'))).toEqual(['precious']);
  });

  it('refuse what is no backup, and one with a part that is missing or altered, by name; the directory is empty afterwards', async () => {
    {
      await using server = await startCliServer({ data: place('data') });
      await fill(server);
      await backup(server, place('backup'));
    }
    await mkdir(place('empty'));
    const none = await nokv(['restore', place('empty'), '--data', place('new')]);
    expect([none.code, none.stderr]).toEqual([3, expect.stringContaining('backup/manifest')]);
    const block = place('backup/data/backup/block-000000');
    const whole = await readFile(block);
    const altered = Buffer.from(whole);
    altered[40] = (altered[40] ?? 0) ^ 1;
    await writeFile(block, altered);
    const damaged = await nokv(['restore', place('backup'), '--data', place('new')]);
    expect([damaged.code, damaged.stderr]).toEqual([10, expect.stringContaining('backup/block-000000')]);
    expect(await readdir(place('new'))).toEqual([]);
    await rm(block);
    const missing = await nokv(['restore', place('backup'), '--data', place('new')]);
    expect([missing.code, missing.stderr]).toEqual([10, expect.stringContaining('backup/block-000000')]);
    await writeFile(block, whole);
    expect((await nokv(['restore', place('backup'), '--data', place('new')])).code).toBe(0);
  });

  it('take a fleet’s store as it is: its newest image and its log', async () => {
    {
      await using server = await startCliServer({ data: place('data'), flags: [...bodies(), '--durability', 'shared'] });
      await fill(server);
      await server.end('SIGTERM');
    }
    const { code, stdout } = await nokv(['restore', place('bodies'), '--data', place('copy'), '--json']);
    expect(code).toBe(0);
    const [report] = jsonLines(stdout) as [{ readonly segments: number }];
    expect(report.segments).toBeGreaterThan(3);
  });
});
