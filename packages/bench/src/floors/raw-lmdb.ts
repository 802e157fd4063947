/**
 * The floor of durable mutations: LMDB itself, putting rows of the sizes that one of ours puts, each answered after its flush.
 * Opened as the library opens an environment by default: one tree, overlapping syncs.
 */
import { open, type RootDatabase } from 'lmdb';

/** Key and value bytes of what a create puts: entry, inode, directory, change, result. Names have 14 bytes. */
export const CREATE_ROWS: readonly (readonly [number, number])[] = [
  [23, 34],
  [9, 60],
  [9, 76],
  [11, 69],
  [18, 43],
];
/** The directory is the same one for all. */
const SHARED_ROW = 2;
const IN_FLIGHT_MAX = 3;

export class RawLmdbFloor {
  readonly #env: RootDatabase<Buffer, Buffer>;
  #next = 0;

  constructor(path: string) {
    this.#env = open<Buffer, Buffer>({ path, keyEncoding: 'binary', encoding: 'binary' });
  }

  /** Every call of a tick shares the library's next transaction, and the next is formed while this one is flushed. */
  readonly create = async (): Promise<void> => {
    await this.#put();
    await this.#env.flushed;
  };

  /** As many creates in batches for so long; returns creates a second. The next batch is formed while the last ones are flushed. */
  async batches(size: number, durationMs: number): Promise<number> {
    const start = performance.now();
    const flights: Promise<unknown>[] = [];
    let creates = 0;
    // Ends with the time that it was given.
    while (performance.now() - start < durationMs) {
      const batch = this.#env.batch(() => {
        for (let i = 0; i < size; i++) void this.#put();
      });
      creates += size;
      flights.push(batch.then(() => this.#env.flushed));
      if (flights.length >= IN_FLIGHT_MAX) await flights.shift();
    }
    await Promise.all(flights);
    return (creates / (performance.now() - start)) * 1000;
  }

  async close(): Promise<void> {
    await this.#env.close();
  }

  #put(): Promise<boolean> {
    const id = this.#next++;
    let last: Promise<boolean> = Promise.resolve(true);
    for (const [row, [keyBytes, valueBytes]] of CREATE_ROWS.entries()) {
      const key = Buffer.alloc(keyBytes, row + 1);
      key.writeUInt32BE(row === SHARED_ROW ? 0 : id, keyBytes - 4);
      last = this.#env.put(key, Buffer.alloc(valueBytes, row));
    }
    return last;
  }
}
