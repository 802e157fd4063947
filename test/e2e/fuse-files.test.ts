/** What files do on the mount, against a real server; the mount is served by another process. */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../services/server.js';
import { freshDirectory, inProcess, shell, startMounted, type Mounted } from './fuse-mounted.js';

let mounted: Mounted;
let root: string;
let dir: string;
let at = 0;

beforeAll(async () => {
  mounted = await startMounted();
  root = (await mounted.mount()).directory;
});
afterAll(async () => await mounted?.close());
beforeEach(() => {
  dir = freshDirectory(root, `t${at++}`);
});

/** Path inside the namespace of something in this test's directory. */
const remote = (name: string): string => `/${dir.slice(root.length + 1)}/${name}`;
const stored = async (name: string): Promise<Buffer> => Buffer.from(await (await mounted.client.get(remote(name))).bytes());
const codeOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
  return 'none';
};

describe('content', () => {
  it.each([0, 1, 4096, 16_384, 16_385, 100_000, 4 * 1024 * 1024, 9 * 1024 * 1024 + 17])(
    'a body of %i bytes arrives whole',
    async (size) => {
      const bytes = randomBytes(size);
      fs.writeFileSync(join(dir, 'f'), bytes);
      expect(fs.readFileSync(join(dir, 'f')).equals(bytes)).toBe(true);
      expect((await stored('f')).equals(bytes)).toBe(true);
    },
  );

  it('a rewritten header changes only the header', async () => {
    const bytes = randomBytes(10 * 1024 * 1024);
    fs.writeFileSync(join(dir, 'f'), bytes);
    const fd = fs.openSync(join(dir, 'f'), 'r+');
    fs.writeSync(fd, 'HEADER', 0);
    fs.closeSync(fd);
    bytes.write('HEADER', 0);
    expect(fs.readFileSync(join(dir, 'f')).equals(bytes)).toBe(true);
    expect((await stored('f')).equals(bytes)).toBe(true);
  });

  it('writes scattered over a file land where they belong, published many times', async () => {
    const bytes = Buffer.alloc(6 * 1024 * 1024, 'base');
    fs.writeFileSync(join(dir, 'f'), bytes);
    for (let round = 0; round < 30; round++) {
      const fd = fs.openSync(join(dir, 'f'), 'r+');
      const patch = randomBytes(1 + ((round * 977) % 9000));
      const offset = (round * 1_234_567) % (bytes.length - patch.length);
      fs.writeSync(fd, patch, 0, patch.length, offset);
      patch.copy(bytes, offset);
      fs.closeSync(fd);
    }
    expect((await stored('f')).equals(bytes)).toBe(true);
    expect(fs.readFileSync(join(dir, 'f')).equals(bytes)).toBe(true);
  });

  it('a second descriptor reads what the first has not flushed', () => {
    const writer = fs.openSync(join(dir, 'f'), 'w');
    fs.writeSync(writer, 'not yet closed');
    expect(fs.readFileSync(join(dir, 'f'), 'utf8')).toBe('not yet closed');
    expect(fs.statSync(join(dir, 'f')).size).toBe(14);
    fs.closeSync(writer);
  });

  it('a file that is being written is published at its close, not before', async () => {
    fs.writeFileSync(join(dir, 'f'), 'old');
    const fd = fs.openSync(join(dir, 'f'), 'w');
    fs.writeSync(fd, 'new');
    expect((await stored('f')).toString()).toBe('old');
    fs.closeSync(fd);
    expect((await stored('f')).toString()).toBe('new');
  });

  it('appenders in several processes lose nothing', async () => {
    const source = `for (let i = 0; i < 100; i++) { const fd = fs.openSync(process.argv[1], 'a'); fs.writeSync(fd, process.argv[2] + ' ' + i + '\\n'); fs.closeSync(fd); }`;
    await Promise.all(['a', 'b', 'c'].map((name) => inProcess(source, [join(dir, 'log'), name])));
    const lines = (await stored('log')).toString().trimEnd().split('\n');
    const expected = ['a', 'b', 'c'].flatMap((name) => Array.from({ length: 100 }, (_, i) => `${name} ${i}`));
    expect(lines.toSorted()).toEqual(expected.toSorted());
  });

  it('truncate by path makes a small closed file of any length, and what was in it stays', async () => {
    fs.writeFileSync(join(dir, 'f'), 'small');
    // perl's truncate of a path is truncate(2): nothing is opened.
    await shell(`perl -e 'truncate("f", 1048576) or die $!'`, dir);
    expect((await stored('f')).equals(Buffer.concat([Buffer.from('small'), Buffer.alloc(1_048_576 - 5)]))).toBe(true);
    expect(fs.readFileSync(join(dir, 'f')).subarray(0, 6).toString('latin1')).toBe('small\0');
    await shell(`perl -e 'truncate("f", 3) or die $!'`, dir);
    expect((await stored('f')).toString()).toBe('sma');
  });

  it('truncate cuts, extends with zeros, and what was cut stays cut', async () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(100_000, 'x'));
    fs.truncateSync(join(dir, 'f'), 10);
    fs.truncateSync(join(dir, 'f'), 50_000);
    const expected = Buffer.concat([Buffer.alloc(10, 'x'), Buffer.alloc(49_990)]);
    expect(fs.readFileSync(join(dir, 'f')).equals(expected)).toBe(true);
    const fd = fs.openSync(join(dir, 'f'), 'r+');
    fs.ftruncateSync(fd, 5);
    fs.ftruncateSync(fd, 20);
    fs.closeSync(fd);
    expect(await stored('f')).toEqual(Buffer.concat([Buffer.alloc(5, 'x'), Buffer.alloc(15)]));
  });

  it('a sparse file takes no blocks for its hole, and lseek finds the data', async () => {
    const fd = fs.openSync(join(dir, 'f'), 'w');
    fs.writeSync(fd, 'start', 0);
    fs.writeSync(fd, 'end', 64 * 1024 * 1024);
    fs.closeSync(fd);
    const { size, blocks } = fs.statSync(join(dir, 'f'));
    expect(size).toBe(64 * 1024 * 1024 + 3);
    expect(blocks * 512).toBeLessThan(1024 * 1024);
    // cp finds holes by SEEK_DATA and SEEK_HOLE.
    await shell('cp --sparse=auto f copy && cmp f copy', dir);
    expect(fs.statSync(join(dir, 'copy')).blocks * 512).toBeLessThan(1024 * 1024);
  });

  it('fallocate extends, punches and zeroes', async () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(40_000, 'x'));
    await shell('fallocate -p -o 4096 -l 8192 f && fallocate -l 50000 f', dir);
    const expected = Buffer.concat([Buffer.alloc(4096, 'x'), Buffer.alloc(8192), Buffer.alloc(27_712, 'x'), Buffer.alloc(10_000)]);
    expect(fs.readFileSync(join(dir, 'f')).equals(expected)).toBe(true);
  });

  it('an executable runs from the mount', async () => {
    await shell('cp "$(readlink -f /bin/ls)" ./list && ./list . > out', dir);
    expect(fs.readFileSync(join(dir, 'out'), 'utf8')).toContain('list');
    fs.writeFileSync(join(dir, 'script'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    expect(await shell('./script', dir)).toBe('ran\n');
  });
});

