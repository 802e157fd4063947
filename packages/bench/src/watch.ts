/** Changes at a steady rate below watched directories: from the reply to a mutation until its event is at a watcher. */
import { connect, type NokvClient } from '@nokv/client';
import type { InodeNumber } from '@nokv/types';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startNode, startServer } from './child.js';
import { median, rounds, type Bench, type BenchContext } from './figure.js';
import { monotonicMs } from './monotonic-ms.js';

const WATCHERS = 100;
const CHANGES_PER_SECOND = 5000;
const TICK_MS = 4;
const WARM_UP_MS = 1500;
const OWNER = { uid: 0, gid: 0 };

interface Round {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

const CASES = [
  { mode: 'own', name: 'a-directory-each', share: 1 },
  { mode: 'all', name: 'all-of-the-tree', share: WATCHERS },
] as const;

export const watchBench: Bench = {
  name: 'watch',
  about: `${CHANGES_PER_SECOND} changes/s with ${WATCHERS} watchers by path: from the reply to the event at the client`,
  async run(context) {
    for (const { mode, name, share } of CASES) {
      const results: Round[] = [];
      const durationMs = context.quick ? 1000 : 4000;
      for (let round = 0; round < Math.ceil(rounds(context) / 2); round++) {
        results.push(await oneRound(context, `${mode}-${round}`, mode, share, durationMs));
      }
      const conditions = {
        watchers: WATCHERS,
        connections: WATCHERS,
        changesPerSecond: Math.round(median(results.map(({ perSecond }) => perSecond))),
        eventsPerSecond: Math.round(median(results.map(({ perSecond }) => perSecond)) * share),
        rounds: results.length,
        durationMs,
        warmUpMs: WARM_UP_MS,
      };
      const p50 = median(results.map(({ p50Ms }) => p50Ms));
      context.report({ bench: 'watch', case: `${name}-p50`, value: p50, unit: 'ms', conditions });
      context.report({ bench: 'watch', case: `${name}-p99`, value: median(results.map(({ p99Ms }) => p99Ms)), unit: 'ms', conditions });
    }
  },
};

async function oneRound(context: BenchContext, name: string, mode: string, share: number, durationMs: number): Promise<Round> {
  const server = await startServer(join(context.directory, name));
  const client = await connect(server.rpc);
  try {
    await client.mkdir('/bench');
    const directories: InodeNumber[] = [];
    for (let i = 0; i < WATCHERS; i++) directories.push((await client.mkdir(`/bench/${i}`)).attributes.ino);
    const file = join(context.directory, `${name}.seen`);
    const load = startNode(new URL('./load/watch-load.js', import.meta.url), [server.rpc, String(WATCHERS), mode, file]);
    await load.line();
    // Both sides as they run when they have been up for a while.
    const warm = await change(client, directories, WARM_UP_MS, 'warm');
    const startedMs = monotonicMs();
    const replies = await change(client, directories, durationMs, 'file');
    const perSecond = (replies.size / (monotonicMs() - startedMs)) * 1000;
    const wanted = (warm.size + replies.size) * share;
    load.process.stdin?.write(`${wanted}\n`);
    const came = Number(await load.line());
    if (came !== wanted) throw new Error(`expected ${wanted} events, ${came} came`);
    const seen = readFileSync(file);
    const delays: number[] = [];
    for (let at = 0; at < seen.length; at += 16) {
      const repliedMs = replies.get(seen.readDoubleLE(at));
      // An event may overtake the reply, which is no delay.
      if (repliedMs !== undefined) delays.push(Math.max(0, seen.readDoubleLE(at + 8) - repliedMs));
    }
    delays.sort((a, b) => a - b);
    const part = (share_: number) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share_))] ?? 0;
    return { p50Ms: part(0.5), p99Ms: part(0.99), perSecond };
  } finally {
    await client.close();
    await server.stop();
  }
}

/** Creates files at a steady rate, whatever the answers take; when each version was answered. */
async function change(
  client: NokvClient,
  directories: readonly InodeNumber[],
  durationMs: number,
  prefix: string,
): Promise<Map<number, number>> {
  const replies = new Map<number, number>();
  const under: Promise<void>[] = [];
  const started = monotonicMs();
  let sent = 0;
  for (let elapsed = 0; elapsed < durationMs; elapsed = monotonicMs() - started) {
    for (const due = (elapsed / 1000) * CHANGES_PER_SECOND; sent < due; sent++) {
      const parent = directories[sent % directories.length] as InodeNumber;
      const entry = { parent, name: Buffer.from(`${prefix}-${sent}`) };
      const created = client.metadata.mutate('create', { entry, mode: 0o644, type: 'file', exclusive: true, ...OWNER });
      under.push(created.then(({ version }) => void replies.set(version, monotonicMs())));
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.all(under);
  return replies;
}
