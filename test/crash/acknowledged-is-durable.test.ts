/**
 * A real server is killed right after acknowledgements, again and again on one data directory. Nothing that was
 * acknowledged may be missing or changed afterwards; what was not acknowledged is there whole or not at all.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { INLINE_BYTES_MAX, isNokvError, parsePath } from '@nokv/types';
import { startServerProcess, type ServerProcess } from '../services/server.js';
import { bodyFor, whichBody } from './bodies.js';

const ROUNDS = process.env['NOKV_TEST_LONG'] === '1' ? 500 : 50;
const WORKERS = 8;
/** Sent together over one connection, so that they share batches and commits. */
const BURST = 32;
const TREE_FILES = 6;
/** Printed with every failure; the number of acknowledgements before each kill follows from it. */
const SEED = Number(process.env['NOKV_TEST_SEED'] ?? Date.now() % 1_000_000);

/** What must be, may be, or must no longer be at a path. */
type Expectation = {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'tree';
  readonly length: number;
  readonly content: string;
};

interface Round {
  readonly round: number;
  readonly acknowledged: readonly Expectation[];
  /** What was under way when the kill came. */
  readonly unknown: readonly Expectation[];
}

let data: string;
let server: ServerProcess | undefined;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-durable-'));
});
afterEach(async () => {
  await server?.kill();
  await rm(data, { recursive: true, force: true });
});

it(`keeps what it acknowledged over ${ROUNDS} kills (seed ${SEED})`, { timeout: 60_000 + ROUNDS * 5000 }, async () => {
  let acknowledgements = 0;
  let trees = 0;
  let before: Round = { round: -1, acknowledged: [], unknown: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    server = await startServerProcess({ data, logLevel: 'warn' });
    await checkAll(server, before);
    if (round === ROUNDS) break;
    before = await writeUntilKilled(server, round, 20 + ((Math.imul(SEED + round, 2654435761) >>> 0) % 40));
    expect(before.acknowledged.length).toBeGreaterThan(0);
    acknowledgements += before.acknowledged.length;
    trees += before.acknowledged.filter(({ kind }) => kind === 'tree').length;
  }
  expect(trees).toBeGreaterThan(0);
  expect(acknowledgements).toBeGreaterThanOrEqual(ROUNDS * 10);
});

async function writeUntilKilled(running: ServerProcess, round: number, target: number): Promise<Round> {
  const client = await connect({ address: running.rpc, timeoutMs: 20_000 });
  const acknowledged: Expectation[] = [];
  const unknown: Expectation[] = [];
  let isKilled = false;
  await client.mkdir(`/round-${round}`);

  async function work(worker: number): Promise<void> {
    for (let step = 0; !isKilled; step++) {
      const wanted = expectationFor(round, worker, step);
      const stop = new AbortController();
      const write = apply(client, wanted, stop.signal);
      try {
        await Promise.race([write, killed]);
        if (isKilled) {
          // Whether this one was answered is not looked at: the kill came first.
          stop.abort();
          await write.catch(() => undefined);
          unknown.push(wanted);
          return;
        }
        acknowledged.push(wanted);
        if (acknowledged.length >= target) {
          isKilled = true;
          process.kill(running.pid, 'SIGKILL');
          tellKilled();
        }
      } catch (error) {
        if (!isKilled && !isNokvError(error)) throw error;
        if (!isKilled) throw new Error(`a write failed before the kill: ${String(error)}`, { cause: error });
        unknown.push(wanted);
        return;
      }
    }
  }
  /** Many mutations at once, as requests of their own and as one batch by turns: each counts from its own acknowledgement on. */
  async function burst(): Promise<void> {
    for (let step = 0; !isKilled; step++) {
      const all = Array.from({ length: BURST }, (_, i): Expectation => ({
        path: `/round-${round}/b${step}-${i}`,
        kind: 'file',
        length: 101,
        content: `burst ${step}`,
      }));
      const stop = new AbortController();
      const done = step % 2 === 0 ? all.map((wanted) => apply(client, wanted, stop.signal)) : asBatch(client, all, stop.signal);
      await Promise.all(
        all.map(async (wanted, i) => {
          const write = done[i] as Promise<void>;
          await Promise.race([write.catch(() => undefined), killed]);
          if (!isKilled) {
            await write;
            acknowledged.push(wanted);
            return;
          }
          stop.abort();
          await write.catch(() => undefined);
          unknown.push(wanted);
        }),
      );
    }
  }

  let tellKilled = (): void => {};
  const killed = new Promise<void>((resolve) => (tellKilled = resolve));
  try {
    await Promise.all([burst(), ...Array.from({ length: WORKERS }, (_, worker) => work(worker))]);
    await running.exited;
  } finally {
    await client.close();
  }
  return { round, acknowledged, unknown };
}

