/** The HTTP port of a server in this process: health, metrics, and blocks by ticket. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type NokvClient, type TicketedUpload } from '@nokv/client';
import { crc32c, formatCrc32c } from '@nokv/object';
import { startServer, type RunningServer } from '@nokv/server';
import { BLOCK_BYTES_DEFAULT, type BlockAccess, type Body, type UploadId } from '@nokv/types';
import { readMetric } from '../services/server.js';

let data: string;
let server: RunningServer;
let client: NokvClient;
beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-http-'));
  server = await startServer({
    data,
    listen: '127.0.0.1:0',
    http: '127.0.0.1:0',
    object: undefined,
    control: 'embedded:',
    durability: 'local',
    nodeId: undefined,
    leaseTtlMs: 3000,
    logLevel: 'silent',
  });
  client = await connect({ address: server.rpc });
});
afterAll(async () => {
  await client.close();
  await server.stop();
  await rm(data, { recursive: true, force: true });
});

async function beginUpload(): Promise<TicketedUpload> {
  return (await client.metadata.mutate('begin-upload', { target: 'test', ttlMs: 60_000 })).result;
}

async function proxied(): Promise<Extract<BlockAccess, { kind: 'proxied' }>> {
  const way = (await client.metadata.access()).ways.find((each) => each.kind === 'proxied');
  if (way?.kind !== 'proxied') throw new Error('expected a proxied way');
  return way;
}

interface Put {
  readonly upload: UploadId;
  readonly index: number | string;
  readonly bytes: Uint8Array;
  readonly ticket?: string;
  readonly crc?: string;
}

async function put({ upload, index, bytes, ticket, crc = formatCrc32c(crc32c(bytes)) }: Put): Promise<Response> {
  const headers: Record<string, string> = { 'x-nokv-crc32c': crc, ...(ticket === undefined ? {} : { authorization: `Bearer ${ticket}` }) };
  return fetch(`${(await proxied()).url}/${upload}/${index}`, { method: 'PUT', headers, body: Buffer.from(bytes) });
}

async function get(upload: UploadId, index: number, range?: string): Promise<Response> {
  const { url, readToken } = await proxied();
  return fetch(`${url}/${upload}/${index}`, {
    headers: { authorization: `Bearer ${readToken}`, ...(range === undefined ? {} : { range }) },
  });
}

async function codeOf(answer: Response): Promise<string> {
  return ((await answer.json()) as { code: string }).code;
}

describe('status', () => {
  it('is healthy, ready and counted', async () => {
    expect((await fetch(`http://${server.http}/healthz`)).status).toBe(200);
    expect((await fetch(`http://${server.http}/readyz`)).status).toBe(200);
    await client.stat('/');
    expect(await readMetric(server.http, 'nokv_rpc_request_seconds_count', 'operation="stat"')).toBeGreaterThan(0);
    expect(await readMetric(server.http, 'nokv_shard_serving')).toBe(1);
    expect(await readMetric(server.http, 'nokv_shard_epoch')).toBe(1);
  });

  it('answers what is not there, and mutations by GET, with typed errors', async () => {
    const missing = await fetch(`http://${server.http}/nowhere`);
    expect([missing.status, await codeOf(missing)]).toEqual([404, 'not-found']);
    for (const [path, method] of [
      ['/metrics', 'POST'],
      ['/readyz', 'DELETE'],
      [`/objects/${'0'.repeat(32)}/0`, 'DELETE'],
    ] as const) {
      const answer = await fetch(`http://${server.http}${path}`, { method });
      expect([answer.status, await codeOf(answer)]).toEqual([405, 'unsupported']);
      expect(answer.headers.get('allow')).toContain('GET');
    }
  });
});

describe('blocks by ticket', () => {
  const bytes = Buffer.from('the bytes of one block');

  it('are created once, are the same when repeated, and are never overwritten', async () => {
    const { upload, ticket } = await beginUpload();
    expect((await put({ upload, index: 0, bytes, ticket })).status).toBe(201);
    expect((await put({ upload, index: 0, bytes, ticket })).status).toBe(200);
    const other = await put({ upload, index: 0, bytes: Buffer.from('other'), ticket });
    expect(await codeOf(other)).toBe('corrupt');
    expect(Buffer.from(await (await get(upload, 0)).arrayBuffer())).toEqual(bytes);
  });

  it('are read in ranges', async () => {
    const { upload, ticket } = await beginUpload();
    await put({ upload, index: 7, bytes, ticket });
    const part = await get(upload, 7, 'bytes=4-8');
    expect([part.status, await part.text()]).toEqual([206, 'bytes']);
    const beyond = await get(upload, 7, 'bytes=0-1000');
    expect(beyond.ok).toBe(false);
    expect(await codeOf(await get(upload, 8))).toBe('no-object');
    expect(await codeOf(await get(upload, 7, 'bytes=-5'))).toBe('invalid-argument');
  });

  it('are refused with any one byte of the ticket altered, and nothing is kept', async () => {
    const { upload, ticket } = await beginUpload();
    const statuses = new Set<number>();
    for (let at = 0; at < ticket.length; at++) {
      for (const other of ['a', 'b', '.', '0'].filter((char) => char !== ticket[at]).slice(0, 2)) {
        const answer = await put({ upload, index: 0, bytes, ticket: ticket.slice(0, at) + other + ticket.slice(at + 1) });
        expect([at, await codeOf(answer)]).toEqual([at, 'bad-token']);
        statuses.add(answer.status);
      }
    }
    expect([...statuses]).toEqual([403]);
    // Had one of them been kept, the same bytes would be answered with 200.
    expect((await put({ upload, index: 0, bytes, ticket })).status).toBe(201);
  });

  it('are refused when the ticket has expired, until the upload is renewed', async () => {
    const { upload, ticket } = (await client.metadata.mutate('begin-upload', { target: '/x', ttlMs: 1 })).result;
    const late = await put({ upload, index: 0, bytes, ticket });
    expect([late.status, await codeOf(late)]).toEqual([403, 'bad-token']);
    const open = await beginUpload();
    const renewed = (await client.metadata.mutate('renew-upload', { upload: open.upload, ttlMs: 60_000 })).result;
    expect((await put({ upload: open.upload, index: 0, bytes, ticket: renewed.ticket })).status).toBe(201);
  });

  it('are refused without, with an altered and with another ticket', async () => {
    const { upload, ticket } = await beginUpload();
    const other = await beginUpload();
    const altered = ticket.slice(0, 10) + (ticket[10] === 'a' ? 'b' : 'a') + ticket.slice(11);
    for (const bad of [undefined, altered, other.ticket, (await proxied()).readToken]) {
      const answer = await put({ upload, index: 0, bytes, ...(bad === undefined ? {} : { ticket: bad }) });
      expect([answer.status, await codeOf(answer)]).toEqual([403, 'bad-token']);
    }
    expect(await codeOf(await get(upload, 0))).toBe('no-object');
    const unread = await fetch(`${(await proxied()).url}/${upload}/0`, { headers: { authorization: `Bearer ${ticket}` } });
    expect(unread.status).toBe(403);
  });

  it('are refused with the wrong checksum, none, too many bytes or no bytes', async () => {
    const { upload, ticket } = await beginUpload();
    expect(await codeOf(await put({ upload, index: 0, bytes, ticket, crc: '00000000' }))).toBe('invalid-argument');
    expect(await codeOf(await put({ upload, index: 0, bytes, ticket, crc: 'zz' }))).toBe('invalid-argument');
    expect(await codeOf(await put({ upload, index: 0, bytes: Buffer.alloc(0), ticket }))).toBe('invalid-argument');
    const large = await put({ upload, index: 0, bytes: Buffer.alloc(64 * 1024 * 1024 + 1), ticket }).catch(() => undefined);
    if (large !== undefined) expect(await codeOf(large)).toBe('too-large');
    for (const index of ['-1', '01', '1000000', 'x', '../0']) expect((await put({ upload, index, bytes, ticket })).ok).toBe(false);
    expect(await codeOf(await get(upload, 0))).toBe('no-object');
  });

  it('are refused once the upload has ended, though the ticket is still good', async () => {
    const { upload, ticket } = await beginUpload();
    await client.metadata.mutate('end-upload', { upload });
    expect(await codeOf(await put({ upload, index: 0, bytes, ticket }))).toBe('no-upload');
  });
});

describe('a publish', () => {
  const bytes = Buffer.alloc(20_000, 'x');
  const piece = (upload: UploadId, length = bytes.length, index = 0) => ({
    upload,
    index,
    offset: 0,
    length,
    crc32c: crc32c(bytes),
    skip: 0,
    take: length,
  });
  const blocksOf = (...extents: ReturnType<typeof piece>[]): Body => ({
    kind: 'blocks',
    manifest: { size: extents.reduce((sum, extent) => sum + extent.take, 0), extents },
  });
  const publish = (path: string, upload: UploadId | undefined, body: Body) =>
    client.metadata.mutate('publish', {
      node: { path: Buffer.from(path) },
      body,
      mode: 0o644,
      uid: 0,
      gid: 0,
      ...(upload === undefined ? {} : { upload }),
    });

  it('of blocks that are there succeeds', async () => {
    const { upload, ticket } = await beginUpload();
    await put({ upload, index: 0, bytes, ticket });
    expect((await publish('/ok', upload, blocksOf(piece(upload)))).result.created).toBe(true);
    expect(Buffer.from(await (await client.get('/ok')).bytes())).toEqual(bytes);
  });

  it('of a missing, a short, a long or a foreign block, or one with other bytes, is refused and shows nothing', async () => {
    const { upload, ticket } = await beginUpload();
    await put({ upload, index: 0, bytes, ticket });
    const other = await beginUpload();
    await put({ upload: other.upload, index: 0, bytes, ticket: other.ticket });
    await expect(publish('/missing', upload, blocksOf(piece(upload), piece(upload, bytes.length, 1)))).rejects.toMatchObject({
      code: 'no-object',
    });
    await expect(publish('/short', upload, blocksOf(piece(upload, bytes.length + 1)))).rejects.toMatchObject({ code: 'bad-upload' });
    await expect(publish('/foreign', upload, blocksOf(piece(upload), piece(other.upload)))).rejects.toMatchObject({ code: 'bad-upload' });
    await expect(publish('/unstaged', undefined, blocksOf(piece(other.upload)))).rejects.toMatchObject({ code: 'bad-upload' });
    const long = blocksOf({ ...piece(upload, bytes.length - 1), crc32c: crc32c(bytes.subarray(1)) });
    await expect(publish('/long', upload, long)).rejects.toMatchObject({ code: 'bad-upload', details: { found: bytes.length } });
    const wrong = blocksOf({ ...piece(upload), crc32c: (crc32c(bytes) ^ 1) >>> 0 });
    await expect(publish('/wrong', upload, wrong)).rejects.toMatchObject({ code: 'bad-upload' });
    for (const path of ['/missing', '/short', '/long', '/wrong', '/foreign', '/unstaged']) expect(await client.exists(path)).toBe(false);
  });

  it('of a part of a packed block compares that part', async () => {
    const { upload, ticket } = await beginUpload();
    const packed = Buffer.concat([Buffer.alloc(20_000, 'a'), Buffer.alloc(20_000, 'b')]);
    await put({ upload, index: 0, bytes: packed, ticket });
    const part = { ...piece(upload), offset: 20_000, crc32c: crc32c(packed.subarray(20_000)) };
    const args = { body: blocksOf(part), mode: 0o644, uid: 0, gid: 0, upload, packed: true, endUpload: false };
    const wrong = { ...args, body: blocksOf({ ...part, crc32c: 1 }) };
    await expect(client.metadata.mutate('publish', { ...wrong, node: { path: Buffer.from('/part') } })).rejects.toMatchObject({
      code: 'bad-upload',
    });
    expect(await client.exists('/part')).toBe(false);
    await client.metadata.mutate('publish', { ...args, node: { path: Buffer.from('/part') } });
    expect(Buffer.from(await (await client.get('/part')).bytes())).toEqual(packed.subarray(20_000));
  });

  it('of a manifest that cannot be is refused', async () => {
    const { upload, ticket } = await beginUpload();
    await put({ upload, index: 0, bytes, ticket });
    const good = piece(upload);
    for (const extent of [
      { ...good, take: 0 },
      { ...good, skip: 1 },
      { ...good, take: good.take + 1 },
    ]) {
      await expect(publish('/impossible', upload, blocksOf(extent))).rejects.toMatchObject({ kind: 'invalid' });
    }
    await expect(publish('/impossible', upload, { kind: 'blocks', manifest: { size: 1, extents: [good] } })).rejects.toMatchObject({
      kind: 'invalid',
    });
    expect(await client.exists('/impossible')).toBe(false);
  });
});

it('shares fsyncs among 64 concurrent durable creates', async () => {
  const CREATES = 256;
  const before = await readMetric(server.http, 'nokv_shard_fsyncs_total');
  const commandsBefore = await readMetric(server.http, 'nokv_shard_commands_total');
  await client.mkdir('/many');
  await Promise.all(Array.from({ length: CREATES }, (_, i) => client.mkdir(`/many/${i}`)));
  const commands = (await readMetric(server.http, 'nokv_shard_commands_total')) - commandsBefore;
  expect(commands).toBeGreaterThan(CREATES);
  // The background may have had something to do meanwhile.
  expect(commands).toBeLessThan(CREATES + 20);
  const fsyncs = (await readMetric(server.http, 'nokv_shard_fsyncs_total')) - before;
  expect(fsyncs).toBeGreaterThan(0);
  expect(fsyncs).toBeLessThan(CREATES / 4);
});

it('tells the block size that its clients use', async () => {
  expect((await client.metadata.access()).blockBytes).toBe(BLOCK_BYTES_DEFAULT);
});