describe('names and links', () => {
  it('hard links share one inode', async () => {
    fs.writeFileSync(join(dir, 'a'), 'one');
    fs.linkSync(join(dir, 'a'), join(dir, 'b'));
    expect(fs.statSync(join(dir, 'a'))).toMatchObject({ nlink: 2, ino: fs.statSync(join(dir, 'b')).ino });
    fs.writeFileSync(join(dir, 'b'), 'two');
    expect(fs.readFileSync(join(dir, 'a'), 'utf8')).toBe('two');
    fs.unlinkSync(join(dir, 'a'));
    expect(fs.statSync(join(dir, 'b')).nlink).toBe(1);
    expect((await stored('b')).toString()).toBe('two');
  });

  it('symlinks keep their target, whatever it is', () => {
    fs.symlinkSync('../no such place', join(dir, 'l'));
    expect(fs.readlinkSync(join(dir, 'l'))).toBe('../no such place');
    expect(fs.lstatSync(join(dir, 'l')).isSymbolicLink()).toBe(true);
    expect(codeOf(() => fs.readFileSync(join(dir, 'l')))).toBe('ENOENT');
  });

  it('an unlinked open file goes on', () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(100_000, 'a'));
    const fd = fs.openSync(join(dir, 'f'), 'r+');
    fs.unlinkSync(join(dir, 'f'));
    fs.writeSync(fd, 'after', 50_000);
    const bytes = Buffer.alloc(100_000);
    fs.readSync(fd, bytes, 0, 100_000, 0);
    expect(bytes.equals(Buffer.concat([Buffer.alloc(50_000, 'a'), Buffer.from('after'), Buffer.alloc(49_995, 'a')]))).toBe(true);
    expect(fs.fstatSync(fd)).toMatchObject({ nlink: 0, size: 100_000 });
    expect(fs.existsSync(join(dir, 'f'))).toBe(false);
    fs.closeSync(fd);
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  it('an open file follows its rename', async () => {
    const fd = fs.openSync(join(dir, 'f'), 'w+');
    fs.writeSync(fd, 'before ');
    fs.renameSync(join(dir, 'f'), join(dir, 'g'));
    fs.writeSync(fd, 'after');
    fs.closeSync(fd);
    expect((await stored('g')).toString()).toBe('before after');
    expect(fs.readdirSync(dir)).toEqual(['g']);
  });

  it('a reader keeps the file that a rename replaced', () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(200_000, 'o'));
    fs.writeFileSync(join(dir, 'g'), 'new');
    const fd = fs.openSync(join(dir, 'f'), 'r');
    fs.renameSync(join(dir, 'g'), join(dir, 'f'));
    const bytes = Buffer.alloc(200_000);
    expect(fs.readSync(fd, bytes, 0, 200_000, 0)).toBe(200_000);
    expect(bytes.equals(Buffer.alloc(200_000, 'o'))).toBe(true);
    expect(fs.fstatSync(fd).nlink).toBe(0);
    fs.closeSync(fd);
    expect(fs.readFileSync(join(dir, 'f'), 'utf8')).toBe('new');
  });

  it('renames as asked: over a file, over an empty directory, never over a full one', () => {
    fs.mkdirSync(join(dir, 'a'));
    fs.mkdirSync(join(dir, 'b'));
    fs.writeFileSync(join(dir, 'a', 'x'), '');
    fs.renameSync(join(dir, 'a'), join(dir, 'b'));
    expect(fs.readdirSync(join(dir, 'b'))).toEqual(['x']);
    fs.mkdirSync(join(dir, 'c'));
    expect(codeOf(() => fs.renameSync(join(dir, 'c'), join(dir, 'b')))).toBe('ENOTEMPTY');
    expect(codeOf(() => fs.renameSync(join(dir, 'b'), join(dir, 'b', 'inside')))).toBe('EINVAL');
    expect(codeOf(() => fs.rmdirSync(join(dir, 'b')))).toBe('ENOTEMPTY');
    expect(codeOf(() => fs.unlinkSync(join(dir, 'nothing')))).toBe('ENOENT');
  });

  it('one of many exclusive creators wins', async () => {
    const source = `try { fs.closeSync(fs.openSync(process.argv[1], 'wx')); console.log('won'); } catch (error) { console.log(error.code); }`;
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => inProcess(source, [join(dir, 'lock')])));
    expect(outcomes.toSorted()).toEqual(['EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'won']);
  });

  it('names are bytes', async () => {
    const name = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe, 0x41])]);
    fs.writeFileSync(name, 'bytes');
    const [found] = fs.readdirSync(dir, { encoding: 'buffer' });
    expect(found).toEqual(Buffer.from([0xff, 0xfe, 0x41]));
    expect(fs.readFileSync(name, 'utf8')).toBe('bytes');
    const long = 'n'.repeat(255);
    fs.writeFileSync(join(dir, long), '');
    expect(codeOf(() => fs.writeFileSync(join(dir, `${long}n`), ''))).toBe('ENAMETOOLONG');
  });

  it('lists a large directory whole, each name once', async () => {
    const names = Array.from({ length: 6000 }, (_, i) => `entry-${i}`);
    const { ino } = await mounted.client.stat(remote(''));
    const make = (name: string) =>
      mounted.client.metadata.mutate('create', {
        entry: { parent: ino, name: Buffer.from(name) },
        type: 'file',
        mode: 0o644,
        exclusive: true,
        uid: 0,
        gid: 0,
      });
    for (let i = 0; i < names.length; i += 500) await Promise.all(names.slice(i, i + 500).map(make));
    await until('all entries', async () => fs.readdirSync(dir).length === names.length);
    expect(fs.readdirSync(dir).toSorted()).toEqual(names.toSorted());
    expect((await shell('ls -l | wc -l', dir)).trim()).toBe('6001');
  });
});

