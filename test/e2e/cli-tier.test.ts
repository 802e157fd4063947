/** The disk cache of the command: where it lies, what goes in, `tier` by path, and that trouble with it never costs a read. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkSchema } from '@nokv/cli/testing';
import { startS3, type S3Service } from '../services/s3.js';
import { startCliServer, type CliServer } from './cli-runner.js';

let s3: S3Service;
let server: CliServer;
let directory: string;
beforeAll(async () => {
  s3 = await startS3();
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-tier-'));
  server = await startCliServer({ flags: ['--object', s3.url], env: s3.env });
  await mkdir(join(directory, 'tree/deep'), { recursive: true });
  writeFileSync(join(directory, 'tree/model.bin'), Buffer.alloc(5_000_000, 'weights'));
  writeFileSync(join(directory, 'tree/deep/log'), Buffer.alloc(40_000, 'line\n'));
  writeFileSync(join(directory, 'tree/note'), 'small');
  await server.must(['put-artifact', '/ckpt', join(directory, 'tree')], { env: s3.env });
}, 600_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await s3?.stop();
  await rm(directory, { recursive: true, force: true });
});

const BLOCK_BYTES = 5_040_000;
const files = (cache: string): string[] =>
  existsSync(join(cache, 'data')) ? readdirSync(join(cache, 'data')).flatMap((shard) => readdirSync(join(cache, 'data', shard))) : [];

it('lies where the user keeps caches unless told otherwise, and can be turned off', async () => {
  const home = join(directory, 'home');
  const xdg = join(directory, 'xdg');
  const body = readFileSync(join(directory, 'tree/model.bin'), 'utf8');
  for (const [env, cache] of [
    [{ HOME: home }, join(home, '.cache/nokv')],
    [{ HOME: home, XDG_CACHE_HOME: xdg }, join(xdg, 'nokv')],
    [{ HOME: home, NOKV_CACHE_DIR: join(directory, 'named') }, join(directory, 'named')],
  ] as const) {
    expect(await server.must(['cat', '/ckpt/model.bin'], { env: { ...s3.env, ...env } })).toBe(body);
    expect(files(cache), cache).toHaveLength(2);
    const again = await server.run(['cat', '/ckpt/model.bin', '-v'], { env: { ...s3.env, ...env } });
    expect(again.stderr).toContain('2 from the disk, 0 written to it, 0 gets (0 B) of the store');
  }
  const off = join(directory, 'off');
  for (const flags of [
    ['--cache-dir', 'off'],
    ['--cache-dir', off, '--cache-size', '0'],
  ]) {
    expect(await server.must(['cat', '/ckpt/model.bin', ...flags], { env: s3.env, cwd: directory })).toBe(body);
    expect((await server.run(['tier', 'status', ...flags], { env: s3.env })).code).toBe(2);
  }
  expect(existsSync(off)).toBe(false);
  const shown = (await server.json(['config', 'show', '--cache-size', '1GiB'])) as [{ settings: { name: string; value: string }[] }];
  expect(shown[0].settings.find(({ name }) => name === 'cacheSize')?.value).toBe('1GiB');
});

it('warms, pins, tells, evicts; a stopped store is not missed; a flipped byte is mended', { timeout: 60_000 }, async () => {
  const cache = join(directory, 'tier');
  const flags = ['--cache-dir', cache, '--cache-size', '20MB'];
  const json = async (words: readonly string[]): Promise<Record<string, unknown>> => {
    const [found] = await server.json([...words, ...flags], { env: s3.env });
    checkSchema('tier', found);
    return found as Record<string, unknown>;
  };
  expect(await json(['tier', 'status', '/ckpt'])).toMatchObject({
    path: '/ckpt',
    files: 3,
    blockBytes: BLOCK_BYTES,
    inlineBytes: 5,
    cachedBytes: 0,
  });
  expect(await json(['tier', 'warm', '/ckpt/deep'])).toMatchObject({ cachedBytes: 40_000, fetchedBytes: 40_000, pinnedBytes: 0 });
  const said = await server.run(['tier', 'pin', '/ckpt', '--progress', 'json', ...flags], { env: s3.env });
  expect(said.stdout).toBe('/ckpt  3 files, 4.81 MiB pinned, 4.77 MiB of it read now\n');
  const last = said.stderr.trimEnd().split('\n').at(-1);
  expect(JSON.parse(last ?? '')).toMatchObject({
    event: 'progress',
    what: 'tier pin',
    phase: 'done',
    bytes: BLOCK_BYTES,
    bytesTotal: BLOCK_BYTES,
  });
  expect(await json(['tier', 'status'])).toMatchObject({
    directory: cache,
    bytesMax: 20_000_000,
    entries: 3,
    pins: [{ path: '/ckpt', files: 3 }],
  });

  const refused = await server.run(['tier', 'pin', '/ckpt', '--cache-dir', cache, '--cache-size', '4MiB'], { env: s3.env });
  expect([refused.code, refused.stderr]).toEqual([7, expect.stringMatching(/does not fit.*raise --cache-size/)]);
  expect((await server.run(['tier', 'pin', '/none', ...flags])).code).toBe(3);
  expect((await server.run(['tier', 'unpin', '/ckpt/deep', ...flags])).code).toBe(3);

  const [shard = ''] = readdirSync(join(cache, 'data'));
  const [name = ''] = readdirSync(join(cache, 'data', shard));
  const entry = join(cache, 'data', shard, name);
  const whole = readFileSync(entry);
  const wrong = Buffer.from(whole);
  wrong[1000] = (wrong[1000] ?? 0) ^ 1;
  writeFileSync(entry, wrong);
  const paths = ['/ckpt/model.bin', '/ckpt/deep/log', '/ckpt/note'];
  const wanted = paths.map((path) => readFileSync(join(directory, 'tree', path.slice(6)), 'utf8')).join('');
  expect(await server.must(['cat', ...paths, ...flags], { env: s3.env })).toBe(wanted);
  expect(readFileSync(entry).equals(whole)).toBe(true);

  await s3.stop('keep');
  try {
    expect(await server.must(['cat', ...paths, ...flags], { env: s3.env })).toBe(wanted);
    expect(await json(['tier', 'evict', '/ckpt'])).toMatchObject({ evictedBytes: 0, cachedBytes: BLOCK_BYTES });
    await server.must(['tier', 'unpin', '/ckpt', ...flags], { env: s3.env });
    expect(await json(['tier', 'evict', '/ckpt'])).toMatchObject({ evictedBytes: BLOCK_BYTES, cachedBytes: 0 });
    expect((await server.run(['cat', '/ckpt/deep/log', '--timeout', '2s', ...flags], { env: s3.env })).code).toBe(9);
  } finally {
    await s3.restart();
  }
});

it('notes a directory that cannot be used, once, and reads without it', async () => {
  const file = join(directory, 'a-file');
  writeFileSync(file, '');
  const { code, stdout, stderr } = await server.run(['cat', '/ckpt/deep/log', '/ckpt/model.bin', '--cache-dir', join(file, 'cache')], {
    env: s3.env,
  });
  expect([code, stdout.length]).toEqual([0, BLOCK_BYTES]);
  expect(stderr).toMatch(/^nokv: cat: cache .*ENOTDIR.*; reads go on without it\n$/);
  const unnamed = await server.run(['cat', '/ckpt/deep/log'], { env: { ...s3.env, HOME: file } });
  expect([unnamed.code, unnamed.stderr]).toEqual([0, '']);
});
