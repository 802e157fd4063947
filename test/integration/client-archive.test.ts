/** Archives: the real tar reads what we write, we read what it writes, and what is no archive or leads outside is refused. */
import { execFile, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { localCalls, type LocalCalls } from '@nokv/client/local-calls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { patternBytes, startClientFixture, type ClientFixture } from './client-fixture.js';

const run = promisify(execFile);
let fixture: ClientFixture;
let calls: LocalCalls;
let local: string;
let source: string;
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
  local = await mkdtemp(join(tmpdir(), 'nokv-archive-'));
  source = join(local, 'source');
  remote = `/archive/${++trees}`;
});
afterEach(async () => await rm(local, { recursive: true, force: true }));

async function makeSource(): Promise<void> {
  const long = join(source, 'd'.repeat(150), 'e'.repeat(150));
  await mkdir(join(source, 'empty'), { recursive: true });
  await mkdir(long, { recursive: true });
  await writeFile(join(long, 'f'.repeat(250)), 'far down');
  await writeFile(join(source, 'n'.repeat(101)), 'long');
  await writeFile(join(source, 'größe'), 'umlaut');
  await writeFile(Buffer.concat([Buffer.from(`${source}/bytes-`), Buffer.of(0xff, 0xfe)]), 'not UTF-8');
  for (const size of [0, 511, 512, 513, 40_000, 1024 * 1024 + 1]) await writeFile(join(source, `size-${size}`), patternBytes(size, size));
  await link(join(source, 'size-40000'), join(source, 'z-hard'));
  await symlink('t'.repeat(300), join(source, 'long-target'));
  await symlink('size-513', join(source, 'soft'));
  await run('mkfifo', [join(source, 'pipe')]);
  await chmod(join(source, 'size-511'), 0o4711);
  calls.setXattr(Buffer.from(join(source, 'size-512')), Buffer.from('user.bin'), Buffer.of(0, 10, 61, 255));
  calls.setTimes(Buffer.from(join(source, 'size-513')), undefined, { sec: 1_500_000_000, nsec: 123_456_789 });
}

async function listing(directory: string): Promise<string[]> {
  const { stdout } = await run('find', ['.', '-mindepth', '1', '-printf', '%P %y %m %U:%G %n %T@ %l\\n'], {
    cwd: directory,
    encoding: 'latin1',
  });
  return stdout.trimEnd().split('\n').toSorted();
}

async function same(directory: string): Promise<void> {
  expect(await listing(directory)).toEqual(await listing(source));
  expect((await run('diff', ['-r', '--no-dereference', '-x', 'pipe', source, directory])).stdout).toBe('');
  expect(calls.getXattr(Buffer.from(join(directory, 'size-512')), Buffer.from('user.bin'))).toEqual(Buffer.of(0, 10, 61, 255));
}

