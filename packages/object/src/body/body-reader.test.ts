import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockKey, makeUploadId, sliceExtents, spliceExtents, type Body, type Extent, type Piece } from '@nokv/types';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import { openFileStore } from '../file/file-object-store.js';
import { memoryStore, type MemoryObjectStore } from '../memory/memory-object-store.js';
import { blocksOf } from '../store-blocks.js';
import { codeOf } from '../testing/index.js';
import { BodyReader, type BodyReaderOptions } from './body-reader.js';
import { uploadBody } from './upload-body.js';
import { UploadSession } from './upload-session.js';

const upload = makeUploadId(1, randomBytes(10));

interface Made {
  readonly store: MemoryObjectStore;
  readonly body: Body;
  readonly bytes: Buffer;
  readonly reader: BodyReader;
}

/** A body of `blocks` blocks of 10,000 bytes. */
async function make(blocks: number, options: Partial<BodyReaderOptions> = {}): Promise<Made> {
  const store = memoryStore();
  const bytes = randomBytes(blocks * 10_000);
  const session = new UploadSession({ store: blocksOf(store), begin: async () => ({ upload }) });
  const { body } = await uploadBody([bytes], { session, blockBytes: 10_000, inlineBytesMax: 0 });
  return { store, body, bytes, reader: new BodyReader({ store: blocksOf(store), ...options }) };
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk)); // A copy: chunks may be used again.
  return Buffer.concat(chunks);
}

