import { describe, expect, test } from 'vitest';
import { TaskPool } from './task-pool.js';

const never = new AbortController().signal;

describe('a task pool', () => {
  test('runs no more than its limit at once and all in the end', async () => {
    const pool = new TaskPool(3, never);
    let running = 0;
    let most = 0;
    let done = 0;
    for (let i = 0; i < 20; i++) {
      await pool.add(async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        done += 1;
      });
    }
    await pool.drain();
    expect({ most, done }).toEqual({ most: 3, done: 20 });
  });

  test('the first failure stops what comes after and is what drain says', async () => {
    const pool = new TaskPool(2, never);
    await pool.add(async () => {
      throw new Error('first');
    });
    await pool.add(async () => undefined).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    await expect(pool.add(async () => undefined)).rejects.toThrow('first');
    expect(pool.signal.aborted).toBe(true);
    await expect(pool.drain()).rejects.toThrow('first');
  });

  test('a signal fails it with its reason, and running tasks are waited for', async () => {
    const abort = new AbortController();
    const pool = new TaskPool(2, abort.signal);
    let finished = false;
    await pool.add(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      finished = true;
    });
    abort.abort(new Error('enough'));
    await expect(pool.drain()).rejects.toThrow('enough');
    expect(finished).toBe(true);
  });
});
