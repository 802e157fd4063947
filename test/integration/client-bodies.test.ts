import { version as toVersion } from '@nokv/types';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(Uint8Array.from(chunk));
  return Buffer.concat(all);
}

describe('bodies come back as they were put', () => {
  test.each([0, 1, 16_384, 16_385, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 50 * 1000 * 1000])('%i bytes', async (length) => {
    const { client } = fixture;
    const body = patternBytes(length, length);
    const path = `/sizes-${length}`;
    const put = await client.put(path, body);
    expect(put).toMatchObject({ created: true, digest: sha256(body) });
    expect(put.attributes.size).toBe(length);
    const card = await client.stat(path);
    expect(card).toMatchObject({ size: length, digest: sha256(body), generation: put.generation, inline: length <= 16_384 });

    const handle = await client.get(path);
    expect(Buffer.compare(await handle.bytes(), body)).toBe(0);
    for (const offset of [0, 1, length >> 1, length - 1, 4 * MIB - 3]) {
      if (offset < 0 || offset > length) continue;
      expect(Buffer.compare(await handle.read(offset, 7), body.subarray(offset, offset + 7))).toBe(0);
    }
    expect(await handle.read(length + 5, 10)).toHaveLength(0);
    const middle = Math.floor(length / 3);
    expect(Buffer.compare(await collect(handle.stream({ offset: middle, length: middle })), body.subarray(middle, middle * 2))).toBe(0);
  });

  test('from text, streams, blobs, generators and local files', async () => {
    const { client, directory } = fixture;
    const big = patternBytes(5 * MIB, 7);
    const file = join(directory, 'local-file');
    await writeFile(file, big);
    async function* pieces() {
      for (let at = 0; at < big.length; at += 100_001) yield big.subarray(at, at + 100_001);
    }
    await client.put('/from-text', 'grüße');
    await client.put('/from-generator', pieces());
    await client.put('/from-blob', new Blob([Buffer.from(big)]));
    await client.put('/from-stream', new Blob([Buffer.from(big)]).stream());
    await client.put('/from-file', { file });
    expect(await (await client.get('/from-text')).text()).toBe('grüße');
    for (const name of ['generator', 'blob', 'stream', 'file']) {
      expect((await client.stat(`/from-${name}`)).digest).toBe(sha256(big));
      expect(sha256(await (await client.get(`/from-${name}`)).bytes())).toBe(sha256(big));
    }
  });

  test('what streams no bytes is refused by name and leaves nothing', async () => {
    const { client } = fixture;
    async function* texts() {
      yield 'text' as unknown as Uint8Array;
    }
    await expect(client.put('/no-bytes', texts())).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('string'),
    });
    expect(await client.exists('/no-bytes')).toBe(false);
  });

  test('a local file that is not there is named', async () => {
    await expect(fixture.client.put('/x', { file: '/nowhere/at/all' })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('/nowhere/at/all'),
    });
  });

  test('getStream has the range that was asked for', async () => {
    const { client } = fixture;
    const body = patternBytes(9 * MIB, 3);
    await client.put('/web', body);
    const stream = await client.getStream('/web', { offset: 4 * MIB - 10, length: 20 });
    expect(Buffer.compare(await collect(stream), body.subarray(4 * MIB - 10, 4 * MIB + 10))).toBe(0);
  });

  test('metadata of a put is kept', async () => {
    const { client } = fixture;
    const mtime = { sec: 1_600_000_000, nsec: 123_456_789 };
    await client.put('/deep/er/file', 'x', { parents: true, mode: 0o640, mtime, contentType: 'text/plain', producer: 'test' });
    expect(await client.stat('/deep/er/file')).toMatchObject({ mode: 0o640, mtime, contentType: 'text/plain', producer: 'test' });
  });

  test('an expected digest that is another stops the put before it is visible', async () => {
    const { client } = fixture;
    const wrong = sha256(new Uint8Array(1));
    for (const body of ['small', patternBytes(MIB)]) {
      await expect(client.put('/digest', body, { digest: wrong })).rejects.toMatchObject({ code: 'corrupt' });
    }
    expect(await client.exists('/digest')).toBe(false);
  });
});

