import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NokvError } from '@nokv/types';
import { expect, test } from 'vitest';
import { STORE_CAPABILITIES, admissionProbe } from './admission-probe.js';
import { openFileStore } from './file/file-object-store.js';
import { memoryStore } from './memory/memory-object-store.js';
import type { ObjectStore } from './object-store.js';

test('our own stores are admitted and left empty', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-admission-'));
  try {
    for (const store of [memoryStore(), await openFileStore(directory)]) {
      expect(Object.entries(await admissionProbe(store))).toEqual(STORE_CAPABILITIES.map((name) => [name, true]));
      expect((await store.list('', { limit: 10 })).objects).toEqual([]);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** A memory store with one flaw. */
function flawed(flaw: (store: ObjectStore) => Partial<ObjectStore>): ObjectStore {
  const store = memoryStore();
  const bound: ObjectStore = {
    description: 'flawed:',
    putIfAbsent: (...args) => store.putIfAbsent(...args),
    get: (...args) => store.get(...args),
    head: (...args) => store.head(...args),
    list: (...args) => store.list(...args),
    delete: (...args) => store.delete(...args),
    close: () => store.close(),
  };
  return { ...bound, ...flaw(bound) };
}

test.each([
  [
    'one-winner',
    // Looks first and writes later: honest one at a time, several winners at once.
    (store: ObjectStore): Partial<ObjectStore> => ({
      putIfAbsent: async (key, bytes) => {
        if ((await store.head(key)) !== undefined) return 'exists';
        await store.delete([key]);
        await store.putIfAbsent(key, bytes);
        return 'created';
      },
    }),
  ],
  [
    'range-read',
    (store: ObjectStore): Partial<ObjectStore> => ({
      get: (key, options) => store.get(key, { ...options, ...(options?.offset ? { offset: options.offset - 1 } : {}) }),
    }),
  ],
  [
    'list-after-write',
    (store: ObjectStore): Partial<ObjectStore> => ({
      list: async (prefix, options) => (prefix.endsWith('list-') ? { objects: [], more: false } : store.list(prefix, options)),
    }),
  ],
  ['bulk-delete', (store: ObjectStore): Partial<ObjectStore> => ({ delete: (keys) => store.delete(keys.slice(0, 1)) })],
] as const)('a store whose %s fails is refused, and just that is named', async (name, flaw) => {
  await expect(admissionProbe(flawed(flaw))).rejects.toMatchObject({
    code: 'store-unfit',
    message: expect.stringContaining(`flawed: does not give what nokv needs: ${name} (`),
    details: Object.fromEntries(STORE_CAPABILITIES.map((one) => [one, one === name ? expect.not.stringMatching(/^yes$/) : 'yes'])),
  });
});

test('a store that fails is not called unfit, and what was written is removed', async () => {
  const store = memoryStore({ faults: [{ on: 'list', effect: { kind: 'fail', error: new NokvError('store-unavailable', 'down') } }] });
  await expect(admissionProbe(store)).rejects.toMatchObject({ code: 'store-unavailable' });
  expect(store.keys).toEqual([]);
});
