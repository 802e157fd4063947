/**
 * Keeps a cache directory within its bytes and the disk above its floor.
 *
 * Names say what entries take, so that a look at the whole cache reads directories only. Between two looks a process counts what it
 * wrote itself; what others write meanwhile is seen at the next look, which comes at the latest when 1/32 of the bound was written. Room
 * is made before an entry is written, oldest use first (by mtime, which readers set); pinned entries stay. Beyond 10,000 entries the
 * oldest of a sample of shards go, so that making room never costs a walk over everything.
 */
import { readdir, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '@nokv/types';
import { isErrno } from '../file/file-errors.js';
import { entryDiskBytes, entryNameBytes } from './cache-entry.js';

export interface CacheRoomOptions {
  /** Holds one directory a shard. */
  readonly data: string;
  readonly bytesMax: number;
  /** Undefined: a tenth of the file system, at most 10 GiB. */
  readonly freeBytesMin: number | undefined;
  /** Names of entries that stay. */
  readonly pinned: () => Promise<ReadonlySet<string>>;
  readonly random: Random;
}

/** `busy`: what is being written at the moment takes the room. `full`: pins do. */
export type Refusal = 'busy' | 'full' | 'no-free-space';

/** A look comes after this part of the bound. */
const LOOKS_PER_BOUND = 32;
/** A full cache is brought down to 15/16, so that not every write makes room. */
const SHRINK_TO = 15 / 16;
const SAMPLE_ENTRIES_MIN = 10_000;
const STATS_AT_ONCE = 32;
const LISTINGS_AT_ONCE = 4;
const FREE_BYTES_MIN_MAX = 10 * 1024 ** 3;
const FREE_PART_MIN = 0.1;

interface Candidate {
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

export class CacheRoom {
  readonly #options: CacheRoomOptions;
  /** As of the last look, with what this process wrote since. */
  #bytes = 0;
  /** Admitted, and not in its place yet. */
  #underWay = 0;
  /** By this process, ever. */
  #written = 0;
  /** What may be written before the next look. */
  #left = 0;
  #looking: Promise<unknown> = Promise.resolve();
  evictions = 0;
  evictedBytes = 0;

  constructor(options: CacheRoomOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Makes room for an entry; undefined: write it, and say what came of it with {@link settle}. */
  async admit(bytes: number): Promise<Refusal | undefined> {
    if (bytes <= this.#left) {
      this.#take(bytes);
      return undefined;
    }
    // One at a time: those that wait find what the first one saw.
    const turn = this.#looking.then(async () => {
      const refusal = bytes <= this.#left ? undefined : await this.#look(bytes);
      if (refusal === undefined) this.#take(bytes);
      return refusal;
    });
    this.#looking = turn.catch(() => undefined);
    return await turn;
  }

  /** An entry that was admitted has come to its place, or will not. */
  settle(bytes: number, isWritten: boolean): void {
    this.#underWay -= bytes;
    if (!isWritten) return;
    this.#bytes += bytes;
    this.#written += bytes;
  }

  /** An entry has gone. */
  remove(bytes: number): void {
    this.#bytes = Math.max(0, this.#bytes - bytes);
  }

  /** Looks again before the next entry: the disk said no. */
  distrust(): void {
    this.#left = 0;
  }

  /** What the entries take now, by their names. */
  async measure(): Promise<{ readonly bytes: number; readonly entries: number }> {
    const before = this.#written;
    let bytes = 0;
    let entries = 0;
    const shards = (await namesIn(this.#options.data)).values();
    const worker = async (): Promise<void> => {
      for (const shard of shards) {
        for (const name of await namesIn(join(this.#options.data, shard))) {
          const size = entryNameBytes(name);
          if (size === undefined) continue;
          bytes += entryDiskBytes(size);
          entries += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: LISTINGS_AT_ONCE }, worker));
    // What came to its place meanwhile may have been missed: rather counted twice.
    this.#bytes = bytes + this.#written - before;
    return { bytes, entries };
  }

  #take(bytes: number): void {
    this.#left -= bytes;
    this.#underWay += bytes;
  }

  async #look(bytes: number): Promise<Refusal | undefined> {
    const { bytesMax } = this.#options;
    await this.measure();
    const total = (): number => this.#bytes + this.#underWay;
    let excess = total() + bytes > bytesMax ? total() - Math.min(bytesMax - bytes, bytesMax * SHRINK_TO) : 0;
    const lack = await this.#lackOfSpace(bytes);
    excess = Math.max(excess, Math.min(lack, this.#bytes));
    if (excess > 0) await this.#evict(excess);
    if (total() + bytes > bytesMax) return this.#underWay > 0 ? 'busy' : 'full';
    if (lack > 0 && (await this.#lackOfSpace(bytes)) > 0) return 'no-free-space';
    this.#left = Math.max(bytes, Math.min(bytesMax / LOOKS_PER_BOUND, bytesMax - total()));
    return undefined;
  }

  async #lackOfSpace(bytes: number): Promise<number> {
    const { bavail, blocks, bsize } = await statfs(this.#options.data);
    const floor = this.#options.freeBytesMin ?? Math.min(FREE_BYTES_MIN_MAX, blocks * bsize * FREE_PART_MIN);
    return floor + bytes - bavail * bsize;
  }

  async #evict(bytes: number): Promise<void> {
    const pinned = await this.#options.pinned();
    const shards = await namesIn(this.#options.data);
    const start = Math.floor(this.#options.random.float() * shards.length);
    const order = [...shards.slice(start), ...shards.slice(0, start)];
    let left = bytes;
    while (left > 0 && order.length > 0) {
      const sample: Candidate[] = [];
      while (order.length > 0 && sample.length < SAMPLE_ENTRIES_MIN) sample.push(...(await this.#candidates(order.shift() ?? '', pinned)));
      sample.sort((a, b) => a.usedMs - b.usedMs);
      for (const { path, bytes: size } of sample) {
        if (left <= 0) break;
        if (!(await removed(path))) continue;
        left -= size;
        this.remove(size);
        this.evictions += 1;
        this.evictedBytes += size;
      }
    }
  }

  async #candidates(shard: string, pinned: ReadonlySet<string>): Promise<Candidate[]> {
    const rows = [...(await this.#entriesOf(shard))].filter(([name]) => !pinned.has(name));
    const found: Candidate[] = [];
    for (let from = 0; from < rows.length; from += STATS_AT_ONCE) {
      const some = rows.slice(from, from + STATS_AT_ONCE).map(async ([name, bytes]) => {
        const path = join(this.#options.data, shard, name);
        const info = await stat(path).catch(() => undefined);
        if (info !== undefined) found.push({ path, bytes, usedMs: info.mtimeMs });
      });
      await Promise.all(some);
    }
    return found;
  }

  async #entriesOf(shard: string): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const name of await namesIn(join(this.#options.data, shard))) {
      const size = entryNameBytes(name);
      if (size !== undefined) sizes.set(name, entryDiskBytes(size));
    }
    return sizes;
  }
}

/** Nothing where there is no directory. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function removed(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