describe('publishing', () => {
  test('compare-and-set by generation wins once and names the current one', async () => {
    const { client } = fixture;
    const first = await client.put('/cas', 'one', { ifGeneration: 0 });
    await expect(client.put('/cas', 'again', { ifGeneration: 0 })).rejects.toMatchObject({ code: 'exists' });
    const rivals = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((text) => client.put('/cas', text, { ifGeneration: first.generation })),
    );
    const winners = rivals.filter((rival) => rival.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    const current = winners[0]?.value.generation;
    for (const rival of rivals) {
      if (rival.status === 'rejected')
        expect(rival.reason).toMatchObject({ code: 'generation-mismatch', kind: 'conflict', details: { generation: current } });
    }
    expect((await client.stat('/cas')).generation).toBe(current);
  });

  test('compare-and-set by digest', async () => {
    const { client } = fixture;
    await client.put('/by-digest', 'one');
    await expect(client.put('/by-digest', 'two', { ifDigest: sha256(Buffer.from('other')) })).rejects.toMatchObject({ kind: 'conflict' });
    await client.put('/by-digest', 'two', { ifDigest: sha256(Buffer.from('one')) });
    expect(await (await client.get('/by-digest')).text()).toBe('two');
  });

  test('a staged body is invisible until it is published, and can be discarded', async () => {
    const { client } = fixture;
    const body = patternBytes(6 * MIB, 11);
    const staged = await client.stage(body);
    expect(await client.exists('/staged')).toBe(false);
    await client.publish('/staged', staged);
    expect(sha256(await (await client.get('/staged')).bytes())).toBe(staged.digest);
    const dropped = await client.stage(body);
    await client.discard(dropped);
    await expect(client.publish('/dropped', dropped)).rejects.toMatchObject({ outcome: 'not-applied' });
    expect(await client.exists('/dropped')).toBe(false);
  });

  test('the same request id answers with the first result, whatever was published since', async () => {
    const { client } = fixture;
    for (const [path, body] of [
      ['/repeat-small', Buffer.from('small')],
      ['/repeat-large', patternBytes(5 * MIB, 13)],
    ] as const) {
      const requestId = (await client.mkdir(`${path}-id`)).requestId;
      const other = `${requestId.slice(0, 20)}${path.slice(8, 13)}` as typeof requestId;
      const first = await client.put(path, body, { requestId: other });
      await client.put(path, 'newer');
      const again = await client.put(path, body, { requestId: other });
      expect(again.generation).toBe(first.generation);
      expect(await (await client.get(path)).text()).toBe('newer');
    }
  });

  test('an opened body stays at its generation while the path moves on', async () => {
    const { client } = fixture;
    const old = patternBytes(9 * MIB, 17);
    await client.put('/moving', old);
    const handle = await client.get('/moving');
    await client.put('/moving', 'new');
    expect(sha256(await handle.bytes())).toBe(sha256(old));
    expect(await (await client.get('/moving', { generation: handle.generation })).read(0, 4)).toEqual(Buffer.from(old.subarray(0, 4)));
    expect(await (await client.get('/moving')).text()).toBe('new');
  });

  test('a copy shares blocks: the store gets no object, and the two do not alias', async () => {
    const { client } = fixture;
    const body = patternBytes(9 * MIB, 19);
    const original = await client.put('/original', body, { mode: 0o600, contentType: 'application/x-test' });
    const copied = await client.copy('/original', '/copied', { preserve: true });
    expect(copied.attributes).toMatchObject({ size: body.length, mode: 0o600, mtime: original.attributes.mtime });
    const plans = await Promise.all(
      ['/original', '/copied'].map((path) => client.metadata.read('open-read', { node: { path: Buffer.from(path) } })),
    );
    expect(plans[1]?.body).toEqual(plans[0]?.body);
    await client.put('/original', 'changed');
    await client.unlink('/original');
    expect(sha256(await (await client.get('/copied')).bytes())).toBe(sha256(body));
    expect(await client.stat('/copied')).toMatchObject({ contentType: 'application/x-test', digest: sha256(body) });
  });

  test('truncate cuts and extends without a body passing through', async () => {
    const { client } = fixture;
    const body = patternBytes(5 * MIB, 23);
    await client.put('/cut', body);
    await client.truncate('/cut', 4 * MIB + 5);
    expect(Buffer.compare(await (await client.get('/cut')).bytes(), body.subarray(0, 4 * MIB + 5))).toBe(0);
    await client.truncate('/cut', 4 * MIB + 9);
    expect(Buffer.compare(await (await client.get('/cut')).bytes(), Buffer.concat([body.subarray(0, 4 * MIB + 5), Buffer.alloc(4)]))).toBe(
      0,
    );
  });

  test('progress rises to the size of the body', async () => {
    const { client, directory } = fixture;
    const file = join(directory, 'progress');
    await writeFile(file, patternBytes(9 * MIB));
    await appendFile(file, 'tail');
    const seen: number[] = [];
    await client.put(
      '/progress',
      { file },
      {
        onProgress: ({ bytes, bytesTotal, phase }) => {
          if (phase === 'transfer' && bytesTotal !== undefined) expect(bytesTotal).toBe(9 * MIB + 4);
          seen.push(bytes);
        },
      },
    );
    expect(seen.at(-1)).toBe(9 * MIB + 4);
    expect(seen.every((bytes, index) => index === 0 || bytes >= (seen[index - 1] as number))).toBe(true);
  });
});

test('versions order what happened', async () => {
  const { client } = fixture;
  const first = await client.put('/order', '1');
  const second = await client.mkdir('/order-dir');
  expect(second.version).toBeGreaterThan(first.version);
  await client.metadata.durable(toVersion(second.version));
  expect(client.metadata.durableVersion).toBeGreaterThanOrEqual(second.version);
});
