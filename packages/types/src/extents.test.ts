import { expect, test } from 'vitest';
import type { Extent, Piece } from './body.js';
import { isSameExtents, joinExtents, lengthOf, sliceExtents, spliceExtents } from './extents.js';
import type { UploadId } from './ids.js';

const piece = (index: number, skip: number, take: number): Piece => ({
  upload: '0'.repeat(32) as UploadId,
  index,
  offset: 0,
  length: 100,
  crc32c: index,
  skip,
  take,
});
const hole = (take: number): Extent => ({ hole: true, take });
const A = piece(1, 0, 100);
const B = piece(2, 0, 100);

test('slices keep whole extents and cut those at the edges', () => {
  expect(sliceExtents([A, hole(10), B], 90, 120)).toEqual([piece(1, 90, 10), hole(10), piece(2, 0, 10)]);
  expect(sliceExtents([A, B], 0, 200)).toEqual([A, B]);
  expect(sliceExtents([A, B], 100, 100)).toEqual([]);
  expect(sliceExtents([A], 50, 1000)).toEqual([piece(1, 50, 50)]);
});

test('neighbouring slices of one piece and neighbouring holes are one again', () => {
  expect(joinExtents([piece(1, 0, 40), piece(1, 40, 60), hole(1), hole(2)])).toEqual([A, hole(3)]);
  expect(joinExtents([piece(1, 40, 60), piece(1, 0, 40)])).toHaveLength(2);
});

test('a patch takes the place of what is there, behind the end it is joined by a hole', () => {
  expect(spliceExtents([A, B], 200, 50, [piece(3, 0, 100)])).toEqual([piece(1, 0, 50), piece(3, 0, 100), piece(2, 50, 50)]);
  expect(spliceExtents([A], 100, 100, [B])).toEqual([A, B]);
  expect(spliceExtents([A], 100, 130, [B])).toEqual([A, hole(30), B]);
  expect(spliceExtents([A], 100, 0, [B, hole(5)])).toEqual([B, hole(5)]);
  expect(lengthOf(spliceExtents([], 0, 7, [B]))).toBe(107);
});

test('lists are the same when they show the same bytes, however they are cut', () => {
  expect(isSameExtents([A], [piece(1, 0, 1), piece(1, 1, 99)])).toBe(true);
  expect(isSameExtents([A], [piece(1, 0, 99)])).toBe(false);
  expect(isSameExtents([hole(100)], [A])).toBe(false);
  expect(isSameExtents([A], [{ ...A, crc32c: 9 }])).toBe(false);
});
