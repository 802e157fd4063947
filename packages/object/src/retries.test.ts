import { describe, expect, test } from 'vitest';
import { NokvError, systemClock, type Random } from '@nokv/types';
import { RETRY_POLICY_DEFAULT, Retries, TryAgain, type RetryPolicy } from './retries.js';
import { fakeClock } from './testing/fake-clock.js';

const always = (value: number): Random => ({ float: () => value, bytes: (length) => new Uint8Array(length) });
const down = (outcome: 'unknown' | 'not-applied' = 'not-applied') => new NokvError('store-unavailable', 'down', { outcome });

function setup(policy: Partial<RetryPolicy> = {}, random = always(1)) {
  const whole = { ...RETRY_POLICY_DEFAULT, ...policy };
  const clock = fakeClock(whole.deadlineMs);
  return { clock, retries: new Retries(whole, clock, random) };
}

describe('Retries', () => {
  test('delays double under full jitter, up to their bound and the attempts’', async () => {
    for (const [jitter, delays] of [
      [1, [100, 200, 400, 500]],
      [0.5, [50, 100, 200, 250]],
    ] as const) {
      const { clock, retries } = setup({ attemptsMax: 5, firstDelayMs: 50, delayMsMax: 500 }, always(jitter));
      let attempts = 0;
      const call = retries.run('call', undefined, () => {
        attempts += 1;
        throw new TryAgain(down());
      });
      await expect(call).rejects.toMatchObject({ code: 'store-unavailable' });
      expect(attempts).toBe(5);
      expect(clock.sleeps).toEqual(delays);
    }
  });

  test('a delay that the server asks for is kept, unless the deadline comes first', async () => {
    const { clock, retries } = setup({ deadlineMs: 10_000, firstDelayMs: 1 });
    let attempts = 0;
    const call = retries.run('call', undefined, async () => {
      attempts += 1;
      throw new TryAgain(down(), attempts === 1 ? 3000 : 8000);
    });
    await expect(call).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(clock.sleeps).toEqual([3000]);
    expect(attempts).toBe(2);
  });

  test('what may not be repeated ends the call at once', async () => {
    const { clock, retries } = setup();
    await expect(retries.run('call', undefined, () => Promise.reject(new NokvError('bad-credentials', 'x')))).rejects.toMatchObject({
      code: 'bad-credentials',
    });
    expect(clock.sleeps).toEqual([]);
  });

  test('after one attempt with an unknown outcome the whole call’s is unknown', async () => {
    const { retries } = setup({ attemptsMax: 3 });
    const seen: boolean[] = [];
    const call = retries.run('call', undefined, async ({ number, isAmbiguous }) => {
      seen.push(isAmbiguous);
      throw new TryAgain(down(number === 1 ? 'unknown' : 'not-applied'));
    });
    await expect(call).rejects.toMatchObject({ outcome: 'unknown' });
    expect(seen).toEqual([false, true, true]);
  });

  test('a store in trouble is not buried: the budget of all calls runs out', async () => {
    const { retries } = setup({ attemptsMax: 10, firstDelayMs: 0 });
    let attempts = 0;
    const fail = async () => {
      attempts += 1;
      throw new TryAgain(down());
    };
    for (let call = 0; call < 100; call += 1) await retries.run('call', undefined, fail).catch(() => undefined);
    // 100 first attempts, and 100 repeats out of the budget of 500 at 5 each.
    expect(attempts).toBe(200);
    for (let call = 0; call < 5; call += 1) await retries.run('call', undefined, async () => undefined);
    await retries.run('call', undefined, fail).catch(() => undefined);
    expect(attempts).toBe(202);
  });

  test('a call may have less patience than the policy, not more', async () => {
    const clock = fakeClock(5000);
    const policy = { ...RETRY_POLICY_DEFAULT, attemptsMax: 20, deadlineMs: 10_000, firstDelayMs: 1000, delayMsMax: 2000 };
    const retries = new Retries(policy, clock, always(1));
    const fail = () => Promise.reject(new TryAgain(down()));
    for (const [patienceMs, sleeps] of [
      [5000, 2],
      [60_000, 4],
    ] as const) {
      const before = clock.sleeps.length;
      await retries.run('call', undefined, fail, patienceMs).catch(() => undefined);
      expect(clock.sleeps.slice(before)).toEqual(Array(sleeps).fill(2000));
    }
  });

  test('a call whose time is up tells what the last whole attempt failed with', async () => {
    const retries = new Retries({ ...RETRY_POLICY_DEFAULT, deadlineMs: 200, firstDelayMs: 1 }, systemClock, always(0));
    const call = retries.run('call', undefined, async ({ number, signal }) => {
      if (number === 1) throw new TryAgain(new NokvError('store-unavailable', 'nobody listens'));
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));
    });
    await expect(call).rejects.toMatchObject({ code: 'deadline-exceeded', message: expect.stringContaining('last: nobody listens') });
  });

  test('a signal ends the wait between attempts', async () => {
    const abort = new AbortController();
    const { clock } = setup();
    const waiting = {
      ...clock,
      sleep: (_: number, signal?: AbortSignal) =>
        new Promise<void>((__, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
    };
    const call = new Retries(RETRY_POLICY_DEFAULT, waiting, always(1)).run('call', abort.signal, async () => {
      queueMicrotask(() => setImmediate(() => abort.abort()));
      throw new TryAgain(down('unknown'));
    });
    await expect(call).rejects.toMatchObject({ code: 'cancelled', outcome: 'unknown' });
  });
});
