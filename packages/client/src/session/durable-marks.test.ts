import { version } from '@nokv/types';
import { beforeEach, describe, expect, test } from 'vitest';
import { DurableMarks } from './durable-marks.js';

const first = { id: 'first', opened: version(10) };
const second = { id: 'second', opened: version(1000) };
const third = { id: 'third', opened: version(2000) };
const maybeLost = expect.objectContaining({ code: 'connection-lost', outcome: 'unknown' }) as Error;

let marks: DurableMarks;
beforeEach(() => {
  marks = new DurableMarks();
});

const isDurable = (at: number): true | undefined => marks.isDurable(version(at));

/** What becomes of a wait that began now. */
function wait(at: number): { state: unknown } {
  const waiter: { state: unknown } = { state: 'waits' };
  void marks.waitFor(version(at), (reached) =>
    reached.then(
      () => void (waiter.state = 'durable'),
      (error: unknown) => void (waiter.state = error),
    ),
  );
  return waiter;
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('under one incarnation', () => {
  test('an announcement covers all its versions up to it, and wakes who waits for one', async () => {
    marks.enter(first);
    marks.answered(first, version(12), false);
    expect([isDurable(11), isDurable(12)]).toEqual([undefined, undefined]);
    const [lower, higher] = [wait(12), wait(13)];
    marks.announced(first, version(12));
    await settled();
    expect([isDurable(11), isDurable(12), isDurable(13)]).toEqual([true, true, undefined]);
    expect([lower.state, higher.state]).toEqual(['durable', 'waits']);
    expect(marks.isAwaited).toBe(true);
  });

  test('a durable answer is an announcement, a visible one is not', () => {
    marks.enter(first);
    marks.answered(first, version(12), false);
    expect(marks.version).toBe(0);
    marks.answered(first, version(14), true);
    expect([marks.version, isDurable(12)]).toEqual([14, true]);
  });

  test('a connection that is made anew changes nothing', async () => {
    marks.enter(first);
    const waiter = wait(12);
    marks.enter({ ...first });
    marks.announced(first, version(12));
    await settled();
    expect(waiter.state).toBe('durable');
  });

  test('who asks before the first connection waits, unless the version is of an earlier incarnation', async () => {
    expect(isDurable(12)).toBeUndefined();
    const [own, earlier] = [wait(12), wait(10)];
    marks.enter(first);
    marks.announced(first, version(12));
    await settled();
    expect([own.state, earlier.state]).toEqual(['durable', maybeLost]);
  });

  test('a version that was given out before it, and that it did not answer with, is not known', () => {
    marks.enter(first);
    marks.announced(first, version(50));
    expect(() => isDurable(10)).toThrow(maybeLost);
    marks.answered(first, version(9), false);
    expect(isDurable(9)).toBe(true);
    expect(() => isDurable(8)).toThrow(maybeLost);
  });
});

describe('when the incarnation changes', () => {
  beforeEach(() => {
    marks.enter(first);
    marks.announced(first, version(20));
    marks.answered(first, version(25), false);
  });

  test('those who wait are told at once', async () => {
    const waiter = wait(25);
    marks.enter(second);
    await settled();
    expect(waiter.state).toEqual(maybeLost);
    expect(marks.isAwaited).toBe(false);
  });

  test('announcements of the new one say nothing about versions of the old one', () => {
    marks.enter(second);
    expect(marks.version).toBe(0);
    marks.announced(second, version(1100));
    expect(isDurable(1100)).toBe(true);
    expect(() => isDurable(25)).toThrow(maybeLost);
    expect(() => isDurable(21)).toThrow(maybeLost);
    marks.enter(third);
    marks.announced(third, version(2100));
    expect(() => isDurable(25)).toThrow(maybeLost);
    expect(() => isDurable(1200)).toThrow(maybeLost);
  });

  test('what was announced stays durable', () => {
    marks.enter(second);
    marks.answered(second, version(1001), true);
    marks.enter(third);
    expect([isDurable(20), isDurable(11), isDurable(1001)]).toEqual([true, true, true]);
  });

  test('announcements that are still on their way from the old one change nothing', () => {
    marks.enter(second);
    marks.announced(first, version(25));
    marks.enter(first);
    expect(marks.version).toBe(0);
    expect(() => isDurable(25)).toThrow(maybeLost);
  });

  test('a late durable answer of the old one counts for the old one', () => {
    marks.enter(second);
    marks.answered(first, version(25), true);
    expect(isDurable(25)).toBe(true);
    expect(marks.version).toBe(0);
  });

  test('an old version that the new one answers with has survived', () => {
    marks.enter(second);
    marks.answered(second, version(25), false);
    expect(isDurable(25)).toBe(true);
    expect(() => isDurable(24)).toThrow(maybeLost);
  });

  test('a server with an older state of its data gives versions out again: they mean nothing any more', () => {
    const restored = { id: 'restored', opened: version(18) };
    marks.answered(first, version(15), true);
    marks.enter(restored);
    marks.answered(restored, version(25), false);
    marks.announced(restored, version(30));
    expect(() => isDurable(25)).toThrow(maybeLost);
    expect(isDurable(26)).toBe(true);
  });

  test('past incarnations are forgotten beyond a bound, and count as not durable then', () => {
    for (let i = 0; i < 100; i++) marks.enter({ id: `life-${i}`, opened: version(1000 + i * 10) });
    expect(() => isDurable(20)).toThrow(maybeLost);
  });
});