/** The archive, through the real tar. */
async function untar(into: string, words: readonly string[] = []): Promise<string> {
  await mkdir(into, { recursive: true });
  const tar = spawn('tar', ['--xattrs', ...words, '-xf', '-', '-C', into], { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  tar.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise((resolve) => tar.once('close', resolve));
  await pipeline(copies(fixture.client.archive(remote)), tar.stdin);
  expect({ code: await ended, said }).toEqual({ code: 0, said: '' });
  return said;
}

describe('an archive', () => {
  test('is read by the real tar, with all that a tree has', async () => {
    await makeSource();
    await fixture.client.importTree(source, remote);
    await untar(join(local, 'out'));
    await same(join(local, 'out'));
  });

  test('comes back through our own reader, whatever the size of its chunks', async () => {
    await makeSource();
    await fixture.client.importTree(source, remote);
    const whole: Buffer[] = [];
    for await (const chunk of fixture.client.archive(remote)) whole.push(Buffer.from(chunk));
    const bytes = Buffer.concat(whole);
    for (const step of [bytes.length, 100_003, 511]) {
      const report = await fixture.client.unarchive(inSteps(bytes, step), `${remote}-${step}`);
      expect(report).toMatchObject({ failed: 0, skipped: [], links: 1, symlinks: 2, specials: 1 });
      await fixture.client.exportTree(`${remote}-${step}`, join(local, `out-${step}`));
      await same(join(local, `out-${step}`));
    }
    // Once more over what is there.
    expect(await fixture.client.unarchive(inSteps(bytes, 65_536), `${remote}-511`)).toMatchObject({ failed: 0 });
    await fixture.client.exportTree(`${remote}-511`, join(local, 'out-511'));
    await same(join(local, 'out-511'));
  });

  test.each(['gnu', 'pax', 'posix'])('that the real tar wrote in its format %s is taken', async (format) => {
    await makeSource();
    if (format === 'gnu') await run('touch', ['-d', '@1500000000', join(source, 'size-513')]);
    const file = join(local, 'x.tar');
    await run('tar', [`--format=${format}`, ...(format === 'gnu' ? [] : ['--xattrs']), '-cf', file, '-C', source, '.']);
    const report = await fixture.client.unarchive(createReadStream(file), remote);
    expect(report).toMatchObject({ failed: 0, skipped: [] });
    await fixture.client.exportTree(remote, join(local, 'out'));
    expect((await run('diff', ['-r', '--no-dereference', '-x', 'pipe', source, join(local, 'out')])).stdout).toBe('');
    if (format !== 'gnu') await same(join(local, 'out'));
  });

  test('is of one moment, and of one file, when asked to', async () => {
    const { client } = fixture;
    await client.put(`${remote}/f`, 'before', { parents: true });
    const { version } = await client.put(`${remote}/g`, 'g');
    await client.put(`${remote}/f`, 'after');
    await client.unlink(`${remote}/g`);
    await client.unarchive(client.archive(remote, { at: { version }, exclude: ['x'] }), `${remote}-then`);
    expect(await (await client.get(`${remote}-then/f`)).text()).toBe('before');
    expect(await client.exists(`${remote}-then/g`)).toBe(true);
    await client.unarchive(client.archive(`${remote}/f`), `${remote}-one`);
    expect(await (await client.get(`${remote}-one/f`)).text()).toBe('after');
  });

  test('streams a large body in a few chunks of memory, and says how far it is', async () => {
    const { client } = fixture;
    await client.put(`${remote}/big`, { file: await zeros(200_000_000) }, { parents: true });
    let bytes = 0;
    let told = 0;
    const before = process.memoryUsage().rss;
    for await (const chunk of client.archive(remote, { onProgress: (progress) => (told = progress.bytes) })) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(200_000_000);
    expect(told).toBe(200_000_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  });

  test('ends with its signal', async () => {
    const { client } = fixture;
    await client.put(`${remote}/big`, patternBytes(9_000_000), { parents: true });
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of client.archive(remote, { signal: abort.signal })) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('unpacking refuses', () => {
  test.each([
    ['../evil', 'a ".." at the beginning'],
    ['a/../../evil', 'a ".." in the middle'],
    ['/abs/evil', 'an absolute name'],
  ])('%s: %s', async (name) => {
    const archive = await tarWith(name);
    await expect(fixture.client.unarchive(inSteps(archive, 4096), remote)).rejects.toMatchObject({ code: 'outside-root' });
    expect(await fixture.client.exists('/evil')).toBe(false);
    expect(await fixture.client.exists('/archive/evil')).toBe(false);
    expect(await fixture.client.exists('/abs')).toBe(false);
  });

  test('what leads through a symlink, from the archive or from before', async () => {
    const { client } = fixture;
    await client.mkdir(`${remote}-outside`, { parents: true });
    await client.mkdir(remote);
    await client.symlink(`${remote}-outside`, `${remote}/before`);
    await mkdir(join(source, 'before'), { recursive: true });
    await writeFile(join(source, 'before/evil'), 'evil');
    await run('tar', ['-cf', join(local, 'x.tar'), '-C', source, 'before/evil']);
    const report = await client.unarchive(createReadStream(join(local, 'x.tar')), remote);
    expect(report).toMatchObject({ failed: 1, failures: [{ path: 'before/evil', code: 'outside-root' }] });
    expect((await client.listPage(`${remote}-outside`)).entries).toEqual([]);
  });

  test.each([
    ['nothing', async () => Buffer.alloc(0)],
    ['text', async () => Buffer.from('no archive '.repeat(100))],
    ['an archive that is cut off in a body', async () => (await tarWith('f')).subarray(0, 900)],
    ['an archive that is cut off in a header', async () => (await tarWith('f')).subarray(0, 300)],
    ['an archive with a flipped bit in a header', async () => flipped(await tarWith('f'), 4)],
  ])('%s', async (_what, make) => {
    await expect(fixture.client.unarchive(inSteps(await make(), 1000), remote)).rejects.toMatchObject({ code: 'unsupported-format' });
  });
});

async function tarWith(name: string): Promise<Buffer> {
  await mkdir(source, { recursive: true });
  await writeFile(join(source, 'f'), 'x'.repeat(600));
  await run('tar', ['-P', '-cf', join(local, 'x.tar'), '-C', source, `--transform=s,^f$,${name},`, 'f']);
  return await readFile(join(local, 'x.tar'));
}

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

async function zeros(size: number): Promise<string> {
  const file = join(local, 'zeros');
  await run('truncate', ['-s', String(size), file]);
  return file;
}

async function* inSteps(bytes: Buffer, step: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += step) yield bytes.subarray(from, from + step);
}

async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}
