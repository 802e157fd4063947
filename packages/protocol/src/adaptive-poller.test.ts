import type { Clock } from '@nokv/types';
import { systemClock } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { AdaptivePoller } from './adaptive-poller.js';

describe('AdaptivePoller', () => {
  it('stays awake after quick messages, for a bounded time, then sleeps', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    expect(poller.stats.windowMs).toBeGreaterThan(0);
    await turns(10);
    const { turns: awake } = poller.stats;
    expect(awake).toBeGreaterThan(5);
    advance(0.6);
    await turns(10);
    expect(poller.stats.slept).toBe(1);
    const asleep = poller.stats.turns;
    await turns(50);
    expect(poller.stats.turns).toBe(asleep);
  });

  it('never waits longer than its bound, however quick the messages were', () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock, 0.3);
    quickMessages(poller, advance, 0.2);
    expect(poller.stats.windowMs).toBe(0.3);
  });

  it('sleeps at last even when its clock stands still', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    await turns(11_000);
    expect(poller.stats).toMatchObject({ turns: 10_000, slept: 1 });
  });

  it('does not stay awake for messages that come too seldom to be waited for', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    for (let i = 0; i < 50; i++) {
      advance(20);
      poller.received();
      poller.sent();
    }
    await turns(10);
    expect(poller.stats).toMatchObject({ turns: 0, windowMs: 0 });
  });

  it('forgets that messages were quick', () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    for (let i = 0; i < 10; i++) {
      advance(20);
      poller.received();
    }
    expect(poller.stats.windowMs).toBe(0);
  });

  it('uses no CPU while nothing comes', async () => {
    await turns(11_000);
    const poller = new AdaptivePoller(systemClock);
    for (let i = 0; i < 200; i++) poller.received();
    expect(poller.stats.windowMs).toBeGreaterThan(0);
    await systemClock.sleep(100);
    const before = process.cpuUsage();
    const { turns: turnsBefore } = poller.stats;
    await systemClock.sleep(1000);
    const used = process.cpuUsage(before);
    expect(poller.stats.turns).toBe(turnsBefore);
    expect((used.user + used.system) / 1000).toBeLessThan(150);
  });
});

function quickMessages(poller: AdaptivePoller, advance: (ms: number) => void, gapMs = 0.03): void {
  for (let i = 0; i < 50; i++) {
    advance(gapMs);
    poller.received();
  }
}

function handClock(): { clock: Clock; advance: (ms: number) => void } {
  let now = 0;
  return { clock: { ...systemClock, monotonicMs: () => now }, advance: (ms) => (now += ms) };
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
