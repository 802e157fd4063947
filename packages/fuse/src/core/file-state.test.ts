/** Random writes, truncations, holes, flushes and failures against a plain buffer. */
import { expect, test } from 'vitest';
import { NokvError, makeUploadId, systemClock, systemRandom, type InodeNumber } from '@nokv/types';
import { MemoryNamespace } from '../testing/memory-namespace.js';
import { FileState } from './file-state.js';
import { MountContext } from './mount-context.js';
import { NodeTable, type Node } from './node-table.js';

/** mulberry32: small, seeded, good enough to choose operations. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

async function freshFile(blockBytes: number): Promise<{ namespace: MemoryNamespace; context: MountContext; node: Node; file: FileState }> {
  const namespace = new MemoryNamespace({ blockBytes, inlineBytesMax: 64 });
  const metadata = namespace.client('a');
  const random = { bytes: (length: number) => new Uint8Array(length), float: () => 0.5 };
  const context = new MountContext({ metadata, bodies: namespace, clock: systemClock, random, callTimeoutMs: 1000, log: () => undefined });
  const root = 1 as InodeNumber;
  const { result } = await metadata.mutate('create', {
    entry: { parent: root, name: Buffer.from('f') },
    type: 'file',
    mode: 0o644,
    exclusive: true,
    uid: 0,
    gid: 0,
  });
  const table = new NodeTable(await metadata.read('getattr', { ino: root }));
  const node = table.remember(result.attributes, table.now);
  const file = new FileState(node, context);
  node.file = file;
  return { namespace, context, node, file };
}

async function contentOf(file: FileState, size: number): Promise<Buffer> {
  const read = file.read(0, size + 100);
  return Buffer.concat([...(read instanceof Promise ? await read : read)]);
}

async function publishedBy(namespace: MemoryNamespace, node: Node): Promise<Buffer> {
  const inode = namespace.inodes.get(node.ino);
  if (inode === undefined) throw new Error('the file is gone');
  return Buffer.concat([...(await namespace.open(inode.body).read(0, inode.attributes.size))]);
}

async function run(seed: number, steps: number): Promise<void> {
  const random = randomOf(seed);
  const pick = (limit: number) => Math.floor(random() * limit);
  const { namespace, node, file } = await freshFile(256);
  let model = Buffer.alloc(0);
  const flushes: Promise<unknown>[] = [];
  const write = (offset: number, bytes: Buffer): void | Promise<void> => {
    if (offset + bytes.length > model.length) model = Buffer.concat([model, Buffer.alloc(offset + bytes.length - model.length)]);
    bytes.copy(model, offset);
    return file.write(offset, bytes);
  };
  for (let step = 0; step < steps; step++) {
    const choice = pick(100);
    try {
      if (choice < 45) await write(pick(2000), Buffer.alloc(1 + pick(600), 1 + pick(255)));
      else if (choice < 55) await write(model.length, Buffer.alloc(1 + pick(900), 1 + pick(255)));
      else if (choice < 65) {
        const size = pick(2500);
        const next = Buffer.alloc(size);
        model.copy(next);
        await file.truncate(size);
        model = next;
      } else if (choice < 72 && model.length > 0) {
        const start = pick(model.length);
        const end = Math.min(model.length, start + 1 + pick(500));
        file.zero(start, end, false);
        model.fill(0, start, end);
      } else if (choice < 84) flushes.push(file.flush().catch(() => undefined));
      else if (choice < 88) await file.flush();
      else if (choice < 91) {
        // The store fails for a while; nothing that was written may be lost by it.
        namespace.fault = new NokvError('store-unavailable', 'away');
        await file.flush().catch(() => undefined);
        namespace.fault = undefined;
      } else expect((await contentOf(file, model.length)).equals(model), `seed ${seed}, step ${step}`).toBe(true);
    } catch (error) {
      // A write may be told of an upload that failed before; the bytes are kept all the same.
      if (!(error instanceof NokvError) || error.code !== 'store-unavailable') throw error;
      await file.write(0, model);
    }
  }
  await Promise.all(flushes);
  await file.flush().catch(() => undefined);
  await file.flush();
  expect((await contentOf(file, model.length)).equals(model), `seed ${seed}`).toBe(true);
  expect(file.isDirty).toBe(false);
  expect((await publishedBy(namespace, node)).equals(model), `published, seed ${seed}`).toBe(true);
}

test.each(Array.from({ length: 60 }, (_, i) => i + 1))('random operations leave what was written (seed %i)', async (seed) => {
  await run(seed, 120);
});

test('creating and writing a small file takes one publish and no upload', async () => {
  const { namespace, file } = await freshFile(4096);
  file.write(0, Buffer.from('small'));
  await file.flush();
  expect(namespace.calls.get('publish')).toBe(1);
  expect(namespace.calls.get('begin-upload')).toBeUndefined();
  expect(namespace.calls.get('open-read')).toBeUndefined();
});

test('whole blocks are uploaded while writing goes on', async () => {
  const { namespace, file } = await freshFile(1024);
  for (let i = 0; i < 10; i++) await file.write(i * 1024, Buffer.alloc(1024, i + 1));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(namespace.calls.get('put')).toBe(10);
  expect(namespace.calls.get('publish')).toBeUndefined();
  await file.flush();
  expect(namespace.calls.get('put')).toBe(10);
});

test('a changed header uploads the header and nothing else', async () => {
  const { namespace, file } = await freshFile(1024);
  file.write(0, Buffer.alloc(100_000, 'x'));
  await file.flush();
  const before = [...namespace.blocks.values()].reduce((sum, block) => sum + block.length, 0);
  file.write(0, Buffer.from('header'));
  await file.flush();
  const after = [...namespace.blocks.values()].reduce((sum, block) => sum + block.length, 0);
  expect(after - before).toBe(6);
});

test('many small changes do not leave many extents', async () => {
  const { namespace, node, file } = await freshFile(4096);
  file.write(0, Buffer.alloc(8192, 'x'));
  await file.flush();
  for (let i = 0; i < 200; i++) {
    file.write((i * 37) % 8000, Buffer.from('y'));
    await file.flush();
  }
  const body = namespace.inodes.get(node.ino)?.body;
  expect(body?.kind).toBe('blocks');
  if (body?.kind === 'blocks') expect(body.manifest.extents.length).toBeLessThan(60);
});

test('an upload that fails is told to the writer and tried again', async () => {
  const { namespace, node, file } = await freshFile(1024);
  namespace.fault = new NokvError('store-unavailable', 'away');
  file.write(0, Buffer.alloc(4096, 'x'));
  await expect(file.flush()).rejects.toMatchObject({ code: 'store-unavailable' });
  namespace.fault = undefined;
  await file.flush();
  expect((await publishedBy(namespace, node)).equals(Buffer.alloc(4096, 'x'))).toBe(true);
});

test('ranges go over a body that someone else published meanwhile', async () => {
  const { namespace, node, file } = await freshFile(1024);
  file.write(0, Buffer.alloc(3000, 'a'));
  await file.flush();
  file.write(10, Buffer.from('mine'));
  await namespace
    .client('b')
    .mutate('publish', { node: { ino: node.ino }, body: { kind: 'inline', bytes: Buffer.alloc(3000, 'b') }, uid: 0, gid: 0, mode: 0o644 });
  await file.flush();
  const expected = Buffer.alloc(3000, 'b');
  expected.write('mine', 10);
  expect((await publishedBy(namespace, node)).equals(expected)).toBe(true);
});

test.each(Array.from({ length: 24 }, (_, i) => i))(
  'a body published elsewhere during a publish loses nothing (after %i turns)',
  async (turns) => {
    const { namespace, node, file } = await freshFile(1024);
    file.write(0, Buffer.alloc(3000, 'a'));
    await file.flush();
    file.write(10, Buffer.from('mine'));
    const flush = file.flush();
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    const ours = namespace.calls.get('publish') ?? 0;
    const { result } = await namespace.client('b').mutate('publish', {
      node: { ino: node.ino },
      body: { kind: 'inline', bytes: Buffer.alloc(3500, 'b') },
      uid: 0,
      gid: 0,
      mode: 0o644,
    });
    file.rebase(result.generation);
    await flush;
    const expected = Buffer.alloc(3500, 'b');
    // Whoever published last decides what lies under the ranges; what we wrote last is never under it.
    if (ours < 2) expected.write('mine', 10);
    expect((await publishedBy(namespace, node)).equals(expected)).toBe(true);
    const read = file.read(0, 5000);
    expect(file.size === 3500 || ours === 2).toBe(true);
    if (ours < 2) expect(Buffer.concat([...(await read)]).equals(expected)).toBe(true);
  },
);

test('a file that is open while its blocks are moved together reads on and is written on', async () => {
  const { namespace, node, file } = await freshFile(256);
  const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
  await file.write(0, content);
  await file.flush();
  const inode = namespace.inodes.get(node.ino);
  if (inode?.body.kind !== 'blocks') throw new Error('expected a body in blocks');
  // The same generation, in other blocks.
  const upload = makeUploadId(Date.now(), systemRandom.bytes(10));
  const extents = inode.body.manifest.extents.map((extent, index) => {
    if ('hole' in extent) return extent;
    const from = `${extent.upload}/${extent.index}`;
    namespace.blocks.set(`${upload}/${index}`, namespace.blocks.get(from) as Uint8Array);
    return { ...extent, upload, index };
  });
  for (const key of namespace.blocks.keys()) if (!key.startsWith(upload)) namespace.blocks.delete(key);
  inode.body = { kind: 'blocks', manifest: { size: inode.body.manifest.size, extents } };
  inode.bodies.set(inode.attributes.generation, inode.body);
  expect((await contentOf(file, 1000)).equals(content)).toBe(true);
  await file.write(500, Buffer.from('written'));
  content.write('written', 500);
  await file.flush();
  expect((await publishedBy(namespace, node)).equals(content)).toBe(true);
});
