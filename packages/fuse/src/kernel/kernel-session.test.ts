/** Both ways of reading the device serve the same filesystem; requests come from the thread pool of this process. */
import { mkdtemp, readFile, readdir, rm, stat, writeFile, mkdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT_INODE, systemClock, systemRandom } from '@nokv/types';
import { ChangeFeed } from '../core/change-feed.js';
import { MountContext } from '../core/mount-context.js';
import { NamespaceFileSystem } from '../core/namespace-file-system.js';
import { NodeTable } from '../core/node-table.js';
import { MemoryNamespace } from '../testing/memory-namespace.js';
import { openKernelSession } from './kernel-session.js';
import { isMountPoint } from './mount-device.js';

test.each(['polled', 'thread'] as const)(
  'the %s session serves files, tells what others change, and ends with its mount',
  async (requests) => {
    const directory = await mkdtemp(join(tmpdir(), 'nokv-session-'));
    const namespace = new MemoryNamespace();
    const metadata = namespace.client('mount');
    const log: string[] = [];
    const context = new MountContext({
      metadata,
      bodies: namespace,
      clock: systemClock,
      random: systemRandom,
      callTimeoutMs: 1000,
      log: (line) => log.push(line),
    });
    const table = new NodeTable(await metadata.read('getattr', { ino: ROOT_INODE }));
    const fileSystem = new NamespaceFileSystem(context, table, { readOnly: false, cacheTimeoutMs: 60_000 });
    const session = await openKernelSession(fileSystem, {
      directory,
      source: 'nokv:test',
      allowOther: false,
      requests,
      log: (line) => log.push(line),
    });
    const stop = new AbortController();
    const feed = new ChangeFeed(context, table, session);
    const following = (async () => {
      for await (const changes of metadata.watch({ signal: stop.signal })) feed.apply(changes);
    })();
    try {
      const bytes = Buffer.alloc(5_000_000, 'content');
      await mkdir(join(directory, 'd'));
      await Promise.all(Array.from({ length: 20 }, (_, i) => writeFile(join(directory, 'd', `f${i}`), bytes.subarray(i))));
      expect((await readdir(join(directory, 'd'))).length).toBe(20);
      expect((await readFile(join(directory, 'd', 'f7'))).equals(bytes.subarray(7))).toBe(true);
      await unlink(join(directory, 'd', 'f7'));
      await expect(stat(join(directory, 'd', 'f7'))).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(stat(join(directory, 'from-elsewhere'))).rejects.toMatchObject({ code: 'ENOENT' });
      await namespace
        .client('other')
        .mutate('mkdir', { entry: { parent: ROOT_INODE, name: Buffer.from('from-elsewhere') }, mode: 0o755, uid: 0, gid: 0 });
      await expect
        .poll(() =>
          stat(join(directory, 'from-elsewhere')).then(
            (found) => found.isDirectory(),
            () => false,
          ),
        )
        .toBe(true);
    } finally {
      await session.unmount(false).catch(() => session.unmount(true));
      stop.abort();
      await following;
      await rm(directory, { recursive: true, force: true });
    }
    expect(isMountPoint(directory)).toBe(false);
    expect(log).toEqual([]);
  },
);
