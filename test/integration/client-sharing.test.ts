/**
 * Bodies that share blocks: a block stays as long as any body shows a byte of it, whatever became of the file that it was written for,
 * and goes when nothing does. Days pass on a clock that the test moves.
 */
import { connect, type NokvClient, type PutOptions } from '@nokv/client';
import type { RunningServer } from '@nokv/server';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clockAhead, startServerOnClock, type ServerOnClock } from '../services/server-on-clock.js';
import { until } from '../services/server.js';
import { patternBytes, sha256 } from './client-fixture.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 24 * 3600 * 1000;
let onClock: ServerOnClock | undefined;
let directory: string;
let server: RunningServer;
let client: NokvClient;
let days = 0;

const clock = clockAhead(() => days * DAY_MS);

beforeEach(async () => {
  days = 0;
  onClock = await startServerOnClock('sharing', clock);
  ({ directory, server, client } = onClock);
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
});
afterEach(() => onClock?.close());

async function blocks(): Promise<number> {
  const files = await readdir(join(directory, 'data'), { recursive: true, withFileTypes: true });
  return files.filter((entry) => entry.isFile() && entry.parentPath.includes('/blocks/')).length;
}

/** Weeks go by; the collector does what is due in each. */
async function collect(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    days += 20;
    await client.mkdir(`/others-${days}`);
    await until('the collector to finish what is due', async () => {
      const { blocksRemoved, isUnfinished } = await client.metadata.collect({ dryRun: false, limit: 1 }, { timeoutMs: 60_000 });
      return blocksRemoved === 0 && !isUnfinished;
    });
  }
}

/** As a client reads it that has read nothing before. */
async function digestOf(path: string): Promise<string> {
  await using reader = await connect({ address: server.rpc, clock });
  return sha256(await (await reader.get(path)).bytes());
}

async function findings(): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const item of client.fsck({ checksums: true })) if (item.kind === 'finding') found.push(item);
  return found;
}

const repetitive = (length: number): Buffer => Buffer.alloc(length, 'step 12345 loss 0.25 grad 1e-3\n');

describe.each([
  ['as they are', {}],
  ['compressed', { compress: 'brotli' }],
] as const satisfies readonly (readonly [string, PutOptions])[])('blocks %s', (_, options) => {
  const bytes = Buffer.concat([repetitive(5 * MIB), patternBytes(MIB, 3)]);

  test('a copy adds no block, is independent, and outlives its source and the sweep', async () => {
    await client.put('/a', bytes, options);
    const before = await blocks();
    await client.copy('/a', '/b');
    expect(await blocks()).toBe(before);
    await client.patch('/a', 3 * MIB, 'changed');
    await client.append('/b', 'more');
    const a = Buffer.from(bytes);
    a.set(Buffer.from('changed'), 3 * MIB);
    const b = Buffer.concat([bytes, Buffer.from('more')]);
    expect([await digestOf('/a'), await digestOf('/b')]).toEqual([sha256(a), sha256(b)]);
    await client.remove('/a');
    await collect();
    expect(await digestOf('/b')).toBe(sha256(b));
    expect(await findings()).toEqual([]);
    await client.remove('/b');
    await collect();
    expect(await blocks()).toBe(0);
  }, 60_000);

  test('appends, patches and cuts keep the blocks that they show, and no others', async () => {
    await client.put('/log', bytes, options);
    let expected: Buffer = bytes;
    for (let i = 0; i < 20; i++) {
      const line = Buffer.from(`line ${i} ${'x'.repeat(2000)}\n`);
      await client.append('/log', line);
      expected = Buffer.concat([expected, line]);
    }
    const patch = patternBytes(3000, 9);
    await client.patch('/log', 4 * MIB - 1000, patch);
    expected.set(patch, 4 * MIB - 1000);
    await client.truncate('/log', 5 * MIB);
    expected = expected.subarray(0, 5 * MIB);
    await collect();
    expect(await digestOf('/log')).toBe(sha256(expected));
    expect(await findings()).toEqual([]);
    // Two of the body; what was patched over both of them.
    expect(await blocks()).toBeLessThanOrEqual(3);
    await client.truncate('/log', 100);
    await collect();
    expect(await digestOf('/log')).toBe(sha256(expected.subarray(0, 100)));
    expect(await blocks()).toBe(0);
  }, 60_000);
});

