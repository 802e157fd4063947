import { expect, test } from 'vitest';
import { sliceExtents, spliceExtents, type Extent, type Piece, type UploadId } from '@nokv/types';
import { EXTENTS_FREE, EXTENTS_PER_BLOCK_LEAST, EXTENTS_PER_BLOCK_MAX, TAIL_EXTENTS_MAX, rewriteRanges } from './rewrite-ranges.js';

const BLOCK = 4 * 1024 * 1024;
let next = 0;
const piece = (take: number): Piece => ({
  upload: '0'.repeat(32) as UploadId,
  index: next++,
  offset: 0,
  length: take,
  crc32c: 1,
  skip: 0,
  take,
});

/** A change as a client makes it: what is to be written anew and the bytes themselves, each as one piece. */
function change(
  extents: readonly Extent[],
  size: number,
  start: number,
  length: number,
): { extents: Extent[]; size: number; sent: number } {
  const ranges = rewriteRanges(extents, size, { start, end: start + length }, BLOCK);
  let changed = [...extents];
  let sent = length;
  for (const range of ranges) {
    sent += range.end - range.start;
    changed = spliceExtents(changed, size, range.start, [piece(range.end - range.start)]);
  }
  return { extents: spliceExtents(changed, size, start, [piece(length)]), size: Math.max(size, start + length), sent };
}

test('a change of a fresh body writes nothing anew', () => {
  expect(rewriteRanges([piece(BLOCK), piece(BLOCK)], 2 * BLOCK, { start: 100, end: 200 }, BLOCK)).toEqual([]);
  expect(rewriteRanges([piece(BLOCK), piece(100)], BLOCK + 100, { start: BLOCK + 100, end: BLOCK + 200 }, BLOCK)).toEqual([]);
});

test('patches all over the place leave at most so many extents a block, and only the blocks that are touched are written', () => {
  const blocks = 16;
  let body = { extents: Array.from({ length: blocks }, () => piece(BLOCK)) as Extent[], size: blocks * BLOCK, sent: 0 };
  let seed = 7;
  const random = (max: number): number => (seed = (seed * 48271) % 2147483647) % max;
  for (let i = 0; i < 2000; i++) {
    body = change(body.extents, body.size, random(body.size - 4096), 4096);
    expect(body.sent).toBeLessThanOrEqual(2 * BLOCK);
  }
  for (let block = 0; block < blocks; block++) {
    expect(sliceExtents(body.extents, block * BLOCK, (block + 1) * BLOCK).length).toBeLessThanOrEqual(EXTENTS_PER_BLOCK_MAX + 1);
  }
});

test('appends leave one piece for each full block, a short tail, and write each byte a few times', () => {
  let body = { extents: [] as Extent[], size: 0, sent: 0 };
  let sent = 0;
  for (let i = 0; i < 20_000; i++) {
    body = change(body.extents, body.size, body.size, 1024);
    sent += body.sent;
  }
  const full = Math.floor(body.size / BLOCK);
  expect(body.extents.length).toBeLessThanOrEqual(2 * full + TAIL_EXTENTS_MAX);
  expect(sent / body.size).toBeLessThan(12);
});

test('a plan that grew long is cut back', () => {
  const pieces = 40;
  const extents = Array.from({ length: 100 * pieces }, () => piece(BLOCK / pieces));
  const size = 100 * BLOCK;
  expect(extents.length).toBeGreaterThan(EXTENTS_FREE + 200);
  const body = change(extents, size, 5 * BLOCK + 10, 10);
  expect(sliceExtents(body.extents, 5 * BLOCK, 6 * BLOCK).length).toBeLessThanOrEqual(EXTENTS_PER_BLOCK_LEAST);
});
