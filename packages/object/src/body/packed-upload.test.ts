import { createHash, randomBytes } from 'node:crypto';
import { makeUploadId } from '@nokv/types';
import { expect, test } from 'vitest';
import { memoryStore, type StoreFault } from '../memory/memory-object-store.js';
import { blocksOf } from '../store-blocks.js';
import { codeOf } from '../testing/index.js';
import { BodyReader } from './body-reader.js';
import { PackedUpload } from './packed-upload.js';
import { UploadSession } from './upload-session.js';

const KIB = 1024;

function setup(...faults: StoreFault[]) {
  const store = memoryStore({ faults });
  const upload = makeUploadId(1, randomBytes(10));
  const session = new UploadSession({ store: blocksOf(store), begin: async () => ({ upload }) });
  return { store, session, packed: new PackedUpload({ session, blockBytes: 256 * KIB, parallel: 2 }) };
}

test('many small bodies share few blocks, and each reads back', async () => {
  const { store, packed } = setup();
  const bodies = Array.from({ length: 100 }, (_, at) => randomBytes(17 * KIB + at * 300));
  const adding = [];
  for (const bytes of bodies) {
    const { accepted, stored } = packed.add(bytes);
    adding.push(stored);
    await accepted;
  }
  await packed.flush();
  const results = await Promise.all(adding);
  const total = bodies.reduce((sum, { length }) => sum + length, 0);
  expect(store.keys.length).toBeLessThanOrEqual(Math.ceil(total / (210 * KIB)));
  expect(store.concurrencyMax).toBeLessThanOrEqual(2);
  const reader = new BodyReader({ store: blocksOf(store) });
  for (const [at, { body, size, digest }] of results.entries()) {
    const bytes = bodies[at] ?? Buffer.alloc(0);
    expect(Buffer.compare(await reader.read(body, 0, size), bytes)).toBe(0);
    expect(digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  }
});

test('a body is stored only when its block is', async () => {
  const { store, packed } = setup();
  let isStored = false;
  const { stored } = packed.add(randomBytes(20 * KIB));
  void stored.then(() => (isStored = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isStored).toBe(false);
  expect(store.keys).toEqual([]);
  await packed.flush();
  await stored;
  expect(store.keys).toHaveLength(1);
});

test('the bytes may be changed as soon as add returns', async () => {
  const { store, packed } = setup();
  const bytes = Buffer.alloc(20 * KIB, 1);
  const { stored } = packed.add(bytes);
  bytes.fill(2);
  await packed.flush();
  const { body, size } = await stored;
  expect(Buffer.compare(await new BodyReader({ store: blocksOf(store) }).read(body, 0, size), Buffer.alloc(20 * KIB, 1))).toBe(0);
});

test('inline bodies, zeros and bodies of a whole block', async () => {
  const { store, packed } = setup();
  const inline = packed.add(Buffer.from('small')).stored;
  const hole = packed.add(Buffer.alloc(100 * KIB)).stored;
  const whole = packed.add(randomBytes(256 * KIB)).stored;
  await packed.flush();
  expect((await inline).body.kind).toBe('inline');
  expect((await hole).body).toEqual({ kind: 'blocks', manifest: { size: 100 * KIB, extents: [{ hole: true, take: 100 * KIB }] } });
  expect((await whole).size).toBe(256 * KIB);
  expect(store.keys).toHaveLength(1);
  expect(() => packed.add(randomBytes(256 * KIB + 1))).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('a failed put fails every body of its block and what comes after, and leaves none waiting', async () => {
  const { packed } = setup({ on: 'put', times: 1, effect: { kind: 'fail' } });
  const adding = Array.from({ length: 60 }, () => packed.add(randomBytes(30 * KIB)).stored);
  expect(await codeOf(packed.flush())).toBe('store-unavailable');
  const codes = await Promise.all(adding.map(codeOf));
  expect(codes[0]).toBe('store-unavailable');
  expect(codes.at(-1)).toBe('store-unavailable');
});

test('flushing nothing is fine', async () => {
  const { store, packed } = setup();
  await packed.flush();
  expect(store.calls.put).toBe(0);
});
