/** Appending, writing over parts, cutting and copying share blocks; a plain array of bytes says what must come out. */
import { connect, type NokvClient } from '@nokv/client';
import { isHole, lengthOf, sliceExtents, type Extent } from '@nokv/types';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SeededRandom } from '../simulation/seeded-random.js';
import { patternBytes, sha256, startClientFixture, type ClientFixture } from './client-fixture.js';

const KIB = 1024;
const MIB = 1024 * KIB;
let fixture: ClientFixture;
let client: NokvClient;

beforeAll(async () => {
  fixture = await startClientFixture();
  client = fixture.client;
});
afterAll(async () => {
  await fixture?.close();
});

async function blocksStored(): Promise<number> {
  const files = await readdir(join(fixture.directory, 'data'), { recursive: true, withFileTypes: true });
  return files.filter((entry) => entry.isFile() && entry.parentPath.includes('/blocks/')).length;
}

async function blocksAddedBy(work: () => Promise<unknown>): Promise<number> {
  const before = await blocksStored();
  await work();
  return (await blocksStored()) - before;
}

async function bytesOf(path: string, of = client): Promise<Buffer> {
  return Buffer.from(await (await of.get(path)).bytes());
}

/** A server of its own: its check is not about what other tests left. */
async function startOwn(): Promise<ClientFixture & AsyncDisposable> {
  const own = await startClientFixture();
  return Object.assign(own, { [Symbol.asyncDispose]: () => own.close() });
}

async function extentsOf(path: string): Promise<readonly Extent[]> {
  const { body } = await client.metadata.read('open-read', { node: { path: Buffer.from(path) } });
  return body.kind === 'inline' ? [] : body.manifest.extents;
}

function over(bytes: Uint8Array, offset: number, patch: Uint8Array): Buffer {
  const result = Buffer.alloc(Math.max(bytes.length, offset + patch.length));
  result.set(bytes);
  result.set(patch, offset);
  return result;
}

describe('append', () => {
  test('makes a file, grows it inside the metadata with its digest, and moves it into blocks', async () => {
    const first = await client.append('/log', 'one\n', { ifGeneration: 0 });
    expect(first).toMatchObject({ created: true, offset: 0, length: 4 });
    expect(await client.append('/log', 'two\n')).toMatchObject({ created: false, offset: 4, length: 4 });
    expect(await client.stat('/log')).toMatchObject({ inline: true, digest: sha256(Buffer.from('one\ntwo\n')) });
    await expect(client.append('/log', 'x', { ifGeneration: 0 })).rejects.toMatchObject({ code: 'generation-mismatch' });
    let expected = Buffer.from('one\ntwo\n');
    for (const length of [10 * KIB, 10 * KIB, 1, 5 * MIB, 3]) {
      const part = patternBytes(length, length);
      await client.append('/log', part);
      expected = Buffer.concat([expected, part]);
      expect(Buffer.compare(await bytesOf('/log'), expected)).toBe(0);
    }
    expect(await client.stat('/log')).toMatchObject({ inline: false });
    expect((await client.stat('/log')).digest).toBeUndefined();
  });

  test('keeps content type and producer', async () => {
    await client.put('/typed', 'a', { contentType: 'text/x-log', producer: 'job' });
    await client.append('/typed', patternBytes(20 * KIB));
    await client.append('/typed', patternBytes(20 * KIB));
    expect(await client.stat('/typed')).toMatchObject({ contentType: 'text/x-log', producer: 'job', size: 1 + 40 * KIB });
  });

  test('1 KiB to 100 MiB uploads one block; the bytes before are shared', async () => {
    await client.put('/big', patternBytes(100 * MIB, 3));
    const before = await extentsOf('/big');
    expect(await blocksAddedBy(() => client.append('/big', patternBytes(KIB)))).toBe(1);
    expect((await extentsOf('/big')).slice(0, before.length)).toEqual(before);
    await client.removeTree('/big');
  });

  test('many clients at once: every append lands once, whole', async () => {
    const others = await Promise.all([0, 1, 2, 3].map(() => connect({ address: fixture.server.rpc })));
    const lines = 40;
    const writers = others.map(async (other, writer) => {
      // From the metadata into blocks on the way.
      for (let line = 0; line < lines; line++) await other.append('/shared', `${writer}:${line}:${'x'.repeat(300)}\n`);
    });
    await Promise.all(writers);
    await Promise.all(others.map((other) => other.close()));
    const found = (await bytesOf('/shared')).toString().split('\n').slice(0, -1);
    const wanted = others.flatMap((_, writer) => Array.from({ length: lines }, (__, line) => `${writer}:${line}:${'x'.repeat(300)}`));
    expect([...found].sort()).toEqual([...wanted].sort());
    // Those of one writer in its order.
    for (const writer of others.keys()) {
      const own = found.filter((line) => line.startsWith(`${writer}:`)).map((line) => Number(line.split(':')[1]));
      expect(own).toEqual(own.toSorted((a, b) => a - b));
    }
  });

  test('a repeat under the same request id adds nothing', async () => {
    for (const [path, length] of [
      ['/once-small', 100],
      ['/once-blocks', 40 * KIB],
    ] as const) {
      await client.put(path, patternBytes(length, 1));
      const options = { requestId: `append-${length}` as never };
      const first = await client.append(path, patternBytes(64, 2), options);
      const second = await client.append(path, patternBytes(64, 2), options);
      expect(second).toMatchObject({ version: first.version, generation: first.generation, offset: length });
      expect((await client.stat(path)).size).toBe(length + 64);
    }
  });

  test('nothing appended leaves the digest as it is', async () => {
    const { digest } = await client.put('/same', patternBytes(50 * KIB));
    await client.append('/same', '');
    expect(await client.stat('/same')).toMatchObject({ digest, size: 50 * KIB });
  });

  test('a stream of unknown length', async () => {
    await client.put('/streamed', 'head');
    async function* parts() {
      for (let i = 0; i < 5; i++) yield patternBytes(MIB, i);
    }
    const { offset, length } = await client.append('/streamed', parts());
    expect([offset, length]).toEqual([4, 5 * MIB]);
    expect((await bytesOf('/streamed')).subarray(4 + 4 * MIB).equals(patternBytes(MIB, 4))).toBe(true);
  });
});

