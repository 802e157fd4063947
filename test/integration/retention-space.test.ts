/**
 * Retention down to the objects in the store: hours pass on a clock that the test moves, and what the store then has is what the policies,
 * snapshots and current bodies name, block for block.
 */
import { connect, type NokvClient } from '@nokv/client';
import type { RunningServer } from '@nokv/server';
import type { At, Version } from '@nokv/types';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { blocksNamedBy, findingsOf } from '../services/known-blocks.js';
import { clockAhead, startServerOnClock, type ServerOnClock } from '../services/server-on-clock.js';
import { until } from '../services/server.js';
import { keysOfDirectory } from '../services/store-keys.js';
import { patternBytes } from './client-fixture.js';

const HOUR_MS = 3600 * 1000;
const SIZE = 100_000;

let onClock: ServerOnClock | undefined;
let directory: string;
let server: RunningServer;
let client: NokvClient;
let hours = 0;
/** Bodies that were moved together while the collector settled. */
let moved = 0;
const clock = clockAhead(() => hours * HOUR_MS);

beforeEach(async () => {
  hours = 0;
  moved = 0;
  onClock = await startServerOnClock('retention', clock);
  ({ directory, server, client } = onClock);
});
afterEach(() => onClock?.close());

async function overwrite(path: string, times: number): Promise<void> {
  for (let i = 1; i <= times; i++) await client.put(path, patternBytes(SIZE, i), { parents: true });
}

/** Lets time pass until the store has just these blocks. */
async function expectBlocks(expected: readonly string[], passHours = 1): Promise<void> {
  hours += passHours;
  await settle();
  // Blocks stay a while after the last body that named them, for readers under way.
  hours += 1;
  const wanted = [...expected].sort();
  await until('the store to have what is named', async () => {
    await client.collect({ dryRun: false, limit: 1 });
    if (JSON.stringify(await blocks()) === JSON.stringify(wanted)) return true;
    // What goes in steps has a time of grace for each: files of a removed tree, their bodies, their blocks.
    hours += 0.2;
    return false;
  }).catch(async () => expect(await blocks()).toEqual(wanted));
}

async function settle(): Promise<void> {
  await until('the collector to finish what is due', async () => {
    const { blocksRemoved, isUnfinished, ...done } = await client.collect({ dryRun: false, limit: 1 });
    moved += done.moved?.bodies ?? 0;
    return blocksRemoved === 0 && !isUnfinished;
  });
}

function blocks(): Promise<string[]> {
  return keysOfDirectory(join(directory, 'data', 'objects'), 'blocks/');
}

function namedBy(path: string, at?: At): Promise<string[]> {
  return blocksNamedBy(client, path, at);
}

async function generations(path: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { generation } of client.log(path)) found.push(generation);
  return found;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: { code?: string }) => error.code ?? String(error),
  );

test('keep-last leaves that many superseded bodies in the store, and evidence of the others says that its retention ended', async () => {
  await client.mkdir('/a');
  await client.retention.set('/a', { keepLast: 2, keepMs: 0 });
  await overwrite('/a/f', 8);
  const all = await generations('/a/f');
  const kept = await Promise.all(all.slice(0, 3).map((version) => namedBy('/a/f', { version: version as Version })));
  expect((await blocks()).length).toBe(8);
  await expectBlocks(kept.flat());
  expect(await generations('/a/f')).toEqual(all.slice(0, 3));
  expect(Buffer.compare(await (await client.get('/a/f', { at: { version: all[2] as number } })).bytes(), patternBytes(SIZE, 6))).toBe(0);
  expect(await codeOf(client.get('/a/f', { at: { version: all[3] as number } }))).toBe('retention-ended');
}, 60_000);

test('keep-for keeps superseded bodies just so long', async () => {
  await client.mkdir('/a');
  await client.retention.set('/a', { keepLast: 0, keepMs: 5 * HOUR_MS });
  await overwrite('/a/f', 4);
  const before = await blocks();
  await expectBlocks(before, 2);
  await expectBlocks(await namedBy('/a/f'), 3);
}, 60_000);

