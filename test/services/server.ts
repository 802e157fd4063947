/** Real server processes for tests: started, killed, stopped and continued by their pid. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ServerConfig } from '@nokv/server';
import { NokvError } from '@nokv/types';

export interface ServerProcess {
  readonly rpc: string;
  readonly http: string;
  readonly data: string;
  readonly pid: number;
  /** What it wrote to stderr so far. */
  log(): string;
  /** kill -9; resolves when it is gone. Harmless when it is gone already. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  terminate(): Promise<number | null>;
  pause(): void;
  resume(): void;
  /** Resolves when the process has gone, however. */
  readonly exited: Promise<number | null>;
}

export interface ServerProcessOptions extends Partial<ServerConfig> {
  readonly data: string;
  readonly env?: Readonly<Record<string, string>>;
}

const SCRIPT = fileURLToPath(new URL('./serve.mjs', import.meta.url));

/** Resolves once it serves; rejects with the error that the server gave. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { env, ...given } = options;
  const config: ServerConfig = {
    listen: '127.0.0.1:0',
    http: '127.0.0.1:0',
    object: undefined,
    control: 'embedded:',
    durability: 'local',
    nodeId: undefined,
    leaseTtlMs: 3000,
    ...given,
  };
  const child = spawn(process.execPath, ['--max-semi-space-size=2', SCRIPT, JSON.stringify(config)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_ENV: 'test', ...env },
  });
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-65536)));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  void exited.then(() => process.removeListener('exit', endWithUs));
  const first = await firstLine(child, exited);
  if (first === undefined) throw new Error(`the server ended before it served: ${log}`);
  const said = JSON.parse(first) as Record<string, string>;
  if (said['event'] === 'failed') {
    await exited;
    throw NokvError.fromRecord({ code: said['code'] ?? 'internal', outcome: 'not-applied', message: said['message'] ?? first });
  }
  return {
    rpc: said['rpc'] as string,
    http: said['http'] as string,
    data: said['data'] as string,
    pid: child.pid as number,
    log: () => log,
    exited,
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
    terminate() {
      child.kill('SIGTERM');
      return exited;
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

async function firstLine(child: ChildProcess, exited: Promise<unknown>): Promise<string | undefined> {
  if (child.stdout === null) throw new Error('expected a pipe for stdout');
  const lines = createInterface({ input: child.stdout });
  const line = new Promise<string>((resolve) => lines.once('line', resolve));
  return Promise.race([line, exited.then(() => undefined)]);
}

/** The value of one metric; the sum over its label sets that contain `labels`. */
export async function readMetric(http: string, name: string, labels = ''): Promise<number> {
  const page = await (await fetch(`http://${http}/metrics`)).text();
  let sum = 0;
  for (const line of page.split('\n')) {
    if (!line.startsWith(name) || !line.includes(labels)) continue;
    const rest = line.slice(name.length);
    if (rest.startsWith('{') || rest.startsWith(' ')) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

/** Asks until it holds: a state is waited for, never a time. Fails after `timeoutMs` with what was seen last. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false>, timeoutMs = 20_000): Promise<T> {
  const giveUpAt = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > giveUpAt) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** `/readyz` says yes. */
export async function isReady(http: string): Promise<boolean> {
  return fetch(`http://${http}/readyz`).then(
    (answer) => answer.status === 200,
    () => false,
  );
}
