/** Uploads whose answers are lost and whose clients die: right bytes or a typed error, and nothing left in the store behind the sweep. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connect, crc32c, type NokvClient } from '@nokv/client';
import { openBlockStore, openObjectStore, type ObjectStore } from '@nokv/object';
import { randomBytes } from 'node:crypto';
import { digestOf, sha256 } from '../crash/bodies.js';
import { NOKV, cleanEnv, nokv } from '../e2e/cli-runner.js';
import { putProxy, type PutProxy } from '../services/put-proxy.js';
import { startS3, type S3Service } from '../services/s3.js';
import { startServerProcess, until, type ServerProcess } from '../services/server.js';

const BLOCK = 4 * 1024 * 1024;
/** No credentials of its own: by signed URLs. */
const NOBODY = { HOME: '/nonexistent' };
let s3: S3Service;
let bucket: PutProxy;
let server: ServerProcess;
let store: ObjectStore;
let directory: string;
let client: NokvClient;

beforeAll(async () => {
  s3 = await startS3();
  bucket = await putProxy(s3.endpoint);
  directory = await mkdtemp(join(tmpdir(), 'nokv-upload-faults-'));
  const object = s3.url.replaceAll(s3.endpoint, bucket.endpoint);
  server = await startServerProcess({ data: join(directory, 'data'), object, logLevel: 'warn', uploadGraceMs: 100, env: s3.env });
  store = await openObjectStore(object, { env: s3.env });
}, 600_000);
afterAll(async () => {
  await store?.close();
  await server?.kill();
  await bucket?.[Symbol.asyncDispose]();
  await s3?.stop();
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  client = await connect({ address: server.rpc, timeoutMs: 30_000, env: NOBODY });
});
afterEach(async () => {
  bucket.delay(0);
  await client.close();
});

const keys = async () => (await store.list('blocks/', { limit: 1000 })).objects.map(({ key }) => key);

it('answers of the bucket that never arrive cost a look: the blocks are there once', { timeout: 60_000 }, async () => {
  const before = await keys();
  const body = randomBytes(5 * BLOCK);
  bucket.loseAnswers(4);
  await client.put('/signed', body);
  expect((await client.blocks()).description).toMatch(/by signed URLs/);
  expect(await digestOf(client, '/signed')).toBe(sha256(body));
  expect((await keys()).length).toBe(before.length + 5);
});

it('answers of the server to a proxied put that never arrive are the same', { timeout: 60_000 }, async () => {
  await using door = await putProxy(`http://${server.http}`);
  const before = await keys();
  const { ways } = await client.metadata.access();
  const through = ways.flatMap((way) => (way.kind === 'proxied' ? [{ ...way, url: `${door.endpoint}/objects` }] : []));
  const blocks = await openBlockStore(through, { env: NOBODY });
  const { upload, ticket } = await client.uploads.begin();
  const body = randomBytes(3 * BLOCK);
  const parts = [0, 1, 2].map((index) => body.subarray(index * BLOCK, (index + 1) * BLOCK));
  door.loseAnswers(3);
  await Promise.all(parts.map((part, index) => blocks.putBlock(upload, index, part, { crc32c: crc32c(part), ticket })));
  await blocks.close();
  expect(door.puts).toBe(6);
  const sent = parts.map((part, index) => ({ index, length: part.length, crc32c: crc32c(part) }));
  await client.uploads.publish('/proxied', { upload, blocks: sent });
  expect(await digestOf(client, '/proxied')).toBe(sha256(body));
  expect((await keys()).length).toBe(before.length + 3);
});

it('a client killed at any block leaves the old body, and behind the sweep the keys that were there', { timeout: 120_000 }, async () => {
  const file = join(directory, 'new');
  await writeFile(file, randomBytes(12 * BLOCK));
  const old = randomBytes(BLOCK + 1);
  await client.put('/f', old);
  const baseline = await keys();
  const state = join(directory, 'state');
  for (const killedAt of [1, 7]) {
    bucket.reset();
    bucket.delay(50);
    const env = cleanEnv({ NOKV_SERVER: server.rpc, HOME: '/nonexistent', XDG_STATE_HOME: state });
    const child = spawn(process.execPath, [NOKV, 'put', file, '/f'], { env, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await until(`block ${killedAt}`, async () => bucket.puts >= killedAt, 60_000);
    child.kill('SIGKILL');
    await ended;
    bucket.delay(0);
    expect(await digestOf(client, '/f')).toBe(sha256(old));
    // Its time to live is fifteen minutes; an operator who knows that it is dead need not wait.
    const [notes] = await readdir(join(state, 'nokv/uploads'));
    const [heading] = (await readFile(join(state, 'nokv/uploads', notes ?? ''), 'utf8')).split('\n');
    const { upload } = JSON.parse(heading ?? '{}') as { readonly upload: string };
    expect((await nokv(['upload', 'end', upload], { env: { NOKV_SERVER: server.rpc } })).code).toBe(0);
    await until('the sweep', async () => (await keys()).length === baseline.length, 60_000);
    expect(await keys()).toEqual(baseline);
    await rm(state, { recursive: true });
  }
});
