/** Whole trees as people move them: put-tree, import, export and archive, over a real server. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CliServer, NOKV, cleanEnv, jsonLines, nokvProcess, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
let tree: string;
let top: string;
let count = 0;

beforeAll(async () => {
  server = await startCliServer();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-trees-'));
  tree = join(directory, 'tree');
  mkdirSync(join(tree, 'deep/er/empty'), { recursive: true });
  writeFileSync(join(tree, 'big'), Buffer.alloc(2_000_000, 'x'));
  writeFileSync(join(tree, 'deep/note.md'), '# note\n');
  writeFileSync(join(tree, 'deep/x.tmp'), 'tmp');
  chmodSync(join(tree, 'deep/note.md'), 0o640);
  symlinkSync('deep/note.md', join(tree, 'soft'));
  count += 1;
  top = `/trees${count}`;
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

type Row = Record<string, unknown>;
const differences = (a: string, b: string) => spawnSync('diff', ['-r', '--no-dereference', a, b], { encoding: 'utf8' }).stdout;

describe('put-tree', () => {
  it('publishes once, replaces when told to, and leaves out what globs name', async () => {
    const [put] = (await server.json(['put-tree', tree, `${top}/ckpt/7`, '--exclude', '*.tmp', '--jobs', '8'])) as Row[];
    checkSchema('put-tree', put);
    expect(put).toMatchObject({ files: 2, directories: 4, symlinks: 1 });
    expect(await server.run(['put-tree', tree, `${top}/ckpt/7`])).toMatchObject({
      code: 4,
      stderr: `nokv: put-tree: ${top}/ckpt/7: exists; use --replace\n`,
    });
    expect(await server.must(['put-tree', '--replace', tree, `${top}/ckpt/7`])).toContain('3 files, 4 directories, 1 symlinks');
    await server.must(['get', `${top}/ckpt/7`, join(directory, 'back')]);
    expect(differences(tree, join(directory, 'back'))).toBe('');
    expect((await server.run(['put-tree', tree, '/'])).code).toBe(6);
    expect((await server.run(['put-tree', join(tree, 'big'), `${top}/x`])).stderr).toContain('expected a directory on this machine');
    expect((await server.run(['put-tree', join(tree, 'none'), `${top}/x`])).code).toBe(3);
  });
});

describe('put-tree that is interrupted', () => {
  it('shows nothing, says how to go on, and sends the rest then', async () => {
    for (let index = 0; index < 3000; index++) writeFileSync(join(tree, `f${index}`), `file ${index}`);
    const child = spawn(process.execPath, [NOKV, 'put-tree', '--progress', 'json', '--jobs', '1', tree, `${top}/x`], {
      env: cleanEnv(server.env),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    let isInterrupted = false;
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      // Once: the second time a command ends without another word.
      if (isInterrupted || !/"files":[1-9]\d\d/.test(said)) return;
      isInterrupted = true;
      child.kill('SIGINT');
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(130);
    expect((await server.run(['stat', `${top}/x`])).code).toBe(3);
    const id = /run it again with --resume --request-id (\S+) to go on/.exec(said)?.[1] ?? '';
    const [rest] = (await server.json(['put-tree', '--resume', '--request-id', id, tree, `${top}/x`])) as Row[];
    checkSchema('put-tree', rest);
    expect(rest?.files).toBeLessThan(2950);
    await server.must(['get', `${top}/x`, join(directory, 'back')]);
    expect(differences(tree, join(directory, 'back'))).toBe('');
    expect((await server.run(['put-tree', '--resume', tree, `${top}/y`])).code).toBe(2);
  }, 60_000);
});

describe('import and export', () => {
  it('move what differs, say so, and nothing the second time', async () => {
    const [first] = (await server.json(['import', tree, `${top}/a/b`])) as Row[];
    checkSchema('sync', first);
    expect(first).toMatchObject({ files: 3, directories: 4, symlinks: 1, unchanged: 0, failed: 0 });
    expect(await server.must(['import', tree, `${top}/a/b`])).toBe(`${top}/a/b  0 files, 0 directories, 0 symlinks, 0 B; 7 unchanged\n`);
    const back = join(directory, 'new/back');
    await server.must(['export', `${top}/a/b`, back]);
    expect(differences(tree, back)).toBe('');
    writeFileSync(join(tree, 'deep/note.md'), '# another note\n');
    rmSync(join(tree, 'deep/x.tmp'));
    const dry = await server.must(['import', '-n', '--delete', tree, `${top}/a/b`]);
    expect(dry).toContain('update      deep/note.md\n');
    expect(dry).toContain('delete      deep/x.tmp\n');
    expect(dry).toContain('(dry run: nothing was changed)');
    expect(await server.must(['cat', `${top}/a/b/deep/note.md`])).toBe('# note\n');
    const rows = (await server.json(['import', '-v', '--delete', tree, `${top}/a/b`])) as Row[];
    for (const row of rows) checkSchema('sync', row);
    expect(rows).toContainEqual({ event: 'change', action: 'delete', path: 'deep/x.tmp', type: 'file' });
    expect(rows.at(-1)).toMatchObject({ files: 1, deleted: 1 });
    expect(await server.must(['export', '--delete', '--checksum', `${top}/a/b`, back])).toContain('1 deleted');
    expect(differences(tree, back)).toBe('');
  });

  it('go on past an entry that fails, list it, and end with its exit code', async () => {
    await server.must(['import', tree, top]);
    mkdirSync(join(directory, 'back/big/full'), { recursive: true });
    const ran = await server.run(['export', top, join(directory, 'back')]);
    expect(ran).toMatchObject({ code: 2 });
    expect(ran.stdout).toContain('2 files, 3 directories, 1 symlinks, 10 B; 0 unchanged, 1 failed');
    expect(ran.stderr).toContain('nokv: export: big: ');
    expect(ran.stderr).toContain('1 entry failed; everything else was moved');
    const failed = await server.run(['export', '--json', top, join(directory, 'back')]);
    expect(failed.code).toBe(2);
    const [report] = jsonLines(failed.stdout) as Row[];
    checkSchema('sync', report);
    expect(report).toMatchObject({ failed: 1, failures: [{ path: 'big', code: 'is-directory' }] });
    expect(jsonLines(failed.stderr)).toMatchObject([{ code: 'is-directory', details: { failed: 1 }, exitCode: 2 }]);
  });

  it('as somebody who may not read one file, names it and moves the rest', async () => {
    // Root reads everything: the command runs as nobody.
    const { status, stdout, stderr } = asNobody(['import', tree, top], () => chmodSync(join(tree, 'big'), 0o600));
    expect({ status, stderr }).toEqual({ status: 6, stderr: expect.stringContaining('nokv: import: big: cannot open') });
    expect(stdout).toContain('2 files');
    expect((await server.run(['stat', `${top}/big`])).code).toBe(3);
    expect(await server.must(['cat', `${top}/deep/note.md`])).toBe('# note\n');
  });

  it('tell what they do as events, and are quiet in a pipe', async () => {
    const quiet = await nokvProcess(['import', tree, `${top}/q`], { env: server.env });
    expect(quiet).toMatchObject({ code: 0, stderr: '' });
    const { stderr } = await server.run(['import', tree, top, '--progress', 'json', '--json']);
    const events = jsonLines(stderr) as Row[];
    for (const event of events) checkSchema('progress', event);
    expect(events.at(-1)).toMatchObject({
      event: 'progress',
      what: 'import',
      phase: 'done',
      files: 8,
      filesTotal: 8,
      bytesTotal: 2_000_010,
      bytes: 2_000_010,
    });
  });

  it('leave how a directory is stored to the namespace', async () => {
    await server.must(['import', tree, top]);
    await server.must(['storage', 'set', `${top}/deep`, '--compress', 'gzip']);
    const set = await server.must(['xattr', 'list', `${top}/deep`]);
    expect(set).toContain('user.nokv.compress');
    expect(await server.must(['import', tree, top])).toContain('0 files, 0 directories, 0 symlinks, 0 B; 7 unchanged');
    expect(await server.must(['xattr', 'list', `${top}/deep`])).toBe(set);
  });

  it('refuse what cannot be', async () => {
    await server.must(['put', '-p', '-', `${top}/f`], { input: 'f' });
    expect((await server.run(['import', tree, `${top}/f`])).stderr).toContain('a file is at the destination');
    expect((await server.run(['import', join(tree, 'big'), top])).stderr).toContain('expected a directory on this machine');
    expect((await server.run(['import', '/dev/null', top])).code).toBe(2);
    expect((await server.run(['export', `${top}/f`, join(directory, 'x')])).code).toBe(2);
    expect((await server.run(['export', top, '/dev/null'])).code).toBe(2);
    expect((await server.run(['export', top, join(tree, 'big')])).stderr).toContain('is no directory on this machine');
    expect((await server.run(['import', tree, top, '--exclude', '[a'])).stderr).toContain('exclude: glob');
    expect((await server.run(['import', tree, top, '--owner', '5'])).code).toBe(2);
    expect(readdirSync(directory).toSorted()).toEqual(['tree']);
  });
});

describe('archive', () => {
  it('streams to tar(1) and back, compressed or not, into a file or a pipe', async () => {
    await server.must(['import', tree, top]);
    const bash = `set -euo pipefail; cd ${directory}
      $NODE $NOKV archive ${top} | tar tvf - > list
      $NODE $NOKV archive ${top} --format tar.gz > x.tgz; mkdir out; tar xzf x.tgz -C out
      tar cf - -C tree . | $NODE $NOKV import - ${top}-a
      tar czf y.tar.gz -C tree .; $NODE $NOKV import y.tar.gz ${top}-b
      $NODE $NOKV archive ${top} z.tgz; $NODE $NOKV import --format tar.gz - ${top}-c < z.tgz`;
    const { status, stderr } = spawnSync('bash', ['-c', bash], {
      env: cleanEnv({ ...server.env, NODE: process.execPath, NOKV }),
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(differences(tree, join(directory, 'out'))).toBe('');
    expect(readFileSync(join(directory, 'list'), 'utf8')).toContain('./soft -> deep/note.md');
    for (const copy of ['a', 'b', 'c']) {
      await server.must(['export', `${top}-${copy}`, join(directory, `back-${copy}`)]);
      expect(differences(tree, join(directory, `back-${copy}`))).toBe('');
    }
  });

  it('ends quietly when its reader has seen enough', async () => {
    await server.must(['import', tree, top]);
    const bash = `set -o pipefail; $NODE $NOKV archive ${top} | head -c 600 | wc -c`;
    const ran = spawnSync('bash', ['-c', bash], { env: cleanEnv({ ...server.env, NODE: process.execPath, NOKV }), encoding: 'utf8' });
    expect(ran).toMatchObject({ status: 0, stdout: expect.stringMatching(/^ *600\n$/), stderr: '' });
  });

  it('says what is no archive, and leaves no half file', async () => {
    writeFileSync(join(directory, 'x.tar'), 'no archive at all '.repeat(100));
    expect((await server.run(['import', join(directory, 'x.tar'), top])).stderr).toContain('expected a tar header at byte 0');
    expect((await server.run(['import', '--format', 'tar.gz', join(directory, 'x.tar'), top])).stderr).toContain('is not (whole) gzip');
    expect((await server.run(['import', join(directory, 'none.tar'), top])).code).toBe(3);
    expect((await server.run(['import', '--delete', '-', top], { input: '' })).code).toBe(2);
    expect((await server.run(['archive', `${top}/none`, join(directory, 'n.tar')])).code).toBe(3);
    expect(existsSync(join(directory, 'n.tar'))).toBe(false);
    expect(readdirSync(directory).toSorted()).toEqual(['tree', 'x.tar']);
  });
});

/** Runs the command without root's rights, where this process has them. */
function asNobody(words: readonly string[], before: () => void) {
  const nobody = 65534;
  chmodSync(directory, 0o755);
  spawnSync('chmod', ['-R', 'a+rX', tree]);
  before();
  const ids = process.geteuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  if (ids.uid === undefined) chmodSync(join(tree, 'big'), 0);
  return spawnSync(process.execPath, [NOKV, ...words], { env: cleanEnv(server.env), encoding: 'utf8', ...ids });
}
