/**
 * Bodies that share blocks: a block stays as long as any body shows a byte of it, whatever became of the file that it was written for,
 * and goes when nothing does. Days pass on a clock that the test moves.
 */
import { connect, type NokvClient, type PutOptions } from '@nokv/client';
import { startServer, type RunningServer } from '@nokv/server';
import { systemClock, timespecFromMs, type Clock } from '@nokv/types';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../services/server.js';
import { patternBytes, sha256 } from './client-fixture.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 24 * 3600 * 1000;
let directory: string;
let server: RunningServer;
let client: NokvClient;
let days = 0;

/** The wall clock runs ahead by whole days; deadlines, which count monotonic time, notice nothing. */
const clock: Clock = {
  ...systemClock,
  nowMs: () => systemClock.nowMs() + days * DAY_MS,
  now: () => timespecFromMs(systemClock.nowMs() + days * DAY_MS),
};

beforeEach(async () => {
  days = 0;
  directory = await mkdtemp(join(tmpdir(), 'nokv-sharing-'));
  server = await startServer(
    {
      data: join(directory, 'data'),
      listen: '127.0.0.1:0',
      http: '127.0.0.1:0',
      object: undefined,
      control: 'embedded:',
      durability: 'local',
      nodeId: undefined,
      leaseTtlMs: 3000,
      logLevel: 'silent',
    },
    { clock },
  );
  client = await connect({ address: server.rpc, clock });
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
});
afterEach(async () => {
  await client?.close();
  await server?.stop(1000);
  await rm(directory, { recursive: true, force: true });
});

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
