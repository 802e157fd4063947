/** What the command and the server hold while a body goes through them that is larger than either may become. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createReadStream, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServer } from './child.js';
import type { Bench } from './figure.js';

const GIB = 1024 ** 3;
const cli = fileURLToPath(new URL('../../cli/bin/nokv.mjs', import.meta.url));
const LOOK_MS = 50;

export const bodyMemoryBench: Bench = {
  name: 'streams',
  about: 'resident memory of `nokv put` and `nokv cat` of 4 GiB, and of the server meanwhile',
  async run(context) {
    const bytes = context.quick ? GIB / 2 : 4 * GIB;
    const server = await startServer(join(context.directory, 'streams'));
    try {
      const none = openSync('/dev/null', 'w');
      for (const name of ['put', 'cat'] as const) {
        const args = name === 'put' ? ['put', '-', '/big'] : ['cat', '/big'];
        const child = spawn(process.execPath, [cli, '--server', server.rpc, ...args], { stdio: ['pipe', none, 'inherit'] });
        if (name === 'put' && child.stdin !== null)
          createReadStream('/dev/urandom', { end: bytes - 1, highWaterMark: 1 << 20 }).pipe(child.stdin);
        let most = 0;
        let mostOfServer = 0;
        const look = setInterval(() => {
          most = Math.max(most, residentMiB(child));
          mostOfServer = Math.max(mostOfServer, residentMiB(server.process));
        }, LOOK_MS);
        const code = await new Promise((resolve) => child.once('exit', resolve));
        clearInterval(look);
        if (code !== 0) throw new Error(`nokv ${name} ended with ${String(code)}`);
        const conditions = { bytes, store: 'file' };
        context.report({ bench: 'streams', case: `${name}-resident`, value: most, unit: 'MiB', conditions });
        context.report({ bench: 'streams', case: `${name}-server-resident`, value: mostOfServer, unit: 'MiB', conditions });
      }
    } finally {
      await server.stop();
    }
  },
};

function residentMiB(child: ChildProcess): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0; // It has ended.
  }
}
