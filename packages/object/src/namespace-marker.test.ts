import { expect, test } from 'vitest';
import { NAMESPACE_MARKER_KEY } from '@nokv/types';
import { memoryStore } from './memory/memory-object-store.js';
import { claimNamespace, readNamespaceMarker } from './namespace-marker.js';

test('the first claim makes the marker, later ones find it', async () => {
  const store = memoryStore();
  expect(await readNamespaceMarker(store)).toBeUndefined();
  const marker = await claimNamespace(store);
  expect(marker).toMatch(/^[0-9a-f]{32}$/);
  expect(await claimNamespace(store)).toBe(marker);
  expect(await claimNamespace(store, { expected: marker })).toBe(marker);
  expect(await readNamespaceMarker(store)).toBe(marker);
});

test('of servers that claim at once all get the same marker', async () => {
  const store = memoryStore();
  expect(new Set(await Promise.all(Array.from({ length: 10 }, () => claimNamespace(store)))).size).toBe(1);
});

test('another cluster’s store, and a store that lost its marker, are refused and left as they are', async () => {
  const store = memoryStore();
  const expected = '0'.repeat(32);
  await expect(claimNamespace(store, { expected })).rejects.toMatchObject({
    code: 'bad-configuration',
    details: { expected, found: null },
  });
  expect(store.keys).toEqual([]);
  const marker = await claimNamespace(store);
  await expect(claimNamespace(store, { expected })).rejects.toMatchObject({
    code: 'bad-configuration',
    details: { expected, found: marker },
  });
});

test.each([
  ['{"format":2,"marker":"00000000000000000000000000000000"}', 'unsupported-format'],
  ['{"format":1,"marker":"short"}', 'corrupt'],
  ['not JSON', 'corrupt'],
  ['', 'corrupt'],
  ['x'.repeat(5000), 'corrupt'],
])('a marker %# that is not ours is refused as it says', async (text, code) => {
  const store = memoryStore();
  await store.putIfAbsent(NAMESPACE_MARKER_KEY, Buffer.from(text));
  await expect(claimNamespace(store)).rejects.toMatchObject({ code });
});
