/** A disk cache whose writers are killed at any moment, several of them in one directory: no wrong byte, and nothing left half-written. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BodyReader, DiskCache, blocksOf, crc32c, openFileStore, parseEntryName } from '@nokv/object';
import { makeUploadId, type Body, type Piece } from '@nokv/types';

const SCRIPT = fileURLToPath(new URL('./fill-cache.mjs', import.meta.url));
const BLOCKS = 12;
const BLOCK_BYTES = 400_000;

let directory: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-block-cache-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

interface Writer {
  readonly child: ChildProcess;
  readonly said: () => string;
  readonly ended: Promise<unknown>;
}

async function startWriter(): Promise<Writer> {
  const words = [SCRIPT, join(directory, 'store'), join(directory, 'cache'), join(directory, 'manifest')];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let said = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve) =>
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('ready')) resolve();
    }),
  );
  return { child, said: () => said, ended };
}

async function entryFiles(): Promise<string[]> {
  const data = join(directory, 'cache/data');
  const shards = existsSync(data) ? await readdir(data) : [];
  return (await Promise.all(shards.map(async (shard) => (await readdir(join(data, shard))).map((name) => join(data, shard, name))))).flat();
}

it('shows right bytes only, and stays within its bound', { timeout: 120_000 }, async () => {
  const upload = makeUploadId(1, randomBytes(10));
  const bytes = randomBytes(BLOCKS * BLOCK_BYTES);
  const store = blocksOf(await openFileStore(join(directory, 'store')));
  const pieces: Piece[] = [];
  for (let index = 0; index < BLOCKS; index += 1) {
    const block = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    pieces.push({ upload, index, offset: 0, length: BLOCK_BYTES, crc32c: crc32c(block), skip: 0, take: BLOCK_BYTES });
    await store.putBlock(upload, index, block, { crc32c: crc32c(block) });
  }
  const manifest = { size: bytes.length, extents: pieces };
  await writeFile(join(directory, 'manifest'), JSON.stringify(manifest));
  const body: Body = { kind: 'blocks', manifest };
  const bytesMax = Math.ceil((bytes.length * 2) / 3);

  const patient = await startWriter();
  for (let round = 0; round < 8; round += 1) {
    const writer = await startWriter();
    // Not a time to wait for: whatever it is doing after this long is where it dies.
    await new Promise((resolve) => setTimeout(resolve, 5 + round * 17));
    writer.child.kill('SIGKILL');
    await writer.ended;
    expect(writer.said()).toBe('ready\n');
    for (const file of await entryFiles()) {
      const piece = parseEntryName(file.slice(file.lastIndexOf('/') + 1));
      const found = await readFile(file).catch(() => undefined); // Evicted meanwhile.
      if (found !== undefined) expect(crc32c(found.subarray(found.length - BLOCK_BYTES))).toBe(piece?.crc32c);
    }
    const fresh = new DiskCache({ directory: join(directory, 'cache'), bytesMax, freeBytesMin: 0 });
    expect(Buffer.compare(await new BodyReader({ store, disk: fresh }).read(body, 0, bytes.length), bytes)).toBe(0);
    await fresh.settle();
  }
  patient.child.kill('SIGKILL');
  await patient.ended;
  expect(patient.said()).toBe('ready\n');

  // The next writer clears away what the dead ones left.
  const disk = new DiskCache({ directory: join(directory, 'cache'), bytesMax, freeBytesMin: 0 });
  await disk.remove(pieces);
  await new BodyReader({ store, disk }).read(body, 0, 10);
  await disk.settle();
  expect(await readdir(join(directory, 'cache/tmp'))).toEqual([]);
  const sizes = await Promise.all((await entryFiles()).map(async (file) => (await stat(file)).size));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(bytesMax);
});
