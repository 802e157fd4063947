import { expect, test } from 'vitest';
import { NokvError } from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import { orderedKvConformance } from './testing/index.js';

orderedKvConformance('memory', async () => {
  const kv = new MemoryKv();
  return {
    kv,
    reopen: async () => {
      await kv.close();
      return kv.powerCut();
    },
    dispose: () => kv.close(),
  };
});

const key = Uint8Array.of(1);

test('a power cut keeps flushed commits and loses applied ones', async () => {
  const kv = new MemoryKv({ manual: true });
  const first = kv.commit([{ key, value: Uint8Array.of(1) }]);
  kv.applyNext();
  kv.flush();
  await first.flushed;
  const second = kv.commit([{ key, value: Uint8Array.of(2) }]);
  kv.applyNext();
  await second.committed;
  expect(kv.get(key)).toEqual(Uint8Array.of(2));
  expect(kv.powerCut().get(key)).toEqual(Uint8Array.of(1));
});

test('after a failed commit every later one fails too, until resume', async () => {
  const kv = new MemoryKv({ manual: true });
  const error = new NokvError('no-space', 'the disk is full');
  kv.failNext({ at: 'commit', error });
  const failed = kv.commit([{ key, value: Uint8Array.of(1) }]);
  const queued = kv.commit([{ key, value: Uint8Array.of(2) }]);
  kv.applyNext();
  await expect(failed.committed).rejects.toBe(error);
  await expect(queued.committed).rejects.toBe(error);
  await expect(kv.commit([{ key, value: Uint8Array.of(3) }]).committed).rejects.toBe(error);
  expect(kv.get(key)).toBeUndefined();
  kv.resume();
  const after = kv.commit([{ key, value: Uint8Array.of(4) }]);
  kv.applyNext();
  await after.committed;
  expect(kv.get(key)).toEqual(Uint8Array.of(4));
});