/** Directories, inline bodies, bodies in blocks, files that reach their name by a rename, and trees that appear at once. */
function expectationFor(round: number, worker: number, step: number): Expectation {
  const path = `/round-${round}/w${worker}-${step}`;
  switch ((worker + step) % 5) {
    case 0:
      return { path, kind: 'directory', length: 0, content: path };
    case 1:
      return { path, kind: 'tree', length: worker % 2 === 0 ? 90 : 91, content: path };
    case 2:
      return { path, kind: 'file', length: INLINE_BYTES_MAX * 3 + 2 * step, content: path };
    // An even length is written under another name and renamed.
    default:
      return { path, kind: 'file', length: 100 + worker + step, content: path };
  }
}

async function apply(client: NokvClient, wanted: Expectation, signal: AbortSignal): Promise<void> {
  if (wanted.kind === 'directory') await client.mkdir(wanted.path, { signal });
  else if (wanted.kind === 'tree') await (wanted.length === 90 ? publishTree : transactTree)(client, wanted, signal);
  else if (wanted.length % 2 === 0) {
    await client.put(`${wanted.path}.part`, bodyFor(wanted.content, wanted.length), { signal });
    await client.rename(`${wanted.path}.part`, wanted.path, { signal });
  } else await client.put(wanted.path, bodyFor(wanted.content, wanted.length), { signal });
}

/** One request for all of them; each has its own answer. */
function asBatch(client: NokvClient, all: readonly Expectation[], signal: AbortSignal): readonly Promise<void>[] {
  const batch = client.batch();
  for (const { path, content, length } of all) batch.put(path, bodyFor(content, length));
  const answers = batch.send({ signal });
  return all.map(async (_, i) => {
    const answer = (await answers)[i];
    if (answer?.ok !== true) throw answer?.error ?? new Error('a batch answers each of its mutations');
  });
}

/** A directory with files in one transaction. */
async function transactTree(client: NokvClient, { path, content, length }: Expectation, signal: AbortSignal): Promise<void> {
  const transaction = client.transaction().mkdir(path);
  for (let i = 0; i < TREE_FILES; i++) transaction.put(`${path}/f${i}`, bodyFor(`${content}/f${i}`, length));
  await transaction.commit({ signal });
}

/** Fills a directory out of sight, and moves it into place in one commit. */
async function publishTree(client: NokvClient, { path, content, length }: Expectation, signal: AbortSignal): Promise<void> {
  const { metadata } = client;
  const owner = { uid: 0, gid: 0 };
  const begun = await metadata.mutate('begin-tree', { mode: 0o755, ttlMs: 60_000, ...owner }, { signal });
  const { root } = begun.result;
  await Promise.all(
    Array.from({ length: TREE_FILES }, (_, i) =>
      metadata.mutate(
        'publish',
        {
          node: { parent: root, name: Buffer.from(`f${i}`) },
          body: { kind: 'inline', bytes: bodyFor(`${content}/f${i}`, length) },
          mode: 0o644,
          ...owner,
        },
        { signal },
      ),
    ),
  );
  await metadata.mutate('publish-tree', { root, to: { path: parsePath(path) }, replace: false, ...owner }, { signal });
}

async function checkAll(running: ServerProcess, { round, acknowledged, unknown }: Round): Promise<void> {
  if (round < 0) return;
  const client = await connect({ address: running.rpc, timeoutMs: 20_000 });
  try {
    const seen = await Promise.all(acknowledged.map((wanted) => look(client, wanted)));
    const parts = await Promise.all(acknowledged.map(({ path }) => client.exists(`${path}.part`)));
    for (const [i, { path }] of acknowledged.entries()) {
      expect(seen[i], `seed ${SEED}, round ${round}: acknowledged ${path}`).toBe('whole');
      expect(parts[i], `seed ${SEED}, round ${round}: renamed away ${path}.part`).toBe(false);
    }
    for (const wanted of unknown)
      expect(['whole', 'absent'], `seed ${SEED}, round ${round}: unknown ${wanted.path}`).toContain(await look(client, wanted));
    // Every name that is listed is one that was written, and can be read.
    const possible = new Set([...acknowledged, ...unknown].flatMap(({ path }) => [path, `${path}.part`]));
    for await (const entry of client.list(`/round-${round}`)) expect(possible).toContain(`/round-${round}/${entry.name}`);
  } finally {
    await client.close();
  }
}

async function look(client: NokvClient, wanted: Expectation): Promise<'whole' | 'absent' | 'half'> {
  try {
    const card = await client.stat(wanted.path);
    if (wanted.kind === 'directory') return card.type === 'directory' ? 'whole' : 'half';
    if (wanted.kind === 'tree') {
      const files = Array.from({ length: TREE_FILES }, (_, i) => `${wanted.path}/f${i}`);
      const found = await Promise.all(
        files.map((file) => whichBody(client, file, [bodyFor(`${wanted.content}${file.slice(wanted.path.length)}`, wanted.length)])),
      );
      return card.children === TREE_FILES && found.every((which) => which === 0) ? 'whole' : 'half';
    }
    return (await whichBody(client, wanted.path, [bodyFor(wanted.content, wanted.length)])) === 0 ? 'whole' : 'half';
  } catch (error) {
    if (isNokvError(error, 'not-found')) return 'absent';
    throw error;
  }
}