describe('attributes', () => {
  it('modes, owners and nanosecond times are kept', async () => {
    fs.writeFileSync(join(dir, 'f'), 'x');
    fs.chmodSync(join(dir, 'f'), 0o4751);
    expect(fs.statSync(join(dir, 'f')).mode & 0o7777).toBe(0o4751);
    fs.chownSync(join(dir, 'f'), 1234, 2345);
    expect(fs.statSync(join(dir, 'f'))).toMatchObject({ uid: 1234, gid: 2345 });
    await shell('touch -d "2001-02-03 04:05:06.123456789 UTC" f', dir);
    expect(fs.statSync(join(dir, 'f'), { bigint: true }).mtimeNs).toBe(981173106123456789n);
    const card = await mounted.client.stat(remote('f'));
    expect(card.mtime).toEqual({ sec: 981173106, nsec: 123456789 });
  });

  it('utimes on an open file survives its close', async () => {
    const fd = fs.openSync(join(dir, 'f'), 'w');
    fs.writeSync(fd, 'content');
    fs.futimesSync(fd, 1000, 2000);
    fs.closeSync(fd);
    expect(fs.statSync(join(dir, 'f')).mtimeMs).toBe(2_000_000);
  });

  it('creating and removing changes the times and links of the directory', async () => {
    fs.utimesSync(dir, 1, 1);
    fs.mkdirSync(join(dir, 'sub'));
    const made = fs.statSync(dir);
    expect(made.nlink).toBe(3);
    expect(made.mtimeMs).toBeGreaterThan(1_000_000);
    const onServer = await mounted.client.stat(remote(''));
    expect(BigInt(onServer.mtime.sec) * 1_000_000_000n + BigInt(onServer.mtime.nsec)).toBe(fs.statSync(dir, { bigint: true }).mtimeNs);
    fs.rmdirSync(join(dir, 'sub'));
    expect(fs.statSync(dir).nlink).toBe(2);
  });

  it('statfs answers', () => {
    const { bsize, blocks, bfree } = fs.statfsSync(dir);
    expect(bsize).toBeGreaterThan(0);
    expect(blocks).toBeGreaterThanOrEqual(bfree);
  });

  it('others are kept out by mode bits', async () => {
    fs.writeFileSync(join(dir, 'secret'), 'x', { mode: 0o600 });
    fs.writeFileSync(join(dir, 'open'), 'x', { mode: 0o644 });
    const read = (name: string) =>
      inProcess(
        `process.setgid(65534); process.setuid(65534); try { console.log(fs.readFileSync(process.argv[1], 'utf8')); } catch (error) { console.log(error.code); }`,
        [join(dir, name)],
      );
    fs.chmodSync(mounted.scratch, 0o755);
    expect(await read('secret')).toBe('EACCES');
    expect(await read('open')).toBe('x');
  });
});

