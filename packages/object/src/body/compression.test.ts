import { expect, test } from 'vitest';
import { CODECS, type Piece, type UploadId } from '@nokv/types';
import { crc32c } from '../block-checksum.js';
import { compressPiece, plainBytesOf, type CompressedBytes } from './compression.js';

const text = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `line ${i} of a log that says much the same\n`).join(''));
const noise = (length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = 1; i < length; i++) bytes[i] = (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
  return bytes;
};
const pieceOf = ({ bytes, compression }: CompressedBytes): Piece => ({
  upload: 'a'.repeat(32) as UploadId,
  index: 0,
  offset: 0,
  length: bytes.length,
  crc32c: crc32c(bytes),
  skip: 0,
  take: compression.plainLength,
  compression,
});

test.each(CODECS)('%s: what is repetitive gets shorter and comes back', async (codec) => {
  const found = await compressPiece(text, codec);
  if (found === undefined) throw new Error('not compressed');
  expect(found.bytes.length).toBeLessThan(text.length / 5);
  expect(found.compression).toEqual({ codec, plainLength: text.length, plainCrc32c: crc32c(text) });
  expect(Buffer.compare(await plainBytesOf(pieceOf(found), found.bytes), text)).toBe(0);
});

test.each(CODECS)('%s: what does not get shorter is left as it is', async (codec) => {
  expect(await compressPiece(noise(1_000_000), codec)).toBeUndefined();
  expect(await compressPiece(noise(1000), codec)).toBeUndefined();
  expect(await compressPiece(Buffer.from('ab'), codec)).toBeUndefined();
});

test('wrong bytes, lengths and checksums are corrupt, and nothing becomes longer than the manifest says', async () => {
  const found = await compressPiece(Buffer.alloc(4_000_000, 'x'), 'brotli');
  if (found === undefined) throw new Error('not compressed');
  const piece = pieceOf(found);
  const { compression } = found;
  const lies = [
    { ...compression, plainLength: 1000 },
    { ...compression, plainLength: 4_000_001 },
    { ...compression, plainCrc32c: 1 },
    { ...compression, codec: 'gzip' as const },
  ];
  for (const compression of lies) {
    await expect(plainBytesOf({ ...piece, compression }, found.bytes, '/f')).rejects.toMatchObject({
      code: 'corrupt',
      details: { key: `blocks/aa/${piece.upload}/0`, path: '/f' },
    });
  }
  await expect(plainBytesOf(piece, found.bytes.subarray(0, 10))).rejects.toMatchObject({ code: 'corrupt' });
});

test('what was stored once is read for ever', async () => {
  const plain = Buffer.from('nokv nokv nokv nokv ');
  // Of gzip(1) and of the reference encoder of brotli.
  const stored = {
    gzip: Buffer.from('1f8b0800000000000003cbcbcf2e53c843250036efe30414000000', 'hex'),
    brotli: Buffer.from('1b1300f88d54b5bf5c737b2b10bb50270aa805', 'hex'),
  };
  for (const codec of CODECS) {
    const bytes = stored[codec];
    const compression = { codec, plainLength: plain.length, plainCrc32c: crc32c(plain) };
    expect(Buffer.compare(await plainBytesOf(pieceOf({ bytes, compression }), bytes), plain)).toBe(0);
  }
});
