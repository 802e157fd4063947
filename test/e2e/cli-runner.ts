/** The `nokv` command as a person runs it: processes of its own, against servers of its own. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCli } from '@nokv/cli';
import { capturedIo } from '@nokv/cli/testing';

/** Tests run from `test/`; the checkout is the folder that holds the workspace file. */
export const CHECKOUT = findCheckout();
export const NOKV = join(CHECKOUT, 'packages/cli/bin/nokv.mjs');

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Environment without anything that configures nokv or a bucket. */
export function cleanEnv(more: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('NOKV_') && !name.startsWith('AWS_') && name !== 'NO_COLOR');
  // Tests leave the home of whoever runs them alone.
  return { ...Object.fromEntries(kept), NOKV_CACHE_DIR: 'off', ...more };
}

/**
 * Runs `nokv WORDS…` in this process: all of the command but the process around it, which costs most of the time.
 * {@link nokvProcess} is the real thing, for tests of signals, pipes and memory.
 */
export async function nokv(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input, env = {}, cwd = process.cwd() } = options;
  const io = capturedIo({
    env: { PATH: process.env.PATH, ...env },
    cwd,
    ...(input === undefined ? {} : { stdin: Readable.from([Buffer.from(input)]) }),
  });
  const code = await runCli(words, io);
  return { code, stdout: io.out(), stderr: io.err() };
}

/** Runs `nokv WORDS…` as a process to its end; one that hangs is killed and fails. */
export async function nokvProcess(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input, cwd, timeoutMs = 60_000 } = options;
  const child = spawn(process.execPath, [NOKV, ...words], { cwd, env: cleanEnv(options.env), stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A command that refuses its arguments may end before it reads its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  const [stdout, stderr] = [Buffer.concat(out).toString('utf8'), Buffer.concat(err).toString('utf8')];
  if (code === null) throw new Error(`nokv ${words.join(' ')} ended by ${signal}: ${stderr}`);
  return { code, stdout, stderr };
}

export interface CliServer extends AsyncDisposable {
  readonly rpc: string;
  readonly http: string;
  readonly data: string;
  readonly pid: number;
  readonly ready: unknown;
  /** `NOKV_SERVER` for commands that talk to it. */
  readonly env: Readonly<Record<string, string>>;
  readonly stderr: () => string;
  /** Runs a command against it. */
  run(words: readonly string[], options?: RunOptions): Promise<Ran>;
  /** The same, refused unless it ends with 0; its stdout. */
  must(words: readonly string[], options?: RunOptions): Promise<string>;
  /** Its lines of JSON. */
  json(words: readonly string[], options?: RunOptions): Promise<unknown[]>;
  /** Sends a signal and waits for the end; the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** `nokv serve --json` on free ports; data in a directory that goes away with it, unless one is given. */
export async function startCliServer(
  options: { readonly data?: string; readonly flags?: readonly string[]; readonly env?: RunOptions['env'] } = {},
): Promise<CliServer> {
  const own = options.data === undefined ? await mkdtemp(join(tmpdir(), 'nokv-cli-server-')) : undefined;
  const data = options.data ?? join(own ?? '', 'data');
  const words = ['serve', '--json', '--data', data, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', ...(options.flags ?? [])];
  const child = spawn(process.execPath, [NOKV, ...words], { env: cleanEnv(options.env), stdio: ['ignore', 'pipe', 'pipe'] });
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-20_000)));
  const ended = new Promise<number | NodeJS.Signals>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? 1)));
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    const how = await ended;
    process.off('exit', killWithUs);
    return how;
  };
  const cleanUp = async () => {
    await end('SIGKILL');
    if (own !== undefined) await rm(own, { recursive: true, force: true });
  };
  try {
    const line = await firstLine(child.stdout, ended, () => stderr);
    const ready = JSON.parse(line) as { rpc: string; http: string; data: string; pid: number };
    const env = { NOKV_SERVER: ready.rpc };
    const run = async (args: readonly string[], more: RunOptions = {}) => await nokv(args, { ...more, env: { ...env, ...more.env } });
    const must = async (args: readonly string[], more: RunOptions = {}) => {
      const { code, stdout, stderr: said } = await run(args, more);
      if (code !== 0) throw new Error(`nokv ${args.join(' ')} ended with ${code}: ${said}`);
      return stdout;
    };
    return {
      rpc: ready.rpc,
      http: ready.http,
      data: ready.data,
      pid: ready.pid,
      ready,
      env,
      run,
      must,
      end,
      stderr: () => stderr,
      json: async (args, more) => jsonLines(await must([...args, '--json'], more)),
      [Symbol.asyncDispose]: cleanUp,
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

export function jsonLines(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

function firstLine(stream: NodeJS.ReadableStream, ended: Promise<unknown>, said: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    void ended.then((how) => reject(new Error(`the server ended (${String(how)}) before it was ready: ${said()}`)));
  });
}

function findCheckout(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at)) {
    if (existsSync(join(at, 'pnpm-workspace.yaml'))) return at;
  }
  throw new Error(`expected a checkout above ${import.meta.url}`);
}
