import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { DirectGets, NotDirect } from './direct-gets.js';
import { HttpFailure, type HttpCall } from './http-call.js';
import { HttpEndpoint } from './http-endpoint.js';
import { HEAD_BYTES_MAX, parseResponseHead } from './response-head.js';

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const CALL: HttpCall = { method: 'GET', path: '/x', headers: { host: 'h' }, idleMs: 5000, answerBytesMax: 10_000_000 };

/** A server that does with each request of each connection what the script says. */
async function scripted(script: (socket: Socket, request: number, connection: number) => void) {
  let connections = 0;
  const server: Server = createServer((socket) => {
    const connection = ++connections;
    let requests = 0;
    socket.on('error', () => undefined);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        text = text.slice(end + 4);
        script(socket, ++requests, connection);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const gets = new DirectGets({ host: '127.0.0.1', port });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  open.push(() => {
    gets.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { gets, port, connections: () => connections };
}

const answer = (body: Uint8Array | string, more = ''): Buffer =>
  Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n`), Buffer.from(body as string)]);

async function kindOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'answered';
  } catch (error) {
    if (error instanceof NotDirect) return 'not-direct';
    if (error instanceof HttpFailure) return error.kind;
    throw error;
  }
}

describe('an answer', () => {
  test('is the same however its bytes are cut, into the memory that was lent and into its own', async () => {
    const body = randomBytes(300);
    const whole = Buffer.concat([Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'), answer(body, 'X-A: 1\r\nx-a: 2\r\nETag:  "e" \r\n')]);
    let cut = 1;
    const { gets, connections } = await scripted((socket) => {
      const at = cut;
      socket.setNoDelay(true);
      socket.write(whole.subarray(0, at), () => setImmediate(() => socket.write(whole.subarray(at))));
    });
    for (; cut < whole.length; cut += 7) {
      const into = new Uint8Array(400);
      const lent = await gets.get({ ...CALL, into });
      expect(lent.body.buffer).toBe(into.buffer);
      const own = await gets.get({ ...CALL, into: new Uint8Array(10) });
      for (const found of [lent, own]) {
        expect(found.status).toBe(200);
        expect(found.headers).toMatchObject({ 'content-length': '300', 'x-a': '1, 2', etag: '"e"' });
        expect(Buffer.compare(found.body, body)).toBe(0);
      }
    }
    expect(connections()).toBe(1);
  });

  test('of megabytes comes whole, many at once over few connections', async () => {
    const body = randomBytes(1_000_000);
    const whole = answer(body);
    const { gets, connections } = await scripted((socket) => socket.write(whole));
    const all = await Promise.all(Array.from({ length: 100 }, () => gets.get({ ...CALL, idleMs: 60_000 })));
    for (const { body: found } of all) expect(Buffer.compare(found, body)).toBe(0);
    expect(connections()).toBeLessThanOrEqual(64);
  });

  test('that refuses is no use of the memory that was lent', async () => {
    const { gets } = await scripted((socket) => socket.write('HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno'));
    const into = new Uint8Array(10);
    const { status, body } = await gets.get({ ...CALL, into });
    expect([status, body.toString(), into.every((byte) => byte === 0)]).toEqual([404, 'no', true]);
  });

  test('without bytes is an answer', async () => {
    const { gets } = await scripted((socket) => socket.write(answer('')));
    expect((await gets.get(CALL)).body).toHaveLength(0);
  });
});

describe('a connection', () => {
  test('that the server closed while it was idle costs nothing but another one', async () => {
    const { gets, connections } = await scripted((socket, request) => {
      // The second question of a connection meets its end.
      if (request === 1) socket.write(answer('a'));
      else socket.resetAndDestroy();
    });
    for (let i = 0; i < 5; i += 1) expect((await gets.get(CALL)).body.toString()).toBe('a');
    expect(connections()).toBe(5);
  });

  test('is not used again after Connection: close, HTTP/1.0, or bytes behind an answer', async () => {
    const last = ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na', 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na'];
    for (const text of last) {
      const { gets, connections } = await scripted((socket) => socket.write(text));
      await gets.get(CALL);
      await gets.get(CALL);
      expect(connections()).toBe(2);
    }
    const { gets, connections } = await scripted((socket) => {
      socket.write(answer('a'));
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb'), 20);
    });
    await gets.get(CALL);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await gets.get(CALL)).body.toString()).toBe('a');
    expect(connections()).toBe(2);
  });

  test('that is idle does not hold the process', async () => {
    const server = createHttpServer((_, response) => response.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const endpoint = new URL('../../dist/http/http-endpoint.js', import.meta.url).href;
    const script = `
      const { HttpEndpoint } = await import(${JSON.stringify(endpoint)});
      const call = { method: 'GET', path: '/', headers: { host: 'h' }, idleMs: 60000, answerBytesMax: 100 };
      const { body } = await new HttpEndpoint(new URL('http://127.0.0.1:${port}')).exchange(call);
      process.stdout.write(String(body));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 15_000 });
    expect(stdout).toBe('hello');
  });
});

