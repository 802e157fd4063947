/** `nokv put --resume` over a real bucket: killed half-way, run again, only what is missing is sent; changed sources are sent anew. */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readFileSync, readdirSync, statSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { openObjectStore, type ObjectStore } from '@nokv/object';
import { sha256 } from '../integration/client-fixture.js';
import { putProxy, type PutProxy } from '../services/put-proxy.js';
import { startS3, type S3Service } from '../services/s3.js';
import { until } from '../services/server.js';
import { NOKV, cleanEnv, startCliServer, type CliServer } from './cli-runner.js';

const BLOCK = 4 * 1024 * 1024;
const BLOCKS = 16;
/** Puts that a client keeps in flight. */
const PARALLEL = 8;
let s3: S3Service;
let proxy: PutProxy;
let server: CliServer;
let store: ObjectStore;
let directory: string;
let file: string;
let bytes: Buffer;
let count = 0;

beforeAll(async () => {
  s3 = await startS3();
  proxy = await putProxy(s3.endpoint);
  const url = s3.url.replaceAll(s3.endpoint, proxy.endpoint);
  server = await startCliServer({ flags: ['--object', url], env: s3.env });
  store = await openObjectStore(url, { env: s3.env });
}, 600_000);
afterAll(async () => {
  await store?.close();
  await server?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await s3?.stop();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-resume-'));
  file = join(directory, 'model.bin');
  bytes = randomFillSync(Buffer.alloc(BLOCKS * BLOCK - 1000));
  writeFileSync(file, bytes);
  count += 1;
});
afterEach(async () => {
  proxy.delay(0);
  await rm(directory, { recursive: true, force: true });
});

const env = () => ({ ...s3.env, HOME: directory, XDG_STATE_HOME: join(directory, 'state') });
const notes = () => readdirSync(join(directory, 'state/nokv/uploads'));
const keys = async () => (await store.list('blocks/', { limit: 1000 })).objects.length;

/** Runs `put` as a process of its own and kills it when the store has so many blocks. */
async function killedPut(words: readonly string[], blocks: number): Promise<void> {
  proxy.reset();
  proxy.delay(100);
  const child = spawn(process.execPath, [NOKV, 'put', ...words], { env: cleanEnv({ ...server.env, ...env() }), stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await until('half of the blocks', async () => proxy.puts >= blocks, 60_000);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  // What was under way may still arrive.
  await until('the store to come to rest', async () => {
    const before = proxy.puts;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return proxy.puts === before;
  });
  proxy.delay(0);
}

async function put(words: readonly string[]): Promise<{ readonly puts: number; readonly row: Readonly<Record<string, unknown>> }> {
  proxy.reset();
  const [row] = (await server.json(['put', ...words], { env: env() })) as Readonly<Record<string, unknown>>[];
  return { puts: proxy.puts, row: row ?? {} };
}

it('sends only what is missing after a kill half-way, and nothing is left over', { timeout: 120_000 }, async () => {
  const to = `/kill${count}`;
  const before = await keys();
  await killedPut(['--resume', file, to], BLOCKS / 2);
  const sent = proxy.puts;
  const { puts, row } = await put(['--resume', file, to]);
  // A block that arrived without its answer is sent again: at most those that were in flight.
  expect(puts).toBeLessThanOrEqual(BLOCKS - sent + PARALLEL);
  expect(row).toMatchObject({ digest: sha256(bytes), size: bytes.length });
  expect(row.resumedBytes).toBeGreaterThanOrEqual((sent - PARALLEL) * BLOCK);
  expect(notes()).toEqual([]);
  expect((await server.run(['stat', to])).code).toBe(0);
  // What was in flight at the kill was met again under its own number: no block is there twice.
  expect(await keys()).toBe(before + BLOCKS);
});

it('a put that nobody asked to resume leaves notes, too', { timeout: 120_000 }, async () => {
  const to = `/plain${count}`;
  await killedPut([file, to], BLOCKS / 2);
  const { puts, row } = await put(['--resume', file, to]);
  expect(puts).toBeLessThan(BLOCKS);
  expect(row).toMatchObject({ digest: sha256(bytes) });
});

it('a source that was written to meanwhile is sent anew, even with its old size and times', { timeout: 120_000 }, async () => {
  const to = `/changed${count}`;
  await killedPut(['--resume', file, to], BLOCKS / 2);
  const { atime, mtime } = statSync(file);
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.from('other bytes'), 0, 11, 100);
  closeSync(handle);
  utimesSync(file, atime, mtime);
  bytes.write('other bytes', 100);
  const { puts, row } = await put(['--resume', file, to]);
  expect(puts).toBe(BLOCKS);
  expect(row).toMatchObject({ digest: sha256(bytes) });
  expect(row.resumedBytes).toBeUndefined();
});

it('another destination, and an upload that has ended, begin anew', { timeout: 120_000 }, async () => {
  const to = `/ended${count}`;
  await killedPut(['--resume', file, to], BLOCKS / 2);
  expect((await put(['--resume', file, `${to}-other`])).puts).toBe(BLOCKS);
  const [name] = notes();
  const [heading] = readFileSync(join(directory, 'state/nokv/uploads', name ?? ''), 'utf8').split('\n');
  await server.must(['upload', 'end', (JSON.parse(heading ?? '{}') as { upload: string }).upload]);
  const { puts, row } = await put(['--resume', file, to]);
  expect([puts, row.digest]).toEqual([BLOCKS, sha256(bytes)]);
});

it('answers of the store that are lost cost a look, not an upload', { timeout: 120_000 }, async () => {
  const to = `/lost${count}`;
  proxy.loseAnswers(5);
  const { row } = await put([file, to]);
  expect(row).toMatchObject({ digest: sha256(bytes) });
  expect((await server.run(['stat', to])).code).toBe(0);
});

it('keeps eight blocks under way towards a store that answers late', { timeout: 120_000 }, async () => {
  proxy.delay(300);
  await put([file, `/late${count}`]);
  expect(proxy.putsAtOnce).toBe(PARALLEL);
});

it('standard input and directories cannot be resumed, which is said before anything is sent', async () => {
  for (const words of [['-'], ['-r', directory]]) {
    const { code, stderr } = await server.run(['put', '--resume', ...words, '/nowhere'], { env: env(), input: 'x' });
    expect([code, stderr]).toEqual([2, expect.stringContaining('--resume')]);
  }
});
