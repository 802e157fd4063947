import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UploadId } from '@nokv/types';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { UploadNotes } from './upload-notes.js';

const upload = '0192f5c3a1b20123456789abcdef0123' as UploadId;
const identity = { device: '2049', inode: '7', size: 9_000_000, mtimeNs: '1760000000123456789', ctimeNs: '1760000000123456790' };
const of = { identity, target: '/runs/7/model.bin', blockBytes: 4_194_304, compress: 'none' };
const first = { position: 0, length: 4_194_304, crc32c: 1 };
const second = { position: 4_194_304, length: 4_194_304, crc32c: 2 };
const plain = { length: 4_194_304, crc32c: 1 };
const packed = { length: 1000, crc32c: 3, compression: { codec: 'gzip' as const, plainLength: 4_194_304, plainCrc32c: 2 } };

/** What format 1 looks like: a build that reads it otherwise would send blocks again, or skip ones that it should not. */
const GOLDEN = `{"format":1,"device":"2049","inode":"7","size":9000000,"mtimeNs":"1760000000123456789","ctimeNs":"1760000000123456790","target":"/runs/7/model.bin","blockBytes":4194304,"compress":"none","upload":"0192f5c3a1b20123456789abcdef0123"}
{"position":0,"length":4194304,"crc32c":1,"stored":{"length":4194304,"crc32c":1}}
{"position":4194304,"length":4194304,"crc32c":2,"stored":{"length":1000,"crc32c":3,"compression":{"codec":"gzip","plainLength":4194304,"plainCrc32c":2}}}
`;

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nokv-notes-'));
  path = join(directory, 'below/notes.jsonl');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function written(): Promise<void> {
  const notes = await UploadNotes.open(path, true, of);
  expect(notes.earlier).toBeUndefined();
  await notes.begun(upload);
  await notes.stored(first, plain);
  await notes.stored(second, packed);
  await notes.close();
}

test('are written as the golden text, for their owner alone, and read as what was written', async () => {
  await written();
  expect(readFileSync(path, 'utf8')).toBe(GOLDEN);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const again = await UploadNotes.open(path, true, of);
  expect([again.earlier, again.storedBefore(first), again.storedBefore(second)]).toEqual([upload, plain, packed]);
  expect(again.storedBefore({ ...first, crc32c: 9 })).toBeUndefined();
  expect(again.storedBefore({ ...first, length: 5 })).toBeUndefined();
  await again.remove();
  expect(() => statSync(path)).toThrow(/ENOENT/);
});

test('cut at any byte they tell less, never something else', async () => {
  await written();
  for (let end = 0; end < GOLDEN.length; end += 1) {
    writeFileSync(path, GOLDEN.slice(0, end));
    const notes = await UploadNotes.open(path, true, of);
    expect([undefined, upload]).toContain(notes.earlier);
    for (const [block, stored] of [
      [first, plain],
      [second, packed],
    ] as const)
      expect([undefined, stored]).toContainEqual(notes.storedBefore(block));
  }
});

test('a later run writes behind a line that was cut short', async () => {
  await written();
  appendFileSync(path, '{"position":83886');
  const notes = await UploadNotes.open(path, true, of);
  await notes.begun(upload);
  const third = { position: 8_388_608, length: 611_392, crc32c: 4 };
  await notes.stored(third, { length: 611_392, crc32c: 4 });
  await notes.close();
  const again = await UploadNotes.open(path, true, of);
  expect(again.storedBefore(third)).toEqual({ length: 611_392, crc32c: 4 });
  expect(again.storedBefore(first)).toEqual(plain);
});

test('of another state of the file, destination, block size, compression or format count for nothing', async () => {
  await written();
  const others = [
    ...Object.keys(identity).map((key) => ({ ...of, identity: { ...identity, [key]: key === 'size' ? 1 : '0' } })),
    { ...of, target: '/other' },
    { ...of, blockBytes: 1 },
    { ...of, compress: 'gzip' },
  ];
  for (const other of others) expect((await UploadNotes.open(path, true, other)).earlier).toBeUndefined();
  expect((await UploadNotes.open(path, false, of)).earlier).toBeUndefined();
  writeFileSync(path, GOLDEN.replace('"format":1', '"format":2'));
  expect((await UploadNotes.open(path, true, of)).earlier).toBeUndefined();
  for (const junk of ['', 'x', 'null\n', '[]\n', '{"upload":"x"}\n', '\u0000'.repeat(100)]) {
    writeFileSync(path, junk);
    expect((await UploadNotes.open(path, true, of)).earlier).toBeUndefined();
  }
});