describe('what others change', () => {
  it('is seen without waiting for timeouts: create, replace with the same size, remove', async () => {
    expect(fs.existsSync(join(dir, 'f'))).toBe(false);
    await mounted.client.put(remote('f'), 'first');
    await until('the new file', async () => fs.existsSync(join(dir, 'f')));
    expect(fs.readFileSync(join(dir, 'f'), 'utf8')).toBe('first');
    await mounted.client.put(remote('f'), 'other');
    await until('the replaced content', async () => fs.readFileSync(join(dir, 'f'), 'utf8') === 'other');
    await mounted.client.chmod(remote('f'), 0o600);
    await until('the mode', async () => (fs.statSync(join(dir, 'f')).mode & 0o777) === 0o600);
    await mounted.client.remove(remote('f'));
    await until('the removal', async () => !fs.existsSync(join(dir, 'f')));
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  it('a reader keeps the generation it opened, a new reader gets the new one', async () => {
    const old = Buffer.alloc(300_000, 'o');
    const fresh = Buffer.alloc(400_000, 'n');
    fs.writeFileSync(join(dir, 'f'), old);
    const fd = fs.openSync(join(dir, 'f'), 'r');
    const start = Buffer.alloc(1000);
    fs.readSync(fd, start, 0, 1000, 0);
    await mounted.client.put(remote('f'), fresh);
    await until('the new generation', async () => fs.statSync(join(dir, 'f')).size === fresh.length);
    expect(fs.readFileSync(join(dir, 'f')).equals(fresh)).toBe(true);
    const rest = Buffer.alloc(400_000);
    expect(fs.readSync(fd, rest, 0, 400_000, 0)).toBe(300_000);
    expect(rest.subarray(0, 300_000).equals(old)).toBe(true);
    fs.closeSync(fd);
  });

  it('written ranges go over a body that another client published meanwhile', async () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(50_000, 'a'));
    const fd = fs.openSync(join(dir, 'f'), 'r+');
    fs.writeSync(fd, 'mine', 10);
    await mounted.client.put(remote('f'), Buffer.alloc(50_000, 'b'));
    fs.closeSync(fd);
    const bytes = await stored('f');
    expect(bytes.subarray(0, 16).toString()).toBe('bbbbbbbbbbminebb');
    expect(createHash('sha256').update(bytes.subarray(16)).digest('hex')).toBe(
      createHash('sha256').update(Buffer.alloc(49_984, 'b')).digest('hex'),
    );
  });
});

