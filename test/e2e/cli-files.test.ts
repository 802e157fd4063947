/** The commands that move bytes and names, as people run them, over a real server. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CliServer, NOKV, cleanEnv, jsonLines, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
let top: string;
let count = 0;

beforeAll(async () => {
  server = await startCliServer();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-files-'));
  count += 1;
  top = `/t${count}`;
  await server.must(['mkdir', top]);
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

const sha256 = (bytes: string | Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const local = (name: string, bytes: string | Uint8Array = name) => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};
type Row = Record<string, unknown>;
const stat = async (path: string) => (await server.json(['stat', path]))[0] as Row;

/** A directory with everything that a restore must keep. */
function makeTree(): string {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'empty/below'), { recursive: true });
  mkdirSync(join(tree, 'deep/a/b/c'), { recursive: true });
  writeFileSync(join(tree, 'deep/a/b/c/run'), '#!/bin/sh\n');
  chmodSync(join(tree, 'deep/a/b/c/run'), 0o751);
  writeFileSync(join(tree, 'big'), Buffer.alloc(9_000_000, 'x'));
  writeFileSync(join(tree, 'none'), '');
  chmodSync(join(tree, 'none'), 0o400);
  symlinkSync('../nowhere', join(tree, 'deep/link'));
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/byte`), Buffer.from([0xff])]), 'odd');
  utimesSync(join(tree, 'big'), 1_700_000_000, 1_700_000_000);
  chmodSync(join(tree, 'empty'), 0o1770);
  return tree;
}

const listing = (path: string) =>
  spawnSync('find', ['.', '-printf', '%p %y %m %s %l\\0'], { cwd: path, encoding: 'latin1' }).stdout.split('\0').toSorted();

function expectSameTree(a: string, b: string): void {
  const { status, stdout, stderr } = spawnSync('diff', ['-r', '--no-dereference', a, b], { encoding: 'utf8' });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  // Sizes of directories are the file system's own business.
  const entries = (path: string) => listing(path).map((line) => line.replace(/^(.* d \d+) \d+/, '$1'));
  expect(entries(b)).toEqual(entries(a));
}

describe('put and cat', () => {
  it('stores a file with its mode and time, and gives it back', async () => {
    const file = local('model.bin', 'weights');
    chmodSync(file, 0o750);
    utimesSync(file, 1_700_000_000, 1_700_000_000);
    const [put] = (await server.json(['put', file, `${top}/model.bin`])) as Row[];
    checkSchema('put', put);
    expect(put).toMatchObject({ path: `${top}/model.bin`, created: true, size: 7, digest: sha256('weights') });
    const entry = await stat(`${top}/model.bin`);
    checkSchema('stat', entry);
    expect(entry).toMatchObject({
      type: 'file',
      mode: '0750',
      size: 7,
      nlink: 1,
      digest: sha256('weights'),
      generation: put?.generation,
      inline: true,
      mtime: '2023-11-14T22:13:20.000000000Z',
    });
    expect(await server.must(['cat', `${top}/model.bin`])).toBe('weights');
  });

  it('stores standard input, makes parents when asked, and says what it did on one line', async () => {
    expect((await server.run(['put', '-', `${top}/a/b/c`], { input: 'x' })).code).toBe(3);
    expect(await server.must(['put', '--parents', '-', `${top}/a/b/c`], { input: 'x' })).toMatch(
      new RegExp(`^${top}/a/b/c@\\d+  1 B  sha256:[0-9a-f]{64}\n$`),
    );
    expect(await server.must(['put', '--quiet', '-', `${top}/a/b/c`], { input: 'y' })).toBe('');
    expect(await server.must(['cat', `${top}/a/b/c`])).toBe('y');
  });

  it('puts several files into a directory, and a file into a directory that is there', async () => {
    const files = ['a', 'b', 'c'].map((name) => local(name));
    const rows = (await server.json(['put', ...files, top])) as Row[];
    expect(rows.map(({ path }) => path)).toEqual([`${top}/a`, `${top}/b`, `${top}/c`]);
    await server.must(['mkdir', `${top}/d`]);
    await server.must(['put', files[0] ?? '', `${top}/d`]);
    expect(await server.must(['cat', `${top}/d/a`, `${top}/b`])).toBe('ab');
  });

  it('lets one of two writers win by generation', async () => {
    const [first] = (await server.json(['put', '--if-generation', '0', '-', `${top}/f`], { input: 'one' })) as Row[];
    const again = await server.run(['put', '--if-generation', '0', '-', `${top}/f`], { input: 'two' });
    expect(again).toMatchObject({ code: 4, stdout: '' });
    expect(again.stderr).toContain(`(generation ${String(first?.generation)})`);
    const flags = ['--if-generation', String(first?.generation)];
    await server.must(['put', ...flags, '-', `${top}/f`], { input: 'three' });
    expect((await server.run(['put', ...flags, '-', `${top}/f`], { input: 'four' })).code).toBe(5);
    expect((await server.run(['put', '--if-digest', sha256('one'), '-', `${top}/f`], { input: 'five' })).code).toBe(5);
    await server.must(['put', '--if-digest', sha256('three'), '-', `${top}/f`], { input: 'six' });
    expect(await server.must(['cat', `${top}/f`, `${top}/f@${String(first?.generation)}`])).toBe('sixone');
  });

  it('takes effect once under one request id', async () => {
    const put = () => server.json(['put', '--request-id', `e2e-${count}`, '-', `${top}/f`], { input: 'same' });
    expect(await put()).toEqual(await put());
    const other = await server.run(['put', '--request-id', `e2e-${count}`, '-', `${top}/f`], { input: 'other' });
    expect(other.code).toBe(2);
    expect(await stat(`${top}/f`)).toMatchObject({ ordinal: 1 });
  });

  it.each([
    ['0-0', 'a'],
    ['2-4', 'cde'],
    ['24-', 'yz'],
    ['24-99', 'yz'],
    ['-3', 'xyz'],
    ['-99', 'abcdefghijklmnopqrstuvwxyz'],
  ])('gives the bytes %s', async (range, bytes) => {
    await server.must(['put', '-', `${top}/abc`], { input: 'abcdefghijklmnopqrstuvwxyz' });
    expect(await server.must(['cat', `${top}/abc`, '--range', range])).toBe(bytes);
  });

  it('refuses a range beyond the end', async () => {
    await server.must(['put', '-', `${top}/abc`], { input: 'abc' });
    expect(await server.run(['cat', `${top}/abc`, '--range', '3-5'])).toMatchObject({ code: 2, stdout: '' });
  });

  it('keeps the head and the tail of a file', async () => {
    const text = Array.from({ length: 100_000 }, (_, i) => `line ${i + 1}\n`).join('');
    await server.must(['put', '-', `${top}/log`], { input: text });
    expect(await server.must(['head', '-n', '2', `${top}/log`])).toBe('line 1\nline 2\n');
    expect(await server.must(['tail', '-n', '2', `${top}/log`])).toBe('line 99999\nline 100000\n');
    expect(await server.must(['head', '-c', '6', `${top}/log`])).toBe('line 1');
    expect(await server.must(['tail', '-c', '7', `${top}/log`])).toBe('100000\n');
    expect(await server.must(['tail', '-n', '1000000', `${top}/log`])).toBe(text);
    expect(await server.must(['head', '-n', '0', `${top}/log`])).toBe('');
  });

  it('streams what does not fit into memory', async () => {
    // Node is held to 200 MB of heap and the body is 600 MB: only what passes through can be in memory.
    const bash = `set -euo pipefail
      head -c 600000000 /dev/zero | $NODE --max-old-space-size=200 $NOKV put --quiet - ${top}/zeros
      $NODE --max-old-space-size=200 -e 'process.on("exit", () => { const { maxRSS } = process.resourceUsage(); require("fs").writeSync(2, "rss " + maxRSS); }); process.argv.splice(1, 0, process.env.NOKV); import(process.env.NOKV)' cat ${top}/zeros | wc -c`;
    const env = cleanEnv({ ...server.env, NODE: process.execPath, NOKV });
    const { status, stdout, stderr } = spawnSync('bash', ['-c', bash], { env, encoding: 'utf8' });
    expect({ status, stdout: stdout.trim() }, stderr).toEqual({ status: 0, stdout: '600000000' });
    expect(Number(/rss (\d+)/.exec(stderr)?.[1])).toBeLessThan(300_000);
  }, 120_000);

  it('ends quietly when the reader has seen enough', async () => {
    await server.must(['put', '-', `${top}/big`], { input: Buffer.alloc(20_000_000, 'y\n') });
    const { status, stdout, stderr } = spawnSync('bash', ['-c', `set -o pipefail; $NODE $NOKV cat ${top}/big | head -n 1`], {
      env: cleanEnv({ ...server.env, NODE: process.execPath, NOKV }),
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'y\n', stderr: '' });
  });
});

describe('artifacts', () => {
  it('publishes a directory once, restores it without a difference, and replaces it when told to', async () => {
    const tree = makeTree();
    const [put] = (await server.json(['put-artifact', `${top}/x/tree`, tree])) as Row[];
    checkSchema('put-artifact', put);
    expect(put).toMatchObject({ type: 'directory', files: 4, symlinks: 1, skipped: [] });
    const back = join(directory, 'back');
    const [got] = (await server.json(['get', `${top}/x/tree`, back])) as Row[];
    checkSchema('get', got);
    expectSameTree(tree, back);
    expect(statSync(join(back, 'big')).mtimeMs).toBe(1_700_000_000_000);

    const again = await server.run(['put-artifact', `${top}/x/tree`, tree]);
    expect(again).toMatchObject({ code: 4, stdout: '', stderr: `nokv: put-artifact: ${top}/x/tree: exists; use --replace\n` });
    writeFileSync(join(tree, 'new'), 'new');
    await server.must(['put-artifact', '--replace', `${top}/x/tree`, tree]);
    await server.must(['get', `${top}/x/tree`, join(directory, 'second')]);
    expectSameTree(tree, join(directory, 'second'));
  });

  it('publishes a file create-only, and checks the digest that was promised', async () => {
    const file = local('report', 'all well');
    const wrong = await server.run(['put-artifact', `${top}/report`, file, '--digest', sha256('other')]);
    expect(wrong).toMatchObject({ code: 10, stdout: '' });
    expect((await server.run(['stat', `${top}/report`])).code).toBe(3);
    const [put] = (await server.json([
      'put-artifact',
      `${top}/report`,
      file,
      '--digest',
      sha256('all well'),
      '--producer',
      'e2e',
      '--content-type',
      'text/plain',
    ])) as Row[];
    checkSchema('put-artifact', put);
    expect(await stat(`${top}/report`)).toMatchObject({ contentType: 'text/plain' });
    const again = await server.run(['put-artifact', `${top}/report`, file]);
    expect(again).toMatchObject({
      code: 4,
      stderr: `nokv: put-artifact: ${top}/report: exists (generation ${String(put?.generation)}); use --replace\n`,
    });
    await server.must(['put-artifact', '--replace', `${top}/report`, local('report2', 'worse')]);
    expect(await server.must(['cat', `${top}/report`])).toBe('worse');
  });

  it('refuses a directory with a fifo before anything is sent, or leaves it out when told to', async () => {
    const tree = makeTree();
    expect(spawnSync('mkfifo', [join(tree, 'pipe')]).status).toBe(0);
    expect((await server.run(['put-artifact', `${top}/t`, tree])).code).toBe(2);
    expect((await server.run(['stat', `${top}/t`])).code).toBe(3);
    const { code, stderr } = await server.run(['put-artifact', '--skip-special', `${top}/t`, tree]);
    expect(code).toBe(0);
    expect(stderr).toContain('pipe');
  });

  it('puts a tree file by file, into what is there', async () => {
    const tree = makeTree();
    await server.must(['put', '-r', tree, `${top}/copy`]);
    await server.must(['put', '-', `${top}/copy/more`], { input: 'more' });
    const [put] = (await server.json(['put', '-r', tree, `${top}/copy`])) as Row[];
    checkSchema('put', put);
    await server.must(['rm', `${top}/copy/more`]);
    await server.must(['get', `${top}/copy`, join(directory, 'back')]);
    expectSameTree(tree, join(directory, 'back'));
  });

  it('overwrites local files of a tree only when told to', async () => {
    await server.must(['put-artifact', `${top}/t`, makeTree()]);
    mkdirSync(join(directory, 'busy'));
    local('busy/none', 'mine');
    expect((await server.run(['get', `${top}/t`, join(directory, 'busy')])).code).toBe(4);
    expect(readFileSync(join(directory, 'busy/none'), 'utf8')).toBe('mine');
    await server.must(['get', '--replace', `${top}/t`, join(directory, 'busy')]);
    expectSameTree(join(directory, 'tree'), join(directory, 'busy'));
  });

  it('restores one file, one generation of it, and into a directory', async () => {
    const [first] = (await server.json(['put', '-', `${top}/f`], { input: 'old' })) as Row[];
    await server.must(['put', '-', `${top}/f`], { input: 'new' });
    await server.must(['get', `${top}/f`, join(directory, 'f')]);
    await server.must(['get', `${top}/f@${String(first?.generation)}`, join(directory, 'f.old')]);
    mkdirSync(join(directory, 'into'));
    await server.must(['get', `${top}/f`, join(directory, 'into')]);
    expect(['f', 'f.old', 'into/f'].map((name) => readFileSync(join(directory, name), 'utf8'))).toEqual(['new', 'old', 'new']);
    expect(readdirSync(directory).toSorted()).toEqual(['f', 'f.old', 'into']);
  });
});

describe('names', () => {
  it('lists in byte order, long, recursively, one a line and as JSON', async () => {
    await server.must(['mkdir', `${top}/b`]);
    await server.must(['put', '-', `${top}/b/x`], { input: '12345' });
    await server.must(['put', '-', `${top}/B`], { input: '' });
    await server.must(['put', '-', `${top}/\\xff\\xfe`], { input: 'odd' });
    await server.must(['ln', '-s', 'b/x', `${top}/l`]);
    await server.must(['put', '-', `${top}/two\\x0alines`], { input: '' });
    expect(await server.must(['ls', top])).toBe('B\nb\nl\ntwo\\x0alines\n\\xff\\xfe\n');
    expect(await server.must(['ls', '-1', top])).toBe(await server.must(['ls', top]));
    const long = (await server.must(['ls', '-l', top])).split('\n');
    expect(long[0]).toMatch(/^-rw-r--r-- +1 +0 +0 +0 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +B$/);
    expect(long[1]).toMatch(/^drwxr-xr-x .* b$/);
    expect(long[2]).toMatch(/^lrwxrwxrwx .* l -> b\/x$/);
    expect(await server.must(['ls', '-R', top])).toBe(`${top}:\nB\nb\nl\ntwo\\x0alines\n\\xff\\xfe\n\n${top}/b:\nx\n`);
    expect(await server.must(['ls', '-d', top])).toBe(`${top}\n`);
    const rows = (await server.json(['ls', top])) as Row[];
    for (const row of rows) checkSchema('entry', row);
    for (const row of rows) expect(row).toEqual(await stat(String(row.path)));
    expect(await server.must(['cat', `${top}/\\xff\\xfe`])).toBe('odd');
  });

  it('draws trees and sums them up', async () => {
    await server.must(['mkdir', '-p', `${top}/a/b`, `${top}/c`]);
    await server.must(['put', '-', `${top}/a/b/f`], { input: '123' });
    await server.must(['ln', `${top}/a/b/f`, `${top}/g`]);
    await server.must(['ln', '-s', 'x', `${top}/s`]);
    expect(await server.must(['tree', top])).toBe(
      `${top}\n├── a/\n│   └── b/\n│       └── f\n├── c/\n├── g\n└── s -> x\n\n3 directories, 3 files\n`,
    );
    expect(await server.must(['tree', '-L', '1', top])).toBe(`${top}\n├── a/\n├── c/\n├── g\n└── s -> x\n\n2 directories, 2 files\n`);
    const sums = (await server.json(['du', top])) as Row[];
    for (const sum of sums) checkSchema('du', sum);
    expect(sums.map(({ path }) => path)).toEqual([`${top}/a/b`, `${top}/a`, `${top}/c`, top]);
    expect(sums[0]).toMatchObject({ bytes: 3, inodes: 2, files: 1, directories: 1, others: 0 });
    expect(sums[3]).toMatchObject({ bytes: 3, inodes: 6, files: 2, directories: 4, others: 1 });
    expect(await server.json(['du', '-s', top])).toEqual([sums[3]]);
    await server.must(['touch', `${top}/c/holes`]);
    await server.must(['truncate', '-s', '3MiB', `${top}/c/holes`]);
    const [holes] = (await server.json(['du', `${top}/c/holes`])) as Row[];
    expect(holes).toMatchObject({ bytes: 3 * 1024 * 1024, storedBytes: 0, inodes: 1 });
    expect((await server.must(['du', '-sh', top])).trim().split(/ {2,}/)).toEqual(['512 B', '3.00 MiB', '7', top]);
  });

  it('appends and patches from files and standard input', async () => {
    const log = `${top}/log`;
    const [made] = (await server.json(['append', local('one', 'one\n'), log, '--if-generation', '0'])) as Row[];
    expect(made).toMatchObject({ path: log, created: true, offset: 0, length: 4, size: 4 });
    checkSchema('splice', made);
    const text = await server.must(['append', '-', log], { input: 'two\n' });
    expect(text).toMatch(/^\/t\d+\/log@\d+ {2}4 B at 4, 8 B in all\n$/);
    await server.must(['patch', local('ONE', 'ONE'), log, '--offset', '0']);
    expect(await server.must(['cat', log])).toBe('ONE\ntwo\n');
    await server.must(['append', local('big', Buffer.alloc(5_000_000, 'b')), log]);
    await server.must(['patch', '-', log, '--offset', '4MiB'], { input: 'patched' });
    expect(await server.must(['cat', log, '--range', '4194302-4194312'])).toBe('bbpatchedbb');
    expect(await stat(log)).toMatchObject({ size: 5_000_008, digest: null });
    for (const [words, code, says] of [
      [['patch', local('one'), `${top}/none`, '--offset', '0'], 3, 'put or append makes one'],
      [['patch', local('one'), log], 2, '--offset'],
      [['patch', local('one'), log, '--offset', '-1'], 2, '-1'],
      [['append', local('one'), log, '--if-generation', '1'], 5, 'expected generation 1'],
      [['append', directory, log], 2, 'is a directory'],
      [['append', '/dev/null', log], 2, 'device'],
      [['append', local('one'), `${top}/no/dir/f`], 3, '--parents'],
      [['append', local('one'), top], 2, 'is a directory'],
    ] as const) {
      const ran = await server.run(words);
      expect({ words, code: ran.code }).toEqual({ words, code });
      expect(ran.stderr).toContain(says);
    }
    expect(await stat(log)).toMatchObject({ size: 5_000_008 });
  });

  it('stores what shrinks compressed', async () => {
    const log = local('log', 'step 1 loss 0.5\n'.repeat(300_000));
    await server.must(['put', log, `${top}/plain`]);
    await server.must(['put', '--compress', log, `${top}/brotli`]);
    await server.must(['put', '--compress=gzip', log, `${top}/gzip`]);
    const [plain, brotli, gzip] = [await stat(`${top}/plain`), await stat(`${top}/brotli`), await stat(`${top}/gzip`)];
    expect(brotli).toMatchObject({ size: plain['size'], digest: plain['digest'] });
    for (const { blocks } of [brotli, gzip]) expect(blocks as number).toBeLessThan((plain['blocks'] as number) / 5);
    expect(await server.must(['cat', `${top}/brotli`, '--range', '4194290-4194320'])).toBe(
      readFileSync(log, 'latin1').slice(4194290, 4194321),
    );
    await server.must(['cp', `${top}/gzip`, `${top}/copy`]);
    await server.must(['append', '-', `${top}/copy`], { input: 'end\n' });
    expect(await server.must(['tail', '-n', '2', `${top}/copy`])).toBe('step 1 loss 0.5\nend\n');
    const refused = await server.run(['put', '--compress=zstd', log, `${top}/zstd`]);
    expect({ code: refused.code, says: refused.stderr }).toMatchObject({ code: 2, says: expect.stringContaining('brotli') as string });
  });

  it('stores below a directory as it says, and shares what is put twice', async () => {
    const log = local('log', 'step 1 loss 0.5\n'.repeat(100_000));
    await server.must(['mkdir', '-p', `${top}/logs/raw`]);
    const [set] = (await server.json(['storage', 'set', `${top}/logs`, '--compress', 'gzip', '--dedup', 'on'])) as Row[];
    expect(set).toMatchObject({
      path: `${top}/logs`,
      compress: 'gzip',
      dedup: true,
      from: { compress: `${top}/logs`, dedup: `${top}/logs` },
    });
    checkSchema('storage', set);
    await server.must(['put', log, `${top}/logs/raw/a`]);
    expect(((await stat(`${top}/logs/raw/a`))['blocks'] as number) * 512).toBeLessThan(200_000);
    expect(await server.must(['storage', 'get', `${top}/logs/raw/a`])).toBe(
      `${top}/logs/raw/a  compress gzip (set at ${top}/logs), dedup on (set at ${top}/logs)\n`,
    );
    const stored = () => readdirSync(join(server.data, 'objects'), { recursive: true }).length;
    const before = stored();
    await server.must(['put', '--dedup', log, `${top}/b`]);
    expect(stored()).toBe(before);
    expect(await server.must(['cat', `${top}/b`])).toBe(readFileSync(log, 'latin1'));
    await server.must(['storage', 'clear', `${top}/logs`]);
    expect(await server.json(['storage', 'get', `${top}/logs`])).toMatchObject([{ compress: 'none', dedup: false }]);
    expect((await server.run(['storage', 'set', `${top}/logs`])).code).toBe(2);
    expect((await server.run(['storage', 'set', `${top}/b`, '--dedup', 'on'])).stderr).toContain('storage is set for a directory');
  });

  it('makes, moves, links and removes', async () => {
    const silent = async (...words: string[]) => expect(await server.must(words)).toBe('');
    await silent('mkdir', '-p', `${top}/a/b`);
    await silent('mkdir', '-p', `${top}/a/b`);
    await silent('mkdir', '-m', '0700', `${top}/m`);
    expect(await stat(`${top}/m`)).toMatchObject({ type: 'directory', mode: '0700' });
    await server.must(['put', '-', `${top}/f`], { input: 'f' });
    await silent('mv', `${top}/f`, `${top}/a/g`);
    await silent('mv', `${top}/a/g`, `${top}/m`);
    await server.must(['put', '-', `${top}/h`], { input: 'h' });
    expect((await server.run(['mv', '-n', `${top}/h`, `${top}/m/g`])).code).toBe(4);
    await silent('mv', '--exchange', `${top}/h`, `${top}/m/g`);
    expect(await server.must(['cat', `${top}/h`, `${top}/m/g`])).toBe('fh');
    await silent('ln', `${top}/h`, `${top}/hard`);
    await silent('ln', '-s', '../any text', `${top}/soft`);
    expect(await stat(`${top}/hard`)).toMatchObject({ nlink: 2 });
    expect(await stat(`${top}/soft`)).toMatchObject({ type: 'symlink', target: '../any text' });
    expect(await server.must(['readlink', `${top}/soft`])).toBe('../any text\n');
    await silent('rm', `${top}/soft`, `${top}/hard`);
    await silent('rm', '-f', `${top}/soft`);
    expect((await server.run(['rm', `${top}/soft`])).code).toBe(3);
    await silent('rmdir', `${top}/a/b`);
    await silent('rm', '-r', `${top}/m`, `${top}/a`);
    expect(await server.must(['ls', top])).toBe('h\n');
    const [change] = (await server.json(['rm', `${top}/h`])) as Row[];
    checkSchema('change', change);
  });

  it('copies files and trees that do not alias', async () => {
    await server.must(['put-artifact', `${top}/t`, makeTree()]);
    await server.must(['cp', '-r', `${top}/t`, `${top}/u`]);
    await server.must(['get', `${top}/u`, join(directory, 'copy')]);
    expectSameTree(join(directory, 'tree'), join(directory, 'copy'));
    await server.must(['cp', `${top}/t/none`, `${top}/t/deep`]);
    await server.must(['put', '-', `${top}/u/big`], { input: 'small' });
    expect(await stat(`${top}/t/big`)).toMatchObject({ size: 9_000_000 });
    expect(await stat(`${top}/t/deep/none`)).toMatchObject({ size: 0, mode: '0400' });
  });

  it('changes modes, owners, times and attributes, and keeps the generation', async () => {
    await server.must(['put', '-', `${top}/f`], { input: '12345' });
    const { generation } = await stat(`${top}/f`);
    await server.must(['chmod', '0600', `${top}/f`]);
    await server.must(['chmod', 'g+r,o=r', `${top}/f`]);
    await server.must(['chown', '12:34', `${top}/f`]);
    await server.must(['touch', `${top}/f`, `${top}/fresh`]);
    expect(await stat(`${top}/f`)).toMatchObject({ mode: '0644', uid: 12, gid: 34, generation, size: 5 });
    expect(await stat(`${top}/fresh`)).toMatchObject({ size: 0 });
    await server.must(['xattr', 'set', `${top}/f`, 'user.k', 'value']);
    expect((await server.run(['xattr', 'set', '--create', `${top}/f`, 'user.k', 'x'])).code).toBe(4);
    expect(await server.must(['xattr', 'get', `${top}/f`, 'user.k'])).toBe('value');
    expect(await server.must(['xattr', 'list', `${top}/f`])).toBe('user.k\n');
    const [shown] = (await server.json(['xattr', 'get', `${top}/f`, 'user.k'])) as Row[];
    checkSchema('xattr', shown);
    await server.must(['xattr', 'rm', `${top}/f`, 'user.k']);
    expect(await server.must(['xattr', 'list', `${top}/f`])).toBe('');
    await server.must(['mkdir', '-p', `${top}/d/e`]);
    await server.must(['chmod', '-R', '0711', `${top}/d`]);
    expect([await stat(`${top}/d`), await stat(`${top}/d/e`)].map(({ mode }) => mode)).toEqual(['0711', '0711']);
  });

  it('names a literal "@" in a path that it reads by its escape', async () => {
    await server.must(['put', '-', `${top}/pkg@7`], { input: 'literal' });
    const { code, stderr } = await server.run(['cat', `${top}/pkg@7`]);
    expect(code).toBe(3);
    expect(stderr).toContain('\\x407');
    expect(await server.must(['cat', `${top}/pkg\\x407`])).toBe('literal');
    // The same wherever a path is read: a file that is put beside another never changes what its versions are called.
    expect((await server.run(['stat', `${top}/pkg@7`])).code).toBe(3);
    expect(jsonLines(await server.must(['stat', '--json', `${top}/pkg\\x407`]))).toMatchObject([{ path: `${top}/pkg@7` }]);
  });
});
