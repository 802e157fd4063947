import { randomBytes } from 'node:crypto';
import { CHUNK_BYTES_MIN, isChunksOf, isHole, makeUploadId, type Body, type Extent, type Piece } from '@nokv/types';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import { memoryStore, type MemoryObjectStore } from '../memory/memory-object-store.js';
import { blocksOf } from '../store-blocks.js';
import { BodyReader } from './body-reader.js';
import { BODY_CHUNKS_MAX, checksumsOf, matchesSpan, spanOf, thinChunks } from './piece-chunks.js';
import { uploadBody } from './upload-body.js';
import { UploadSession } from './upload-session.js';

const upload = makeUploadId(1, randomBytes(10));
const KIB = 1024;

function pieceOf(bytes: Uint8Array): Piece {
  return { upload, index: 0, offset: 0, length: bytes.length, ...checksumsOf(bytes), skip: 0, take: bytes.length };
}

async function stored(bytes: Uint8Array): Promise<{ readonly store: MemoryObjectStore; readonly body: Body }> {
  const store = memoryStore();
  const session = new UploadSession({ store: blocksOf(store), begin: async () => ({ upload }) });
  const { body } = await uploadBody([bytes], { session, blockBytes: 1024 * KIB });
  return { store, body };
}

describe('checksums of chunks', () => {
  test('end in the checksum of the piece, are well formed, and prove each span and no other bytes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 256 * KIB, max: 700 * KIB }), fc.nat(), fc.nat(), (size, from, until) => {
        const bytes = randomBytes(size);
        const piece = pieceOf(bytes);
        const { chunks } = piece;
        if (chunks === undefined) throw new Error('a large piece has chunks');
        expect(piece.crc32c).toBe(crc32c(bytes));
        expect(isChunksOf(chunks, size)).toBe(true);
        const start = from % size;
        const span = spanOf(piece, chunks, start, 1 + (until % (size - start)));
        const found = Buffer.from(bytes.subarray(span.start, span.start + span.length));
        expect(matchesSpan(piece, chunks, span, found)).toBe(true);
        const at = until % found.length;
        found[at] = (found[at] ?? 0) ^ 1;
        expect(matchesSpan(piece, chunks, span, found)).toBe(false);
        expect(matchesSpan(piece, chunks, span, found.subarray(1))).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  test('small pieces have none', () => {
    expect(checksumsOf(randomBytes(256 * KIB - 1)).chunks).toBeUndefined();
    expect(checksumsOf(randomBytes(256 * KIB)).chunks?.running).toHaveLength(12);
  });

  test('a huge body has coarser ones, which prove the same bytes', () => {
    const bytes = randomBytes(1024 * KIB + 5);
    const piece = pieceOf(bytes);
    const many = Math.ceil(BODY_CHUNKS_MAX / 16) + 1;
    const extents: Extent[] = Array.from({ length: 3 * many }, () => piece);
    const thinned = thinChunks([...extents, { hole: true, take: 7 }]);
    let chunks = 0;
    for (const extent of thinned) if (!isHole(extent)) chunks += (extent.chunks?.running.length ?? 0) / 4;
    expect(chunks).toBeLessThanOrEqual(BODY_CHUNKS_MAX);
    const [first] = thinned;
    if (first === undefined || isHole(first) || first.chunks === undefined) throw new Error('a piece in chunks');
    expect(first.chunks.bytes).toBe(4 * CHUNK_BYTES_MIN);
    expect(isChunksOf(first.chunks, first.length)).toBe(true);
    const span = spanOf(first, first.chunks, 600 * KIB, 10);
    expect(matchesSpan(first, first.chunks, span, bytes.subarray(span.start, span.start + span.length))).toBe(true);
    expect(thinChunks(extents.slice(0, 3))).toEqual(extents.slice(0, 3));
  });

  test('that cannot be are told', () => {
    const running = new Uint8Array(12);
    expect(isChunksOf({ bytes: CHUNK_BYTES_MIN, running }, 256 * KIB)).toBe(true);
    for (const [bytes, length] of [
      [CHUNK_BYTES_MIN, 256 * KIB + 1],
      [CHUNK_BYTES_MIN - 1, 256 * KIB],
      [3 * CHUNK_BYTES_MIN, 768 * KIB],
      [0, 256 * KIB],
      [CHUNK_BYTES_MIN / 2, 128 * KIB],
      [Number.NaN, 256 * KIB],
    ] as const) {
      expect(isChunksOf({ bytes, running }, length)).toBe(false);
    }
    expect(isChunksOf({ bytes: CHUNK_BYTES_MIN, running: new Uint8Array(0) }, CHUNK_BYTES_MIN)).toBe(false);
  });
});

describe('a small range of a large piece', () => {
  test('costs its chunks, verified, once', async () => {
    const bytes = randomBytes(3000 * KIB);
    const { store, body } = await stored(bytes);
    const reader = new BodyReader({ store: blocksOf(store) });
    for (const [offset, length] of [
      [5000, 100],
      [64 * KIB - 10, 20],
      [1024 * KIB + 70_000, 16 * KIB],
      [3000 * KIB - 30, 30],
    ] as const) {
      expect(Buffer.compare(await reader.read(body, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
      expect(Buffer.compare(await reader.read(body, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
    }
    const { gets, bytes: fetched } = reader.figures.store;
    expect(gets).toBe(4);
    expect(fetched).toBeLessThanOrEqual(5 * 64 * KIB);
  });

  test('any ranges are right, alone, many at once and as streams', async () => {
    const bytes = randomBytes(2500 * KIB);
    const { store, body } = await stored(bytes);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(2500 * KIB), fc.nat(200 * KIB)), { minLength: 1, maxLength: 40 }), async (ranges) => {
        const reader = new BodyReader({ store: blocksOf(store), cacheBytes: 512 * KIB });
        const right = ranges.map(([offset, length]) => bytes.subarray(offset, offset + length));
        const alone = await Promise.all(ranges.map(([offset, length]) => reader.read(body, offset, length)));
        alone.forEach((found, i) => expect(Buffer.compare(found, right[i] ?? Buffer.of(1))).toBe(0));
        const together = await reader.readRanges(ranges.map(([offset, length]) => ({ body, offset, length })));
        together.forEach((found, i) => expect(found.ok && Buffer.compare(found.value, right[i] ?? Buffer.of(1))).toBe(0));
        const [[offset, length] = [0, 0]] = ranges;
        const streamed: Buffer[] = [];
        for await (const chunk of reader.stream(body, { offset, length })) streamed.push(Buffer.from(chunk));
        expect(Buffer.compare(Buffer.concat(streamed), right[0] ?? Buffer.of(1))).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test('many readers of one chunk cause one get; many all over the piece cause few', async () => {
    const bytes = randomBytes(1024 * KIB);
    const { store, body } = await stored(bytes);
    const one = new BodyReader({ store: blocksOf(store) });
    await Promise.all(Array.from({ length: 32 }, () => one.read(body, 100, 50)));
    expect(one.figures.store.gets).toBe(1);
    const all = new BodyReader({ store: blocksOf(store) });
    const found = await Promise.all(Array.from({ length: 32 }, (_, i) => all.read(body, i * 32 * KIB, 50)));
    found.forEach((part, i) => expect(Buffer.compare(part, bytes.subarray(i * 32 * KIB, i * 32 * KIB + 50))).toBe(0));
    expect(all.figures.store.gets).toBeLessThanOrEqual(5);
  });

  test('that does not match is read with all of its piece, whose checksum decides', async () => {
    const bytes = randomBytes(1024 * KIB);
    const { store, body } = await stored(bytes);
    const flipped = new BodyReader({ store: blocksOf(store) });
    store.inject({ on: 'get', times: 1, effect: { kind: 'flip' } });
    expect(Buffer.compare(await flipped.read(body, 5000, 100), bytes.subarray(5000, 5100))).toBe(0);
    expect(flipped.figures.store.gets).toBe(2);
    if (body.kind !== 'blocks') throw new Error('a body in blocks');
    const [piece] = body.manifest.extents;
    if (piece === undefined || isHole(piece) || piece.chunks === undefined) throw new Error('a piece in chunks');
    const lying = { ...piece, chunks: { ...piece.chunks, running: new Uint8Array(piece.chunks.running.length) } };
    const misled: Body = { kind: 'blocks', manifest: { size: body.manifest.size, extents: [lying] } };
    const reader = new BodyReader({ store: blocksOf(store) });
    expect(Buffer.compare(await reader.read(misled, 5000, 100), bytes.subarray(5000, 5100))).toBe(0);
    const broken = new BodyReader({ store: blocksOf(store) });
    store.inject({ on: 'get', times: 3, effect: { kind: 'flip' } });
    await expect(broken.read(body, 5000, 100, { path: '/x' })).rejects.toMatchObject({ code: 'corrupt', details: { path: '/x' } });
  });

  test('sequential reads take whole pieces', async () => {
    const bytes = randomBytes(2048 * KIB);
    const { store, body } = await stored(bytes);
    const handle = new BodyReader({ store: blocksOf(store) }).handle(body);
    for (let at = 0; at < bytes.length; at += 64 * KIB) {
      expect(Buffer.compare(await handle.read(at, 64 * KIB), bytes.subarray(at, at + 64 * KIB))).toBe(0);
    }
    expect(store.calls.get).toBe(2);
  });
});
