import { expect, test } from 'vitest';
import { QuickCalls } from './quick-calls.js';

test('calls are made here while they are quick, elsewhere for a while when they are not, and tried here again', async () => {
  let nowMs = 0;
  let callMs = 0.01;
  const calls = new QuickCalls(() => nowMs);
  const once = async () =>
    calls.do(
      () => {
        nowMs += callMs;
        return 'here';
      },
      async () => 'later',
    );
  const made = async (count: number) => {
    const places = { here: 0, later: 0 };
    for (let call = 0; call < count; call++) places[(await once()) as 'here' | 'later'] += 1;
    return places;
  };
  expect(await made(1000)).toEqual({ here: 1000, later: 0 });
  callMs = 10;
  expect(await made(201)).toEqual({ here: 1, later: 200 });
  callMs = 0.01;
  expect(await made(1000)).toEqual({ here: 1000, later: 0 });
  // One that fails has taken its time as well.
  const failing = calls.do<string>(
    () => {
      nowMs += 50;
      throw new Error('gone');
    },
    async () => 'later',
  );
  await expect(failing).rejects.toThrow('gone');
  expect(await once()).toBe('later');
});
