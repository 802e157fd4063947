import { expect, test } from 'vitest';
import { INLINE_BYTES_MAX, type Body, type NodeRef, type Piece, type Splice, type UploadId } from '@nokv/types';
import { checkSplices, splicedBody } from './splice.js';

const node: NodeRef = { path: Buffer.from('/f') };
const inline = (text: string): Body => ({ kind: 'inline', bytes: Buffer.from(text) });
const piece = (index: number, take = 100): Piece => ({
  upload: 'a'.repeat(32) as UploadId,
  index,
  offset: 0,
  length: 100,
  crc32c: 1,
  skip: 0,
  take,
});
const blocks = (...extents: Piece[]): Body => ({
  kind: 'blocks',
  manifest: { size: extents.reduce((sum, { take }) => sum + take, 0), extents },
});
const textOf = (body: Body): string => (body.kind === 'inline' ? Buffer.from(body.bytes).toString('latin1') : 'blocks');

test('bytes in the metadata: at the end, over others, behind a gap', () => {
  expect(textOf(splicedBody(node, inline('abc'), inline('d'), [{ length: 1 }]))).toBe('abcd');
  expect(textOf(splicedBody(node, inline('abc'), inline('XY'), [{ offset: 1, length: 2 }]))).toBe('aXY');
  expect(textOf(splicedBody(node, undefined, inline('x'), [{ offset: 2, length: 1 }]))).toBe('\0\0x');
  expect(textOf(splicedBody(node, inline('abc'), inline('XY'), [{ offset: 0, length: 1 }, { length: 1 }]))).toBe('XbcY');
});

test('extents: the rest of the body is shared', () => {
  const body = splicedBody(node, blocks(piece(1), piece(2)), blocks(piece(3, 50), piece(4, 10)), [
    { offset: 75, length: 50 },
    { length: 10 },
  ]);
  expect(body).toEqual({
    kind: 'blocks',
    manifest: { size: 210, extents: [piece(1, 75), piece(3, 50), { ...piece(2), skip: 25, take: 75 }, piece(4, 10)] },
  });
});

test('a body in the metadata and one in blocks do not mix, save for an empty one', () => {
  expect(() => splicedBody(node, inline('abc'), blocks(piece(1)), [{ length: 100 }])).toThrow('in the metadata');
  expect(() => splicedBody(node, blocks(piece(1)), inline('abc'), [{ length: 3 }])).toThrow('in blocks');
  expect(() => splicedBody(node, inline('a'), inline('b'.repeat(INLINE_BYTES_MAX)), [{ length: INLINE_BYTES_MAX }])).toThrow('at most');
  expect(splicedBody(node, inline(''), blocks(piece(1)), [{ length: 100 }])).toEqual(blocks(piece(1)));
  expect(splicedBody(node, blocks(piece(1)), inline(''), [{ length: 0 }])).toEqual(blocks(piece(1)));
  expect(textOf(splicedBody(node, inline('a'), inline(''), [{ offset: 9, length: 0 }]))).toBe('a');
});

test('what was read there must still be there', () => {
  const old = blocks(piece(1), piece(2));
  const splice = { offset: 100, length: 100, over: [piece(2)] };
  expect(splicedBody(node, old, blocks(piece(3)), [splice])).toEqual(blocks(piece(1), piece(3)));
  expect(() => splicedBody(node, old, blocks(piece(3)), [{ ...splice, over: [piece(4)] }])).toThrow('changed');
  expect(() => splicedBody(node, blocks(piece(1)), blocks(piece(3)), [splice])).toThrow('changed');
});

test('places that cannot be are refused', () => {
  const refused = (splices: readonly Splice[], digest?: string) => () => checkSplices(splices, inline('abc'), digest);
  expect(refused([])).toThrow('1 to 64');
  expect(refused([{ length: 2 }])).toThrow('take 2 bytes');
  expect(refused([{ offset: -1, length: 3 }])).toThrow('whole bytes');
  expect(refused([{ offset: Number.MAX_SAFE_INTEGER, length: 3 }])).toThrow('whole bytes');
  expect(refused([{ length: 3 }], 'sha256:00')).toThrow('digest');
  expect(refused([{ length: 1 }, { offset: 0, length: 2 }])).not.toThrow();
});