describe('patch', () => {
  test('4 KiB in 64 MiB uploads at most two blocks and shares all others', async () => {
    const bytes = patternBytes(64 * MIB, 5);
    await client.put('/weights', bytes);
    const before = await extentsOf('/weights');
    const patch = patternBytes(4 * KIB, 6);
    expect(await blocksAddedBy(() => client.patch('/weights', 13 * MIB - 2 * KIB, patch))).toBeLessThanOrEqual(2);
    const after = await extentsOf('/weights');
    const untouched = before.filter((extent) =>
      after.some((other) => !isHole(other) && !isHole(extent) && other.index === extent.index && other.upload === extent.upload),
    );
    expect(untouched.length).toBeGreaterThanOrEqual(before.length - 2);
    expect(sha256(await bytesOf('/weights'))).toBe(sha256(over(bytes, 13 * MIB - 2 * KIB, patch)));
    await client.removeTree('/weights');
  });

  test('patches, eight at a time, leave a short plan and lose nothing', async () => {
    const size = 8 * MIB;
    const expected = Buffer.from(patternBytes(size, 8));
    await client.put('/patched', expected);
    const random = new SeededRandom(11);
    const places = new Set<number>();
    while (places.size < (process.env['NOKV_TEST_LONG'] === '1' ? 1000 : 100)) places.add(Math.floor((random.float() * size) / 512) * 512);
    const waiting = [...places];
    async function patchInTurn(): Promise<void> {
      for (let offset = waiting.pop(); offset !== undefined; offset = waiting.pop()) {
        const bytes = patternBytes(512, offset);
        expected.set(bytes, offset);
        await client.patch('/patched', offset, bytes);
      }
    }
    await Promise.all(Array.from({ length: 8 }, patchInTurn));
    const extents = await extentsOf('/patched');
    for (let block = 0; block < 2; block++) {
      // Four times as many as one writer leaves, and those that were under way then.
      expect(sliceExtents(extents, block * 4 * MIB, (block + 1) * 4 * MIB).length).toBeLessThanOrEqual(4 * 8 + 2 * 8);
    }
    expect(lengthOf(extents)).toBe(size);
    expect(sha256(await bytesOf('/patched'))).toBe(sha256(expected));
  }, 120_000);

  test('behind the end a gap of zeros, in small files and in blocks', async () => {
    await client.put('/gap', 'ab');
    expect(await client.patch('/gap', 5, 'z')).toMatchObject({ offset: 5, length: 1 });
    expect((await bytesOf('/gap')).toString('latin1')).toBe('ab\0\0\0z');
    await client.patch('/gap', 10 * MIB, 'end');
    expect(Buffer.compare(await bytesOf('/gap'), over(Buffer.from('ab\0\0\0z'), 10 * MIB, Buffer.from('end')))).toBe(0);
    expect((await client.stat('/gap')).blocks * 512).toBeLessThan(64 * KIB);
  });

  test('refuses what cannot be, and changes nothing', async () => {
    await expect(client.patch('/nothing', 0, 'x')).rejects.toMatchObject({ code: 'not-found' });
    await client.put('/f', 'abc');
    for (const offset of [-1, 1.5, Number.NaN])
      await expect(client.patch('/f', offset, 'x')).rejects.toMatchObject({ code: 'invalid-argument' });
    const { generation } = await client.stat('/f');
    await expect(client.patch('/f', 0, 'x', { ifGeneration: generation - 1 })).rejects.toMatchObject({ code: 'generation-mismatch' });
    await client.mkdir('/d');
    await expect(client.patch('/d', 0, 'x')).rejects.toMatchObject({ code: 'is-directory' });
    await expect(client.append('/d', 'x')).rejects.toMatchObject({ code: 'is-directory' });
    await expect(client.append('/no/such', 'x')).rejects.toMatchObject({ code: 'not-found' });
    expect((await bytesOf('/f')).toString()).toBe('abc');
    await client.patch('/f', 1, 'X', { ifGeneration: generation });
    expect((await bytesOf('/f')).toString()).toBe('aXc');
  });
});

