import { NokvError, type Random } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import { CIRCUIT_POLICY_DEFAULT, Circuit, type Entered } from './circuit.js';
import { RETRY_POLICY_DEFAULT, Retries, TryAgain } from './retries.js';
import { fakeClock } from './testing/fake-clock.js';

const always = (value: number): Random => ({ float: () => value, bytes: (length) => new Uint8Array(length) });
const down = new NokvError('store-unavailable', 'down', { outcome: 'unknown' });
const signal = new AbortController().signal;
const POLICY = { failuresMax: 3, coolDownMs: 100, coolDownMsMax: 300 };

function setup() {
  const clock = fakeClock(RETRY_POLICY_DEFAULT.deadlineMs);
  return { clock, circuit: new Circuit(POLICY, clock, always(1)) };
}

async function enter(circuit: Circuit): Promise<Entered> {
  const entered = await circuit.enter(signal);
  if (entered instanceof NokvError) throw entered;
  return entered;
}

async function fail(circuit: Circuit, times: number): Promise<void> {
  for (let at = 0; at < times; at += 1) circuit.leave(await enter(circuit), down);
}

describe('Circuit', () => {
  test('opens after failures in a row; an answer between them counts from the start', async () => {
    const { circuit } = setup();
    await fail(circuit, 2);
    circuit.leave(await enter(circuit), 'answered');
    await fail(circuit, 2);
    expect(circuit.state).toBe('closed');
    await fail(circuit, 1);
    expect([circuit.state, circuit.failure, circuit.opened]).toEqual(['open', down, 1]);
  });

  test('lets one ask after the cool-down; its answer lets all go on', async () => {
    const { clock, circuit } = setup();
    await fail(circuit, 3);
    const probe = await enter(circuit);
    expect([probe.isProbe, circuit.state, clock.sleeps]).toEqual([true, 'half-open', [100]]);
    const waiting = [enter(circuit), enter(circuit), enter(circuit)];
    await Promise.resolve();
    circuit.leave(probe, 'answered');
    expect(await Promise.all(waiting)).toEqual([{ isProbe: false }, { isProbe: false }, { isProbe: false }]);
    expect([circuit.state, circuit.failure]).toEqual(['closed', undefined]);
  });

  test('a probe that fails fails those who waited for it, who sent nothing, and the next one comes later', async () => {
    const { clock, circuit } = setup();
    await fail(circuit, 3);
    for (const coolDownMs of [200, 300, 300]) {
      const probe = await enter(circuit);
      const waiting = circuit.enter(signal);
      circuit.leave(probe, down);
      expect(await waiting).toMatchObject({ code: 'store-unavailable', outcome: 'not-applied' });
      const before = clock.sleeps.length;
      const next = await enter(circuit);
      expect(clock.sleeps.slice(before)).toEqual([coolDownMs]);
      circuit.leave(next, 'abandoned');
    }
    expect(circuit.opened).toBe(1);
  });

  test('a probe whose caller gives up leaves its place to the next at once', async () => {
    const { circuit } = setup();
    await fail(circuit, 3);
    const waiting = enter(circuit).then((probe) => circuit.leave(probe, 'abandoned'));
    await waiting;
    expect(await enter(circuit)).toEqual({ isProbe: true });
  });

  test('whoever waits ends with its own signal', async () => {
    const { circuit } = setup();
    await fail(circuit, 3);
    await enter(circuit);
    const abort = new AbortController();
    const waiting = circuit.enter(abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });
});

test('a store that is down is asked by one call at a time, however many wait', async () => {
  const clock = fakeClock(RETRY_POLICY_DEFAULT.deadlineMs);
  const circuit = new Circuit(CIRCUIT_POLICY_DEFAULT, clock, always(1));
  const retries = new Retries(RETRY_POLICY_DEFAULT, clock, always(1), circuit);
  let running = 0;
  let sent = 0;
  let mostWhileOpen = 0;
  const attempt = async (): Promise<never> => {
    sent += 1;
    running += 1;
    if (circuit.state !== 'closed') mostWhileOpen = Math.max(mostWhileOpen, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    throw new TryAgain(new NokvError('store-unavailable', 'down'));
  };
  for (let at = 0; at < 5; at += 1) await retries.run('call', undefined, attempt).catch(() => undefined);
  sent = 0;
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => retries.run('call', undefined, attempt)));
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  expect(mostWhileOpen).toBe(1);
  expect(sent).toBeLessThan(100);
});

test('refusals are answers: they keep a circuit closed', async () => {
  const clock = fakeClock(RETRY_POLICY_DEFAULT.deadlineMs);
  const circuit = new Circuit(CIRCUIT_POLICY_DEFAULT, clock, always(1));
  const retries = new Retries({ ...RETRY_POLICY_DEFAULT, attemptsMax: 10 }, clock, always(1), circuit);
  for (const refusal of [
    new NokvError('permission-denied', 'no'),
    new TryAgain(new NokvError('store-unavailable', 'bytes changed', { details: { status: 400 } })),
  ]) {
    await retries.run('call', undefined, () => Promise.reject(refusal)).catch(() => undefined);
    expect(circuit.state).toBe('closed');
  }
  const failing = () => Promise.reject(new TryAgain(new NokvError('store-unavailable', 'slow down', { details: { status: 503 } })));
  await retries.run('call', undefined, failing).catch(() => undefined);
  expect(circuit.state).toBe('open');
});
