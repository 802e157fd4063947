/** `nokv mount` and `nokv umount`: the command returns when the mount answers, and leaves nothing behind. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { lstat, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CliServer, NOKV, cleanEnv, nokvProcess, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
let mnt: string;

beforeAll(async () => {
  server = await startCliServer();
  await server.must(['put', '--parents', '-', '/runs/7/log'], { input: 'logged' });
});
afterAll(async () => await server?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-mount-'));
  mnt = join(directory, 'mnt');
  mkdirSync(mnt);
});
afterEach(async () => {
  if (isMounted()) await new Promise((resolve) => spawn('umount', ['-l', mnt], { stdio: 'ignore' }).once('exit', resolve));
  await rm(directory, { recursive: true, force: true });
});

const isMounted = () => readFileSync('/proc/self/mounts', 'utf8').includes(` ${mnt} `);

describe('nokv mount', () => {
  it('answers as soon as it returns, is listed, and goes away with umount', async () => {
    const [mounted] = await server.json(['mount', mnt]);
    checkSchema('mount', mounted);
    expect(await readFile(join(mnt, 'runs/7/log'), 'utf8')).toBe('logged');
    await writeFile(join(mnt, 'runs/7/new'), 'from the mount');
    const listed = (await server.json(['mount', 'list'])) as { directory: string; alive: boolean }[];
    for (const one of listed) checkSchema('mount', one);
    expect(listed.find((one) => one.directory === mnt)).toMatchObject({ alive: true });
    const [unmounted] = await server.json(['umount', mnt]);
    checkSchema('mount', unmounted);
    expect(isMounted()).toBe(false);
    expect(await server.must(['cat', '/runs/7/new'])).toBe('from the mount');
    expect(((await server.json(['mount', 'list'])) as { directory: string }[]).map((one) => one.directory)).not.toContain(mnt);
  });

  it('keeps secrets out of the arguments and the environment of the process that serves it', async () => {
    const secret = 'hunter2-hunter2';
    writeFileSync(join(directory, 'token'), secret);
    const env = {
      ...cleanEnv(),
      ...server.env,
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: secret,
      NOKV_TOKEN_FILE: join(directory, 'token'),
    };
    const { code, stdout, stderr } = await nokvProcess(['mount', mnt, '--json'], { env });
    expect(code, stderr).toBe(0);
    const { pid } = JSON.parse(stdout) as { pid: number };
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain(secret);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(secret);
    await server.must(['umount', mnt]);
  });

  it('shows a part of the namespace, read-only when asked', async () => {
    await server.must(['mount', mnt, '--root', '/runs/7', '--read-only']);
    expect(await readdir(mnt)).toContain('log');
    await expect(writeFile(join(mnt, 'x'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
    await server.must(['umount', mnt]);
    expect(await readdir(mnt)).toEqual([]);
  });

  it('stays in the foreground when asked, and unmounts on Ctrl-C', async () => {
    const child = spawn(process.execPath, [NOKV, 'mount', mnt, '--foreground', '--json'], {
      env: cleanEnv(server.env),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      child.stdout.once('data', resolve);
      child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
    });
    expect((await lstat(join(mnt, 'runs'))).isDirectory()).toBe(true);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(isMounted()).toBe(false);
  });

  it('refuses a root that is not there and a server that does not answer, and mounts nothing', async () => {
    expect(await server.run(['mount', mnt, '--root', '/none'])).toMatchObject({ code: 3, stdout: '' });
    writeFileSync(join(directory, 'file'), '');
    expect(await server.run(['mount', mnt, '--root', '/runs/7/log'])).toMatchObject({ code: 2, stdout: '' });
    const away = await server.run(['mount', mnt], { env: { NOKV_SERVER: '127.0.0.1:1' } });
    expect(away).toMatchObject({ code: 9, stdout: '' });
    expect(away.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(isMounted()).toBe(false);
  });
});
