import { expect, test } from 'vitest';
import { NokvError } from '@nokv/types';
import { blocksOf } from '../store-blocks.js';
import { blockStoreConformance, codeOf, objectStoreConformance } from '../testing/index.js';
import { memoryStore } from './memory-object-store.js';

objectStoreConformance('memory', async () => ({ store: memoryStore() }));
blockStoreConformance('over the memory store', async () => ({ blocks: blocksOf(memoryStore()) }));

test('faults meet the calls they name, in order, and then are gone', async () => {
  const store = memoryStore({
    faults: [
      { on: 'put', key: 'b', effect: { kind: 'fail' } },
      { on: 'get', effect: { kind: 'flip' } },
      { on: 'get', times: 2, effect: { kind: 'fail', error: new NokvError('bad-credentials', 'x') } },
    ],
  });
  await store.putIfAbsent('a', Buffer.from('aa'));
  expect(await codeOf(store.putIfAbsent('b', Buffer.from('bb')))).toBe('store-unavailable');
  await store.putIfAbsent('b', Buffer.from('bb'));
  expect(Buffer.from(await store.get('a')).toString()).toBe('`a');
  expect(await codeOf(store.get('a'))).toBe('bad-credentials');
  expect(await codeOf(store.get('a'))).toBe('bad-credentials');
  expect(Buffer.from(await store.get('a')).toString()).toBe('aa');
  expect(store.calls).toMatchObject({ put: 3, get: 4 });
});

test('a lost reply took effect and says so; a cut put did not', async () => {
  const store = memoryStore({
    faults: [
      { on: 'put', key: 'lost', effect: { kind: 'lose-reply' } },
      { on: 'put', key: 'cut', effect: { kind: 'cut' } },
    ],
  });
  await expect(store.putIfAbsent('lost', Buffer.from('x'))).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'unknown' });
  await expect(store.putIfAbsent('cut', Buffer.from('x'))).rejects.toMatchObject({ outcome: 'unknown' });
  expect(store.keys).toEqual(['lost']);
});
