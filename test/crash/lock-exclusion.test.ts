/**
 * Locks exclude while the server is killed and started again and while holders die: programs that add to a counter under a lock lose no
 * addition, and read what the one before them wrote.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type ClientSession, type NokvClient } from '@nokv/client';
import { isNokvError, type LockType } from '@nokv/types';
import { startServerProcess, type ServerProcess } from '../services/server.js';

const LONG = process.env['NOKV_TEST_LONG'] === '1';
const WORKERS = 6;
const KILLS = LONG ? 20 : 4;
const ADDITIONS_A_KILL = 12;

let data: string;
let server: ServerProcess;
const clients: NokvClient[] = [];

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-exclusion-'));
  server = await startServerProcess({ data, logLevel: 'warn' });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await server.kill();
  await rm(data, { recursive: true, force: true });
});

async function client(): Promise<NokvClient> {
  const opened = await connect({ address: server.rpc, timeoutMs: 60_000 });
  clients.push(opened);
  return opened;
}

/** Who is inside, by what they hold: the invariant of all locks. */
class Inside {
  readonly #types: LockType[] = [];
  entered = 0;

  enter(type: LockType): void {
    this.#types.push(type);
    this.entered += 1;
    expect(this.#types.length === 1 || this.#types.every((each) => each === 'shared')).toBe(true);
  }

  leave(type: LockType): void {
    this.#types.splice(this.#types.indexOf(type), 1);
  }
}

it(`no addition is lost over ${KILLS} kills of the server`, { timeout: 60_000 + KILLS * 20_000 }, async () => {
  const first = await client();
  await first.put('/counter', '0');
  const inside = new Inside();
  let additions = 0;
  let isOver = false;

  async function add(from: NokvClient, session: ClientSession): Promise<void> {
    await using lock = await session.lock('/counter', { timeoutMs: 120_000 });
    expect(lock.type).toBe('exclusive');
    inside.enter('exclusive');
    const body = await from.get('/counter');
    const seen = Number(await body.text());
    expect(seen).toBe(additions);
    // Without a precondition: the lock alone keeps others away.
    await from.put('/counter', String(seen + 1));
    additions += 1;
    inside.leave('exclusive');
  }

  async function look(from: NokvClient, session: ClientSession): Promise<void> {
    await using lock = await session.lock('/counter', { type: 'shared', timeoutMs: 120_000 });
    expect(lock.type).toBe('shared');
    inside.enter('shared');
    expect(Number(await (await from.get('/counter')).text())).toBe(additions);
    inside.leave('shared');
  }

  const workers = Array.from({ length: WORKERS }, async (_, worker) => {
    const own = await client();
    const session = await own.openSession({ name: `worker ${worker}`, ttlMs: 60_000 });
    for (let turn = 0; !isOver; turn++) await (turn % 3 === 2 ? look(own, session) : add(own, session));
    await session.close();
  });

  for (let kill = 1; kill <= KILLS; kill++) {
    while (additions < kill * ADDITIONS_A_KILL) await new Promise((resolve) => setTimeout(resolve, 5));
    await server.kill();
    server = await startServerProcess({ data, logLevel: 'warn', listen: server.rpc });
  }
  isOver = true;
  await Promise.all(workers);
  expect(Number(await (await first.get('/counter')).text())).toBe(additions);
  expect(additions).toBeGreaterThanOrEqual(KILLS * ADDITIONS_A_KILL);
  expect(inside.entered).toBeGreaterThan(additions);
  expect(await first.locks('/counter')).toEqual([]);
});

it('a holder whose client is gone holds up the others for its time to live and no longer', { timeout: 60_000 }, async () => {
  const [dying, waiting] = [await client(), await client()];
  await dying.put('/counter', '0');
  const lost = await dying.openSession({ name: 'dying', ttlMs: 1500 });
  await lost.lock('/counter');
  const session = await waiting.openSession({ name: 'waiting' });
  // Its renewals end with its connection.
  await dying.close();
  const began = performance.now();
  await expect(session.tryLock('/counter')).resolves.toBeUndefined();
  await using lock = await session.lock('/counter');
  expect(lock.type).toBe('exclusive');
  expect(performance.now() - began).toBeLessThan(1500 + 3000);
  expect(isNokvError(lost.lost.reason)).toBe(true);
});