test('a copy of a superseded body, and one from a snapshot, share its blocks and outlive it', async () => {
  await client.retention.set('/', { keepLast: 1, keepMs: 0 });
  const first = await client.put('/model', patternBytes(5 * MIB, 1));
  const { pin } = await client.snapshots.create('/', { ttlMs: 3600_000 });
  await client.put('/model', patternBytes(100, 2));
  const before = await blocks();
  await client.copy('/model', '/old', { generation: first.generation });
  await client.copy('/model', '/older', { at: { snapshot: pin.id } });
  expect(await blocks()).toBe(before);
  await client.put('/model', patternBytes(100, 3));
  await client.put('/model', patternBytes(100, 4));
  await collect();
  for (const path of ['/old', '/older']) expect(await digestOf(path)).toBe(sha256(patternBytes(5 * MIB, 1)));
  expect(await findings()).toEqual([]);
}, 60_000);

test('compressed blocks take less, and show it', async () => {
  await client.put('/plain', repetitive(9 * MIB));
  await client.put('/small', repetitive(9 * MIB), { compress: 'gzip' });
  const [plain, small] = [await client.stat('/plain'), await client.stat('/small')];
  expect(small.digest).toBe(plain.digest);
  expect(small.size).toBe(plain.size);
  expect(small.blocks).toBeLessThan(plain.blocks / 10);
});

describe('bodies that are put twice', () => {
  const bytes = Buffer.concat([patternBytes(9 * MIB, 5), Buffer.alloc(5 * MIB), patternBytes(100, 6)]);
  async function* stream(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 700_000) yield bytes.subarray(at, at + 700_000);
  }

  test('share their blocks: from memory, files and streams, compressed or not', async () => {
    const file = join(directory, 'again');
    await writeFile(file, bytes);
    const first = await client.put('/first', bytes, { dedup: true });
    const before = await blocks();
    for (const [path, source] of [
      ['/bytes', bytes],
      ['/blob', new Blob([bytes])],
      ['/file', { file }],
    ] as const) {
      const put = await client.put(path, source, { dedup: true, compress: 'brotli' });
      expect(put.digest).toBe(first.digest);
      expect(await blocks()).toBe(before);
    }
    await client.put('/stream', stream(), { dedup: true });
    await collect();
    expect(await blocks()).toBe(before);
    await client.put('/first', 'another');
    await client.remove('/bytes');
    await collect();
    for (const path of ['/blob', '/file', '/stream']) expect(await digestOf(path)).toBe(sha256(bytes));
    expect(await findings()).toEqual([]);
    for (const path of ['/blob', '/file', '/stream']) await client.remove(path);
    await collect();
    expect(await blocks()).toBe(0);
    // Nothing is found of what is gone.
    await client.put('/anew', bytes, { dedup: true });
    expect(await digestOf('/anew')).toBe(sha256(bytes));
  }, 60_000);

  test('only those that are asked for it, and only with the bytes, not with the digest alone', async () => {
    await client.put('/plain', bytes);
    const before = await blocks();
    await client.put('/asks', bytes, { dedup: true });
    const [kept] = [await blocks()];
    expect(kept).toBe(2 * before);
    // Somebody says of other bytes that they have this digest.
    const other = patternBytes(bytes.length, 99);
    await client.remove('/asks');
    await collect();
    const staged = await client.stage(other);
    await client.publish('/liar', { ...staged, digest: sha256(bytes) }, { share: true });
    await client.put('/honest', bytes, { dedup: true });
    expect(await digestOf('/honest')).toBe(sha256(bytes));
  }, 60_000);

  test('not with a body that the caller may not read, nor one in a closed directory', async () => {
    await client.chmod('/', 0o777);
    await client.mkdir('/closed', { mode: 0o700 });
    await client.put('/secret', bytes, { dedup: true, mode: 0o600 });
    await using guest = await connect({ address: server.rpc, clock, as: { uid: 4711, gid: 4711, groups: [] } });
    const { digest } = await client.stat('/secret');
    expect(await guest.metadata.read('find-body', { digest: digest ?? '' })).toEqual({});
    const before = await blocks();
    await guest.put('/own', bytes, { dedup: true });
    expect(await blocks()).toBe(2 * before);
    await client.put('/closed/open', patternBytes(5 * MIB, 8), { dedup: true, mode: 0o644 });
    const { digest: inside } = await client.stat('/closed/open');
    expect(await guest.metadata.read('find-body', { digest: inside ?? '' })).toEqual({});
    expect(await client.metadata.read('find-body', { digest: inside ?? '' })).toMatchObject({ ino: expect.any(Number) as number });
    await expect(client.metadata.read('find-body', { digest: 'md5:00' })).rejects.toMatchObject({ code: 'invalid-argument' });
  }, 60_000);

  test('many at once, while the one that they share comes and goes', async () => {
    const small = patternBytes(300 * KIB, 12);
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let round = 0; round < 6; round++) {
        await client.put(`/w${writer}`, small, { dedup: true });
        if (round % 2 === 1) await client.remove(`/w${writer}`);
        if (writer === 0) await client.metadata.collect({ dryRun: false, limit: 1 }, { timeoutMs: 60_000 });
        await client.put(`/keep${writer}`, small, { dedup: true });
      }
    });
    await Promise.all(writers);
    await collect();
    for (const writer of writers.keys()) expect(await digestOf(`/keep${writer}`)).toBe(sha256(small));
    expect(await findings()).toEqual([]);
  }, 60_000);

  test('a repeat under the same request id meets its first answer', async () => {
    const options = { dedup: true, requestId: 'put-twice' as never };
    const first = await client.put('/r', bytes, options);
    expect(await client.put('/r', bytes, options)).toMatchObject({ version: first.version, generation: first.generation });
    const second = { dedup: true, requestId: 'put-thrice' as never };
    const shared = await client.put('/s', bytes, second);
    expect(await client.put('/s', bytes, second)).toMatchObject({ version: shared.version, generation: shared.generation });
  }, 60_000);
});

