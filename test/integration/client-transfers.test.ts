import { connect, type NokvClient } from '@nokv/client';
import { requestId as toRequestId } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patternBytes, sha256, startClientFixture, type ClientFixture } from './client-fixture.js';

const MIB = 1024 * 1024;
let fixture: ClientFixture;

beforeAll(async () => {
  fixture = await startClientFixture();
});

afterAll(async () => {
  await fixture?.close();
});

/** A body that stops in the middle for good. */
function stallingBody(before: Uint8Array) {
  let stalled: () => void = () => undefined;
  const hasStalled = new Promise<void>((resolve) => (stalled = resolve));
  async function* body() {
    yield before;
    stalled();
    await new Promise(() => undefined);
  }
  return { body: body(), hasStalled };
}

describe('a put that ends early', () => {
  test('by its signal leaves nothing visible and ends its upload', async () => {
    const { client } = fixture;
    const { body, hasStalled } = stallingBody(patternBytes(9 * MIB));
    const abort = new AbortController();
    const put = client.put('/aborted', body, { signal: abort.signal });
    await hasStalled;
    abort.abort();
    await expect(put).rejects.toMatchObject({ code: 'cancelled', outcome: 'not-applied' });
    expect(await client.exists('/aborted')).toBe(false);
  });

  test('by its deadline says so', async () => {
    const { client } = fixture;
    const { body, hasStalled } = stallingBody(patternBytes(5 * MIB));
    const put = client.put('/late', body, { timeoutMs: 200 }).catch((error: unknown) => error);
    await hasStalled;
    expect(await put).toMatchObject({ code: 'deadline-exceeded' });
    expect(await client.exists('/late')).toBe(false);
  });

  test('by its source keeps what was there and hands the error on', async () => {
    const { client } = fixture;
    await client.put('/kept', 'before');
    async function* broken() {
      yield patternBytes(5 * MIB);
      throw new Error('the disk went away');
    }
    await expect(client.put('/kept', broken())).rejects.toThrow('the disk went away');
    expect(await (await client.get('/kept')).text()).toBe('before');
  });
});

describe('a read that ends early', () => {
  test('by leaving the loop frees the stream and the handle stays usable', async () => {
    const { client } = fixture;
    const body = patternBytes(20 * MIB, 3);
    await client.put('/left', body);
    const handle = await client.get('/left');
    for await (const chunk of handle.stream()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(Buffer.compare(await handle.read(19 * MIB, 10), body.subarray(19 * MIB, 19 * MIB + 10))).toBe(0);
  });

  test('by its signal is cancelled', async () => {
    const { client } = fixture;
    await client.put('/left-too', patternBytes(20 * MIB, 5));
    const abort = new AbortController();
    const reading = (async () => {
      for await (const chunk of (await client.get('/left-too')).stream({ signal: abort.signal })) if (chunk.length > 0) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('refuses ranges that are none', async () => {
    const { client } = fixture;
    await client.put('/ranges', 'x');
    const handle = await client.get('/ranges');
    await expect(handle.read(-1, 1)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(handle.read(0, 0.5)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(handle.bytes({ maxBytes: 0 })).rejects.toMatchObject({ code: 'too-large' });
  });
});

describe('through the HTTP port of the server alone', () => {
  let proxied: NokvClient;

  beforeAll(async () => {
    proxied = await connect({ address: fixture.server.rpc, ways: ['proxied'] });
  });

  afterAll(async () => {
    await proxied?.close();
  });

  test.each([0, 16_384, 16_385, 4 * MIB + 1, 30 * MIB])('a body of %i bytes comes back', async (length) => {
    const body = patternBytes(length, length);
    const path = `/proxied-${length}`;
    expect((await proxied.put(path, body)).digest).toBe(sha256(body));
    expect(sha256(await (await proxied.get(path)).bytes())).toBe(sha256(body));
    // The other way sees the same blocks.
    expect(sha256(await (await fixture.client.get(path)).bytes())).toBe(sha256(body));
    expect((await proxied.blocks()).description).toMatch(length > 16_384 ? /through http/ : /./);
  });

  test('a put that is repeated under its id after it was published is the same put', async () => {
    const body = patternBytes(5 * MIB, 31);
    const requestId = toRequestId('proxied-repeat');
    const first = await proxied.put('/proxied-repeat', body, { requestId });
    await proxied.put('/proxied-repeat', 'newer');
    expect((await proxied.put('/proxied-repeat', body, { requestId })).generation).toBe(first.generation);
    expect(await (await proxied.get('/proxied-repeat')).text()).toBe('newer');
  });

  test('a server that moved its HTTP port is found again', async () => {
    const body = patternBytes(MIB, 37);
    await proxied.put('/moved', body);
    await fixture.restart();
    await proxied.put('/moved-too', patternBytes(MIB, 41));
    expect(sha256(await (await proxied.get('/moved')).bytes())).toBe(sha256(body));
  });

  test('a way that the server does not offer is refused by name', async () => {
    const s3 = await connect({ address: fixture.server.rpc, ways: ['s3'] });
    await expect(s3.put('/no-way', patternBytes(MIB))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('proxied'),
    });
    await s3.close();
  });
});

describe('a client', () => {
  test('that is closed refuses calls', async () => {
    const other = await connect(fixture.server.rpc);
    await other.close();
    await expect(other.stat('/')).rejects.toMatchObject({ code: 'cancelled', message: expect.stringContaining('closed') });
    await other.close();
  });

  test('is disposed of at the end of its scope', async () => {
    let used: NokvClient;
    {
      await using scoped = await connect(fixture.server.rpc);
      used = scoped;
      expect(await used.exists('/')).toBe(true);
    }
    await expect(used.stat('/')).rejects.toMatchObject({ code: 'cancelled' });
  });

  test.each([
    [{ address: '' }, 'invalid-argument'],
    [{ address: 'host:port:more' }, 'invalid-argument'],
    [{ address: 'unix:relative' }, 'invalid-argument'],
    [{ timeoutMs: 0 }, 'invalid-argument'],
    [{ signal: AbortSignal.abort() }, 'cancelled'],
  ])('with options %j is refused', async (options, code) => {
    await expect(connect({ address: fixture.server.rpc, ...options })).rejects.toMatchObject({ code });
  });

  test('that meets no nokv server says so within its deadline', async () => {
    const { createServer } = await import('node:net');
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    await expect(connect({ address: `127.0.0.1:${port}`, timeoutMs: 300 })).rejects.toMatchObject({ code: 'deadline-exceeded' });
    silent.close();
  });
});