describe('ranges', () => {
  test('any range of any arrangement of slices and holes gives the bytes that the manifest says', async () => {
    const store = memoryStore();
    const block = randomBytes(5000);
    await blocksOf(store).putBlock(upload, 0, block, { crc32c: crc32c(block) });
    const extent = fc.oneof(
      fc.record({ hole: fc.constant(true as const), take: fc.integer({ min: 1, max: 3000 }) }),
      fc.tuple(fc.nat(4999), fc.nat(4999), fc.nat(4999), fc.nat(4999)).map(([a, b, c, d]): Extent => {
        const [offset = 0, skipped = 0, taken = 0, end = 0] = [a, b, c, d].sort((x, y) => x - y);
        const bytes = block.subarray(offset, end + 1);
        return { upload, index: 0, offset, length: bytes.length, crc32c: crc32c(bytes), skip: skipped - offset, take: taken - skipped + 1 };
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(extent, { maxLength: 12 }),
        fc.nat(20_000),
        fc.nat(20_000),
        fc.boolean(),
        async (extents, offset, length, reuse) => {
          const whole = Buffer.concat(
            extents.map((one) =>
              'hole' in one ? Buffer.alloc(one.take) : block.subarray(one.offset + one.skip, one.offset + one.skip + one.take),
            ),
          );
          const body: Body = { kind: 'blocks', manifest: { size: whole.length, extents } };
          const reader = new BodyReader({ store: blocksOf(store) });
          const wanted = whole.subarray(offset, offset + length);
          expect(Buffer.compare(await reader.read(body, offset, length), wanted)).toBe(0);
          expect(Buffer.compare(await collect(reader.stream(body, { offset, length, reuse })), wanted)).toBe(0);
          expect(Buffer.compare(await reader.handle(body).read(offset, length), wanted)).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('inline bodies read alike', async () => {
    const { reader, store } = await make(1);
    const body: Body = { kind: 'inline', bytes: Buffer.from('0123456789') };
    expect(Buffer.from(await reader.read(body, 3, 4)).toString()).toBe('3456');
    expect(Buffer.from(await reader.read(body, 8, 10)).toString()).toBe('89');
    expect(await reader.read(body, 10, 1)).toHaveLength(0);
    expect((await collect(reader.stream(body, { offset: 4 }))).toString()).toBe('456789');
    expect((await collect(reader.stream(body, { offset: 40 }))).toString()).toBe('');
    expect(store.calls.get).toBe(0);
  });
});

describe('verification', () => {
  test('a wrong byte on the way is fetched again and not shown', async () => {
    const { store, body, bytes, reader } = await make(3);
    store.inject({ on: 'get', effect: { kind: 'flip' } });
    expect(Buffer.compare(await reader.read(body, 0, 30_000), bytes)).toBe(0);
    expect(store.calls.get).toBe(4);
  });

  test('a byte flipped in the file store is corrupt with key and path, by every way of reading', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nokv-corrupt-'));
    try {
      const store = blocksOf(await openFileStore(directory));
      const { body } = await uploadBody([randomBytes(100_000)], {
        session: new UploadSession({ store, begin: async () => ({ upload }) }),
        blockBytes: 20_000,
      });
      const key = blockKey(upload, 2);
      const path = join(directory, 'data', key);
      const bytes = readFileSync(path);
      bytes[777] = (bytes[777] ?? 0) ^ 4;
      writeFileSync(path, bytes);
      const reader = new BodyReader({ store });
      const wanted = {
        code: 'corrupt',
        message: expect.stringContaining('/runs/7/model.bin'),
        details: { key, path: '/runs/7/model.bin' },
      };
      await expect(reader.read(body, 40_000, 10, { path: '/runs/7/model.bin' })).rejects.toMatchObject(wanted);
      for (const reuse of [false, true])
        await expect(collect(reader.stream(body, { path: '/runs/7/model.bin', reuse }))).rejects.toMatchObject(wanted);
      await expect(reader.handle(body, { path: '/runs/7/model.bin' }).read(40_000, 10)).rejects.toMatchObject(wanted);
      expect(await reader.read(body, 0, 40_000)).toHaveLength(40_000);
      writeFileSync(path, bytes.subarray(0, 100));
      await expect(reader.read(body, 40_000, 10)).rejects.toMatchObject({ code: 'corrupt', details: { key } });
      rmSync(path);
      await expect(reader.read(body, 40_000, 10)).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining('no such object'),
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('a failing store is not called corrupt', async () => {
    const { store, body, reader } = await make(1);
    store.inject({ on: 'get', effect: { kind: 'fail' } });
    expect(await codeOf(reader.read(body, 0, 10))).toBe('store-unavailable');
    expect(await reader.read(body, 0, 10)).toHaveLength(10);
  });
});

describe('cache', () => {
  test('32 cold readers of one block cause one get', async () => {
    const { store, body, bytes, reader } = await make(1);
    store.inject({ on: 'get', effect: { kind: 'delay', ms: 5 } });
    const found = await Promise.all(Array.from({ length: 32 }, (_, at) => reader.read(body, at * 100, 100)));
    found.forEach((part, at) => expect(Buffer.compare(part, bytes.subarray(at * 100, at * 100 + 100))).toBe(0));
    expect(store.calls.get).toBe(1);
  });

  test('32 cold readers of a body that is larger than the cache cause one get a block, buffers used again or not', async () => {
    const { store, body, bytes, reader } = await make(6, { cacheBytes: 0 });
    store.inject({ on: 'get', times: 6, effect: { kind: 'delay', ms: 5 } });
    const readers = Array.from({ length: 32 }, async (_, at) =>
      Buffer.compare(await collect(reader.stream(body, { reuse: at % 2 === 0 })), bytes),
    );
    expect(new Set(await Promise.all(readers))).toEqual(new Set([0]));
    expect(store.calls.get).toBe(6);
    expect(reader.figures.memory).toMatchObject({ misses: 6, joined: 31 * 6 });
  });

  test('its bound counts what it holds, keys and whole buffers included', async () => {
    const { store, reader } = await make(1, { cacheBytes: 1_000_000 });
    const block = randomBytes(600_000);
    await blocksOf(store).putBlock(upload, 9, block, { crc32c: crc32c(block) });
    const size = 600;
    // 1,000 small pieces of one block, read together: each must not keep the buffer that all of them came in.
    const extents = Array.from({ length: 1000 }, (_, at): Piece => {
      const bytes = block.subarray(at * size, (at + 1) * size);
      return { upload, index: 9, offset: at * size, length: size, crc32c: crc32c(bytes), skip: 0, take: size };
    });
    const body: Body = { kind: 'blocks', manifest: { size: 600_000, extents } };
    expect(Buffer.compare(await reader.read(body, 0, 600_000), block)).toBe(0);
    expect(store.calls.get).toBe(1);
    expect(reader.figures.memory.bytes).toBe(1000 * (size + 256));
    for (let at = 0; at < 400; at += 1)
      await reader.read(
        {
          ...body,
          manifest: { size, extents: [{ ...(extents[at] as Piece), offset: at, crc32c: crc32c(block.subarray(at, at + size)) }] },
        },
        0,
        10,
      );
    expect(reader.figures.memory.bytes).toBeLessThanOrEqual(1_000_000);
    expect(reader.figures.memory.evictions).toBeGreaterThan(200);
  });

  test('what was read is not fetched again while it fits; the least recently used goes first', async () => {
    const { store, body, reader } = await make(4, { cacheBytes: 21_000 });
    for (const block of [0, 1, 0, 1, 0]) await reader.read(body, block * 10_000, 5);
    expect(store.calls.get).toBe(2);
    await reader.read(body, 20_000, 5);
    await reader.read(body, 0, 5);
    expect(store.calls.get).toBe(3);
    await reader.read(body, 10_000, 5);
    expect(store.calls.get).toBe(4);
  });

  test('a long stream leaves the cache to others', async () => {
    const { store, body, reader } = await make(10, { cacheBytes: 30_000 });
    await reader.read(body, 0, 5);
    await collect(reader.stream(body));
    const before = store.calls.get;
    await reader.read(body, 0, 5);
    expect(store.calls.get).toBe(before);
  });

  test('one reader that gives up does not take the block from another; when all do, the fetch ends', async () => {
    const { store, body, reader } = await make(1);
    store.inject({ on: 'get', effect: { kind: 'delay', ms: 20 } });
    const abort = new AbortController();
    const impatient = codeOf(reader.read(body, 0, 10, { signal: abort.signal }));
    const patient = reader.read(body, 0, 10);
    abort.abort();
    expect(await impatient).toBe('cancelled');
    expect(await patient).toHaveLength(10);
    expect(store.calls.get).toBe(1);
    const fresh = new BodyReader({ store: blocksOf(store) });
    store.inject({ on: 'get', effect: { kind: 'delay', ms: 60_000 } });
    const alone = new AbortController();
    const reading = codeOf(fresh.read(body, 0, 10, { signal: alone.signal }));
    alone.abort();
    expect(await reading).toBe('cancelled');
    expect(await fresh.read(body, 0, 10)).toHaveLength(10);
  });
});

describe('streams', () => {
  test('several gets are in flight, within the read-ahead; a reader that stops stops them', async () => {
    const { store, body, reader } = await make(50, { readAheadBytesMax: 300_000, cacheBytes: 0 });
    store.inject({ on: 'get', times: 100, effect: { kind: 'delay', ms: 1 } });
    let taken = 0;
    for await (const chunk of reader.stream(body)) {
      taken += chunk.length;
      if (taken >= 100_000) break;
    }
    expect(store.concurrencyMax).toBeGreaterThan(4);
    expect(store.concurrencyMax).toBeLessThanOrEqual(31);
    expect(store.calls.get).toBeLessThan(50);
  });

  test('the window grows while the reader waits for the store, up to its bound, and not for a reader that is slower', async () => {
    const waiting = await make(120, { readAheadBytesMax: 400_000, cacheBytes: 0 });
    waiting.store.inject({ on: 'get', times: 1000, effect: { kind: 'delay', ms: 4 } });
    for await (const _ of waiting.reader.stream(waiting.body));
    // The budget of one reader is 32 gets at once.
    expect(waiting.store.concurrencyMax).toBe(32);
    const slow = await make(120, { readAheadBytesMax: 1_000_000, cacheBytes: 0 });
    let taken = 0;
    for await (const _ of slow.reader.stream(slow.body)) {
      taken += 1;
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      // The first chunk was waited for: 512 KiB from then on.
      expect(slow.store.calls.get - taken).toBeLessThanOrEqual(53);
    }
  });

  test('a slow reader is not run away from', async () => {
    const { store, body, reader } = await make(100, { readAheadBytesMax: 50_000, cacheBytes: 0 });
    const stream = reader.stream(body)[Symbol.asyncIterator]();
    await stream.next();
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    // The first window is 256 KiB.
    expect(store.calls.get).toBeLessThanOrEqual(28);
    await stream.return?.(undefined);
  });

  test('with reuse a long stream lives in a few buffers', async () => {
    const { body, bytes, reader } = await make(200, { readAheadBytesMax: 50_000, cacheBytes: 0 });
    const buffers = new Set<ArrayBufferLike>();
    let at = 0;
    for await (const chunk of reader.stream(body, { reuse: true })) {
      expect(Buffer.compare(chunk, bytes.subarray(at, at + chunk.length))).toBe(0);
      at += chunk.length;
      buffers.add(chunk.buffer);
    }
    expect(at).toBe(bytes.length);
    // The first window is 256 KiB.
    expect(buffers.size).toBeLessThanOrEqual(28);
  });

  test('a signal ends a stream, with its reason’s code', async () => {
    const { body, reader } = await make(50);
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of reader.stream(body, { signal: abort.signal })) abort.abort();
    })();
    expect(await codeOf(reading)).toBe('cancelled');
  });
});

describe('many ranges', () => {
  test('any ranges of any bodies come back right, each piece fetched once', async () => {
    const { store, body, bytes, reader } = await make(20);
    const other = await make(3);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(205_000), fc.nat(30_000)), { maxLength: 60 }), async (ranges) => {
        const fresh = new BodyReader({ store: blocksOf(store) });
        const before = store.calls.get;
        const found = await fresh.readRanges(ranges.map(([offset, length]) => ({ body, offset, length })));
        found.forEach((answer, at) => {
          const [offset = 0, length = 0] = ranges[at] ?? [];
          expect(answer.ok && Buffer.compare(answer.value, bytes.subarray(offset, offset + length))).toBe(0);
        });
        expect(store.calls.get - before).toBeLessThanOrEqual(20);
      }),
      { numRuns: 50 },
    );
    const inline: Body = { kind: 'inline', bytes: Buffer.from('0123456789') };
    const mixed = await reader.readRanges([
      { body: inline, offset: 2, length: 3 },
      { body: other.body, offset: 0, length: 10, path: '/gone' },
      { body, offset: 0, length: 10 },
    ]);
    expect(mixed.map((answer) => (answer.ok ? answer.value.length : answer.error.code))).toEqual([3, 'corrupt', 10]);
  });

  test('neighbours in one block come with one get, gaps included; far ones do not; a wrong one costs a get of its own', async () => {
    const store = memoryStore();
    const block = randomBytes(3_000_000);
    await blocksOf(store).putBlock(upload, 0, block, { crc32c: crc32c(block) });
    const bodyAt = (offset: number, length: number): Body => {
      const checksum = crc32c(block.subarray(offset, offset + length));
      return {
        kind: 'blocks',
        manifest: { size: length, extents: [{ upload, index: 0, offset, length, crc32c: checksum, skip: 0, take: length }] },
      };
    };
    const places = [0, 20_000, 90_000, 2_000_000, 2_100_000];
    const ranges = places.map((offset) => ({ body: bodyAt(offset, 16_384), offset: 100, length: 1000 }));
    const check = async (gets: number): Promise<void> => {
      const before = store.calls.get;
      const found = await new BodyReader({ store: blocksOf(store) }).readRanges(ranges);
      found.forEach((answer, at) => {
        const from = (places[at] ?? 0) + 100;
        expect(answer.ok && Buffer.compare(answer.value, block.subarray(from, from + 1000))).toBe(0);
      });
      expect(store.calls.get - before).toBe(gets);
    };
    await check(2);
    store.inject({ on: 'get', effect: { kind: 'flip' } });
    await check(3);
  });
});

describe('handles', () => {
  test('sequential reads fetch ahead, random ones do not', async () => {
    const { store, body, bytes, reader } = await make(60, { cacheBytes: 10_000_000 });
    const handle = reader.handle(body);
    expect(Buffer.compare(await handle.read(0, 1000), bytes.subarray(0, 1000))).toBe(0);
    expect(store.calls.get).toBeGreaterThan(20);
    const far = await make(400);
    const random = far.reader.handle(far.body);
    for (const offset of [3_900_000, 1_500_000, 2_800_000]) await random.read(offset, 100);
    expect(far.store.calls.get).toBe(3);
  });
});

describe('bodies that were changed in place', () => {
  test.each([false, true])('a stream gets a piece once, however many slices of it there are (reuse: %s)', async (reuse) => {
    const { store, body, bytes } = await make(4, { cacheBytes: 0 });
    if (body.kind !== 'blocks') throw new Error('no blocks');
    const other = await make(1, { cacheBytes: 0 });
    const patch = other.bytes.subarray(0, 10);
    await blocksOf(store).putBlock(upload, 9, patch, { crc32c: crc32c(patch) });
    const small: Piece = { upload, index: 9, offset: 0, length: 10, crc32c: crc32c(patch), skip: 0, take: 10 };
    const expected = Buffer.from(bytes);
    let extents = body.manifest.extents;
    for (let at = 500; at < bytes.length; at += 1000) {
      extents = spliceExtents(extents, bytes.length, at, [small]);
      expected.set(patch, at);
    }
    const changed: Body = { kind: 'blocks', manifest: { size: bytes.length, extents } };
    const reader = new BodyReader({ store: blocksOf(store), cacheBytes: 0 });
    expect(Buffer.compare(await collect(reader.stream(changed, { reuse })), expected)).toBe(0);
    // Each of the four blocks once; the small piece is asked for again when it is long gone.
    expect(reader.figures.store.bytes).toBeLessThanOrEqual(4 * 10_000 + 40 * 10);
  });

  test('compressed pieces: ranges, streams and slices, at the cost of the pieces that they touch', async () => {
    const store = memoryStore();
    const session = new UploadSession({ store: blocksOf(store), begin: async () => ({ upload }) });
    const bytes = Buffer.from(Array.from({ length: 8000 }, (_, i) => `entry ${i}\n`).join(''));
    // One block that does not get shorter among them.
    bytes.set(randomBytes(10_000), 20_000);
    const { body } = await uploadBody([bytes], { session, blockBytes: 10_000, inlineBytesMax: 0, compress: 'brotli' });
    if (body.kind !== 'blocks') throw new Error('no blocks');
    const forms = body.manifest.extents.map((extent) => !('hole' in extent) && extent.compression !== undefined);
    expect(forms[2]).toBe(false);
    expect(forms.filter((isCompressed) => !isCompressed)).toHaveLength(1);
    const first = body.manifest.extents[0] as Piece;
    for (const reuse of [false, true]) {
      const reader = new BodyReader({ store: blocksOf(store) });
      expect(Buffer.compare(await reader.read(body, 4000, 100), bytes.subarray(4000, 4100))).toBe(0);
      expect(reader.figures.store).toEqual({ gets: 1, bytes: first.length });
      expect(Buffer.compare(await reader.read(body, 9_990, 30_000), bytes.subarray(9_990, 39_990))).toBe(0);
      const fresh = new BodyReader({ store: blocksOf(store), cacheBytes: 0 });
      expect(Buffer.compare(await collect(fresh.stream(body, { reuse })), bytes)).toBe(0);
      const answers = await fresh.readRanges([0, 5, 35_000, 60_000].map((offset) => ({ body, offset, length: 50 })));
      for (const [at, offset] of [0, 5, 35_000, 60_000].entries()) {
        const answer = answers[at];
        expect(answer?.ok === true && Buffer.compare(answer.value, bytes.subarray(offset, offset + 50))).toBe(0);
      }
    }
    const slices = sliceExtents(body.manifest.extents, 12_345, 54_321);
    const part: Body = { kind: 'blocks', manifest: { size: 54_321 - 12_345, extents: slices } };
    const reader = new BodyReader({ store: blocksOf(store) });
    expect(Buffer.compare(await collect(reader.stream(part)), bytes.subarray(12_345, 54_321))).toBe(0);
  });
});
