/** What is done with whole trees, measured on one of any size: listing, snapshot, clone, first touch, difference, rollback. */
import { connect, type NokvClient } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { startServer, type BenchServer } from './child.js';
import { listAll } from './list.js';
import { fileName, makeTree, openBenchShard } from './load/load-shard.js';

const PER_DIRECTORY = 10_000;
const CHANGES = 3;

/** A server over a tree `/tree` of empty files. */
export class TreeCases {
  readonly files: number;
  /** Creates a second while it was filled, through the engine. */
  readonly fillRate: number;
  readonly client: NokvClient;
  readonly #server: BenchServer;
  #next = 0;

  private constructor(files: number, fillRate: number, server: BenchServer, client: NokvClient) {
    this.files = files;
    this.fillRate = fillRate;
    this.#server = server;
    this.client = client;
  }

  static async start(data: string, files: number): Promise<TreeCases> {
    const shard = await openBenchShard(data);
    const fillRate = await makeTree(shard.engine, '/tree', files, PER_DIRECTORY);
    await shard.close();
    const server = await startServer(data);
    return new TreeCases(files, fillRate, server, await connect(server.rpc));
  }

  /** Entries a second of listing every directory with attributes. */
  async listRate(): Promise<number> {
    const directories = Math.ceil(this.files / PER_DIRECTORY);
    const start = performance.now();
    for (let i = 0; i < directories; i++) {
      const { ino } = await this.client.metadata.read('stat', { node: { path: parsePath(`/tree/d${i}`) } });
      await listAll(this.client, ino, Math.min(PER_DIRECTORY, this.files - i * PER_DIRECTORY));
    }
    return (this.files / (performance.now() - start)) * 1000;
  }

  snapshotMs(): Promise<number> {
    return timed(async () => {
      await this.client.snapshots.create('/tree', { ttlMs: 3600_000 });
    });
  }

  async cloneMs(): Promise<{ readonly clone: number; readonly firstTouch: number }> {
    const to = `/clone-${this.#next++}`;
    const clone = await timed(async () => {
      await this.client.clone('/tree', to);
    });
    // The first change below a clone takes over the directories on its way.
    const firstTouch = await timed(async () => {
      await this.client.put(`${to}/d0/touched`, 'x');
    });
    return { clone, firstTouch };
  }

  /** Three changes after a snapshot, then the difference between the two. */
  async diffMs(): Promise<number> {
    const { pin } = await this.client.snapshots.create('/tree', { ttlMs: 3600_000 });
    for (let i = 0; i < CHANGES; i++) await this.client.put(`/tree/d0/${fileName(i).toString()}`, `changed ${this.#next++}`);
    const found: string[] = [];
    const ms = await timed(async () => {
      for await (const row of this.client.diff({ path: '/tree', at: { snapshot: pin.id } }, '/tree')) found.push(row.kind);
    });
    if (found.length !== CHANGES) throw new Error(`expected ${CHANGES} differences, found ${found.length}: ${found.join(', ')}`);
    return ms;
  }

  async rollbackMs(): Promise<number> {
    const { pin } = await this.client.snapshots.create('/tree', { ttlMs: 3600_000 });
    await this.client.put(`/tree/d0/${fileName(0).toString()}`, `changed ${this.#next++}`);
    return timed(async () => {
      await this.client.rollback('/tree', { snapshot: pin.id });
    });
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.#server.stop();
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
