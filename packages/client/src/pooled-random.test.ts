import { expect, test } from 'vitest';
import { pooledRandom } from './pooled-random.js';

/** Counts up, so that every byte shows where it was drawn. */
function counting() {
  let next = 0;
  const draws: number[] = [];
  return {
    draws,
    float: () => 0.25,
    bytes(length: number) {
      draws.push(length);
      return Uint8Array.from({ length }, () => next++ & 0xff);
    },
  };
}

test('no byte is handed out twice, and few draws are made', () => {
  const source = counting();
  const random = pooledRandom(source);
  const seen = Buffer.concat(Array.from({ length: 1000 }, () => random.bytes(16)));
  expect(source.draws).toEqual([8192, 8192]);
  expect(seen.every((byte, index) => byte === (index & 0xff))).toBe(true);
  expect(random.bytes(10_000)).toHaveLength(10_000);
  expect(random.float()).toBe(0.25);
});

test('what was handed out is the callers own', () => {
  const random = pooledRandom(counting());
  random.bytes(4).fill(255);
  expect([...random.bytes(4)]).toEqual([4, 5, 6, 7]);
});
