/**
 * A watcher by path over kill -9 of the server and of the watcher itself: what its lines say, put together, is a journal of more than
 * two thousand operations, each once and in order, with the paths that they had.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NokvClient } from '@nokv/client';
import { afterEach, expect, test } from 'vitest';
import { NOKV, cleanEnv } from '../e2e/cli-runner.js';
import { startServerProcess, until, type ServerProcess } from '../services/server.js';

const OPERATIONS = 2400;
const WRITERS = 8;
/** In every fourth the server dies, in every second the watcher. */
const PHASES = 12;

interface Line {
  readonly cursor: string;
  readonly version: number;
  readonly ordinal: number;
  readonly kind: string;
  readonly path: string | null;
  readonly fromPath: string | null;
  readonly requestId: string;
}

interface Entry {
  readonly requestId: string;
  readonly kind: string;
  readonly path: string;
  readonly fromPath: string | null;
}

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

test('a watch over deaths of both sides shows each of 2,400 operations once, in order', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-watch-'));
  cleanUps.push(() => rm(directory, { recursive: true, force: true }));
  const data = join(directory, 'data');
  let server: ServerProcess = await startServerProcess({ data });
  const { rpc } = server;
  cleanUps.push(() => server.kill());
  const client = await connect({ address: rpc, timeoutMs: 60_000 });
  cleanUps.push(() => client.close());
  const { version: start } = await client.mkdir('/w');
  for (let writer = 0; writer < WRITERS; writer++) await client.mkdir(`/w/${writer}`);

  // Two watchers: one that is killed, and one that lives through the deaths of the server alone.
  const killed = new Watcher(join(directory, 'killed'), rpc, String(start));
  const living = new Watcher(join(directory, 'living'), rpc, String(start));
  cleanUps.push(
    () => killed.kill(),
    () => living.kill(),
  );
  killed.start();
  living.start();

  const journal: Entry[] = [];
  const allowance = new Allowance();
  const writing = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(client, writer, journal, allowance)));
  for (let phase = 1; phase <= PHASES; phase++) {
    // Writers are at work while somebody dies.
    allowance.raise((OPERATIONS / PHASES) * phase);
    const half = (OPERATIONS / PHASES) * (phase - 0.5);
    await until('half of the operations of this phase', async () => journal.length >= half, 60_000);
    if (phase % 4 === 0) {
      await server.kill();
      server = await startServerProcess({ data, listen: rpc });
    } else if (phase % 2 === 1) {
      await until('this life of the watcher has seen something', async () => killed.hasSeen(), 60_000);
      await killed.kill();
      killed.start();
    }
  }
  await writing;
  await client.mkdir('/w/end');
  for (const watcher of [killed, living]) {
    await until('the end is seen', async () => watcher.lines().some(({ path }) => path === '/w/end'), 60_000);
    await watcher.kill();
  }

  expect(journal).toHaveLength(OPERATIONS);
  const wanted = new Map(journal.map((entry) => [entry.requestId, entry]));
  for (const watcher of [killed, living]) {
    const lines = watcher.lines();
    // In order, and none twice.
    for (const [i, line] of lines.entries()) {
      const last = lines[i - 1];
      if (last !== undefined && !(line.version > last.version || (line.version === last.version && line.ordinal > last.ordinal))) {
        throw new Error(`${line.cursor} came after ${last.cursor}`);
      }
    }
    const seen = lines
      .filter(({ requestId }) => wanted.has(requestId))
      .map(({ requestId, kind, path, fromPath }): Entry => ({ requestId, kind, path: path ?? '', fromPath }));
    expect(seen).toHaveLength(journal.length);
    for (const entry of seen) expect(entry).toEqual(wanted.get(entry.requestId));
    // Nothing else happened below the root but the directories of the writers and the end.
    expect(lines.filter(({ requestId }) => !wanted.has(requestId)).map(({ path }) => path)).toEqual([
      ...Array.from({ length: WRITERS }, (_, writer) => `/w/${writer}`),
      '/w/end',
    ]);
  }
  // An item's last event may carry a cursor that is further.
  const withoutCursor = (watcher: Watcher) => watcher.lines().map((line) => ({ ...line, cursor: undefined }));
  expect(withoutCursor(killed)).toEqual(withoutCursor(living));
}, 240_000);

/** Makes directories, renames them and makes files below them; each operation is one change. */
async function write(client: NokvClient, writer: number, journal: Entry[], allowance: Allowance): Promise<void> {
  const { uid, gid } = { uid: 0, gid: 0 };
  const note = (requestId: string, kind: string, path: string, fromPath: string | null = null) =>
    void journal.push({ requestId, kind, path, fromPath });
  for (let i = 0; i < OPERATIONS / WRITERS / 4; i++) {
    await allowance.take(4);
    const [first, second] = [`/w/${writer}/a${i}`, `/w/${writer}/b${i}`];
    const made = await client.mkdir(first);
    note(made.requestId, 'created', first);
    // By inode: its path is where the directory is at that moment.
    const below = async (name: string, directory: string) => {
      const requestId = `${made.requestId}.${name}` as typeof made.requestId;
      const entry = { parent: made.attributes.ino, name: Buffer.from(name) };
      await client.metadata.mutate('create', { entry, type: 'file', exclusive: true, mode: 0o644, uid, gid }, { requestId });
      note(requestId, 'created', `${directory}/${name}`);
    };
    await below('x', first);
    note((await client.rename(first, second)).requestId, 'renamed', second, first);
    await below('y', second);
  }
}

/** How many operations the writers may do by now. */
class Allowance {
  #left = 0;
  #raised = 0;
  #waiting: (() => void)[] = [];

  raise(total: number): void {
    this.#left += total - this.#raised;
    this.#raised = total;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async take(count: number): Promise<void> {
    while (this.#left < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#left -= count;
  }
}

/** A `nokv watch` that is started again after where it was, whatever ended it. */
class Watcher {
  #child: ChildProcess | undefined;
  readonly #file: string;
  readonly #rpc: string;
  readonly #start: string;
  #kept: Line[] = [];
  #lives = 0;

  constructor(file: string, rpc: string, start: string) {
    this.#file = file;
    this.#rpc = rpc;
    this.#start = start;
  }

  /** All complete lines of all its lives. */
  lines(): Line[] {
    return [...this.#kept, ...this.#present()];
  }

  hasSeen(): boolean {
    return this.#present().length > 0;
  }

  start(): void {
    const since = this.#kept.at(-1)?.cursor ?? this.#start;
    this.#lives += 1;
    const out = openSync(this.#path(), 'a');
    const child = spawn(process.execPath, [NOKV, 'watch', '/w', '--json', '--since', since, '--server', this.#rpc], {
      env: cleanEnv(),
      stdio: ['ignore', out, 'ignore'],
    });
    closeSync(out);
    this.#child = child;
    // One that finds nobody at the address ends.
    child.once('exit', () => {
      if (this.#child !== child) return;
      this.#kept = this.lines();
      this.start();
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    this.#child = undefined;
    child.kill('SIGKILL');
    await gone;
    this.#kept = [...this.#kept, ...this.#linesOf(this.#path())];
  }

  #present(): Line[] {
    return this.#child === undefined ? [] : this.#linesOf(this.#path());
  }

  /** A line that was cut in the middle was not read. */
  #linesOf(path: string): Line[] {
    const text = readFileSync(path, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  }

  #path(): string {
    return `${this.#file}.${this.#lives}`;
  }
}
