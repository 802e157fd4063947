import { describe, expect, it } from 'vitest';
import type { Clock } from '@nokv/types';
import { holdLease, leaseMarginMs } from './lease.js';

/** A clock that stands still until it is moved; sleepers wake in order of their time. */
function handClock() {
  let nowMs = 1000;
  const sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  const clock: Clock = {
    now: () => ({ sec: 0, nsec: 0 }),
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => reject(new Error('aborted'));
        signal?.addEventListener('abort', abort, { once: true });
        sleepers.push({
          atMs: nowMs + ms,
          wake: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        });
      }),
  };
  return {
    clock,
    async advance(ms: number): Promise<void> {
      const untilMs = nowMs + ms;
      for (;;) {
        await settle();
        sleepers.sort((a, b) => a.atMs - b.atMs);
        const next = sleepers[0];
        if (next === undefined || next.atMs > untilMs) break;
        sleepers.shift();
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
      }
      nowMs = untilMs;
      await settle();
    },
    /** The process stands still: time passes and nobody wakes. */
    freeze(ms: number): void {
      nowMs += ms;
    },
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

const ttlMs = 3000;
const termMs = ttlMs - leaseMarginMs(ttlMs);

describe('a held lease', () => {
  it('is valid for its term and not a moment longer without renewals', async () => {
    const { clock, advance } = handClock();
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs(), renew: () => Promise.reject(new Error('down')) });
    await advance(termMs - 1);
    expect(lease.isValid()).toBe(true);
    await advance(1);
    expect(lease.isValid()).toBe(false);
    expect(await lease.ended).toBe('lost');
  });

  it('counts its term from before the request, not from the answer', async () => {
    const { clock } = handClock();
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs() - termMs, renew: () => Promise.resolve(true) });
    expect(lease.isValid()).toBe(false);
  });

  it('stays valid while renewals succeed', async () => {
    const { clock, advance } = handClock();
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs(), renew: () => Promise.resolve(true) });
    await advance(10 * ttlMs);
    expect(lease.isValid()).toBe(true);
    lease.end('released');
  });

  it('survives an outage shorter than its term', async () => {
    const { clock, advance } = handClock();
    let isDown = false;
    const renew = () => (isDown ? Promise.reject(new Error('down')) : Promise.resolve(true));
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs(), renew });
    await advance(ttlMs);
    isDown = true;
    await advance(ttlMs / 3);
    isDown = false;
    await advance(5 * ttlMs);
    expect(lease.isValid()).toBe(true);
    lease.end('released');
  });

  it('ends at once when the coordinator no longer knows it', async () => {
    const { clock, advance } = handClock();
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs(), renew: () => Promise.resolve(false) });
    await advance(ttlMs / 3);
    expect(lease.isValid()).toBe(false);
    expect(await lease.ended).toBe('lost');
  });

  it('is invalid on waking from a pause longer than its term, before any timer ran', () => {
    const { clock, freeze } = handClock();
    const lease = holdLease({ ttlMs, clock, grantSentAtMs: clock.monotonicMs(), renew: () => Promise.resolve(true) });
    freeze(termMs + 1);
    expect(lease.isValid()).toBe(false);
  });

  it('is not brought back by a renewal that is answered after its end', async () => {
    const { clock, advance } = handClock();
    let answer: (isKnown: boolean) => void = () => {};
    const lease = holdLease({
      ttlMs,
      clock,
      grantSentAtMs: clock.monotonicMs(),
      renew: () => new Promise((resolve) => (answer = resolve)),
    });
    await advance(termMs + 1);
    expect(await lease.ended).toBe('lost');
    answer(true);
    await advance(1);
    expect(lease.isValid()).toBe(false);
  });
});
