/** A real server, a mount in a daemon of its own, and a client beside it; always unmounted, also after a failure. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect, type NokvClient } from '@nokv/client';
import { spawnMountDaemon, unmountDirectory, type DaemonOptions, type MountDaemon } from '@nokv/fuse';
import { startServerProcess, type ServerProcess, type ServerProcessOptions } from '../services/server.js';

export interface Mounted {
  readonly scratch: string;
  readonly runDirectory: string;
  server: ServerProcess;
  client: NokvClient;
  /** Mounts on a fresh directory, or on `directory`. */
  mount(options?: Partial<DaemonOptions>): Promise<MountDaemon>;
  unmount(directory: string): Promise<void>;
  /** Starts the server again on the same data and ports. */
  restartServer(): Promise<void>;
  close(): Promise<void>;
}

export async function startMounted(server: Partial<ServerProcessOptions> = {}): Promise<Mounted> {
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'nokv-fuse-')));
  const runDirectory = join(scratch, 'run');
  const directories = new Set<string>();
  const pids = new Set<number>();
  // Also when the test process is ended before it could clean up.
  const detachAll = (): void => {
    for (const directory of directories) if (isMounted(directory)) spawnSync('umount', ['-l', directory]);
  };
  process.once('exit', detachAll);
  const mounted: Mounted = {
    scratch,
    runDirectory,
    server: await startServerProcess({ data: join(scratch, 'data'), logLevel: 'warn', ...server }),
    client: undefined as unknown as NokvClient,
    async mount(options = {}) {
      const directory = options.directory ?? mkdtempSync(join(scratch, 'mnt-'));
      directories.add(directory);
      const daemon = await spawnMountDaemon({ runDirectory, connect: { address: mounted.server.rpc }, ...options, directory });
      pids.add(daemon.pid);
      return daemon;
    },
    unmount: (directory) => unmountDirectory(directory, { runDirectory }),
    async restartServer() {
      const { rpc, http, data } = mounted.server;
      await mounted.server.kill();
      mounted.server = await startServerProcess({ logLevel: 'warn', ...server, data, listen: rpc, http });
    },
    async close() {
      for (const directory of directories) {
        if (!isMounted(directory)) continue;
        await unmountDirectory(directory, { runDirectory, force: true, timeoutMs: 15_000 }).catch(() => undefined);
        if (isMounted(directory)) spawnSync('umount', ['-l', directory]);
      }
      for (const pid of pids) {
        try {
          if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('daemon-main')) process.kill(pid, 'SIGKILL');
        } catch {
          // Gone, as it should be.
        }
      }
      process.removeListener('exit', detachAll);
      await mounted.client.close();
      await mounted.server.kill();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
  mounted.client = await connect({ address: mounted.server.rpc, patienceMs: 5000 });
  return mounted;
}

export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${directory} `);
}

/** Runs a shell script; rejects with what it wrote to stderr. */
export async function shell(script: string, cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    maxBuffer: 64 * 1024 * 1024,
    timeout: 120_000,
  });
  return stdout;
}

/** Runs JavaScript in a process of its own, with `fs` at hand; resolves with what it printed. */
export async function inProcess(source: string, args: readonly string[] = []): Promise<string> {
  const child = spawn(process.execPath, ['-e', `const fs = require('fs'); ${source}`, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(errors || `ended with ${code}`);
  return output.trim();
}

export function hasCommand(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

export function freshDirectory(parent: string, name: string): string {
  const directory = join(parent, name);
  mkdirSync(directory, { recursive: true });
  return directory;
}
