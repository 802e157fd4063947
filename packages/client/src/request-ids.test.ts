import { expect, test } from 'vitest';
import { clientMarkOf, systemClock, systemRandom, type Clock } from '@nokv/types';
import { RequestIds } from './request-ids.js';

const still: Clock = { ...systemClock, nowMs: () => 1_800_000_000_000 };

test('ids of one client differ, rise and carry its mark', () => {
  const ids = new RequestIds(still, { ...systemRandom, bytes: (length) => new Uint8Array(length).fill(0xff) });
  const drawn = Array.from({ length: 1000 }, () => ids.draw());
  expect(new Set(drawn).size).toBe(1000);
  expect(drawn.map(clientMarkOf)).toEqual(Array.from({ length: 1000 }, () => 'ffffffffffff'));
  expect(drawn[0]).toBe('01a3185c5000ffffffffffff00000000');
  expect(drawn.toSorted()).toEqual(drawn);
});

test('two clients have two marks', () => {
  const [a, b] = [new RequestIds(systemClock, systemRandom), new RequestIds(systemClock, systemRandom)];
  expect(clientMarkOf(a.draw())).toBe(a.mark);
  expect(a.mark).not.toBe(b.mark);
});
