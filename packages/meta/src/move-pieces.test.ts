/** Bodies that come to name copies of their pieces: nothing that is seen changes, and whoever was first wins. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isHole, type Body, type Generation, type Piece, type UploadId } from '@nokv/types';
import type { MovedPiece } from './command.js';
import { extentKey, uploadKey } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { TestShard, at } from './testing/test-shard.js';
import { decodeExtent } from './value-body.js';

let shard: TestShard;
beforeEach(async () => {
  shard = await TestShard.open(new MemoryKv());
});
afterEach(() => shard.engine.close());

const DAY_MS = 24 * 3600 * 1000;
const begin = async (): Promise<UploadId> => (await shard.do('begin-upload', { target: '', ttlMs: 60_000 })).result.upload;
const piece = (upload: UploadId, offset: number): Piece => ({
  upload,
  index: 0,
  offset,
  length: 1000,
  crc32c: offset + 1,
  skip: 0,
  take: 1000,
});
const blocks = (...extents: Piece[]): Body => ({ kind: 'blocks', manifest: { size: extents.length * 1000, extents } });
const references = (upload: UploadId): number | undefined => {
  const bytes = shard.kv.get(extentKey(upload));
  return bytes === undefined ? undefined : decodeExtent(bytes).references;
};
const move = (from: Piece, index: number, offset: number): MovedPiece => ({ from, index, offset });

async function placesOf(path: string, generation?: Generation): Promise<string[]> {
  const { body } = await shard.read('open-read', { node: at(path), ...(generation === undefined ? {} : { generation }) });
  if (body.kind === 'inline') return [];
  return body.manifest.extents.map((extent) => (isHole(extent) ? 'hole' : `${extent.upload}/${extent.index}/${extent.offset}`));
}

async function packed(): Promise<{ old: UploadId; a: Generation; b: Generation }> {
  const old = await begin();
  const a = (await shard.put('/a', '', { body: blocks(piece(old, 0), piece(old, 1000)), upload: old, endUpload: false })).result.generation;
  const b = (await shard.put('/b', '', { body: blocks(piece(old, 2000)), upload: old })).result.generation;
  return { old, a, b };
}

test('current and superseded bodies move, their attributes and generations stay, and the old upload goes a day later', async () => {
  const { old, a, b } = await packed();
  const next = (await shard.put('/b', 'inline now')).result.generation;
  const before = [await shard.stat('/a'), await shard.stat('/b')];
  const inoA = before[0]?.ino as never;
  const inoB = before[1]?.ino as never;
  const upload = await begin();
  const bodies = [
    { ino: inoA, generation: a },
    { ino: inoB, generation: b },
    { ino: inoB, generation: next },
    { ino: inoA, generation: 1 as Generation },
  ];
  const moves = [move(piece(old, 0), 0, 0), move(piece(old, 1000), 0, 1000), move(piece(old, 2000), 1, 0)];
  await shard.engine.movePieces({ upload, isLast: true, bodies, moves });
  expect(await placesOf('/a')).toEqual([`${upload}/0/0`, `${upload}/0/1000`]);
  expect(await placesOf('/b', b)).toEqual([`${upload}/1/0`]);
  expect([await shard.stat('/a'), await shard.stat('/b')]).toEqual(before);
  expect([references(old), references(upload)]).toEqual([0, 2]);
  expect(shard.kv.get(uploadKey(upload))).toBeUndefined();
  const removed: string[] = [];
  const remove = (gone: string): Promise<void> => Promise.resolve(void removed.push(gone));
  shard.clock.ms += DAY_MS - 60_000;
  await shard.maintain(remove);
  expect(removed).toEqual([]);
  shard.clock.ms += 120_000;
  await shard.maintain(remove);
  expect(removed).toEqual([old]);
});

test('what was overwritten and forgotten, or came to name other pieces, is left alone; copies that nobody names are swept', async () => {
  const { old, a } = await packed();
  const { ino } = await shard.stat('/a');
  const upload = await begin();
  // Another piece under the same place, as another reader of the store might have seen it.
  const moves = [move({ ...piece(old, 0), crc32c: 77 }, 0, 0)];
  await shard.engine.movePieces({ upload, isLast: true, bodies: [{ ino, generation: a }], moves });
  expect(await placesOf('/a')).toEqual([`${old}/0/0`, `${old}/0/1000`]);
  expect([references(old), references(upload)]).toEqual([2, undefined]);
  shard.clock.ms += 120_000;
  const removed: string[] = [];
  await shard.maintain((gone) => Promise.resolve(void removed.push(gone)));
  expect(removed).toEqual([upload]);
  await expect(shard.engine.movePieces({ upload, isLast: true, bodies: [], moves: [] })).rejects.toMatchObject({ code: 'no-upload' });
});

test('a writer that goes on over a plan from before is told to read it again, and then goes through', async () => {
  const { old, a } = await packed();
  const { ino } = await shard.stat('/a');
  const upload = await begin();
  const moves = [move(piece(old, 0), 0, 0), move(piece(old, 1000), 0, 1000)];
  await shard.engine.movePieces({ upload, isLast: true, bodies: [{ ino, generation: a }], moves });
  const args = { node: { ino }, ifGeneration: a };
  await expect(shard.put('/a', '', { ...args, body: blocks(piece(old, 0)) })).rejects.toMatchObject({
    code: 'generation-mismatch',
    details: { generation: a },
  });
  await shard.put('/a', '', { ...args, body: blocks({ ...piece(upload, 1000), crc32c: 1001 }) });
  expect(await placesOf('/a')).toEqual([`${upload}/0/1000`]);
  // Whoever knows no generation, or names blocks of its own upload that is over, hears of that as before.
  await expect(shard.put('/a', '', { node: { ino }, body: blocks(piece(old, 0)) })).rejects.toMatchObject({ code: 'bad-upload' });
});
