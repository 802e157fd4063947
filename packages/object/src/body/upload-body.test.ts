import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { NokvError, blockKey, makeUploadId, type Manifest, type UploadId } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import { memoryStore, type MemoryObjectStore, type StoreFault } from '../memory/memory-object-store.js';
import { blocksOf, removeUploadBlocks } from '../store-blocks.js';
import { codeOf } from '../testing/index.js';
import { BodyReader } from './body-reader.js';
import { memorySource, openLocalFile } from './byte-source.js';
import { uploadBody, type ResumeHooks, type StoredBlock, type UploadBodyOptions, type UploadedBody } from './upload-body.js';
import { UploadSession } from './upload-session.js';

const KIB = 1024;
const upload: UploadId = makeUploadId(1, randomBytes(10));

function setup(...faults: StoreFault[]): { store: MemoryObjectStore; session: UploadSession; begun: () => number } {
  const store = memoryStore({ faults });
  let begun = 0;
  const session = new UploadSession({
    store: blocksOf(store),
    begin: async () => {
      begun += 1;
      return { upload };
    },
  });
  return { store, session, begun: () => begun };
}

function* chunked(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

function manifestOf({ body }: UploadedBody): Manifest {
  if (body.kind !== 'blocks') throw new Error('expected blocks');
  return body.manifest;
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function readBack(store: MemoryObjectStore, { body, size }: UploadedBody): Promise<Buffer> {
  return Buffer.from(await new BodyReader({ store: blocksOf(store) }).read(body, 0, size + 10));
}

describe('an upload that is gone on with', () => {
  const blockBytes = 64 * KIB;
  /** Text, a block that nothing shortens, zeros, text. */
  const bytes = Buffer.concat([
    Buffer.alloc(blockBytes, 'text '),
    randomBytes(blockBytes),
    Buffer.alloc(blockBytes),
    Buffer.alloc(blockBytes - 7, 'more text '),
  ]);

  test.each(['none', 'gzip'] as const)('sends only what is missing, each block under the number of its place (%s)', async (codec) => {
    const compress = codec === 'none' ? undefined : codec;
    const { store, session } = setup({ on: 'put', key: `${upload}/3`, effect: { kind: 'fail' } });
    const noted = new Map<number, StoredBlock>();
    const resume: ResumeHooks = {
      storedBefore: ({ position }) => noted.get(position),
      stored: async ({ position }, stored) => void noted.set(position, stored),
    };
    const options = { session, blockBytes, compress, resume, parallel: 1 };
    await expect(uploadBody([bytes], options)).rejects.toMatchObject({ kind: 'unavailable' });
    expect([...noted.keys()]).toEqual([0, blockBytes]);
    // The second was on its way when the first run ended: it is there, and nothing says so.
    noted.delete(blockBytes);
    const before = store.calls.put;
    const result = await uploadBody([bytes], options);
    expect(store.calls.put - before).toBe(2);
    expect(await readBack(store, result)).toEqual(bytes);
    expect(result.digest).toBe(sha256(bytes));
    const { objects } = await store.list('', { limit: 10 });
    expect(objects.map(({ key }) => key)).toEqual([0, 1, 3].map((index) => blockKey(upload, index)));
  });
});

describe('uploadBody', () => {
  test.each([0, 1, 16 * KIB])('a body of %i bytes stays inline: no upload is begun, nothing is put', async (size) => {
    const { store, session, begun } = setup();
    const bytes = randomBytes(size);
    const result = await uploadBody(chunked(bytes, [1000]), { session });
    expect(result).toEqual({ body: { kind: 'inline', bytes: new Uint8Array(bytes) }, size, digest: sha256(bytes) });
    expect(begun()).toBe(0);
    expect(store.calls.put).toBe(0);
  });

  test.each([16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 640 * KIB, 640 * KIB + 5])(
    'a body of %i bytes becomes blocks that read back, whatever the chunks',
    async (size) => {
      const bytes = randomBytes(size);
      for (const sizes of [[1, 17, 5000], [64 * KIB], [size], [100_000, 3]]) {
        const { store, session, begun } = setup();
        const result = await uploadBody(chunked(bytes, sizes), { session, blockBytes: 64 * KIB });
        expect(result).toMatchObject({ size, digest: sha256(bytes) });
        expect(begun()).toBe(1);
        const { extents } = manifestOf(result);
        expect(extents).toHaveLength(Math.ceil(size / (64 * KIB)));
        expect(extents.map((extent) => ('index' in extent ? extent.index : -1))).toEqual(extents.map((_, at) => at));
        expect(store.keys).toHaveLength(extents.length);
        expect(Buffer.compare(await readBack(store, result), bytes)).toBe(0);
      }
    },
  );

  test.each([16 * KIB, 16 * KIB + 1, 64 * KIB, 300 * KIB, 2500 * KIB])(
    'of %i bytes in memory no copy is sent, and the body is that of a stream of them',
    async (size) => {
      const bytes = new Uint8Array(randomBytes(size + 7).buffer, 0, size);
      const { store, session } = setup();
      const sent: Uint8Array[] = [];
      const blocks = blocksOf(store);
      const spied: UploadSession = new UploadSession({
        store: { ...blocks, putBlock: (...call) => (sent.push(call[2]), blocks.putBlock(...call)) },
        begin: () => session.grant(),
      });
      const options = { session: spied, blockBytes: 1024 * KIB };
      const result = await uploadBody(memorySource(bytes), options);
      expect(result).toMatchObject({ size, digest: sha256(bytes) });
      expect(sent.every(({ buffer }) => buffer === bytes.buffer)).toBe(true);
      expect(sent.reduce((sum, { length }) => sum + length, 0)).toBe(size > 16 * KIB ? size : 0);
      expect(Buffer.compare(await readBack(store, result), Buffer.from(bytes))).toBe(0);
    },
  );

  test('a local file, a Node stream and an async generator give the same body', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nokv-upload-'));
    try {
      const bytes = randomBytes(1_000_000);
      writeFileSync(join(directory, 'file'), bytes);
      for (const open of [() => openLocalFile(join(directory, 'file')), () => Readable.from([...chunked(bytes, [9000])])]) {
        const { store, session } = setup();
        const result = await uploadBody(await open(), { session, blockBytes: 128 * KIB });
        expect(result.digest).toBe(sha256(bytes));
        expect(Buffer.compare(await readBack(store, result), bytes)).toBe(0);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('a size hint that is wrong costs nothing but memory', async () => {
    const bytes = randomBytes(300_000);
    for (const sizeHint of [1, 20_000, 299_999, 300_000, 300_001, 9_000_000]) {
      const { store, session } = setup();
      let at = 0;
      const source = {
        sizeHint,
        read: async (into: Uint8Array) => {
          const part = bytes.subarray(at, at + into.length);
          into.set(part);
          at += part.length;
          return part.length;
        },
        close: async () => undefined,
      };
      const result = await uploadBody(source, { session, blockBytes: 64 * KIB });
      expect(Buffer.compare(await readBack(store, result), bytes)).toBe(0);
    }
  });

  test('blocks of zeros are holes and take no object; the digest covers them', async () => {
    const { store, session } = setup();
    const bytes = Buffer.concat([randomBytes(64 * KIB), Buffer.alloc(192 * KIB), randomBytes(10), Buffer.alloc(100)]);
    const result = await uploadBody([bytes], { session, blockBytes: 64 * KIB });
    expect(manifestOf(result).extents.map((extent) => ('hole' in extent ? extent.take : 'block'))).toEqual(['block', 192 * KIB, 'block']);
    expect(store.keys).toHaveLength(2);
    expect(result.digest).toBe(sha256(bytes));
    expect(Buffer.compare(await readBack(store, result), bytes)).toBe(0);
  });

  test('puts run in parallel, and never more than told', async () => {
    const { store, session } = setup({ on: 'put', times: 100, effect: { kind: 'delay', ms: 2 } });
    await uploadBody([randomBytes(40 * 16 * KIB)], { session, blockBytes: 16 * KIB, parallel: 5 });
    expect(store.concurrencyMax).toBe(5);
  });

  test('one upload carries many bodies with one ledger row and no index twice', async () => {
    const { store, session, begun } = setup();
    const bodies = Array.from({ length: 6 }, () => randomBytes(100_000));
    const results = await Promise.all(bodies.map((bytes) => uploadBody([bytes], { session, blockBytes: 32 * KIB })));
    expect(begun()).toBe(1);
    expect(store.keys).toHaveLength(24);
    for (const [at, result] of results.entries())
      expect(Buffer.compare(await readBack(store, result), bodies[at] ?? Buffer.alloc(0))).toBe(0);
  });

  test('progress rises to the size', async () => {
    const { session } = setup();
    const seen: number[] = [];
    await uploadBody([randomBytes(200_000)], { session, blockBytes: 32 * KIB, onProgress: (bytes) => seen.push(bytes) });
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(200_000);
  });

  test('without a digest none is computed', async () => {
    const { session } = setup();
    expect((await uploadBody([randomBytes(200_000)], { session, digest: 'none' })).digest).toBeUndefined();
  });

  test('a failed put fails the upload after all in flight has settled, and deletes nothing', async () => {
    const { store, session } = setup({ on: 'put', key: '/7', effect: { kind: 'fail', error: new NokvError('no-space', 'full') } });
    const call = uploadBody([randomBytes(100 * 16 * KIB)], { session, blockBytes: 16 * KIB, parallel: 3 });
    await expect(call).rejects.toMatchObject({ code: 'no-space' });
    const stored = store.keys.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.keys).toHaveLength(stored);
    expect(stored).toBeLessThan(20);
    expect(store.calls.delete).toBe(0);
    // Every put failing must not wait for buffers that never come back either.
    const allFail = setup({ on: 'put', times: 1000, effect: { kind: 'fail' } });
    expect(await codeOf(uploadBody([randomBytes(100 * 16 * KIB)], { session: allFail.session, blockBytes: 16 * KIB, parallel: 2 }))).toBe(
      'store-unavailable',
    );
  });

  test('a source that fails fails the upload with its own error and is closed', async () => {
    const { session } = setup();
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield randomBytes(100_000);
        throw new NokvError('not-found', 'the disk ate it');
      } finally {
        closed = true;
      }
    }
    expect(await codeOf(uploadBody(source(), { session, blockBytes: 16 * KIB }))).toBe('not-found');
    expect(closed).toBe(true);
  });

  test('a signal ends an upload whose source never answers', async () => {
    const { session } = setup();
    const abort = new AbortController();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield randomBytes(100_000);
      abort.abort();
      await new Promise(() => undefined);
    }
    expect(await codeOf(uploadBody(source(), { session, signal: abort.signal }))).toBe('cancelled');
  });

  test('when the ledger row cannot be had nothing is put, and the next body asks again', async () => {
    const store = memoryStore();
    let asked = 0;
    const session = new UploadSession({
      store: blocksOf(store),
      begin: async () => {
        asked += 1;
        if (asked === 1) throw new NokvError('connection-lost', 'x');
        return { upload };
      },
    });
    const options: UploadBodyOptions = { session };
    expect(await codeOf(uploadBody([randomBytes(50_000)], options))).toBe('connection-lost');
    expect(store.calls.put).toBe(0);
    expect((await uploadBody([randomBytes(50_000)], options)).size).toBe(50_000);
  });

  test('chunks that are not bytes are refused', async () => {
    const { session } = setup();
    expect(await codeOf(uploadBody(Readable.from(['text']), { session }))).toBe('invalid-argument');
  });

  test('each piece’s checksum is that of the stored bytes, and a sweep removes them all', async () => {
    const { store, session } = setup();
    const result = await uploadBody([randomBytes(200_000)], { session, blockBytes: 16 * KIB });
    for (const extent of manifestOf(result).extents) {
      if ('hole' in extent) continue;
      expect(crc32c(await store.get(blockKey(extent.upload, extent.index)))).toBe(extent.crc32c);
    }
    await store.putIfAbsent('blocks/00/other/0', Buffer.from('x'));
    expect(await removeUploadBlocks(store, upload)).toBe(13);
    expect(await removeUploadBlocks(store, upload)).toBe(0);
    expect(store.keys).toEqual(['blocks/00/other/0']);
  });
});

test('openLocalFile names what is wrong', async () => {
  expect(await codeOf(openLocalFile('/no/such/file'))).toBe('not-found');
  expect(await codeOf(openLocalFile('/tmp'))).toBe('is-directory');
});