test('a policy that is set later takes what waits by the one before, in its directory only', async () => {
  await overwrite('/a/deep/f', 5);
  await overwrite('/b/f', 3);
  const inB = (await Promise.all((await generations('/b/f')).map((version) => namedBy('/b/f', { version: version as Version })))).flat();
  await expectBlocks(await blocks());
  await client.retention.set('/a', { keepLast: 0, keepMs: 0 });
  await expectBlocks([...inB, ...(await namedBy('/a/deep/f'))]);
  // The default: 24 hours and the newest one.
  await expectBlocks([...inB.slice(0, 2), ...(await namedBy('/a/deep/f'))], 24);
}, 60_000);

test('what is removed below a directory that keeps nothing goes at once, files and trees, but for what a snapshot shows', async () => {
  await overwrite('/a/f', 2);
  await overwrite('/a/tree/deep/g', 1);
  await overwrite('/a/tree/deep/h', 1);
  await overwrite('/a/held', 1);
  await overwrite('/b/f', 1);
  await client.retention.set('/a', { keepLast: 0, keepMs: 0 });
  const { pin } = await client.snapshots.create('/a/held', { ttlMs: 1000 * HOUR_MS });
  const held = await namedBy('/a/held');
  const elsewhere = await namedBy('/b/f');
  await client.unlink('/a/f');
  await client.removeTree('/a/tree');
  await client.unlink('/a/held');
  await client.unlink('/b/f');
  // Elsewhere the default keeps it for a day.
  await expectBlocks([...held, ...elsewhere]);
  // What was there says what became of its bytes; what is kept elsewhere comes back.
  expect(await codeOf(client.undelete('/a/f'))).toBe('retention-ended');
  expect(await codeOf(client.undelete('/b/f'))).toBe('done');
  await client.unlink('/b/f');
  expect(Buffer.compare(await (await client.get('/a/held', { at: { snapshot: pin.id } })).bytes(), patternBytes(SIZE, 1))).toBe(0);
  await expectBlocks(held, 24);
  await client.snapshots.retire(pin.id);
  await expectBlocks([]);
}, 90_000);

test('a snapshot of one directory delays nothing in another', async () => {
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
  await overwrite('/a/f', 2);
  await overwrite('/b/f', 2);
  const { pin } = await client.snapshots.create('/a', { ttlMs: 1000 * HOUR_MS });
  const shown = await namedBy('/a/f');
  await overwrite('/a/f', 1);
  await overwrite('/b/f', 1);
  await expectBlocks([...shown, ...(await namedBy('/a/f')), ...(await namedBy('/b/f'))]);
  await client.snapshots.retire(pin.id);
  await expectBlocks([...(await namedBy('/a/f')), ...(await namedBy('/b/f'))]);
}, 60_000);

const FILES = 640;
const bytes = (i: number): Uint8Array => patternBytes(64 * 1024, i + 1);

/** Many small files in few blocks of one upload, in four directories of `/tree`. */
async function putPacked(): Promise<void> {
  const local = join(directory, 'local');
  for (let i = 0; i < FILES; i++) {
    const at = join(local, `d${i % 4}`);
    await mkdir(at, { recursive: true });
    await writeFile(join(at, `f${i}`), bytes(i));
  }
  await client.putTree(local, '/tree');
  await client.retention.set('/', { keepLast: 0, keepMs: 0 });
}

