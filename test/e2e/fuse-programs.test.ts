/** Ordinary programs on the mount: git, SQLite in both journals, tar; and all of it again after a remount. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshDirectory, hasCommand, shell, startMounted, type Mounted } from './fuse-mounted.js';

let mounted: Mounted;
let root: string;
let local: string;

beforeAll(async () => {
  mounted = await startMounted();
  root = (await mounted.mount()).directory;
  local = freshDirectory(mounted.scratch, 'local');
});
afterAll(async () => await mounted?.close());

async function remount(): Promise<void> {
  await mounted.unmount(root);
  await mounted.mount({ directory: root });
}

describe('git', () => {
  it('clones, commits, collects garbage, and the repository is sound after a remount', async () => {
    await shell(
      `git init -q -b main origin && cd origin && git config user.email t@example.org && git config user.name t
       for d in a b c d e; do mkdir -p $d/deep/er; for i in $(seq 30); do seq $i 300 > $d/deep/er/file$i; done; done
       ln -s a/deep link; printf '#!/bin/sh\\n' > run.sh; chmod +x run.sh
       git add . && git commit -qm first && seq 9999 > big && git add . && git commit -qm second`,
      local,
    );
    await shell(
      `git clone -q ${local}/origin work && cd work && git config user.email t@example.org && git config user.name t
       git fsck --strict && test -z "$(git status --porcelain)"
       echo more >> big && git mv a z && git commit -qam third && git gc -q && git fsck --strict`,
      root,
    );
    await remount();
    await shell('cd work && git fsck --strict && test -z "$(git status --porcelain)" && git log --oneline | wc -l | grep -qx 3', root);
  });
});

describe.skipIf(!hasCommand('sqlite3'))('SQLite', () => {
  it.each(['delete', 'wal'])('keeps a database whole with journal_mode=%s', async (mode) => {
    const statements = Array.from(
      { length: 60 },
      (_, i) => `BEGIN; INSERT INTO t VALUES(${i}, hex(randomblob(700))); UPDATE t SET v = v || '!' WHERE i % 7 = ${i % 7}; COMMIT;`,
    );
    fs.writeFileSync(
      join(local, 'script.sql'),
      `PRAGMA journal_mode=${mode}; CREATE TABLE t(i INTEGER PRIMARY KEY, v TEXT); ${statements.join('\n')}`,
    );
    await shell(`sqlite3 ${mode}.db < ${local}/script.sql`, root);
    const sum = await shell(`sqlite3 ${mode}.db "PRAGMA integrity_check; SELECT count(*), sum(length(v)) FROM t;"`, root);
    expect(sum).toMatch(/^ok\n60\|/);
    await remount();
    expect(await shell(`sqlite3 ${mode}.db "PRAGMA integrity_check; SELECT count(*), sum(length(v)) FROM t;"`, root)).toBe(sum);
    // The bytes on the server are those of the mount.

    const stored = Buffer.from(await (await mounted.client.get(`/${mode}.db`)).bytes());
    await fs.promises.writeFile(join(local, 'copy.db'), stored);
    expect((await shell(`sqlite3 copy.db "PRAGMA integrity_check"`, local)).trim()).toBe('ok');
  });
});

describe('tar', () => {
  it('unpacks a tree whose digests, modes, times and links are those of the original', async () => {
    await shell(
      `mkdir -p tree/x/y/z tree/empty && cd tree
       for i in $(seq 80); do head -c $((i * 997)) /dev/urandom > x/f$i; done
       head -c 9000000 /dev/urandom > x/y/large; ln -s ../f1 x/y/link; ln x/f2 x/y/z/hard
       chmod 751 x/f3; touch -d '2003-04-05 06:07:08.9' x/f4; cd .. && tar --format=posix -cf tree.tar tree`,
      local,
    );
    await shell(`tar xf ${local}/tree.tar`, root);
    expect(await describeTree(join(root, 'tree'))).toEqual(await describeTree(join(local, 'tree')));
    await shell(`diff -r ${local}/tree tree`, root);
    await remount();
    expect(await describeTree(join(root, 'tree'))).toEqual(await describeTree(join(local, 'tree')));
    await shell('rm -rf tree', root);
    expect(fs.existsSync(join(root, 'tree'))).toBe(false);
  });
});

/** Every entry with type, mode, links, time and digest. */
async function describeTree(directory: string): Promise<Record<string, string>> {
  const seen: Record<string, string> = {};
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode, mtimeMs, nlink } = fs.lstatSync(path);
    const content = entry.isFile()
      ? createHash('sha256').update(fs.readFileSync(path)).digest('hex')
      : entry.isSymbolicLink()
        ? fs.readlinkSync(path)
        : '';
    seen[path.slice(directory.length)] = [mode.toString(8), entry.isFile() ? nlink : '', Math.floor(mtimeMs), content].join(' ');
  }
  return seen;
}
