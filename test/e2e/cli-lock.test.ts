/** `nokv lock` between processes, as scripts use it, and the commands that show who holds what. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../services/server.js';
import { type CliServer, NOKV, cleanEnv, nokvProcess, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  server = await startCliServer();
  directory = await mkdtemp(join(tmpdir(), 'nokv-lock-'));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** What it may take to start and end a small program on a busy machine. */
const PROGRAM_MS = 5000;

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  stderr(): string;
}

/** A `nokv` process that is left running. */
function start(words: readonly string[]): Running {
  const child = spawn(process.execPath, [NOKV, ...words], { env: cleanEnv(server.env), stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => {
      children.delete(child);
      resolve(code ?? signal ?? 1);
    }),
  );
  return { child, ended, stderr: () => stderr };
}

const run = (words: readonly string[]) => nokvProcess(words, { env: server.env });

/** A program that says that it began, and ends when it is told to. */
function holding(name: string): { readonly words: readonly string[]; readonly began: () => Promise<boolean>; end(): Promise<void> } {
  const [began, end] = [join(directory, `${name}-began`), join(directory, `${name}-end`)];
  return {
    words: ['sh', '-c', `touch ${began}; while [ ! -e ${end} ]; do sleep 0.02; done`],
    began: async () => existsSync(began),
    end: () => writeFile(end, ''),
  };
}

