import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { expect, test } from 'vitest';
import { openLmdbKv, type LmdbKvOptions } from './lmdb-kv.js';
import { orderedKvConformance } from './testing/index.js';

/** On which every flush takes no time: after the first one, lone commits are made in the calling thread. */
const quickDisk: LmdbKvOptions['clock'] = { monotonicMs: () => 0 };

for (const [name, clock] of [
  ['LMDB', undefined],
  ['LMDB on a quick disk', quickDisk],
] as const) {
  orderedKvConformance(name, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'nokv-kv-'));
    const options = clock === undefined ? { directory } : { directory, clock };
    const kv = await openLmdbKv(options);
    const opened = [kv];
    return {
      kv,
      reopen: async () => {
        await kv.close();
        const again = await openLmdbKv(options);
        opened.push(again);
        return again;
      },
      dispose: async () => {
        for (const one of opened) await one.close();
        await rm(directory, { recursive: true });
      },
    };
  });
}

test('a lone small commit on a quick disk is visible when the call returns, one on a slow disk is not', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-kv-'));
  let nowMs = 0;
  let msPerLook = 0;
  const kv = await openLmdbKv({ directory, clock: { monotonicMs: () => (nowMs += msPerLook) } });
  const put = (key: string) => kv.commit([{ key: Buffer.from(key), value: Buffer.from('x') }]);
  try {
    const first = put('a');
    expect(kv.get(Buffer.from('a'))).toBeUndefined();
    await first.flushed;
    await put('b').flushed;
    const quick = put('c');
    expect(kv.get(Buffer.from('c'))).toBeDefined();
    await quick.flushed;
    msPerLook = 50;
    for (let i = 0; i < 3; i++) await put('d').flushed;
    const slow = put('e');
    expect(kv.get(Buffer.from('e'))).toBeUndefined();
    await slow.flushed;
    expect([...kv.range(Buffer.from('a'), Buffer.from('z'))]).toHaveLength(5);
  } finally {
    await kv.close();
    await rm(directory, { recursive: true });
  }
});

test('an environment of format 1, whose rows lie in one tree, is refused by its number', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-kv-'));
  try {
    const old = open<Uint8Array, Uint8Array>({ path: directory, noSubdir: false, keyEncoding: 'binary', encoding: 'binary' });
    await old.put(Uint8Array.of(1, 1), Uint8Array.of(0x6e, 0x6f, 0x6b, 0x76, 0, 1));
    await old.close();
    await expect(openLmdbKv({ directory })).rejects.toMatchObject({ code: 'unsupported-format', details: { expected: 2, found: 1 } });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('after a lone commit a restart falls back to that commit, whatever is not flushed after it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-kv-'));
  const kv = await openLmdbKv({ directory, clock: quickDisk });
  const put = (key: string) => kv.commit([{ key: Buffer.from(key), value: Buffer.from('x') }]);
  try {
    await put('first').flushed;
    for (let i = 0; i < 3; i++) {
      const { flushed } = put(`lone-${i}`);
      expect(kv.get(Buffer.from(`lone-${i}`))).toBeDefined();
      await flushed;
      const { newest, synced } = await transactionsOf(join(directory, 'data.mdb'));
      expect(synced).toBe(newest);
    }
  } finally {
    await kv.close();
    await rm(directory, { recursive: true });
  }
});

/** Transaction numbers in the header of an LMDB file: of its two metas, and of the one between them that names the last flushed state. */
async function transactionsOf(file: string): Promise<{ readonly newest: bigint; readonly synced: bigint }> {
  const header = (await readFile(file)).subarray(0, 8192);
  const at = (offset: number): bigint => header.readBigUInt64LE(offset + 24 + 128);
  const [first, synced, second] = [at(0), at(2048), at(4096)];
  return { newest: first > second ? first : second, synced };
}