describe('small bodies', () => {
  test('cut down to the limit they move into the metadata, grown they leave it', async () => {
    const bytes = patternBytes(100 * KIB, 4);
    await client.put('/moving', bytes);
    await client.truncate('/moving', 10_000);
    expect(await client.stat('/moving')).toMatchObject({ inline: true, digest: sha256(bytes.subarray(0, 10_000)) });
    await client.truncate('/moving', 20_000);
    expect(await client.stat('/moving')).toMatchObject({ inline: false });
    expect(Buffer.compare(await bytesOf('/moving'), over(bytes.subarray(0, 10_000), 19_999, Buffer.alloc(1)))).toBe(0);
  });

  test('10,000 files of 1 KiB put no object', async () => {
    const added = await blocksAddedBy(async () => {
      for (let start = 0; start < 10_000; start += 500) {
        const batch = client.batch();
        for (let i = start; i < start + 500; i++) batch.put(`/small/${i}`, patternBytes(KIB, i), { parents: true });
        const answers = await batch.send();
        expect(answers.every((answer) => answer.ok)).toBe(true);
      }
    });
    expect(added).toBe(0);
    expect(Buffer.compare(await bytesOf('/small/9999'), patternBytes(KIB, 9999))).toBe(0);
  }, 60_000);
});

test('random appends, patches, cuts and copies: what a plain array of bytes says; the check finds nothing', async () => {
  await using own = await startOwn();
  const { client } = own;
  const { NOKV_TEST_SEED, NOKV_TEST_LONG } = process.env;
  const seed = Number(NOKV_TEST_SEED ?? (NOKV_TEST_LONG === '1' ? Date.now() % 100_000 : 2111));
  const random = new SeededRandom(seed);
  const below = (max: number): number => Math.floor(random.float() * max);
  const model = new Map<string, Buffer>();
  const paths = ['/m/a', '/m/b', '/m/c'];
  await client.mkdir('/m');
  const sizes = [0, 1, 100, 9 * KIB, 16 * KIB, 17 * KIB, 300 * KIB, 2 * MIB];
  const steps = NOKV_TEST_LONG === '1' ? 1000 : 150;
  for (let step = 0; step < steps; step++) {
    const path = paths[below(paths.length)] as string;
    const old = model.get(path) ?? Buffer.alloc(0);
    const bytes =
      below(6) === 0 ? Buffer.alloc(sizes[below(sizes.length)] as number) : patternBytes(sizes[below(sizes.length)] as number, step);
    const isThere = model.has(path);
    const compress = below(3) === 0 ? { compress: below(2) === 0 ? ('gzip' as const) : ('brotli' as const) } : {};
    switch (old.length > 6 * MIB ? 4 : below(5)) {
      case 0:
        await client.append(path, bytes, compress);
        model.set(path, Buffer.concat([old, bytes]));
        break;
      case 1: {
        if (!isThere) break;
        const offset = below(old.length + 10 * KIB);
        await client.patch(path, offset, bytes, compress);
        model.set(path, bytes.length === 0 ? old : over(old, offset, bytes));
        break;
      }
      case 2: {
        if (!isThere) break;
        const size = below(3) === 0 ? below(16 * KIB) : below(Math.min(old.length + 20 * KIB, 12 * MIB));
        await client.truncate(path, size);
        model.set(path, over(old.subarray(0, size), size, Buffer.alloc(0)));
        break;
      }
      case 3: {
        const to = paths[below(paths.length)] as string;
        if (!isThere || to === path) break;
        await client.copy(path, to);
        model.set(to, old);
        break;
      }
      case 4:
        await client.put(path, bytes, compress);
        model.set(path, Buffer.from(bytes));
        break;
    }
    const check = model.get(path);
    if (check !== undefined && Buffer.compare(await bytesOf(path, client), check) !== 0)
      throw new Error(`seed ${seed}, step ${step}: ${path} differs`);
  }
  for (const [path, bytes] of model) expect(sha256(await bytesOf(path, client)), `seed ${seed}`).toBe(sha256(bytes));
  const findings: unknown[] = [];
  for await (const item of client.fsck({ checksums: true })) if (item.kind === 'finding') findings.push(item);
  expect(findings).toEqual([]);
}, 600_000);
