/** The file store on a disk that is full: typed, nothing half, nothing lost, and well again once there is room. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileStore } from '@nokv/object';
import { isNokvError } from '@nokv/types';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const mayMount = process.getuid?.() === 0;
const BLOCK_BYTES = 1024 * 1024;

describe.runIf(mayMount)('a full disk', () => {
  let disk: string;
  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'nokv-full-'));
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]).status).toBe(0);
  });
  afterEach(async () => {
    spawnSync('umount', ['-l', disk]);
    await rm(disk, { recursive: true, force: true });
  });

  it('refuses puts as no-space, keeps what it has, and takes more after a deletion', async () => {
    const store = await openFileStore(disk);
    const kept = new Map<string, Buffer>();
    let refusal: unknown;
    for (let at = 0; refusal === undefined && at < 20; at += 1) {
      const bytes = randomBytes(BLOCK_BYTES);
      await store.putIfAbsent(`b/${at}`, bytes).then(
        () => kept.set(`b/${at}`, bytes),
        (error: unknown) => (refusal = error),
      );
    }
    expect(isNokvError(refusal, 'no-space') && [refusal.kind, refusal.outcome]).toEqual(['quota', 'not-applied']);
    expect((await store.list('', { limit: 100 })).objects.map(({ key }) => key)).toEqual([...kept.keys()].sort());
    for (const [key, bytes] of kept) expect(Buffer.compare(await store.get(key), bytes)).toBe(0);
    // The half that was written is gone as well.
    expect(await readdir(join(disk, 'tmp'))).toEqual([]);
    await store.delete(['b/0', 'b/1']);
    expect(await store.putIfAbsent('again', randomBytes(BLOCK_BYTES))).toBe('created');
    await store.close();
  });
});