describe('what goes wrong', () => {
  test('has its kind', async () => {
    const cases: readonly (readonly [string, string])[] = [
      ['broken', 'SSH-2.0-x\r\n\r\n'],
      ['broken', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'],
      ['broken', 'HTTP/1.1 200 OK\r\nno colon\r\n\r\n'],
      ['broken', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc'],
      ['oversize', 'HTTP/1.1 200 OK\r\nContent-Length: 10000001\r\n\r\n'],
      ['not-direct', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n'],
      ['not-direct', 'HTTP/1.1 200 OK\r\n\r\nabc'],
      ['broken', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(HEAD_BYTES_MAX)}\r\n\r\n`],
    ];
    for (const [kind, text] of cases) {
      const { gets } = await scripted((socket) => socket.end(text));
      expect([text.slice(0, 60), await kindOf(gets.get(CALL))]).toEqual([text.slice(0, 60), kind]);
    }
  });

  test('a cut body is broken, and says how much came', async () => {
    const { gets, connections } = await scripted((socket) => socket.end(answer(Buffer.alloc(1000)).subarray(0, 500)));
    await expect(gets.get(CALL)).rejects.toThrow(/ended after \d+ of 1000 bytes/);
    expect(connections()).toBe(1);
  });

  test('a connection that ends before a byte came is asked twice at most', async () => {
    const { gets, connections } = await scripted((socket, request, connection) => {
      if (connection === 1 && request === 1) socket.write(answer('a'));
      else socket.destroy();
    });
    await gets.get(CALL);
    expect(await kindOf(gets.get(CALL))).toBe('broken');
    expect(connections()).toBe(2);
  });

  test('silence ends after its time, at once when the caller gives up, and nobody is there is told so', async () => {
    const { gets, port } = await scripted(() => undefined);
    expect(await kindOf(gets.get({ ...CALL, idleMs: 30 }))).toBe('idle');
    const stop = new AbortController();
    const waiting = kindOf(gets.get({ ...CALL, signal: stop.signal }));
    setTimeout(() => stop.abort(new Error('enough')), 20);
    expect(await waiting).toBe('aborted');
    expect(await kindOf(gets.get({ ...CALL, signal: stop.signal }))).toBe('aborted');
    const nobody = new DirectGets({ host: '127.0.0.1', port: port === 1 ? 2 : 1 });
    expect(await kindOf(nobody.get(CALL))).toBe('unreachable');
    nobody.close();
  });

  test('an abort in the middle of a body lets go of the memory', async () => {
    let rest: (() => void) | undefined;
    const { gets } = await scripted((socket) => {
      const whole = answer(Buffer.alloc(100_000, 1));
      socket.write(whole.subarray(0, 50_000));
      rest = () => socket.write(whole.subarray(50_000));
    });
    const stop = new AbortController();
    const into = new Uint8Array(100_000);
    const waiting = kindOf(gets.get({ ...CALL, into, signal: stop.signal }));
    while (into[1000] !== 1) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    expect(await waiting).toBe('aborted');
    into.fill(7);
    rest?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(into.every((byte) => byte === 7)).toBe(true);
  });

  test('headers that would begin another one are refused before anything is sent', async () => {
    const { gets, connections } = await scripted((socket) => socket.write(answer('a')));
    for (const headers of [{ host: 'h\r\nx: y' }, { host: 'h\0' }, { 'a\r\nb': 'c' }]) {
      expect(await kindOf(gets.get({ ...CALL, headers }))).toBe('broken');
    }
    expect(await kindOf(gets.get({ ...CALL, path: '/ HTTP/1.1\r\nx: y\r\n\r\n' }))).toBe('broken');
    expect((await gets.get(CALL)).body.toString()).toBe('a');
    expect(connections()).toBeGreaterThan(0);
  });
});

test("an endpoint leaves to Node's client what is beyond this one", async () => {
  const server = createHttpServer((_, response) => {
    response.write('in ');
    response.end('chunks');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = new HttpEndpoint(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  open.push(() => {
    endpoint.close();
    server.close();
  });
  expect((await endpoint.exchange(CALL)).body.toString()).toBe('in chunks');
});

test('a head is parsed when it is whole', () => {
  const text = 'HTTP/1.1 206 Partial Content\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello';
  for (let at = 0; at < text.length - 5; at += 1) expect(parseResponseHead(Buffer.from(text.slice(0, at)))).toBeUndefined();
  expect(parseResponseHead(Buffer.from(text))).toEqual({
    status: 206,
    headers: { 'keep-alive': 'timeout=5', 'content-length': '5' },
    contentLength: 5,
    keepsAlive: true,
    end: text.length - 5,
  });
});
