/** Reading out: several sources, globs, ranges, resumed and careful downloads, following a log, over a real server. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CliServer, NOKV, cleanEnv, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
let top: string;
let count = 0;
const isRoot = process.geteuid?.() === 0;

beforeAll(async () => {
  server = await startCliServer();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-get-'));
  count += 1;
  top = `/g${count}`;
  await server.must(['mkdir', top]);
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

type Row = Record<string, unknown>;
const put = async (path: string, input: string | Uint8Array) => await server.must(['put', '-p', '-', `${top}/${path}`], { input });
const here = (name: string) => join(directory, name);
const read = (name: string) => readFileSync(here(name), 'utf8');

describe('globs', () => {
  beforeEach(async () => {
    for (const run of ['r1', 'r2', 'r10', '.hidden']) {
      await put(`runs/${run}/report.md`, run);
      await put(`runs/${run}/logs/a.log`, `${run} a`);
    }
  });

  it('are expanded within names, across directories, and in byte order', async () => {
    expect(await server.must(['cat', `${top}/runs/*/report.md`])).toBe('r1r10r2');
    expect(await server.must(['cat', `${top}/runs/r?/report.md`])).toBe('r1r2');
    expect(await server.must(['cat', `${top}/runs/{r1,r2}/logs/*.log`])).toBe('r1 ar2 a');
    expect(await server.must(['cat', `${top}/**/a.log`])).toBe('r1 ar10 ar2 a');
    expect(await server.must(['cat', `${top}/runs/.h*/report.md`])).toBe('.hidden');
    expect(
      await server.must(['head', '-c', '1', `${top}/runs/[!r]*/x`, `${top}/runs/r1/report.md`]).catch((error: Error) => error.message),
    ).toContain('matches no path');
    expect((await server.run(['cat', `${top}/runs/x*`])).stderr).toBe(`nokv: cat: ${top}/runs/x*: matches no path\n`);
    expect((await server.run(['cat', `${top}/runs/[r`])).code).toBe(2);
  });

  it('mean a name that is there as it is written first', async () => {
    await put('odd/a[1]*', 'literal');
    await put('odd/a1x', 'matched');
    await put('odd/\\xff?', 'odd byte');
    expect(await server.must(['cat', `${top}/odd/a[1]*`])).toBe('literal');
    await server.must(['rm', `${top}/odd/a\\x5b1\\x5d\\x2a`]);
    expect(await server.must(['cat', `${top}/odd/a[1]*`])).toBe('matched');
    expect(await server.must(['cat', `${top}/odd/\\xff*`])).toBe('odd byte');
  });

  it('stand for what was there at a moment', async () => {
    const [made] = (await server.json(['tag', 'create', `t${count}`, `${top}/runs`])) as Row[];
    expect(made).toBeDefined();
    await server.must(['rm', '-r', `${top}/runs/r1`]);
    expect(await server.must(['cat', `${top}/runs/*/report.md`])).toBe('r10r2');
    expect(await server.must(['cat', `${top}/runs/*/report.md@tag:t${count}`])).toBe('r1r10r2');
  });
});

describe('get', () => {
  it('puts several sources into a directory, and keeps their paths when they would meet', async () => {
    await put('a/x', 'ax');
    await put('b/x', 'bx');
    await put('b/y', 'by');
    mkdirSync(here('d'));
    const rows = (await server.json(['get', `${top}/a/x`, `${top}/b/y`, here('d')])) as Row[];
    for (const row of rows) checkSchema('get', row);
    expect([read('d/x'), read('d/y')]).toEqual(['ax', 'by']);
    const met = await server.run(['get', `${top}/*/x`, here('d')]);
    expect(met).toMatchObject({ code: 2, stderr: expect.stringContaining('use --parents to keep their paths') });
    await server.must(['get', '--parents', `${top}/*/x`, here('d')]);
    expect([read(`d${top}/a/x`), read(`d${top}/b/x`)]).toEqual(['ax', 'bx']);
    expect((await server.run(['get', `${top}/a/x`, `${top}/b/y`, here('none')])).stderr).toContain('expected a directory on this machine');
    expect((await server.run(['get', `${top}/a`, `${top}/b/y`, here('d')])).stderr).toContain('is a directory; use -r');
    await server.must(['get', '-r', `${top}/a`, `${top}/b/y`, here('d')]);
    expect(read('d/a/x')).toBe('ax');
    expect((await server.run(['get', `${top}/a/x`, `${here('d')}/none/`])).code).toBe(3);
    expect(await server.must(['get', `${top}/b/*`, '-'])).toBe('bxby');
  });

  it('keeps modes and times, leaves what it is told to leave, and owners and attributes only when asked to', async () => {
    await put('f', 'first');
    await server.must(['chmod', '0640', `${top}/f`]);
    await server.must(['xattr', 'set', `${top}/f`, 'user.k', 'v']);
    if (isRoot) await server.must(['chown', '1234:567', `${top}/f`]);
    await server.must(['get', `${top}/f`, here('f')]);
    expect(statSync(here('f')).mode & 0o777).toBe(0o640);
    expect(statSync(here('f')).uid).toBe(process.geteuid?.());
    const { mtime } = ((await server.json(['stat', `${top}/f`])) as Row[])[0] ?? {};
    expect(String(mtime)).toContain(`.${String(statSync(here('f'), { bigint: true }).mtimeNs % 1_000_000_000n).padStart(9, '0')}Z`);
    await server.must(['get', '-p', `${top}/f`, here('p')]);
    if (isRoot) expect([statSync(here('p')).uid, statSync(here('p')).gid]).toEqual([1234, 567]);
    writeFileSync(here('f'), 'mine');
    expect(await server.run(['get', '-n', `${top}/f`, here('f')])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('it is there'),
    });
    await server.must(['get', '-u', `${top}/f`, here('f')]);
    expect(read('f')).toBe('mine');
    utimesSync(here('f'), 1, 1);
    await server.must(['get', '-u', `${top}/f`, here('f')]);
    expect(read('f')).toBe('first');
    mkdirSync(here('t'));
    writeFileSync(here('t/f'), 'mine');
    await server.must(['get', '-n', top, here('t')]);
    expect(read('t/f')).toBe('mine');
    expect((await server.run(['get', '-n', '-u', `${top}/f`, here('f')])).code).toBe(2);
  });

  it('goes on where it was cut off, checks the whole, and starts again where what was there is wrong', async () => {
    const body = Buffer.alloc(30_000_000);
    for (let at = 0; at < body.length; at += 4096) body.writeUInt32LE(at, at);
    const [made] = (await server.json(['put', '-', `${top}/big`], { input: body })) as Row[];
    const [{ inode } = {}] = (await server.json(['stat', `${top}/big`])) as Row[];
    // Where a command that is killed leaves what it has: by place, inode, generation and digest.
    const key = createHash('sha256')
      .update(here('big'))
      .update('\0')
      .update(`${String(inode)} ${String(made?.generation)} ${String(made?.digest)}`);
    const partial = here(`.nokv-part-${key.digest('hex').slice(0, 16)}`);
    writeFileSync(partial, body.subarray(0, 20_000_000), { mode: 0o600 });
    const { code, stderr } = await server.run(['get', '--resume', '--progress', 'json', `${top}/big`, here('big')]);
    expect(code).toBe(0);
    // What was there counts at once, up to the last whole MiB.
    const told = stderr.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Row]));
    expect(told.find(({ bytes }) => Number(bytes) > 0)?.bytes).toBeGreaterThanOrEqual(19 * 1024 * 1024);
    expect(told.at(-1)).toMatchObject({ phase: 'done', bytes: body.length });
    expect(sha256(readFileSync(here('big')))).toBe(sha256(body));
    expect(readdirSync(directory)).toEqual(['big']);
    await rm(here('big'));
    writeFileSync(partial, Buffer.alloc(5_000_000, 'wrong'), { mode: 0o600 });
    await server.must(['get', '--resume', `${top}/big`, here('big')]);
    expect(sha256(readFileSync(here('big')))).toBe(sha256(body));
    // Somebody else's symlink in its place is not written through.
    await rm(here('big'));
    symlinkSync(here('precious'), partial);
    expect((await server.run(['get', '--resume', `${top}/big`, here('big')])).code).not.toBe(0);
    expect(existsSync(here('precious'))).toBe(false);
    await rm(partial);
    // Killed whenever it is: nothing half has the name, and the next one ends it.
    const child = spawn(process.execPath, [NOKV, 'get', '--resume', `${top}/big`, here('big')], {
      env: cleanEnv(server.env),
      stdio: 'ignore',
    });
    const gone = new Promise((resolve) => child.once('close', resolve));
    while (readdirSync(directory).length === 0 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
    child.kill('SIGKILL');
    await gone;
    if (existsSync(here('big'))) expect(statSync(here('big')).size).toBe(body.length);
    await server.must(['get', '--resume', `${top}/big`, here('big')]);
    expect(sha256(readFileSync(here('big')))).toBe(sha256(body));
    expect(readdirSync(directory)).toEqual(['big']);
  }, 60_000);

  it('writes over no device and no directory, and leaves no half file on a full disk', async () => {
    await put('f', Buffer.alloc(3_000_000, 'x'));
    for (const place of ['/dev/null', '/dev/stdout']) {
      const ran = await server.run(['get', `${top}/f`, place]);
      expect(ran).toMatchObject({ code: 2, stdout: '' });
      expect(ran.stderr).toContain('is a device, fifo or socket on this machine');
    }
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
    mkdirSync(here('f/f'), { recursive: true });
    expect((await server.run(['get', `${top}/f`, here('f')])).stderr).toContain('name the file in it');
    expect((await server.run(['get', `${top}/f`, here('none/f')])).code).toBe(3);
    symlinkSync(here('elsewhere'), here('link'));
    await server.must(['get', `${top}/f`, here('link')]);
    expect(existsSync(here('elsewhere'))).toBe(false);
    if (!isRoot) return;
    mkdirSync(here('full'));
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', here('full')]).status).toBe(0);
    try {
      const ran = await server.run(['get', `${top}/f`, here('full/f')]);
      expect(ran.code).toBe(7);
      expect(ran.stderr).toContain('ENOSPC');
      expect(readdirSync(here('full'))).toEqual([]);
    } finally {
      spawnSync('umount', [here('full')]);
    }
  });

  it('as somebody who may not write there says so', async () => {
    await put('f', 'f');
    mkdirSync(here('shut'), { mode: 0o755 });
    chmodSync(directory, 0o755);
    const ids = isRoot ? { uid: 65534, gid: 65534 } : {};
    if (!isRoot) chmodSync(here('shut'), 0o500);
    const ran = spawnSync(process.execPath, [NOKV, 'get', `${top}/f`, here('shut/f')], {
      env: cleanEnv(server.env),
      encoding: 'utf8',
      ...ids,
    });
    expect(ran.status).toBe(6);
    expect(ran.stderr).toContain('shut/f on this machine: EACCES');
  });
});

describe('cat', () => {
  it('writes several ranges, of each file in turn', async () => {
    await put('abc', 'abcdefghijklmnopqrstuvwxyz');
    await put('num', '0123456789');
    expect(await server.must(['cat', `${top}/abc`, `${top}/num`, '--range', '0-1,4-5,-2'])).toBe('abefyz014589');
    expect(await server.must(['cat', `${top}/abc`, '--range', 'bytes=24-'])).toBe('yz');
    for (const range of ['5-3', '5--3', '-', 'a-b', '1-2,', '--5', '1.5-2']) {
      expect((await server.run(['cat', `${top}/abc`, '--range', range])).code).toBe(2);
    }
    const past = await server.run(['cat', `${top}/num`, '--range', '0-1,10-']);
    expect(past).toMatchObject({ code: 2, stdout: '' });
    expect(past.stderr).toContain('the file has 10 bytes, so the last one is 9');
    expect((await server.run(['cat', top])).code).toBe(2);
  });
});

describe('tail -f', () => {
  it('writes what is appended, tells of a file that is replaced, and ends at Ctrl-C', async () => {
    await put('log', 'one\ntwo\nthree\n');
    const child = spawn(process.execPath, [NOKV, 'tail', '-f', '-n', '1', `${top}/log`], {
      env: cleanEnv(server.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const gone = new Promise<number | null>((resolve) => child.once('close', resolve));
    const until = async (is: () => boolean) => {
      while (!is() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await until(() => out === 'three\n');
    await server.must(['put', '-', `${top}/other`], { input: 'not of it' });
    await server.must(['put', '-', `${top}/log`], { input: 'one\ntwo\nthree\nfour\n' });
    await until(() => out.includes('four'));
    await server.must(['put', '-', `${top}/new`], { input: 'fresh\n' });
    await server.must(['mv', `${top}/new`, `${top}/log`]);
    await until(() => out.includes('fresh'));
    child.kill('SIGINT');
    expect(await gone).toBe(130);
    expect(out).toBe('three\nfour\nfresh\n');
    expect(err).toBe(`nokv: tail: ${top}/log: was replaced; this is the new one\n`);
    expect((await server.run(['tail', '-f', `${top}/log`, `${top}/other`])).code).toBe(2);
  }, 30_000);
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
