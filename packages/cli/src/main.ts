/** The process: its real ends, its signals and its exit code. */
import { systemClock, systemRandom, EXIT_INTERRUPTED } from '@nokv/types';
import type { CliIo } from './cli-io.js';
import { runCli } from './run-cli.js';

const io: CliIo = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  stdoutIsTerminal: process.stdout.isTTY === true,
  stderrIsTerminal: process.stderr.isTTY === true,
  columns: () => process.stderr.columns ?? 80,
  env: process.env,
  cwd: process.cwd(),
  pid: process.pid,
  clock: systemClock,
  random: systemRandom,
  onInterrupt,
};

// Warnings of the runtime and of libraries (deprecations and the like) are for developers: -v shows them.
if (!process.argv.includes('-v') && !process.argv.includes('--verbose')) process.removeAllListeners('warning');

// A reader that went away is reported to the write that meets it; without a listener it would end the process.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

/** Shorter than anybody presses a key twice. */
const SAME_SIGNAL_MS = 150;

process.exit(await runCli(process.argv.slice(2), io));

/**
 * The first signal asks the command to stop, the second one ends the process. One Ctrl-C can arrive twice, from the terminal and
 * from a parent that passes it on: what follows at once is the same one.
 */
function onInterrupt(interrupt: (signal: 'SIGINT' | 'SIGTERM') => void): () => void {
  let firstMs: number | undefined;
  const listener = (signal: NodeJS.Signals) => {
    const nowMs = systemClock.monotonicMs();
    if (firstMs !== undefined && nowMs - firstMs > SAME_SIGNAL_MS) process.exit(EXIT_INTERRUPTED);
    if (firstMs !== undefined) return;
    firstMs = nowMs;
    interrupt(signal === 'SIGTERM' ? 'SIGTERM' : 'SIGINT');
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return () => {
    process.off('SIGINT', listener);
    process.off('SIGTERM', listener);
  };
}
