import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLmdbKv } from './lmdb-kv.js';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at } from './testing/test-shard.js';

const claim = 'on a full disk mutations fail with no-space, nothing acknowledged is lost, and service goes on when there is space';

for (const [how, quickDisk] of [
  ['', {}],
  [', with commits in the calling thread', { clock: { monotonicMs: () => 0 } }],
] as const)
  test(`${claim}${how}`, async ({ skip }) => {
    const opened: TestShard[] = [];
    const directory = await mkdtemp(join(tmpdir(), 'nokv-full-'));
    try {
      if (!mount(directory, 'size=6m')) skip('mounting a small tmpfs needs root');
      const kv = await openLmdbKv({ directory: join(directory, 'meta'), ...quickDisk });
      const shard = await TestShard.open(kv);
      opened.push(shard);
      const put = (i: number): Promise<unknown> =>
        shard.do('publish', { node: at(`/f${i}`), body: { kind: 'inline', bytes: new Uint8Array(16_000).fill(i) }, mode: 0o644, ...OWNER });
      let written = 0;
      let refusal: unknown;
      // Ends: 6 MiB hold fewer than 1,000 bodies of 16,000 bytes.
      while (refusal === undefined && written < 1000) {
        await put(written).then(
          () => (written += 1),
          (error: unknown) => (refusal = error),
        );
      }
      expect(refusal).toMatchObject({ code: 'no-space', kind: 'quota', outcome: 'not-applied' });
      await expect(put(2000)).rejects.toMatchObject({ code: 'no-space' });
      expect(await shard.stat('/')).toMatchObject({ children: written });
      execFileSync('mount', ['-o', 'remount,size=30m', directory]);
      await put(written);
      await shard.engine.close();

      const again = await openLmdbKv({ directory: join(directory, 'meta'), ...quickDisk });
      const reopened = await TestShard.open(again, { prefix: 'again' });
      opened.push(reopened);
      expect(await reopened.stat('/')).toMatchObject({ children: written + 1 });
      expect(contradictions(again)).toEqual([]);
    } finally {
      for (const { engine } of opened) await engine.close();
      unmount(directory);
      await rm(directory, { recursive: true });
    }
  });

function mount(directory: string, options: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function unmount(directory: string): void {
  try {
    execFileSync('umount', [directory], { stdio: 'ignore' });
  } catch {
    // It was never mounted.
  }
}
