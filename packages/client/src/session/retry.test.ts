import { ID_RANDOM_BYTES, NokvError, makeRequestId, systemRandom, type Clock, type ErrorCode, type Random } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import { RETRY_DELAY_MS_MAX, isPassing, retryDelayMs, retrying, type CallBudget } from './retry.js';

/** Time that moves only when somebody sleeps. */
function virtualClock(): Clock & { readonly slept: number[] } {
  let nowMs = 1000;
  const slept: number[] = [];
  return {
    slept,
    now: () => ({ sec: Math.floor(nowMs / 1000), nsec: 0 }),
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      slept.push(ms);
      nowMs += ms;
    },
  };
}

const middle: Random = { bytes: (length) => new Uint8Array(length), float: () => 0.5 };
const requestId = makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));

function budget(clock: Clock, timeoutMs: number, signal?: AbortSignal): CallBudget {
  return { deadlineMs: clock.monotonicMs() + timeoutMs, timeoutMs, signal };
}

/** Fails with each of `errors` in turn, then succeeds. */
function failing(...errors: NokvError[]) {
  const calls: number[] = [];
  return {
    calls,
    attempt: {
      run: async (remainingMs: number) => {
        calls.push(remainingMs);
        const error = errors.shift();
        if (error !== undefined) throw error;
        return 'done';
      },
    },
  };
}

const lost = (outcome: 'not-applied' | 'unknown') => new NokvError('connection-lost', 'gone', { outcome });

async function failureOf(work: Promise<unknown>): Promise<NokvError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof NokvError)) throw new Error(`expected a NokvError, found ${String(error)}`);
  return error;
}

describe('retrying', () => {
  test.each<ErrorCode>(['unavailable', 'connection-lost', 'draining', 'too-busy', 'not-owner', 'lease-lost', 'store-unavailable'])(
    '%s is asked again',
    async (code) => {
      const clock = virtualClock();
      const { attempt, calls } = failing(new NokvError(code, 'later'), new NokvError(code, 'later'));
      expect(await retrying({ clock, random: middle }, budget(clock, 30_000), undefined, attempt)).toBe('done');
      expect(calls).toHaveLength(3);
    },
  );

  test.each<ErrorCode>(['not-found', 'exists', 'generation-mismatch', 'bad-token', 'corrupt', 'store-unfit', 'invalid-path', 'internal'])(
    '%s reaches the caller at once and as it is',
    async (code) => {
      const clock = virtualClock();
      const error = new NokvError(code, 'no');
      const { attempt, calls } = failing(error);
      expect(await failureOf(retrying({ clock, random: middle }, budget(clock, 30_000), undefined, attempt))).toBe(error);
      expect(calls).toHaveLength(1);
    },
  );

  test('waits grow, stay bounded and never pass the deadline', async () => {
    const clock = virtualClock();
    const startMs = clock.monotonicMs();
    const run = async () => {
      throw lost('not-applied');
    };
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 5000), undefined, { run }));
    expect(error.code).toBe('connection-lost');
    expect(error.message).toMatch(/gave up after \d+ attempts in 5000 ms/);
    expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(5000);
    expect(clock.slept.every((ms, index) => index === 0 || ms >= (clock.slept[index - 1] as number))).toBe(true);
    expect(Math.max(...clock.slept)).toBeLessThanOrEqual(RETRY_DELAY_MS_MAX);
  });

  test('each attempt is told what time is left', async () => {
    const clock = virtualClock();
    const { attempt, calls } = failing(lost('not-applied'));
    await retrying({ clock, random: middle }, budget(clock, 1000), undefined, attempt);
    expect(calls[0]).toBe(1000);
    expect(calls[1]).toBe(1000 - (clock.slept[0] as number));
  });

  test('a mutation of unknown outcome is unknown at its deadline and names its request id', async () => {
    const clock = virtualClock();
    const errors = [lost('unknown'), ...Array.from({ length: 100 }, () => new NokvError('unavailable', 'nobody listens'))];
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500), requestId, failing(...errors).attempt));
    expect(error).toMatchObject({ outcome: 'unknown', code: 'unavailable', details: { requestId } });
    expect(error.message).toContain(requestId);
  });

  test('a mutation that was never sent is not applied', async () => {
    const clock = virtualClock();
    const errors = Array.from({ length: 100 }, () => new NokvError('unavailable', 'nobody listens'));
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500), requestId, failing(...errors).attempt));
    expect(error.outcome).toBe('not-applied');
  });

  test('the refusal that answers a repeated request id is the outcome', async () => {
    const clock = virtualClock();
    const { attempt } = failing(lost('unknown'), new NokvError('generation-mismatch', 'current is 7'));
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500), requestId, attempt));
    expect(error).toMatchObject({ code: 'generation-mismatch', outcome: 'not-applied' });
  });

  test('a signal ends the waiting; what was sent before stays unknown', async () => {
    const clock = virtualClock();
    const abort = new AbortController();
    const run = async () => {
      abort.abort();
      throw lost('unknown');
    };
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500, abort.signal), requestId, { run }));
    expect(error).toMatchObject({ code: 'cancelled', outcome: 'unknown', details: { requestId } });
  });

  test('a signal that fired before the first attempt sends nothing', async () => {
    const clock = virtualClock();
    const { attempt, calls } = failing();
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500, AbortSignal.abort()), requestId, attempt));
    expect(error).toMatchObject({ code: 'cancelled', outcome: 'not-applied' });
    expect(calls).toHaveLength(0);
  });

  test('what no adapter translated is internal and of unknown outcome', async () => {
    const clock = virtualClock();
    const run = async () => {
      throw new TypeError('a bug');
    };
    const error = await failureOf(retrying({ clock, random: middle }, budget(clock, 500), requestId, { run }));
    expect(error).toMatchObject({ code: 'internal', outcome: 'unknown', details: { requestId } });
  });
});

test('delays are jittered within the upper half of their ceiling', () => {
  const at = (float: number) => ({ bytes: middle.bytes, float: () => float });
  expect(retryDelayMs(0, at(0))).toBe(5);
  expect(retryDelayMs(0, at(1))).toBe(10);
  expect(retryDelayMs(1000, at(1))).toBe(RETRY_DELAY_MS_MAX);
});

test('a cancelled call and a deadline are not worth another attempt', () => {
  expect(isPassing(new NokvError('cancelled', ''))).toBe(false);
  expect(isPassing(new NokvError('deadline-exceeded', ''))).toBe(false);
});
