/** The ends of the process that a command touches, passed in so that tests can hand in their own. */
import type { Readable, Writable } from 'node:stream';
import type { Clock, Random } from '@nokv/types';

export interface CliIo {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Columns of the terminal at stderr, asked for at every use because windows are resized. */
  readonly columns: () => number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Calls `interrupt` on SIGINT and SIGTERM until the returned function is called. */
  readonly onInterrupt: (interrupt: (signal: 'SIGINT' | 'SIGTERM') => void) => () => void;
}
