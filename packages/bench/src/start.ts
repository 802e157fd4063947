/** How fast a server starts and what it weighs at rest. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './child.js';
import { median, rounds, type Bench } from './figure.js';

export const startBench: Bench = {
  name: 'start',
  about: 'from `nokv serve` to /readyz, and memory at rest',
  async run(context) {
    const times: number[] = [];
    const resident: number[] = [];
    for (let round = 0; round < rounds(context); round++) {
      const server = await startServer(join(context.directory, 'start'));
      const before = performance.now();
      while ((await fetch(`http://${server.http}/readyz`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 5));
      times.push(server.startMs + performance.now() - before);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
      resident.push(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
      await server.stop();
    }
    const conditions = { rounds: rounds(context), node: process.version };
    context.report({ bench: 'start', case: 'ready', value: median(times), unit: 'ms', conditions });
    context.report({ bench: 'start', case: 'resident-at-rest', value: median(resident), unit: 'MiB', conditions });
  },
};
