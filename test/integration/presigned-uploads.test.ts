/** Clients without credentials of a real bucket: by signed URLs, so that the server carries no bodies; by hand with curl, too. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connect, crc32c, type ConnectOptions, type NokvClient } from '@nokv/client';
import { claimNamespace, openBlockStore, openS3Store, type PresignCalls } from '@nokv/object';
import { blockStoreConformance } from '@nokv/object/testing';
import { NAMESPACE_MARKER_KEY, PRESIGN_BLOCKS_MAX, blockKey, type BlockAccess, type BlockToPut } from '@nokv/types';
import { digestOf, sha256 } from '../crash/bodies.js';
import { nokv } from '../e2e/cli-runner.js';
import { startS3, type S3Service } from '../services/s3.js';
import { readMetric, startServerProcess, type ServerProcess } from '../services/server.js';

const run = promisify(execFile);
const BLOCK = 4 * 1024 * 1024;
let s3: S3Service;
let server: ServerProcess;
let directory: string;
const clients: NokvClient[] = [];

beforeAll(async () => {
  s3 = await startS3();
  directory = await mkdtemp(join(tmpdir(), 'nokv-presigned-'));
  server = await startServerProcess({ data: join(directory, 'data'), object: s3.url, logLevel: 'warn', env: s3.env });
}, 600_000);
afterAll(async () => {
  await server?.kill();
  await s3?.stop();
  await rm(directory, { recursive: true, force: true });
});
/** The way alone, over a bucket without a server: what signs is the store of a server. */
blockStoreConformance('by signed URLs', async () => {
  const own = await startS3();
  const signing = await openS3Store(own.url, { env: own.env });
  const marker = await claimNamespace(signing);
  const wire = ({ url, headers, expiresAtMs }: Awaited<ReturnType<typeof signing.presigner.get>>) => ({
    url,
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    expiresAtMs,
  });
  const presign: PresignCalls = {
    puts: async ({ upload, blocks }) => ({
      requests: await Promise.all(
        blocks.map(async (block) => wire(await signing.presigner.put(blockKey(upload, block.index), block, 60_000))),
      ),
    }),
    gets: async ({ blocks }) => ({
      requests: await Promise.all(
        blocks.map(async ({ upload, index }) => wire(await signing.presigner.get(blockKey(upload, index), 60_000))),
      ),
    }),
  };
  const { url: markerUrl, expiresAtMs } = await signing.presigner.get(NAMESPACE_MARKER_KEY, 60_000);
  const way: BlockAccess = { kind: 'presigned', description: signing.description, markerUrl, marker, readToken: 't', expiresAtMs };
  return {
    blocks: await openBlockStore([way], { env: { HOME: '/nonexistent' }, presign }),
    begin: async () => 'ticket',
    remove: async () => {
      await signing.close();
      await own.stop();
    },
  };
});

