import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLmdbKv } from './lmdb-kv.js';
import { TestShard } from './testing/test-shard.js';

test('an environment on a disk that is mounted read-only is refused as such, and opens once it can be written', async ({ skip }) => {
  if (process.getuid?.() !== 0) skip('only root may mount a disk');
  const mountPoint = await mkdtemp(join(tmpdir(), 'nokv-read-only-'));
  const directory = join(mountPoint, 'meta');
  const mount = (options: string): void =>
    void execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mountPoint], { stdio: 'ignore' });
  mount('size=16m');
  try {
    const first = await TestShard.open(await openLmdbKv({ directory }));
    await first.put('/kept', 'body');
    await first.engine.close();
    mount('remount,ro');
    await expect(openLmdbKv({ directory })).rejects.toMatchObject({ code: 'read-only', kind: 'denied', outcome: 'not-applied' });
    mount('remount,rw');
    const again = await TestShard.open(await openLmdbKv({ directory }), { prefix: 'again' });
    expect(await again.text('/kept')).toBe('body');
    await again.engine.close();
  } finally {
    execFileSync('umount', ['-l', mountPoint]);
    await rm(mountPoint, { recursive: true });
  }
});