describe('nokv lock', () => {
  it('gives the exit code of the program, its output and its input, and leaves nothing behind', async () => {
    const ran = await nokvProcess(['lock', '/runs.lock', '--', 'sh', '-c', 'cat; echo err >&2; exit 7'], {
      env: server.env,
      input: 'in and out\n',
    });
    expect(ran).toEqual({ code: 7, stdout: 'in and out\n', stderr: 'err\n' });
    expect((await run(['lock', '/runs.lock', '--', 'true'])).code).toBe(0);
    expect((await run(['lock', '/runs.lock', '--', 'no-such-program'])).code).toBe(127);
    expect((await run(['lock', '/runs.lock', '--', 'sh', '-c', 'kill -9 $$'])).code).toBe(137);
    expect(await server.json(['lock', 'list', '/runs.lock'])).toEqual([]);
    expect(await server.json(['session', 'list'])).toEqual([]);
  });

  it('excludes other processes: shared and exclusive, with and without waiting', async () => {
    const program = holding('excludes');
    const holder = start(['lock', '/a.lock', '--name', 'the holder', '--', ...program.words]);
    await until('it holds the lock', program.began);
    const refused = await run(['lock', '/a.lock', '--nonblock', '--', 'true']);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('"the holder"');
    const late = await run(['lock', '/a.lock', '--shared', '--wait', '100ms', '--', 'true']);
    expect(late.code).toBe(5);
    expect(late.stderr).toContain('"the holder"');
    const json = await run(['lock', '/a.lock', '-n', '--json', '--', 'true']);
    const error = JSON.parse(json.stderr) as { code: string; exitCode: number };
    checkSchema('error', error);
    expect(error).toMatchObject({ code: 'lock-conflict', exitCode: 5 });
    const waiting = start(['lock', '/a.lock', '-v', '--', 'echo', 'had it']);
    await until('another waits', async () => waiting.stderr().includes('waiting:'));
    await program.end();
    expect(await holder.ended).toBe(0);
    expect(await waiting.ended).toBe(0);
  });

  it('lets shared holders run together', async () => {
    const [one, two] = [holding('shared-one'), holding('shared-two')];
    const both = [one, two].map((program) => start(['lock', '/b.lock', '--shared', '--', ...program.words]));
    await until('both hold it', async () => (await one.began()) && (await two.began()));
    expect((await run(['lock', '/b.lock', '-n', '--', 'true'])).code).toBe(5);
    const locks = await server.json(['lock', 'list', '/b.lock']);
    expect(locks).toHaveLength(2);
    for (const lock of locks) checkSchema('lock', lock);
    await Promise.all([one.end(), two.end()]);
    expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
  });

  it('that is killed with -9 leaves the lock to who waits for it, within its time to live', async () => {
    const program = holding('killed');
    const holder = start(['lock', '/c.lock', '--ttl', '2s', '--', ...program.words]);
    await until('it holds the lock', program.began);
    const got = join(directory, 'killed-got');
    const waiter = start(['lock', '/c.lock', '-v', '--', 'touch', got]);
    await until('another waits', async () => waiter.stderr().includes('waiting:'));
    const killedAt = performance.now();
    // The program that it ran lives on: only the process itself is waited for.
    const gone = new Promise((resolve) => holder.child.once('exit', resolve));
    holder.child.kill('SIGKILL');
    await gone;
    expect(existsSync(got)).toBe(false);
    expect(await waiter.ended).toBe(0);
    expect(existsSync(got)).toBe(true);
    // The last renewal was before the kill; beyond that only the start of a program.
    expect(performance.now() - killedAt).toBeLessThan(2000 + PROGRAM_MS);
    await program.end();
    await holder.ended;
  });

  it('counts without a lost update when many processes take turns', async () => {
    const counter = join(directory, 'counter');
    await writeFile(counter, '0');
    const step = `n=$(cat ${counter}); sleep 0.01; echo $((n+1)) > ${counter}`;
    const all = Array.from({ length: 6 }, () => start(['lock', '/d.lock', '--', 'sh', '-c', `${step}; ${step}`]));
    expect(await Promise.all(all.map(({ ended }) => ended))).toEqual(all.map(() => 0));
    expect((await readFile(counter, 'utf8')).trim()).toBe('12');
  });

  it('passes a signal on, and gives the lock back', async () => {
    const program = holding('signalled');
    const holder = start(['lock', '/e.lock', '--', ...program.words]);
    await until('it holds the lock', program.began);
    holder.child.kill('SIGTERM');
    expect(await holder.ended).toBe(128 + 15);
    expect(await server.json(['lock', 'list', '/e.lock'])).toEqual([]);
  });

  it('stops the program when the session is ended under it', async () => {
    const program = holding('ended');
    const holder = start(['lock', '/f.lock', '--ttl', '1s', '--', ...program.words]);
    await until('it holds the lock', program.began);
    const sessions = (await server.json(['session', 'list'])) as { session: string; locks: number; name: string }[];
    expect(sessions).toMatchObject([{ locks: 1, name: 'sh' }]);
    for (const session of sessions) checkSchema('session', session);
    const [closed] = await server.json(['session', 'close', sessions[0]?.session ?? '']);
    checkSchema('session-close', closed);
    expect(await holder.ended).toBe(9);
    expect(holder.stderr()).toContain('session ended');
  });

  it('refuses what makes no sense', async () => {
    expect((await server.run(['lock', '/g.lock', '-n', '--wait', '1s', '--', 'true'])).code).toBe(2);
    expect((await server.run(['lock', '/g.lock'])).code).toBe(2);
    expect((await server.run(['lock', '/none/g.lock', '--', 'true'])).code).toBe(3);
    expect((await server.run(['lock', '/g.lock', '--ttl', '10ms', '--', 'true'])).code).toBe(2);
    expect((await server.run(['session', 'close', 'x'])).code).toBe(2);
  });
});

it('tables for people show locks and sessions', async () => {
  const program = holding('tables');
  const holder = start(['lock', '/h.lock', '--name', 'nightly', '--', ...program.words]);
  await until('it holds the lock', program.began);
  expect(await server.must(['lock', 'list', '/h.lock'])).toMatch(/^KIND +TYPE +BYTES.*\nflock +exclusive +0-end .* nightly\n$/);
  expect(await server.must(['session', 'list'])).toMatch(/^SESSION +LOCKS.*\n[0-9a-f]{32} +1 +0 .* nightly\n$/);
  await program.end();
  expect(await holder.ended).toBe(0);
});