let proxiedBefore = 0;
beforeEach(async () => {
  proxiedBefore = await readMetric(server.http, 'nokv_proxied_body_bytes_total');
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

const proxiedBytes = async () => (await readMetric(server.http, 'nokv_proxied_body_bytes_total')) - proxiedBefore;

async function open(options: ConnectOptions = {}): Promise<NokvClient> {
  const client = await connect({ address: server.rpc, timeoutMs: 20_000, env: { HOME: '/nonexistent' }, ...options });
  clients.push(client);
  return client;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const item of items) seen.push(item);
  return seen;
}

function blockOf(bytes: Uint8Array, index: number): BlockToPut {
  return { index, length: bytes.length, crc32c: crc32c(bytes) };
}

/** Status of a PUT by curl: the request as the wire call gave it. */
async function curlPut(file: string, url: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const words = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const args = ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-X', 'PUT', ...words, '-H', 'Expect:', '--data-binary', `@${file}`, url];
  return Number((await run('curl', args)).stdout);
}

async function signedPut(client: NokvClient, file: string, bytes: Uint8Array, index = 0) {
  const ticket = await client.uploads.begin();
  const [request] = await all(client.uploads.urls(ticket, [blockOf(bytes, index)]));
  if (request === undefined) throw new Error('expected a URL');
  await writeFile(file, bytes);
  return { ticket, url: request.url, headers: Object.fromEntries(request.headers.map(({ name, value }) => [name, value])) };
}

it('a client without credentials puts and gets by signed URLs: the server carries no byte of a body', { timeout: 60_000 }, async () => {
  const client = await open();
  const body = randomBytes(9 * 1024 * 1024);
  await client.put('/signed', body);
  expect((await client.blocks()).description).toMatch(/by signed URLs/);
  const reader = await open();
  expect(await digestOf(reader, '/signed')).toBe(sha256(body));
  expect(await proxiedBytes()).toBe(0);
  const proxied = await open({ ways: ['proxied'] });
  expect(await digestOf(proxied, '/signed')).toBe(sha256(body));
  expect(await proxiedBytes()).toBe(body.length);
});

it('where the bucket cannot be reached the same client goes through the server', { timeout: 60_000 }, async () => {
  const client = await open();
  const body = randomBytes(5 * 1024 * 1024);
  const { ways } = await client.metadata.access();
  // As a sandbox sees it that may connect to the server alone.
  const seen = ways.map((way): BlockAccess => (way.kind === 'presigned' ? { ...way, markerUrl: 'http://127.0.0.1:9/nothing' } : way));
  const blocks = await openBlockStore(seen, {
    env: { HOME: '/nonexistent' },
    presign: { puts: (args) => client.metadata.presignPuts(args), gets: (args) => client.metadata.presignGets(args) },
  });
  const ticket = await client.uploads.begin();
  await blocks.putBlock(ticket.upload, 0, body.subarray(0, BLOCK), { crc32c: crc32c(body.subarray(0, BLOCK)), ticket: ticket.ticket });
  expect(await proxiedBytes()).toBe(BLOCK);
  await blocks.close();
});

it('plain curl puts the blocks of a file with the command’s URLs, and a publish makes it visible', { timeout: 60_000 }, async () => {
  const file = join(directory, 'model.bin');
  const body = randomBytes(2 * BLOCK + 12_345);
  await writeFile(file, body);
  const env = { NOKV_SERVER: server.rpc, HOME: '/nonexistent' };
  const must = async (...words: string[]) => {
    const { code, stdout, stderr } = await nokv(words, { env, cwd: directory });
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  const { upload } = JSON.parse(await must('upload', 'begin', '--json')) as { upload: string };
  const lines = await must('upload', 'urls', upload, file, '--json');
  await writeFile(join(directory, 'blocks.jsonl'), lines);
  const publish = ['upload', 'publish', upload, '/by/curl', '--parents', '--blocks', 'blocks.jsonl', '--digest', `sha256:${sha256(body)}`];
  const early = await nokv(publish, { env, cwd: directory });
  expect([early.code, early.stderr]).toEqual([3, expect.stringMatching(/block \d of upload .* is not in the store/)]);
  await run('sh', ['-c', await must('upload', 'urls', upload, file)]);
  await must(...publish);
  expect(await digestOf(await open(), '/by/curl')).toBe(sha256(body));
  expect(await proxiedBytes()).toBe(0);
});

it('a signed URL stores its own bytes, once, and nothing else', { timeout: 60_000 }, async () => {
  const client = await open();
  const file = join(directory, 'block');
  const bytes = Buffer.from('the bytes that were announced');
  const { url, headers } = await signedPut(client, file, bytes);
  const other = join(directory, 'other');
  await writeFile(other, Buffer.from('the bytes that were announceD'));
  expect(await curlPut(other, url, headers)).toBe(400);
  await writeFile(other, Buffer.concat([bytes, bytes]));
  expect(await curlPut(other, url, { ...headers, 'content-length': String(2 * bytes.length) })).toBe(403);
  const { 'if-none-match': condition, ...without } = headers;
  expect(condition).toBe('*');
  expect(await curlPut(file, url, without)).toBe(403);
  expect(await curlPut(file, url.replace('/0?', '/1?'), headers)).toBe(403);
  expect(await curlPut(file, url, headers)).toBe(200);
  expect(await curlPut(file, url, headers)).toBe(412);
});

it('a put repeated after a lost answer finds its own block; another block under that index is an error', { timeout: 60_000 }, async () => {
  const client = await open();
  const { upload, ticket } = await client.uploads.begin();
  const blocks = await client.blocks();
  const bytes = Buffer.from('once');
  const put = (what: Buffer) => blocks.putBlock(upload, 7, what, { crc32c: crc32c(what), ticket });
  await put(bytes);
  await put(bytes);
  for (const other of ['ONCE', 'once more', 'on']) await expect(put(Buffer.from(other))).rejects.toMatchObject({ code: 'corrupt' });
  await expect(blocks.getBlock(upload, 7, 0, 5)).rejects.toMatchObject({ code: 'corrupt' });
  await expect(blocks.getBlock(upload, 8, 0, 5)).rejects.toMatchObject({ code: 'no-object' });
});

it('a call asks for at most 500 URLs; more come in several calls', { timeout: 60_000 }, async () => {
  const client = await open();
  const ticket = await client.uploads.begin();
  const blocks = Array.from({ length: PRESIGN_BLOCKS_MAX + 1 }, (_, index) => ({ index, length: BLOCK, crc32c: index }));
  await expect(client.metadata.presignPuts({ ...ticket, blocks })).rejects.toMatchObject({ code: 'invalid-argument' });
  const urls = await all(client.uploads.urls(ticket, blocks));
  expect(new Set(urls.map(({ url }) => url)).size).toBe(PRESIGN_BLOCKS_MAX + 1);
  await expect(client.metadata.presignPuts({ ...ticket, blocks: [{ index: 0, length: BLOCK + 1, crc32c: 0 }] })).rejects.toMatchObject({
    kind: 'invalid',
  });
});

it('URLs are signed for the bearer of this upload’s ticket alone, while it is open', { timeout: 60_000 }, async () => {
  const client = await open();
  const [mine, other] = [await client.uploads.begin(), await client.uploads.begin()];
  const blocks = [blockOf(Buffer.from('x'), 0)];
  const ask = (upload: typeof mine.upload, ticket: string) => client.metadata.presignPuts({ upload, ticket, blocks });
  await expect(ask(mine.upload, other.ticket)).rejects.toMatchObject({ code: 'bad-token' });
  await expect(ask(mine.upload, '')).rejects.toMatchObject({ code: 'bad-token' });
  await client.uploads.end(mine.upload);
  await expect(ask(mine.upload, mine.ticket)).rejects.toMatchObject({ code: 'no-upload' });
  const gets = { blocks: [{ upload: other.upload, index: 0 }] };
  await expect(client.metadata.presignGets({ readToken: other.ticket, ...gets })).rejects.toMatchObject({ code: 'bad-token' });
});

it('a publish is compared with what the bucket holds: missing, short, long and other blocks are refused', { timeout: 60_000 }, async () => {
  const client = await open();
  const { upload, ticket } = await client.uploads.begin();
  const body = randomBytes(2 * 20_000);
  const blocks = [0, 1].map((index) => blockOf(body.subarray(index * 20_000, (index + 1) * 20_000), index));
  const store = await client.blocks();
  for (const [index, { crc32c: checksum }] of blocks.entries())
    await store.putBlock(upload, index, body.subarray(index * 20_000, (index + 1) * 20_000), { crc32c: checksum, ticket });
  const [first, second] = blocks as [BlockToPut, BlockToPut];
  const foreign = await client.uploads.begin();
  const cases: readonly [string, readonly BlockToPut[], string][] = [
    ['missing', [first, second, { ...first, index: 2 }], 'no-object'],
    ['short', [first, { ...second, length: second.length + 1 }], 'bad-upload'],
    ['long', [{ ...first, length: first.length - 1 }, second], 'bad-upload'],
    ['changed', [first, { ...second, crc32c: (second.crc32c ^ 1) >>> 0 }], 'bad-upload'],
  ];
  for (const [name, wrong, code] of cases)
    await expect(client.uploads.publish(`/${name}`, { upload, blocks: wrong })).rejects.toMatchObject({ code });
  await expect(client.uploads.publish('/foreign', { upload: foreign.upload, blocks })).rejects.toMatchObject({ code: 'no-object' });
  for (const name of [...cases.map(([each]) => each), 'foreign']) expect(await client.exists(`/${name}`)).toBe(false);
  await client.uploads.publish('/compared', { upload, blocks });
  expect(await digestOf(client, '/compared')).toBe(sha256(body));
});

it('a ticket with any one byte altered signs nothing', { timeout: 60_000 }, async () => {
  const client = await open();
  const { upload, ticket } = await client.uploads.begin();
  const blocks = [blockOf(Buffer.from('x'), 0)];
  for (let at = 0; at < ticket.length; at++) {
    const altered = ticket.slice(0, at) + (ticket[at] === 'a' ? 'b' : 'a') + ticket.slice(at + 1);
    await expect(client.metadata.presignPuts({ upload, ticket: altered, blocks })).rejects.toMatchObject({ code: 'bad-token' });
  }
  const late = (await client.metadata.mutate('begin-upload', { target: '', ttlMs: 1 })).result;
  await expect(client.metadata.presignPuts({ upload: late.upload, ticket: late.ticket, blocks })).rejects.toMatchObject({
    code: 'bad-token',
  });
});
