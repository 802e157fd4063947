/** Mounts in the background: a detached process, told what to do over its standard input, ready when it says so. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CacheOptions } from '@nokv/client';
import { NokvError, type ErrorRecord } from '@nokv/types';
import type { MountOptions, SessionKind } from './mount-options.js';
import { defaultRunDirectory, mountFileBase } from './mount-registry.js';

/** The serialisable part of {@link MountOptions}; travels over the daemon's standard input, never on a command line. */
export interface DaemonOptions extends Omit<MountOptions, 'connect' | 'log' | 'clock' | 'random'> {
  readonly connect: {
    readonly address?: string | readonly string[] | undefined;
    readonly token?: string | undefined;
    readonly timeoutMs?: number | undefined;
    /** Where credentials of a bucket are looked up. */
    readonly env?: Readonly<Record<string, string | undefined>> | undefined;
    /** Blocks kept on this machine's disk. */
    readonly cache?: Omit<CacheOptions, 'note'> | undefined;
  };
  /** Default: beside the mount's record in the run directory. */
  readonly logFile?: string | undefined;
  /** How long to wait for the mount to answer; milliseconds, default 20,000. */
  readonly readyTimeoutMs?: number | undefined;
}

export interface MountDaemon {
  readonly pid: number;
  readonly directory: string;
  readonly session: SessionKind;
  readonly lacks: readonly string[];
  readonly logFile: string;
}

/** The daemon's one line. */
export type DaemonAnswer =
  | { readonly ok: true; readonly directory: string; readonly session: SessionKind; readonly lacks: readonly string[] }
  | { readonly ok: false; readonly error: ErrorRecord };

const READY_TIMEOUT_MS = 20_000;
const LOG_TAIL_BYTES = 2000;

/** Secrets reach the daemon over its standard input: what is in its environment can be read for as long as it runs. */
function childEnvironment({ connect }: DaemonOptions): NodeJS.ProcessEnv {
  if (connect.env === undefined) return process.env;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/SECRET|TOKEN|PASSWORD/i.test(name)));
}

/** Starts a detached process that serves the mount; resolves when the mount answers, rejects with the daemon's own error. */
export async function spawnMountDaemon(options: DaemonOptions): Promise<MountDaemon> {
  const runDirectory = options.runDirectory ?? defaultRunDirectory();
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const logFile = options.logFile ?? `${mountFileBase(runDirectory, options.directory)}.log`;
  const log = openSync(logFile, 'a', 0o600);
  const script = fileURLToPath(new URL('../../dist/life/daemon-main.js', import.meta.url));
  // The daemon's own directory is the root, so that it keeps no filesystem busy.
  const child = spawn(process.execPath, [script, options.directory], {
    detached: true,
    cwd: '/',
    env: childEnvironment(options),
    stdio: ['pipe', 'pipe', log],
  });
  closeSync(log);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new NokvError('internal', 'a process without its pipes', { outcome: 'unknown' });
  stdin.on('error', () => undefined);
  stdin.end(JSON.stringify({ ...options, runDirectory, logFile }));
  const { readyTimeoutMs = READY_TIMEOUT_MS } = options;
  const answer = await readyAnswer(stdout, readyTimeoutMs);
  stdout.destroy();
  if (answer?.ok === true && child.pid !== undefined) {
    child.unref();
    const { directory, session, lacks } = answer;
    return { pid: child.pid, directory, session, lacks, logFile };
  }
  child.kill('SIGTERM');
  if (answer?.ok === false) throw NokvError.fromRecord(answer.error);
  if (answer === undefined && child.exitCode === null) {
    throw new NokvError('deadline-exceeded', `the mount did not answer within ${readyTimeoutMs} ms; its log is ${logFile}`, {
      outcome: 'unknown',
    });
  }
  throw new NokvError('internal', `the process of the mount ended before it answered: ${tailOf(logFile)}`);
}

async function readyAnswer(output: NodeJS.ReadableStream, timeoutMs: number): Promise<DaemonAnswer | undefined> {
  const lines = createInterface({ input: output });
  let timer: NodeJS.Timeout | undefined;
  const line = await new Promise<string | undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
    lines.once('line', resolve).once('close', () => resolve(undefined));
  });
  clearTimeout(timer);
  lines.close();
  return line === undefined ? undefined : (JSON.parse(line) as DaemonAnswer);
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-LOG_TAIL_BYTES).trim() || `see ${file}`;
  } catch {
    return `see ${file}`;
  }
}
