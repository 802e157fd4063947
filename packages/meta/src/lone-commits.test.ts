import { expect, test } from 'vitest';
import { LoneCommits } from './lone-commits.js';

/** Offers lone commits of these durations; says which were made here. */
function offer(durationsMs: readonly number[]): string {
  let nowMs = 0;
  const commits = new LoneCommits({ monotonicMs: () => nowMs });
  return durationsMs
    .map((ms) => {
      if (!commits.belongHere()) return '.';
      commits.begin();
      nowMs += ms;
      commits.end();
      return 'h';
    })
    .join('');
}

const times = (count: number, ms: number): number[] => Array.from({ length: count }, () => ms);

test('the second one is tried, and on a quick disk all that follow are made here', () => {
  expect(offer(times(10, 0.2))).toBe('.hhhhhhhhh');
});

test('one slow commit among quick ones changes nothing', () => {
  expect(offer([...times(10, 0.2), 50, ...times(10, 0.2)])).toBe(`.${'h'.repeat(20)}`);
});

test('on a slow disk one is tried now and then, ever more seldom', () => {
  const made = offer(times(3000, 20));
  expect([...made].flatMap((each, i) => (each === 'h' ? [i] : []))).toEqual([1, 6, 15, 32, 65, 130, 259, 516, 1029, 2054]);
});

test('a disk that was slow for a while is found quick again', () => {
  const made = offer([...times(10, 0.2), ...times(3, 50), ...times(200, 0.2)]);
  expect(made.slice(-150)).toBe('h'.repeat(150));
});

test('a commit that failed here sends the next ones to the writer thread', () => {
  const commits = new LoneCommits({ monotonicMs: () => 0 });
  commits.belongHere();
  expect(commits.belongHere()).toBe(true);
  commits.begin();
  commits.failed();
  expect(Array.from({ length: 5 }, () => commits.belongHere()).indexOf(true)).toBe(4);
});
