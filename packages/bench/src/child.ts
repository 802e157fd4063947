/** Child processes of a benchmark: started, waited for, always ended. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Child {
  readonly process: ChildProcess;
  /** The next line of its standard output. */
  line(): Promise<string>;
  stop(): Promise<void>;
}

/** Runs a compiled script of this package (path relative to `dist`) or any file given as a URL. */
export function startNode(script: URL, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Child {
  const child = spawn(process.execPath, [fileURLToPath(script), ...args], { stdio: ['pipe', 'pipe', 'inherit'], env });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    process: child,
    async line() {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${script.pathname} ended before it answered`);
      return value;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

export interface BenchServer extends Child {
  readonly rpc: string;
  readonly http: string;
  /** From spawn to the ready line, in milliseconds. */
  readonly startMs: number;
}

/** `nokv serve` in a process of its own, as a user starts it. */
export async function startServer(data: string, flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<BenchServer> {
  const before = performance.now();
  const script = new URL('../../cli/bin/nokv.mjs', import.meta.url);
  const child = startNode(
    script,
    ['serve', '--json', '--quiet', '--data', data, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', ...flags],
    { ...process.env, ...env },
  );
  const ready = JSON.parse(await child.line()) as { rpc: string; http: string };
  return { ...child, rpc: ready.rpc, http: ready.http, startMs: performance.now() - before };
}
