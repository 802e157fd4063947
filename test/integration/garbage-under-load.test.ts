/**
 * The collector at work while bodies are put, replaced and removed by several at once, on a clock that runs a hundred times as fast, so that
 * every time of grace passes many times over. Whatever is there is whole; in the end the store has what is named and nothing else.
 */
import { connect, type NokvClient } from '@nokv/client';
import { startServer, type RunningServer } from '@nokv/server';
import { isNokvError, systemClock, timespecFromMs, type Clock } from '@nokv/types';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blocksNamedBy, findingsOf } from '../services/known-blocks.js';
import { until } from '../services/server.js';
import { keysOfDirectory } from '../services/store-keys.js';
import { patternBytes, sha256 } from './client-fixture.js';

const isLong = process.env['NOKV_TEST_LONG'] === '1';
const RUN_MS = isLong ? 180_000 : 8_000;
const WRITERS = 4;
const PATHS = 6;
const SPEED = 100;

let directory: string;
let server: RunningServer;
const clients: NokvClient[] = [];
const startMs = Date.now();
let hours = 0;
const nowMs = (): number => startMs + (systemClock.nowMs() - startMs) * SPEED + hours * 3600 * 1000;
const clock: Clock = { ...systemClock, nowMs, now: () => timespecFromMs(nowMs()) };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-load-'));
  const config = { listen: '127.0.0.1:0', http: '127.0.0.1:0', object: undefined, control: 'embedded:', nodeId: undefined } as const;
  server = await startServer(
    { ...config, data: join(directory, 'data'), durability: 'local', leaseTtlMs: 3000, logLevel: 'silent' },
    { clock },
  );
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await server?.stop(1000);
  await rm(directory, { recursive: true, force: true });
});

async function client(): Promise<NokvClient> {
  const opened = await connect({ address: server.rpc });
  clients.push(opened);
  return opened;
}

interface Put {
  readonly seed: number;
  readonly length: number;
}

it('takes nothing that is there while others write, and leaves nothing that is not', { timeout: RUN_MS + 120_000 }, async () => {
  const operator = await client();
  await operator.retention.set('/', { keepLast: 0, keepMs: 0 });
  const end = Date.now() + RUN_MS;
  const counts = { puts: 0, removals: 0, reads: 0, removed: 0 };
  const there = new Map<string, Put>();
  const unknown = new Set<string>();

  /** Paths of its own: what it wrote last is what there is. */
  async function write(writer: number): Promise<void> {
    const own = await client();
    for (let seed = writer; Date.now() < end; seed += WRITERS) {
      const path = `/w${writer}/f${seed % PATHS}`;
      try {
        if (seed % 5 === 0 && there.has(path)) {
          await own.unlink(path);
          there.delete(path);
          counts.removals += 1;
          continue;
        }
        const put = { seed, length: 20_000 + (seed % 7) * 10_000 };
        await own.put(path, patternBytes(put.length, seed), { parents: true });
        there.set(path, put);
        unknown.delete(path);
        counts.puts += 1;
        const found = sha256(await (await own.get(path)).bytes());
        expect(found, path).toBe(sha256(patternBytes(put.length, seed)));
        counts.reads += 1;
      } catch (error) {
        // At this speed an upload may expire under its writer, and then nothing was published, or a result may be forgotten before the
        // request is sent again, and then nobody knows.
        if (!isNokvError(error) || (error.code !== 'no-upload' && error.code !== 'request-expired')) throw error;
        if (error.code === 'request-expired') {
          there.delete(path);
          unknown.add(path);
        }
      }
    }
  }

  async function collect(): Promise<void> {
    while (Date.now() < end) counts.removed += (await operator.collect({ dryRun: false, limit: 1 })).blocksRemoved;
  }

  await Promise.all([...Array.from({ length: WRITERS }, (_, writer) => write(writer)), collect()]);
  for (const path of unknown) {
    await operator.unlink(path).catch((error: unknown) => {
      if (!isNokvError(error, 'not-found')) throw error;
    });
  }
  expect(counts.puts).toBeGreaterThan(WRITERS * PATHS);
  await using reader = await connect({ address: server.rpc });
  const named: string[] = [];
  for (const [path, { seed, length }] of there) {
    expect(sha256(await (await reader.get(path)).bytes()), path).toBe(sha256(patternBytes(length, seed)));
    named.push(...(await blocksNamedBy(reader, path)));
  }
  expect(await findingsOf(reader)).toEqual([]);
  await until('the store to have what is named', async () => {
    hours += 1;
    counts.removed += (await operator.collect({ dryRun: false, limit: 1 })).blocksRemoved;
    return (await keysOfDirectory(join(directory, 'data', 'objects'), 'blocks/')).length === named.length;
  });
  expect(await keysOfDirectory(join(directory, 'data', 'objects'), 'blocks/')).toEqual(named.sort());
  expect(await findingsOf(reader)).toEqual([]);
});