describe('two mounts', () => {
  let other: string;
  beforeAll(async () => {
    other = (await mounted.mount()).directory;
  });
  const there = (name: string): string => join(other, dir.slice(root.length + 1), name);

  it('see each other without waiting for timeouts', async () => {
    expect(fs.existsSync(there('f'))).toBe(false);
    fs.writeFileSync(join(dir, 'f'), 'first');
    await until('the file', async () => fs.existsSync(there('f')) && fs.readFileSync(there('f'), 'utf8') === 'first');
    fs.writeFileSync(join(dir, 'f'), 'other');
    await until('the same size with other content', async () => fs.readFileSync(there('f'), 'utf8') === 'other');
    fs.renameSync(there('f'), there('g'));
    await until('the rename', async () => fs.existsSync(join(dir, 'g')) && !fs.existsSync(join(dir, 'f')));
    fs.unlinkSync(join(dir, 'g'));
    await until('the removal', async () => !fs.existsSync(there('g')));
  });

  it('have one winner when both create exclusively', async () => {
    const source = `try { fs.closeSync(fs.openSync(process.argv[1], 'wx')); console.log('won'); } catch (error) { console.log(error.code); }`;
    for (let round = 0; round < 3; round++) {
      const paths = [join(dir, `lock${round}`), there(`lock${round}`), join(dir, `lock${round}`), there(`lock${round}`)];
      const outcomes = await Promise.all(paths.map((path) => inProcess(source, [path])));
      expect(outcomes.toSorted()).toEqual(['EEXIST', 'EEXIST', 'EEXIST', 'won']);
    }
  });

  it('lose nothing when each writes its own part of one file', async () => {
    fs.writeFileSync(join(dir, 'f'), Buffer.alloc(100_000, 'x'));
    await until('the file', async () => fs.existsSync(there('f')) && fs.statSync(there('f')).size === 100_000);
    const mine = fs.openSync(join(dir, 'f'), 'r+');
    const theirs = fs.openSync(there('f'), 'r+');
    fs.writeSync(mine, 'mine', 0);
    fs.writeSync(theirs, 'theirs', 50_000);
    fs.writeSync(theirs, 'longer', 100_000);
    fs.closeSync(mine);
    fs.closeSync(theirs);
    const bytes = await stored('f');
    expect(bytes.length).toBe(100_006);
    expect(bytes.subarray(0, 6).toString()).toBe('minexx');
    expect(bytes.subarray(50_000, 50_007).toString()).toBe('theirsx');
    expect(bytes.subarray(100_000).toString()).toBe('longer');
  });
});
