import { INODE_TYPES, type Generation, type InodeNumber } from '@nokv/types';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RowReader } from './row-reader.js';
import { RowWriter } from './row-writer.js';
import { ATTRIBUTES_BYTES_MAX, attributesBytes, readAttributes, writeAttributes } from './value-attributes.js';
import { Inode } from './value-inode.js';

const u32 = fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const u53 = fc.oneof(fc.constantFrom(0, 1, 512), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const time = fc.record({
  sec: fc.oneof(fc.constant(7), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  nsec: fc.constantFrom(0, 1, 999_999_999),
});
const fields = fc.record({
  type: fc.constantFrom(...INODE_TYPES),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: u32,
  gid: u32,
  nlink: u32,
  rdev: u32,
  size: u53,
  allocated: u53,
  atime: time,
  mtime: time,
  ctime: time,
  revision: u53,
  generation: u53.map((value) => value as Generation),
  ordinal: u32,
  children: u32,
});
const INO = 9 as InodeNumber;

test('attributes come back as they were, in as many bytes as their head says', () => {
  fc.assert(
    fc.property(fields, fc.boolean(), (attributes, mark) => {
      const inode = Object.assign(new Inode(INO, 'file', attributes.ctime), attributes);
      const row = writeAttributes(new RowWriter().begin(ATTRIBUTES_BYTES_MAX), inode, inode.allocated, mark).end();
      expect(attributesBytes(row, 0)).toBe(row.length);
      const reader = new RowReader(row);
      const read = new Inode(INO, 'file', { sec: 0, nsec: 0 });
      expect(readAttributes(reader, read)).toBe(mark);
      reader.end();
      expect(read).toEqual(inode);
    }),
  );
});

test('a fresh file of root takes 16 bytes', () => {
  const fresh = new Inode(INO, 'file', { sec: 1_800_000_000, nsec: 5 });
  expect(writeAttributes(new RowWriter().begin(ATTRIBUTES_BYTES_MAX), fresh, 0).end()).toHaveLength(16);
});

test('a field that says what its absence would is refused, and so are a type and a bit that nobody writes', () => {
  const head = (bits: number): number[] => [bits >> 8, bits & 0xff, 1, 0xa4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0];
  const zeros = (length: number): number[] => Array.from({ length }, () => 0);
  const one64 = [0, 0, 0, 0, 0, 0, 0, 1];
  for (const [bits, rest] of [
    [0x10, zeros(4)],
    [0x20, zeros(4)],
    [0x40, [0, 0, 0, 1]],
    [0x80, zeros(4)],
    [0x100, zeros(8)],
    [0x200, zeros(8)],
    [0x400, [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]],
    [0x800, [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]],
    [0x1000, one64],
    [0x2000, zeros(12)],
    [0x4000, zeros(4)],
    [0x8000, []],
    [0x07, []],
  ] as const) {
    const bytes = Uint8Array.from([...head(bits), ...rest]);
    const read = (): boolean => readAttributes(new RowReader(bytes), new Inode(INO, 'file', { sec: 0, nsec: 0 }));
    expect(read, `head ${bits.toString(16)}`).toThrow(/damaged/);
  }
});
