import { describe, expect, it } from 'vitest';
import { mapInOrder } from './bounded.js';

describe('mapInOrder', () => {
  it('keeps the order, and never runs more steps at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const step = async (item: number) => {
      running += 1;
      most = Math.max(most, running);
      // Later items finish earlier.
      for (let turn = 0; turn < 20 - item; turn++) await Promise.resolve();
      running -= 1;
      return item * 2;
    };
    const results: number[] = [];
    for await (const result of mapInOrder(
      Array.from({ length: 20 }, (_, i) => i),
      4,
      step,
    ))
      results.push(result);
    expect(results).toEqual(Array.from({ length: 20 }, (_, i) => i * 2));
    expect(most).toBe(4);
  });

  it('gives what came before a failure, then the failure, and leaves no rejection behind', async () => {
    const step = async (item: number) => {
      if (item >= 2) throw new Error(`item ${item}`);
      return item;
    };
    const results: number[] = [];
    const drain = async () => {
      for await (const result of mapInOrder([0, 1, 2, 3, 4], 5, step)) results.push(result);
    };
    await expect(drain()).rejects.toThrow('item 2');
    expect(results).toEqual([0, 1]);
  });
});
