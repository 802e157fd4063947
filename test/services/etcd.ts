/** A real etcd of our own: one member, its data in a temporary directory, a free port on loopback. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Etcd {
  /** `127.0.0.1:<port>`. */
  readonly endpoint: string;
  /** Stands still, connections stay open: what a stopped machine looks like. */
  pause(): void;
  resume(): void;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 20_000;

export async function startEtcd(): Promise<Etcd> {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-etcd-'));
  const [clientPort, peerPort] = await freePorts(2);
  const endpoint = `127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const child = spawn(
    'etcd',
    options({
      name: 'nokv',
      'data-dir': join(directory, 'data'),
      logger: 'zap',
      'log-level': 'error',
      'listen-client-urls': `http://${endpoint}`,
      'advertise-client-urls': `http://${endpoint}`,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `nokv=${peer}`,
      // The disk of a test machine is shared; what is tested here is not etcd's durability.
      'unsafe-no-fsync': 'true',
    }),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.once('error', (error) => (said += error.message));
  process.once('exit', () => child.kill('SIGKILL'));

  async function stop(): Promise<void> {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    if (child.pid !== undefined) await exited;
    await rm(directory, { recursive: true, force: true });
  }
  try {
    await waitUntilHealthy(endpoint, child, () => said);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop,
  };
}

function options(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

async function waitUntilHealthy(endpoint: string, child: ChildProcess, said: () => string): Promise<void> {
  const giveUpAt = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await fetch(`http://${endpoint}/health`).then(
      (response) => response.text(),
      () => '',
    );
    if (answer.includes('true')) return;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined || performance.now() > giveUpAt) {
      throw new Error(`etcd did not start on ${endpoint}: ${said()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
