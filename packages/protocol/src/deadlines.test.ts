import type { Clock } from '@nokv/types';
import { systemClock } from '@nokv/types';
import { expect, it } from 'vitest';
import { Deadlines } from './deadlines.js';

it('fires for the earliest deadline, then for the next that is left, with one timer at a time', async () => {
  let now = 0;
  const timers = new Set<{ at: number; fire: () => void }>();
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const timer = { at: now + ms, fire: resolve };
        timers.add(timer);
        signal?.addEventListener('abort', () => {
          timers.delete(timer);
          reject(signal.reason);
        });
      }),
  };
  const advance = async (ms: number): Promise<void> => {
    now += ms;
    for (const timer of timers) {
      if (timer.at > now) continue;
      timers.delete(timer);
      timer.fire();
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  const open = new Set([50, 20, 30]);
  const fired: number[] = [];
  const deadlines = new Deadlines(clock, (at) => {
    for (const deadline of open) {
      if (deadline > at) continue;
      open.delete(deadline);
      fired.push(deadline);
    }
    return Math.min(...open);
  });
  for (const deadline of open) deadlines.watch(deadline);
  expect(timers.size).toBe(1);
  await advance(19);
  expect(fired).toEqual([]);
  await advance(1);
  expect(fired).toEqual([20]);
  open.delete(30);
  await advance(20);
  expect(fired).toEqual([20]);
  await advance(10);
  expect(fired).toEqual([20, 50]);
  deadlines.close();
  deadlines.watch(60);
  expect(timers.size).toBe(0);
});
