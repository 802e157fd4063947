import { describe, expect, it } from 'vitest';
import { Slots } from './slots.js';

const patient = (): AbortSignal => new AbortController().signal;

describe('slots', () => {
  it('let no more in than there are, first come, first served', async () => {
    const slots = new Slots(2, 10);
    const order: number[] = [];
    const giveBack = [await slots.take(patient()), await slots.take(patient())];
    const waiting = [1, 2, 3].map(async (number) => {
      const give = await slots.take(patient());
      order.push(number);
      return give;
    });
    expect(order).toEqual([]);
    giveBack[0]?.();
    const first = await waiting[0];
    expect(order).toEqual([1]);
    first?.();
    giveBack[1]?.();
    for (const give of await Promise.all(waiting)) give();
    expect(order).toEqual([1, 2, 3]);
  });

  it('count a slot that is given back twice once', async () => {
    const slots = new Slots(1, 0);
    const give = await slots.take(patient());
    give();
    give();
    await slots.take(patient());
    await expect(slots.take(patient())).rejects.toMatchObject({ code: 'too-busy' });
  });

  it('are not kept by those who left the line', async () => {
    const slots = new Slots(1, 1);
    const give = await slots.take(patient());
    const leaver = new AbortController();
    const left = slots.take(leaver.signal);
    leaver.abort();
    await expect(left).rejects.toMatchObject({ code: 'cancelled' });
    const next = slots.take(patient());
    give();
    (await next)();
  });
});
