import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HTTP_STATUS, NokvError, blockKey, makeUploadId, toNokvError, uploadId, type UploadId } from '@nokv/types';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc32c, formatCrc32c } from './block-checksum.js';
import type { BlockStore } from './block-store.js';
import { memoryStore, type MemoryObjectStore } from './memory/memory-object-store.js';
import { proxiedBlockStore } from './proxied-block-store.js';
import { blocksOf } from './store-blocks.js';
import { blockStoreConformance, codeOf } from './testing/index.js';

/** The server's side of the port, as small as it can be; `meet` may answer or break the connection first. */
class BlockPort {
  readonly store: MemoryObjectStore = memoryStore();
  readonly requests: string[] = [];
  readToken = 'read-1';
  meet: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  afterwards: ((request: IncomingMessage) => boolean) | undefined;
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response));

  async listen(where: number | string = 0): Promise<string> {
    await new Promise<void>((resolve) => {
      if (typeof where === 'string') this.#server.listen(where, resolve);
      else this.#server.listen(where, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 1}/objects`;
  }

  async close(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests.push(`${request.method} ${request.url}`);
    if (this.meet?.(request, response) === true) return;
    try {
      const [status, body] = await this.#act(request, Buffer.concat(chunks));
      if (this.afterwards?.(request) === true) return void request.socket.resetAndDestroy();
      response.writeHead(status, { 'content-length': body.length }).end(body);
    } catch (error) {
      const found = toNokvError(error);
      response.writeHead(HTTP_STATUS[found.kind], { 'content-type': 'application/json' }).end(JSON.stringify(found.toRecord()));
    }
  }

  async #act(request: IncomingMessage, body: Buffer): Promise<[number, Uint8Array]> {
    const [, upload = '', index = ''] = /^\/objects\/(\w+)\/(\d+)$/.exec(request.url ?? '') ?? [];
    const key = blockKey(uploadId(upload), Number(index));
    const token = request.headers.authorization?.replace('Bearer ', '');
    if (request.method === 'PUT') {
      if (token !== `ticket-${upload}`) throw new NokvError('bad-token', 'wrong ticket');
      if (request.headers['x-nokv-crc32c'] !== formatCrc32c(crc32c(body))) throw new NokvError('invalid-argument', 'wrong checksum');
      if ((await this.store.putIfAbsent(key, body)) === 'created') return [201, Buffer.alloc(0)];
      await blocksOf(this.store).putBlock(uploadId(upload), Number(index), body, { crc32c: crc32c(body) });
      return [200, Buffer.alloc(0)];
    }
    if (token !== this.readToken) throw new NokvError('bad-token', 'wrong read token');
    const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    return [206, await this.store.get(key, { offset: Number(first), length: Number(last) - Number(first) + 1 })];
  }
}

blockStoreConformance('through the server', async () => {
  const port = new BlockPort();
  const url = await port.listen();
  return {
    blocks: proxiedBlockStore({ url, readToken: () => 'read-1' }),
    begin: async (upload) => `ticket-${upload}`,
    remove: () => port.close(),
  };
});

blockStoreConformance('through the server on a unix socket', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-port-'));
  const socketPath = join(directory, 'http.sock');
  const port = new BlockPort();
  await port.listen(socketPath);
  const remove = async () => {
    await port.close();
    rmSync(directory, { recursive: true });
  };
  return {
    blocks: proxiedBlockStore({ url: 'http://localhost/objects', socketPath, readToken: () => 'read-1' }),
    begin: async (upload) => `ticket-${upload}`,
    remove,
  };
});

describe('faults', () => {
  let port: BlockPort;
  let blocks: BlockStore;
  const refusedTokens: boolean[] = [];
  const upload: UploadId = makeUploadId(1, randomBytes(10));
  const bytes = randomBytes(100_000);
  const options = { crc32c: crc32c(bytes), ticket: `ticket-${upload}` };

  beforeEach(async () => {
    port = new BlockPort();
    refusedTokens.length = 0;
    const readToken = (refused: boolean) => {
      refusedTokens.push(refused);
      return refused ? 'read-2' : 'read-1';
    };
    blocks = proxiedBlockStore({ url: await port.listen(), readToken, retry: { firstDelayMs: 1, attemptsMax: 3 } });
  });
  afterEach(async () => {
    await blocks.close();
    await port.close();
  });

  /** Does this for the first `times` requests. */
  const first = (times: number, act: (request: IncomingMessage, response: ServerResponse) => void) => {
    let left = times;
    port.meet = (request, response) => {
      left -= 1;
      if (left >= 0) act(request, response);
      return left >= 0;
    };
  };

  test('a put whose answer is lost after it took effect succeeds by its repeat', async () => {
    let lost = false;
    port.afterwards = () => !lost && (lost = true);
    await blocks.putBlock(upload, 0, bytes, options);
    expect(port.requests).toHaveLength(2);
    expect(port.store.keys).toEqual([blockKey(upload, 0)]);
  });

  test('a busy server is asked again, after as long as it says', async () => {
    first(1, (_, response) => {
      const body = JSON.stringify(new NokvError('too-busy', 'later').toRecord());
      response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' }).end(body);
    });
    const begin = performance.now();
    await blocks.putBlock(upload, 0, bytes, options);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(950);
  });

  test('resets and cut bodies are read again', async () => {
    await blocks.putBlock(upload, 0, bytes, options);
    let turn = 0;
    first(2, (request, response) => {
      turn += 1;
      if (turn === 1) return void request.socket.resetAndDestroy();
      response.writeHead(206, { 'content-length': 100_000 });
      response.write(bytes.subarray(0, 50_000), () => request.socket.resetAndDestroy());
    });
    expect(Buffer.compare(await blocks.getBlock(upload, 0, 0, 100_000), bytes)).toBe(0);
  });

  test('a refused read token is renewed once', async () => {
    await blocks.putBlock(upload, 0, bytes, options);
    port.readToken = 'read-2';
    expect(await blocks.getBlock(upload, 0, 0, 10)).toHaveLength(10);
    expect(refusedTokens).toEqual([false, true]);
    port.readToken = 'read-3';
    expect(await codeOf(blocks.getBlock(upload, 0, 0, 10))).toBe('bad-token');
  });

  test('the server’s errors come through with code, outcome and message', async () => {
    await expect(blocks.putBlock(upload, 0, bytes, { ...options, ticket: 'forged' })).rejects.toMatchObject({
      code: 'bad-token',
      message: 'wrong ticket',
    });
    first(9, (_, response) => {
      response.writeHead(507).end(JSON.stringify(new NokvError('no-space', 'the disk is full').toRecord()));
    });
    await expect(blocks.putBlock(upload, 0, bytes, options)).rejects.toMatchObject({ code: 'no-space', outcome: 'not-applied' });
    expect(port.store.keys).toEqual([]);
  });

  test('something else than a nokv server is named; a write there has an unknown outcome', async () => {
    first(9, (_, response) => response.writeHead(500).end('<html>oops</html>'));
    await expect(blocks.putBlock(upload, 0, bytes, options)).rejects.toMatchObject({
      code: 'store-unavailable',
      outcome: 'unknown',
      details: { status: 500 },
    });
  });

  test('a server that is gone is unreachable, nothing applied', async () => {
    await port.close();
    await expect(blocks.putBlock(upload, 0, bytes, options)).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'not-applied' });
    port = new BlockPort();
  });

  test('a put without a ticket is our caller’s mistake', async () => {
    await expect(async () => blocks.putBlock(upload, 0, bytes, { crc32c: 1 })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(port.requests).toEqual([]);
  });
});
