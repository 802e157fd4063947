/** Ends of a process that only exist in memory: what a command prints is kept as text. */
import { Readable, Writable } from 'node:stream';
import { systemClock, systemRandom } from '@nokv/types';
import type { CliIo } from '../cli-io.js';

export interface CapturedIo extends CliIo {
  readonly out: () => string;
  readonly err: () => string;
  /** Sends a signal to the command. */
  readonly interrupt: (signal: 'SIGINT' | 'SIGTERM') => void;
}

export function capturedIo(options: Partial<CliIo> & { readonly input?: string } = {}): CapturedIo {
  const [stdout, stderr] = [keep(), keep()];
  const listeners = new Set<(signal: 'SIGINT' | 'SIGTERM') => void>();
  return {
    stdin: Readable.from(options.input === undefined ? [] : [Buffer.from(options.input)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    columns: () => 80,
    env: {},
    cwd: process.cwd(),
    pid: process.pid,
    clock: systemClock,
    random: systemRandom,
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ...options,
    out: stdout.text,
    err: stderr.text,
    interrupt: (signal) => listeners.forEach((listener) => listener(signal)),
  };
}

function keep(): { readonly stream: Writable; readonly text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}
