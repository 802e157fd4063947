import { expect, test } from 'vitest';
import { isBelowReserve } from './disk-room.js';

const MIB = 1024 * 1024;
const space = (freeMib: number, allMib: number): Parameters<typeof isBelowReserve>[0] => ({
  bavail: (freeMib * MIB) / 4096,
  blocks: (allMib * MIB) / 4096,
  bsize: 4096,
});

test('the reserve is 64 MiB, of a small disk a tenth', () => {
  expect(isBelowReserve(space(65, 100_000))).toBe(false);
  expect(isBelowReserve(space(63, 100_000))).toBe(true);
  expect(isBelowReserve(space(3, 24))).toBe(false);
  expect(isBelowReserve(space(2, 24))).toBe(true);
});
