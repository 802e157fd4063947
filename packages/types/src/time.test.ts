import { expect, test } from 'vitest';
import { formatTimespec, timespecFromMs, timespecFromNs, timespecToMs } from './time.js';
import { systemClock } from './system-ports.js';

test('times print as RFC 3339 with nine digits, before the epoch too', () => {
  expect(formatTimespec({ sec: 0, nsec: 1 })).toBe('1970-01-01T00:00:00.000000001Z');
  expect(formatTimespec({ sec: -1, nsec: 999_999_999 })).toBe('1969-12-31T23:59:59.999999999Z');
});

test('milliseconds convert both ways and never give a full second of nanoseconds', () => {
  for (const ms of [0, 1, 999.9999999, -0.5, 1_700_000_000_123.456]) {
    const time = timespecFromMs(ms);
    expect(time.nsec).toBeGreaterThanOrEqual(0);
    expect(time.nsec).toBeLessThan(1e9);
    expect(timespecToMs(time)).toBeCloseTo(ms, 2);
  }
});

test('nanoseconds convert without loss, before the epoch too', () => {
  expect(timespecFromNs(1_577_934_245_123_456_789n)).toEqual({ sec: 1_577_934_245, nsec: 123_456_789 });
  expect(timespecFromNs(-1n)).toEqual({ sec: -1, nsec: 999_999_999 });
  expect(timespecFromNs(-1_000_000_000n)).toEqual({ sec: -1, nsec: 0 });
});

test('the wall clock has a finer resolution than a millisecond and agrees with the coarse one', () => {
  const times = Array.from({ length: 50 }, () => systemClock.now());
  expect(times.some(({ nsec }) => nsec % 1_000_000 !== 0)).toBe(true);
  for (const time of times) expect(Math.abs(timespecToMs(time) - Date.now())).toBeLessThan(1000);
});

test('the clock of the system sleeps, and ends a sleep with the reason of its signal', async () => {
  const before = systemClock.monotonicMs();
  await systemClock.sleep(5);
  expect(systemClock.monotonicMs() - before).toBeGreaterThan(4);
  const stop = new AbortController();
  const reason = new Error('enough');
  const sleep = systemClock.sleep(60_000, stop.signal);
  stop.abort(reason);
  await expect(sleep).rejects.toBe(reason);
  await expect(systemClock.sleep(1, stop.signal)).rejects.toBe(reason);
});
