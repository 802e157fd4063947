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
    expect(poller.stats.misses).toBe(1);
    const asleep = poller.stats.turns;
    await turns(50);
    expect(poller.stats.turns).toBe(asleep);
  });

  it('never waits longer than its bound, however quick the messages were', () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock, 0.3);
    quickMessages(poller, advance, 0.2);
    expect(poller.stats.windowMs).toBe(0.3);
    advance(1);
  });

  it('gives up where waiting awake does not help, asks again ever more seldom, and comes back when it does', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    // As on a machine with too few cores: what is waited for comes only once the window is over.
    for (let i = 0; i < 1000; i++) {
      if (poller.stats.windowMs > 0) {
        poller.sent();
        advance(0.5);
        await turns(2);
      }
      advance(0.1);
      poller.received();
    }
    const missed = poller.stats.misses;
    expect(missed).toBeGreaterThan(3);
    expect(missed).toBeLessThan(20);
    quickMessages(poller, advance, 0.03, 2000);
    expect(poller.stats.hits).toBeGreaterThan(1000);
    advance(1);
  });

  it('sleeps at last even when its clock stands still', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    await turns(11_000);
    expect(poller.stats).toMatchObject({ turns: 10_000, misses: 1 });
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

  it('forgets that messages were quick', async () => {
    const { clock, advance } = handClock();
    const poller = new AdaptivePoller(clock);
    quickMessages(poller, advance);
    for (let i = 0; i < 100; i++) {
      advance(20);
      await turns(2);
      poller.received();
    }
    const { turns: before } = poller.stats;
    for (let i = 0; i < 50; i++) {
      advance(20);
      await turns(2);
      poller.received();
    }
    expect(poller.stats.turns - before).toBeLessThan(5);
    advance(20);
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

function quickMessages(poller: AdaptivePoller, advance: (ms: number) => void, gapMs = 0.03, count = 50): void {
  for (let i = 0; i < count; i++) {
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
