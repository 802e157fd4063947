/** Runs a program on the terminal of this process, from its start to its end. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { CliIo } from './cli-io.js';

/** As shells have it: 127 for a program that is not there, 126 for one that cannot be run, 128 + N when signal N ended it. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;
const BY_SIGNAL = 128;
/** Between being told to stop and being killed. */
const GRACE_MS = 10_000;

export interface ProgramOptions {
  readonly io: Pick<CliIo, 'env' | 'cwd' | 'onInterrupt' | 'stderr'>;
  /** Fires when it must stop: it is asked by SIGTERM, and killed when it does not. */
  readonly stop: AbortSignal;
}

/** @returns its exit code. Signals that this process gets are passed on to it. */
export function runProgram(words: readonly string[], { io, stop }: ProgramOptions): Promise<number> {
  const [program = '', ...args] = words;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: 'inherit', env: io.env, cwd: io.cwd });
    let grace: NodeJS.Timeout | undefined;
    const stopListening = io.onInterrupt((signal) => child.kill(signal));
    const end = (): void => {
      child.kill('SIGTERM');
      grace = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    };
    if (stop.aborted) end();
    stop.addEventListener('abort', end, { once: true });
    const settle = (code: number): void => {
      stop.removeEventListener('abort', end);
      clearTimeout(grace);
      stopListening();
      resolve(code);
    };
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      io.stderr.write(`nokv: ${program}: ${error.message}\n`);
      settle('code' in error && error.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE);
    });
    child.once('close', (code, signal) => settle(code ?? BY_SIGNAL + constants.signals[signal ?? 'SIGKILL']));
  });
}