test('of many files that were packed together the blocks of those that are gone go, though others of the same upload stay', async () => {
  await putPacked();
  const before = await blocks();
  const uploads = new Set(before.map((key) => key.split('/')[2]));
  expect(before.length).toBeGreaterThan(4);
  // One that goes is held by a snapshot, one was copied.
  const { pin } = await client.snapshots.create('/tree/d3/f3', { ttlMs: 1000 * HOUR_MS });
  await client.copy('/tree/d2/f2', '/copied');
  for (const name of ['d2', 'd3']) await client.removeTree(`/tree/${name}`);
  const kept = Array.from({ length: FILES }, (_, i) => i).filter((i) => i % 4 < 2);
  const named = new Set(await namedBy('/copied'));
  for (const i of kept) for (const key of await namedBy(`/tree/d${i % 4}/f${i}`)) named.add(key);
  const heldBlocks = await namedBy('/tree/d3/f3', { snapshot: pin.id });
  expect(named.size).toBeLessThan(before.length - 1);
  expect(new Set([...named].map((key) => key.split('/')[2]))).toEqual(uploads);
  hours += 1;
  await settle();
  // Found, told, and left for readers under way.
  const [row] = (await client.collect({ dryRun: true })).rows.filter(({ kind }) => kind === 'dead');
  const gone = before.length - new Set([...named, ...heldBlocks]).size;
  expect(gone).toBeGreaterThan(0);
  expect(row).toMatchObject({ state: 'waiting', blocks: gone });
  expect(await blocks()).toEqual(before);
  await expectBlocks([...new Set([...named, ...heldBlocks])]);
  expect(Buffer.compare(await (await client.get('/tree/d3/f3', { at: { snapshot: pin.id } })).bytes(), bytes(3))).toBe(0);
  await client.snapshots.retire(pin.id);
  await expectBlocks([...named], 24);
  for (const i of kept) expect(Buffer.compare(await (await client.get(`/tree/d${i % 4}/f${i}`)).bytes(), bytes(i)), `${i}`).toBe(0);
  expect(Buffer.compare(await (await client.get('/copied')).bytes(), bytes(2))).toBe(0);
  expect(await findingsOf(client)).toEqual([]);
  await client.removeTree('/tree');
  await client.unlink('/copied');
  await expectBlocks([], 24);
}, 120_000);

test('what is left in sparse blocks is moved together: same generations, same bytes, old readers go on for a day, then the blocks go', async () => {
  await putPacked();
  const path = (i: number): string => `/tree/d${i % 4}/f${i}`;
  const before = await blocks();
  // Every block keeps a few files; one of them is overwritten, one is held by a snapshot and removed, one is linked twice.
  const kept = Array.from({ length: FILES }, (_, i) => i).filter((i) => i % 16 < 2);
  const held = kept[3] as number;
  const { pin } = await client.snapshots.create('/tree', { ttlMs: 1000 * HOUR_MS, name: 'short' });
  await client.snapshots.retire(pin.id);
  const { pin: keeper } = await client.snapshots.create(path(held), { ttlMs: 1000 * HOUR_MS });
  await client.link(path(kept[5] as number), '/linked');
  for (let i = 0; i < FILES; i++) if (!kept.includes(i)) await client.unlink(path(i));
  await client.unlink(path(held));
  const live = kept.filter((i) => i !== held);
  const attributes = await Promise.all(live.map(async (i) => client.stat(path(i))));
  const old = await Promise.all(live.slice(0, 5).map(async (i) => client.get(path(i))));
  hours += 1;
  await until('the bodies to be moved', async () => {
    await settle();
    return moved > 0;
  });
  expect(moved).toBe(kept.length);
  // Nothing that can be seen has changed, and whoever had begun to read goes on.
  expect(await Promise.all(live.map(async (i) => client.stat(path(i))))).toEqual(attributes);
  for (const [at, body] of old.entries()) expect(Buffer.compare(await body.bytes(), bytes(live[at] as number))).toBe(0);
  expect(await blocks()).toEqual(expect.arrayContaining([...before]));
  expect(await findingsOf(client)).toEqual([]);
  await using fresh = await connect({ address: server.rpc, clock });
  for (const i of live) expect(Buffer.compare(await (await fresh.get(path(i), { verify: true })).bytes(), bytes(i)), path(i)).toBe(0);
  expect(Buffer.compare(await (await fresh.get(path(held), { at: { snapshot: keeper.id } })).bytes(), bytes(held))).toBe(0);
  expect(Buffer.compare(await (await fresh.get('/linked')).bytes(), bytes(kept[5] as number))).toBe(0);
  const named = new Set(await namedBy(path(held), { snapshot: keeper.id }));
  for (const i of live) for (const key of await namedBy(path(i))) named.add(key);
  for (const key of named) expect(before).not.toContain(key);
  await expectBlocks([...named], 25);
  expect(named.size).toBeLessThan(before.length);
  await using late = await connect({ address: server.rpc, clock });
  for (const i of live) expect(Buffer.compare(await (await late.get(path(i), { verify: true })).bytes(), bytes(i)), path(i)).toBe(0);
  expect(await findingsOf(late)).toEqual([]);
}, 120_000);
