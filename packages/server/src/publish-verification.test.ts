import { crc32c, memoryStore } from '@nokv/object';
import { blockKey, makeUploadId, systemRandom, type Manifest } from '@nokv/types';
import { expect, test } from 'vitest';
import { inLanes } from './lanes.js';
import { lookingOnce, verifyNewBlocks } from './publish-verification.js';

const upload = makeUploadId(1, systemRandom.bytes(10));
const block = Buffer.alloc(100_000, 'packed ');
const part = (offset: number, length: number): Manifest => ({
  size: length,
  extents: [{ upload, index: 0, offset, length, crc32c: crc32c(block.subarray(offset, offset + length)), skip: 0, take: length }],
});

async function stored() {
  const store = memoryStore();
  await store.putIfAbsent(blockKey(upload, 0), block);
  return store;
}

test('a batch looks a block up once, however many bodies lie in it', async () => {
  const store = await stored();
  const once = lookingOnce(store);
  const parts = Array.from({ length: 100 }, (_, i) => part(i * 1000, 1000));
  await inLanes(parts, 16, (manifest) => verifyNewBlocks(once, { upload, manifest, packed: true }, { readsBack: false }));
  expect([store.calls.head, store.calls.get]).toEqual([1, 0]);
});

test('what is read back of a large body is bounded, and spread over it', async () => {
  const store = await stored();
  const size = 30;
  for (let index = 1; index < size; index++) await store.putIfAbsent(blockKey(upload, index), Buffer.alloc(4 * 1024 * 1024, index));
  const piece = (index: number) => {
    const length = 4 * 1024 * 1024;
    return { upload, index, offset: 0, length, crc32c: crc32c(Buffer.alloc(length, index)), skip: 0, take: length };
  };
  const extents = Array.from({ length: size - 1 }, (_, i) => piece(i + 1));
  const manifest = { size: extents.length * 4 * 1024 * 1024, extents };
  await verifyNewBlocks(store, { upload, manifest }, { readsBack: true });
  expect(store.calls.head).toBe(extents.length);
  expect(store.calls.get).toBeGreaterThanOrEqual(8);
  expect(store.calls.get).toBeLessThanOrEqual(16);
  const [first, ...rest] = extents;
  if (first === undefined) throw new Error('expected extents');
  const wrong = { ...manifest, extents: [{ ...first, crc32c: 1 }, ...rest] };
  await expect(verifyNewBlocks(store, { upload, manifest: wrong }, { readsBack: true })).rejects.toMatchObject({ code: 'bad-upload' });
});

test('a block is longer than stated only where other bodies lie in it, too', async () => {
  const store = await stored();
  await expect(verifyNewBlocks(store, { upload, manifest: part(0, 1000) }, { readsBack: true })).rejects.toMatchObject({
    code: 'bad-upload',
    details: { expected: 1000, found: block.length },
  });
  await verifyNewBlocks(store, { upload, manifest: part(0, 1000), packed: true }, { readsBack: true });
  await verifyNewBlocks(store, { upload, manifest: part(0, block.length) }, { readsBack: true });
});
