/**
 * What lies in the store and is known to no row: told by `collect` and `fsck`, kept for a time of grace, then removed; what is known, what
 * is being uploaded and what is no block stays.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { blockKey, makeUploadId, systemRandom, type UploadId } from '@nokv/types';
import { bodyFor, digestOf, sha256 } from '../crash/bodies.js';
import { readMetric, startServerProcess, until, type ServerProcess } from '../services/server.js';
import { findingsOf } from '../services/known-blocks.js';
import { keysOfDirectory } from '../services/store-keys.js';

const HOUR_MS = 3600 * 1000;

let data: string;
const servers: ServerProcess[] = [];
const clients: NokvClient[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-orphans-'));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(orphanGraceMs: number): Promise<{ server: ServerProcess; client: NokvClient }> {
  const server = await startServerProcess({ data, logLevel: 'info', orphanGraceMs, uploadGraceMs: 100 });
  servers.push(server);
  const client = await connect({ address: server.rpc });
  clients.push(client);
  return { server, client };
}

function keys(): Promise<string[]> {
  return keysOfDirectory(join(data, 'objects'), 'blocks/');
}

async function place(key: string, bytes: Uint8Array): Promise<void> {
  const path = join(data, 'objects', 'data', key);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

function strayId(ageMs: number): UploadId {
  return makeUploadId(Date.now() - ageMs, systemRandom.bytes(10));
}

it('tells of stray blocks and foreign objects, and removes nothing before its time', { timeout: 60_000 }, async () => {
  const { client } = await start(HOUR_MS);
  await client.put('/kept', bodyFor('kept', 300_000));
  const stray = strayId(2 * HOUR_MS);
  await place(blockKey(stray, 0), bodyFor('x', 1000));
  await place(blockKey(stray, 1), bodyFor('y', 500));
  await place('blocks/notes.txt', Buffer.from('mine'));
  const before = await keys();
  expect(await findingsOf(client)).toEqual(
    expect.arrayContaining([`stray-object object ${blockKey(stray, 0)}`, 'stray-object object blocks/notes.txt']),
  );
  const plan = await client.collect({ dryRun: true });
  const told = plan.rows.filter(({ kind }) => kind === 'stray' || kind === 'foreign');
  expect(told).toEqual([
    expect.objectContaining({ kind: 'stray', what: `blocks of upload ${stray}`, state: 'waiting', blocks: 2, bytes: 1500 }),
    expect.objectContaining({ kind: 'foreign', what: 'object blocks/notes.txt', state: 'held', bytes: 4 }),
  ]);
  expect(plan.listed).toEqual({ objects: 4, bytes: 301_504, isWhole: true });
  // The real run queues them: from now on they have a row and a time.
  await client.collect({ dryRun: false });
  const queued = (await client.collect({ dryRun: true })).rows;
  expect(queued).toContainEqual(
    expect.objectContaining({ kind: 'extent', what: `blocks of upload ${stray}`, state: 'waiting', blocks: 2, bytes: 1500 }),
  );
  expect(queued.filter(({ kind }) => kind === 'stray')).toEqual([]);
  expect(await findingsOf(client)).toEqual(['stray-object object blocks/notes.txt']);
  expect(await keys()).toEqual(before);
});

it('removes what nothing knows after its grace by itself, across a kill -9, and leaves all else', { timeout: 60_000 }, async () => {
  const first = await start(4000);
  const body = bodyFor('kept', 300_000);
  await first.client.put('/kept', body);
  // An upload under way, and one that sends a block after it was swept.
  const open = await first.client.stage(bodyFor('open', 100_000));
  const late = (await first.client.metadata.mutate('begin-upload', { target: '/never', ttlMs: 100 })).result;
  await until('the end of the upload', async () =>
    (await first.client.collect({ dryRun: true })).rows.every(({ what }) => !what.includes(late.upload)),
  );
  const stray = strayId(HOUR_MS);
  const ahead = strayId(-HOUR_MS);
  const bytes = Buffer.alloc(1000, 7);
  for (const upload of [late.upload, stray, ahead]) await place(blockKey(upload, 0), bytes);
  await place('blocks/ab/notes.txt', Buffer.from('mine'));
  await until('the sweep to find them', async () => (await readMetric(first.server.http, 'nokv_stray_uploads_total')) === 3);
  await first.server.kill();
  const { server, client } = await start(4000);
  await until('the end of the grace', async () => !(await keys()).some((key) => key.includes(late.upload) || key.includes(stray)));
  // One whose id lies ahead waits for its time; what is no block is nobody's to remove.
  expect(await keys()).toEqual(expect.arrayContaining([blockKey(ahead, 0), 'blocks/ab/notes.txt']));
  expect(await readMetric(server.http, 'nokv_foreign_objects')).toBe(1);
  await client.publish('/open', open);
  expect(await digestOf(client, '/open')).toBe(sha256(bodyFor('open', 100_000)));
  expect(await digestOf(client, '/kept')).toBe(sha256(body));
});
