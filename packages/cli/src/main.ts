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

process.exit(await runCli(process.argv.slice(2), io));

/** The first signal asks the command to stop, the second one ends the process. */
function onInterrupt(interrupt: (signal: 'SIGINT' | 'SIGTERM') => void): () => void {
  let count = 0;
  const listener = (signal: NodeJS.Signals) => {
    count += 1;
    if (count > 1) process.exit(EXIT_INTERRUPTED);
    interrupt(signal === 'SIGTERM' ? 'SIGTERM' : 'SIGINT');
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return () => {
    process.off('SIGINT', listener);
    process.off('SIGTERM', listener);
  };
}