describe('settings of a directory', () => {
  test('count for what is put below it, by the nearest that has one, and not for what is there', async () => {
    await client.mkdir('/logs/deep/raw', { parents: true });
    const log = repetitive(MIB);
    await client.put('/logs/before', log);
    await client.storage.set('/logs', { compress: 'brotli', dedup: true });
    await client.storage.set('/logs/deep/raw', { compress: 'none' });
    expect(await client.storage.get('/logs/deep/raw')).toEqual({
      settings: { compress: 'none', dedup: true },
      from: { compress: '/logs/deep/raw', dedup: '/logs' },
    });
    const size = async (path: string): Promise<number> => (await client.stat(path)).blocks * 512;
    await client.put('/logs/deep/a', log);
    await client.append('/logs/appended', log);
    await client.put('/elsewhere', log);
    await client.put('/logs/said', log, { compress: 'none', dedup: false });
    for (const path of ['/logs/deep/a', '/logs/appended']) expect(await size(path)).toBeLessThan(MIB / 10);
    for (const path of ['/logs/before', '/elsewhere', '/logs/said']) expect(await size(path)).toBe(MIB);
    // By another name of the directory, too.
    await client.symlink('/logs/deep', '/link');
    await client.put('/link/b', repetitive(MIB + 1));
    expect(await size('/logs/deep/b')).toBeLessThan(MIB / 10);
    const before = await blocks();
    await client.put('/logs/deep/again', log);
    expect(await blocks()).toBe(before);
    await client.storage.clear('/logs');
    expect(await client.storage.get('/logs/deep/a')).toEqual({ settings: { compress: 'none', dedup: false }, from: {} });
    await expect(client.storage.set('/elsewhere', { dedup: true })).rejects.toMatchObject({ code: 'not-directory' });
    await expect(client.storage.set('/logs', { compress: 'lzma' as never })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(client.storage.set('/logs', {})).rejects.toMatchObject({ code: 'invalid-argument' });
    await client.setXattr('/logs', 'user.nokv.compress', 'shrink');
    await expect(client.storage.get('/logs')).rejects.toThrow(
      '/logs: its user.nokv.compress should be one of gzip, brotli, none, found "shrink"',
    );
  }, 60_000);

  test('count for trees: small, packed and large files', async () => {
    const tree = join(directory, 'tree');
    await mkdir(join(tree, 'sub'), { recursive: true });
    await writeFile(join(tree, 'small'), 'small');
    for (let i = 0; i < 20; i++) await writeFile(join(tree, 'sub', `packed${i}`), repetitive(60_000 + i));
    await writeFile(join(tree, 'large'), repetitive(6 * MIB));
    await client.mkdir('/into');
    await client.storage.set('/into', { compress: 'gzip' });
    await client.putTree(tree, '/into/tree');
    for (const name of ['sub/packed3', 'large']) {
      const { size, blocks } = await client.stat(`/into/tree/${name}`);
      expect(blocks * 512).toBeLessThan(size / 10);
    }
    expect(await digestOf('/into/tree/sub/packed3')).toBe(sha256(repetitive(60_003)));
    expect(await digestOf('/into/tree/large')).toBe(sha256(repetitive(6 * MIB)));
    expect(await findings()).toEqual([]);
  }, 60_000);
});
