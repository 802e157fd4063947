import { uploadId } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import { decodePin, encodePin } from './cache-pins.js';
import {
  CHUNK_BYTES,
  decodeHeader,
  encodeHeader,
  entryName,
  entryNameBytes,
  headerBytes,
  matchesChunks,
  parseEntryName,
} from './cache-entry.js';

const upload = uploadId('0123456789abcdef0123456789abcdef');

function pieceOf(bytes: Uint8Array) {
  return { upload, index: 3, offset: 70_000, length: bytes.length, crc32c: crc32c(bytes) };
}

describe('an entry', () => {
  test('has the name and the header of the golden vector', () => {
    const bytes = Buffer.from('nokv');
    expect(entryName(pieceOf(bytes))).toBe('0123456789abcdef0123456789abcdef.3.70000.4.1233ad9c');
    expect(Buffer.from(encodeHeader(pieceOf(bytes), bytes)).toString('hex')).toBe(
      '6e6f6b76706330310400000000000100010000005e5eacb954b55986c040655d',
    );
  });

  test('names what it is: every name reads back, and nothing else is one', () => {
    const piece = pieceOf(Buffer.from('nokv'));
    expect(parseEntryName(entryName(piece))).toEqual(piece);
    expect(entryNameBytes(entryName(piece))).toBe(piece.length);
    for (const wrong of ['', 'x', `${upload}.1.2.3`, `${upload}.1.2.3.zzzzzzzz`, `${upload}.1.2.3.00000000.tmp`]) {
      expect(parseEntryName(wrong)).toBeUndefined();
      if (!wrong.endsWith('zzzzzzzz')) expect(entryNameBytes(wrong)).toBeUndefined();
    }
  });

  test('any byte of its header that changes makes it no entry', () => {
    const bytes = Buffer.alloc(CHUNK_BYTES * 2 + 5, 7);
    const piece = pieceOf(bytes);
    const header = encodeHeader(pieceOf(bytes), bytes);
    expect(header).toHaveLength(headerBytes(bytes.length));
    expect(decodeHeader(header, piece)).toHaveLength(3);
    for (let at = 0; at < header.length; at += 1) {
      const wrong = Uint8Array.from(header);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      expect(decodeHeader(wrong, piece)).toBeUndefined();
    }
    expect(decodeHeader(header.subarray(1), piece)).toBeUndefined();
    expect(decodeHeader(header, { ...piece, crc32c: (piece.crc32c ^ 1) >>> 0 })).toBeUndefined();
  });

  test('chunks are proved without the rest', () => {
    const bytes = Buffer.alloc(CHUNK_BYTES * 3 + 5, 7);
    bytes.forEach((_, at) => (bytes[at] = (at * 31) & 0xff));
    const checksums = decodeHeader(encodeHeader(pieceOf(bytes), bytes), pieceOf(bytes)) ?? new Uint32Array();
    for (const [first, last] of [
      [0, 4],
      [1, 2],
      [3, 4],
    ] as const) {
      const chunks = Buffer.from(bytes.subarray(first * CHUNK_BYTES, last * CHUNK_BYTES));
      expect(matchesChunks(checksums, first, chunks)).toBe(true);
      chunks[chunks.length - 1] = (chunks.at(-1) ?? 0) ^ 1;
      expect(matchesChunks(checksums, first, chunks)).toBe(false);
    }
  });
});

test('a pin reads back, and one that is damaged in any byte pins nothing', () => {
  const pin = { namespace: 'n', path: '/runs/7', files: 2, bytes: 10, pinnedAtMs: 1000, entries: ['a', 'b'] };
  const text = encodePin(pin);
  expect(text).toBe('{"format":1,"namespace":"n","path":"/runs/7","files":2,"bytes":10,"pinnedAtMs":1000}\na\nb\nend d1291b57\n');
  expect(decodePin(text)).toEqual(pin);
  expect(decodePin(encodePin({ ...pin, entries: [] }))?.entries).toEqual([]);
  for (let at = 0; at < text.length; at += 1) expect(decodePin(`${text.slice(0, at)}#${text.slice(at + 1)}`)).toBeUndefined();
  expect(decodePin(text.slice(0, -3))).toBeUndefined();
});
