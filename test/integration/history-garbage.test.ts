/**
 * What the collector takes and what it leaves: days pass on a clock that the test moves. Nothing that a clone, a tag or a snapshot shows
 * is taken, whatever became of the rest; what nothing shows goes to the last block.
 */
import { connect, type AtLike, type NokvClient } from '@nokv/client';
import type { RunningServer } from '@nokv/server';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clockAhead, startServerOnClock, type ServerOnClock } from '../services/server-on-clock.js';
import { until } from '../services/server.js';
import { patternBytes, sha256 } from './client-fixture.js';

const DAY_MS = 24 * 3600 * 1000;

let onClock: ServerOnClock | undefined;
let directory: string;
let server: RunningServer;
let client: NokvClient;
let days = 0;

const clock = clockAhead(() => days * DAY_MS);

beforeEach(async () => {
  days = 0;
  onClock = await startServerOnClock('garbage', clock);
  ({ directory, server, client } = onClock);
});
afterEach(() => onClock?.close());

const FILES = 6;
const body = (i: number, version: number): Uint8Array => patternBytes(60_000 + i, 1000 * version + i);

async function makeTree(root: string): Promise<void> {
  await client.mkdir(`${root}/deep`, { parents: true });
  for (let i = 0; i < FILES; i++) await client.put(`${root}/deep/f${i}`, body(i, 1));
  await client.link(`${root}/deep/f0`, `${root}/hard`);
  await client.setXattr(`${root}/deep/f1`, 'user.k', 'v');
}

/** Digests of the bodies as they are read, byte for byte, by a client that has read nothing before. */
async function digests(root: string, at?: AtLike): Promise<readonly string[]> {
  await using reader = await connect({ address: server.rpc, clock });
  const found: string[] = [];
  for (let i = 0; i < FILES; i++) found.push(sha256(await (await reader.get(`${root}/deep/f${i}`, { at, verify: true })).bytes()));
  found.push(sha256(await (await reader.get(`${root}/hard`, { at })).bytes()));
  expect(Buffer.from(await reader.getXattr(`${root}/deep/f1`, 'user.k', { at })).toString()).toBe('v');
  return found;
}

async function blockFiles(): Promise<number> {
  const names = await readdir(join(directory, 'data', 'objects', 'data', 'blocks'), { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  return names.filter((entry) => entry.isFile()).length;
}

/** Lets months pass, in which others go on, and the collector do what is due in each. */
async function collect(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await passDays();
}

/** The same until there are so many blocks: what something held is looked at again in a later turn. */
async function collectTo(blocks: number, timeoutMs: number): Promise<void> {
  const look = async () => {
    await passDays();
    return (await blockFiles()) === blocks;
  };
  await until(`${blocks} blocks to be left`, look, timeoutMs);
}

async function passDays(): Promise<void> {
  days += 20;
  await client.mkdir(`/others-${days}`);
  await until('the collector to finish what is due', async () => {
    const { blocksRemoved, isUnfinished } = await client.metadata.collect({ dryRun: false, limit: 1 }, { timeoutMs: 60_000 });
    return blocksRemoved === 0 && !isUnfinished;
  });
}

test('a clone keeps its bodies while its source, and the clone it was made of, are overwritten, removed and collected', async () => {
  const wanted = await cloneAndRemoveSource();
  expect(await digests('/fork-of-fork')).toEqual(wanted);
  expect(await digests('/fork')).toEqual(wanted);
  await client.removeTree('/fork');
  await collect();
  expect(await digests('/fork-of-fork')).toEqual(wanted);
}, 120_000);

// History is walked once a minute of real time, and a clone of a clone takes two walks.
test.runIf(process.env['NOKV_TEST_LONG'] === '1')(
  'when the last clone goes, the last block goes',
  async () => {
    await cloneAndRemoveSource();
    await client.removeTree('/fork');
    await client.removeTree('/fork-of-fork');
    await collectTo(0, 280_000);
  },
  300_000,
);

async function cloneAndRemoveSource(): Promise<readonly string[]> {
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
  await makeTree('/src');
  const wanted = await digests('/src');
  const { pin } = await client.snapshots.create('/src', { ttlMs: 3600_000 });
  await client.clone('/src', '/fork', { at: { snapshot: pin.id } });
  await client.clone('/fork', '/fork-of-fork');
  for (let i = 0; i < 3; i++) await client.put(`/src/deep/f${i}`, body(i, 2));
  await client.removeTree('/src');
  // The second bodies of three files are shown by nothing and go: the collector is at work.
  await collectTo(FILES, 100_000);
  await collect();
  await expect(client.stat('/src', { at: { snapshot: pin.id } })).rejects.toMatchObject({ kind: 'not-found' });
  return wanted;
}

test('a tag and a living snapshot keep what they show; what is superseded and shown by nothing goes', async () => {
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
  await makeTree('/src');
  const first = await digests('/src');
  await client.tags.set('first', '/src');
  for (let i = 0; i < FILES; i++) await client.put(`/src/deep/f${i}`, body(i, 2));
  // Shown by nothing: superseded again before anything was made of it.
  for (let i = 0; i < FILES; i++) await client.put(`/src/deep/f${i}`, body(i, 3));
  const third = await digests('/src');
  const { pin } = await client.snapshots.create('/src', { ttlMs: 365 * DAY_MS });
  await client.removeTree('/src');
  await collect();
  expect(await digests('/src', { tag: 'first' })).toEqual(first);
  expect(await digests('/src', { snapshot: pin.id })).toEqual(third);
  // One block a body, and hard links share theirs.
  await collectTo(2 * FILES, 150_000);
  expect(await digests('/src', { tag: 'first' })).toEqual(first);
  await client.tags.remove('first');
  await client.snapshots.retire(pin.id);
  await collectTo(0, 150_000);
}, 240_000);
