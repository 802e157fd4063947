/**
 * Verified pieces of blocks on the local disk, shared by all processes that are given the same directory.
 *
 * Blocks never change and entries are named by block, range and checksum, so nothing is ever invalidated. An entry is written beside its
 * place and renamed over it; nothing is flushed, because what a crash or a power cut leaves of it is found by its checksums and counts as
 * absent. Whatever goes wrong with the disk (full, read-only, failing) costs the caching and is noted once, never a read.
 *
 * Layout of the directory: `data/<2 hex>/<entry>` (see `cache-entry`), `tmp/` for what is being written, `pins/` (see `cache-pins`).
 */
import { close, futimes, open, readv, rename } from 'node:fs';
import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { crc32 } from '../block-checksum.js';
import { readFully, writeFully } from '../file/file-bytes.js';
import { isErrno } from '../file/file-errors.js';
import { ownTag, sweepLeftovers } from '../file/leftovers.js';
import {
  CHUNK_BYTES,
  decodeHeader,
  encodeHeader,
  entryDiskBytes,
  entryName,
  headerBytes,
  matchesChunks,
  type PieceKey,
} from './cache-entry.js';
import { CachePins } from './cache-pins.js';
import { CacheRoom, type Refusal } from './cache-room.js';

const openFile = promisify(open);
const closeFile = promisify(close);
const renameFile = promisify(rename);
const stampFile = promisify(futimes);
const readInto = promisify(readv);

export interface DiskCacheOptions {
  /** Made when it is missing, for this user alone. */
  readonly directory: string;
  /** What all entries may take; default 10 GiB. */
  readonly bytesMax?: number | undefined;
  /** What the file system must keep free; default a tenth of it, at most 10 GiB. */
  readonly freeBytesMin?: number | undefined;
  /** One line for a person when the cache cannot be used as it should; each reason once. */
  readonly note?: ((line: string) => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface DiskCacheFigures {
  readonly directory: string;
  readonly bytesMax: number;
  /** As of this process's last look at the directory, with what it wrote since. */
  readonly bytes: number;
  readonly hits: number;
  readonly hitBytes: number;
  readonly misses: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly evictions: number;
  readonly evictedBytes: number;
  /** Entries whose bytes were wrong: removed, and read from the store again. */
  readonly corrupt: number;
  /** Entries that could not be written: no room, or the disk said no. */
  readonly refused: number;
  /** Why nothing is written at the moment. */
  readonly problem: string | undefined;
}

export const DISK_CACHE_BYTES_DEFAULT = 10 * 1024 ** 3;
/** After a failure the disk is left alone for this long. */
const REST_MS = 30_000;
/** Uses of one entry within this time count as one. */
const STAMP_MS = 60_000;
const REMEMBERED_MAX = 4096;
/** Bytes that wait to be written: beyond that readers wait for the disk. */
const UNWRITTEN_BYTES_MAX = 16 * 1024 * 1024;

export class DiskCache {
  readonly directory: string;
  readonly bytesMax: number;
  readonly pins: CachePins;
  readonly #data: string;
  readonly #tmp: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #note: (line: string) => void;
  readonly #room: CacheRoom;
  readonly #noted = new Set<string>();
  /** Checksums of entries that were read in part, and when entries were last stamped; both forgotten when they become many. */
  readonly #headers = new Map<string, Uint32Array>();
  readonly #stamped = new Map<string, number>();
  readonly #writing = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  #unwritten = 0;
  #prepared: Promise<string> | undefined;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;
  #drafts = 0;
  #hits = 0;
  #hitBytes = 0;
  #misses = 0;
  #writes = 0;
  #writtenBytes = 0;
  #corrupt = 0;
  #refused = 0;

  /** Touches nothing: directories are made by the first write. */
  constructor(options: DiskCacheOptions) {
    this.directory = resolve(options.directory);
    this.bytesMax = options.bytesMax ?? DISK_CACHE_BYTES_DEFAULT;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#note = options.note ?? (() => undefined);
    this.#data = join(this.directory, 'data');
    this.#tmp = join(this.directory, 'tmp');
    this.pins = new CachePins(join(this.directory, 'pins'));
    this.#room = new CacheRoom({
      data: this.#data,
      bytesMax: this.bytesMax,
      freeBytesMin: options.freeBytesMin,
      pinned: () => this.pins.names(),
      random: this.#random,
    });
  }

  get figures(): DiskCacheFigures {
    return {
      directory: this.directory,
      bytesMax: this.bytesMax,
      bytes: this.#room.bytes,
      hits: this.#hits,
      hitBytes: this.#hitBytes,
      misses: this.#misses,
      writes: this.#writes,
      writtenBytes: this.#writtenBytes,
      evictions: this.#room.evictions,
      evictedBytes: this.#room.evictedBytes,
      corrupt: this.#corrupt,
      refused: this.#refused,
      problem: this.#problem,
    };
  }

  /** The whole piece, verified; undefined when it is not here or not right. `into` is used when it is large enough. */
  async read(piece: PieceKey, into?: Uint8Array): Promise<Uint8Array | undefined> {
    const bytes = await this.#open(piece, async (fd) => {
      const target =
        into !== undefined && into.length >= piece.length ? into.subarray(0, piece.length) : Buffer.allocUnsafeSlow(piece.length);
      const header = Buffer.alloc(headerBytes(piece.length));
      const { bytesRead } = await readInto(fd, [header, target], 0);
      if (bytesRead !== header.length + target.length) return undefined;
      const checksums = decodeHeader(header, piece);
      return checksums !== undefined && matchesChunks(checksums, 0, target) ? target : undefined;
    });
    return this.#count(bytes);
  }

  /** Whole chunks that hold `[start, start + length)` of the piece, verified, with where they begin. */
  async readChunks(
    piece: PieceKey,
    start: number,
    length: number,
  ): Promise<{ readonly first: number; readonly bytes: Uint8Array } | undefined> {
    const first = Math.floor(start / CHUNK_BYTES);
    const from = first * CHUNK_BYTES;
    const to = Math.min(piece.length, Math.ceil((start + length) / CHUNK_BYTES) * CHUNK_BYTES);
    const bytes = await this.#open(piece, async (fd) => {
      const checksums = await this.#checksumsOf(fd, piece);
      if (checksums === undefined) return undefined;
      const target = Buffer.allocUnsafeSlow(to - from);
      const got = await readFully(fd, target, headerBytes(piece.length) + from);
      return got === target.length && matchesChunks(checksums, first, target) ? target : undefined;
    });
    const found = this.#count(bytes);
    return found === undefined ? undefined : { first, bytes: found };
  }

  /** Whether there is an entry, by its name and size alone. */
  async has(piece: PieceKey): Promise<boolean> {
    try {
      return (await stat(this.#path(piece))).size === headerBytes(piece.length) + piece.length;
    } catch {
      return false;
    }
  }

  /**
   * Writes a verified piece behind the reader's back. Resolves when it was taken, which waits while many bytes are unwritten; `written`
   * says whether it came to be in the cache, and that the bytes are not needed any more. Neither ever fails.
   */
  async put(piece: PieceKey, bytes: Uint8Array): Promise<{ readonly written: Promise<boolean> }> {
    const name = entryName(piece);
    const known = this.#writing.get(name);
    if (known !== undefined) return { written: known };
    // Ends: every write that ends lets those that wait look again.
    while (this.#unwritten > 0 && this.#unwritten + bytes.length > UNWRITTEN_BYTES_MAX) {
      await new Promise<void>((go) => this.#waiting.push(go));
    }
    this.#unwritten += bytes.length;
    const written = this.#write(piece, bytes).finally(() => {
      this.#unwritten -= bytes.length;
      this.#writing.delete(name);
      for (const go of this.#waiting.splice(0)) go();
    });
    this.#writing.set(name, written);
    return { written };
  }

  /** Removes entries that are there; returns what they took. */
  async remove(pieces: Iterable<PieceKey>): Promise<number> {
    let bytes = 0;
    for (const piece of pieces) {
      try {
        await unlink(this.#path(piece));
        bytes += entryDiskBytes(piece.length);
        this.#room.remove(entryDiskBytes(piece.length));
      } catch (error) {
        if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      }
    }
    return bytes;
  }

  /** What lies in the directory now, whoever wrote it. */
  measure(): Promise<{ readonly bytes: number; readonly entries: number }> {
    return this.#room.measure();
  }

  /** Waits for what is being written. */
  async settle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values());
  }

  #count(bytes: Uint8Array | undefined): Uint8Array | undefined {
    if (bytes === undefined) this.#misses += 1;
    else {
      this.#hits += 1;
      this.#hitBytes += bytes.length;
    }
    return bytes;
  }

  /** An entry that is there and gives nothing is wrong: it goes. A disk that fails to read is a miss. */
  async #open(piece: PieceKey, look: (fd: number) => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const path = this.#path(piece);
    // On its way here already: that is nearer than the store.
    await this.#writing.get(entryName(piece));
    try {
      const fd = await openFile(path, 'r');
      try {
        const bytes = await look(fd);
        if (bytes !== undefined) {
          await this.#stamp(entryName(piece), fd);
          return bytes;
        }
      } finally {
        await closeFile(fd);
      }
      this.#corrupt += 1;
      this.#headers.delete(entryName(piece));
      await this.remove([piece]);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) this.#tell('read', error);
    }
    return undefined;
  }

  async #checksumsOf(fd: number, piece: PieceKey): Promise<Uint32Array | undefined> {
    const name = entryName(piece);
    const known = this.#headers.get(name);
    if (known !== undefined) return known;
    const header = Buffer.alloc(headerBytes(piece.length));
    const checksums = (await readFully(fd, header, 0)) === header.length ? decodeHeader(header, piece) : undefined;
    if (checksums !== undefined) remember(this.#headers, name, checksums);
    return checksums;
  }

  /** The time of its last use is the file's mtime. */
  async #stamp(name: string, fd: number): Promise<void> {
    const now = this.#clock.nowMs();
    if (now - (this.#stamped.get(name) ?? Number.NEGATIVE_INFINITY) < STAMP_MS) return;
    remember(this.#stamped, name, now);
    // A directory that may only be read keeps its order.
    await stampFile(fd, now / 1000, now / 1000).catch(() => undefined);
  }

  async #write(piece: PieceKey, bytes: Uint8Array): Promise<boolean> {
    const size = entryDiskBytes(piece.length);
    if (this.#clock.monotonicMs() < this.#restUntilMs || size > this.bytesMax) {
      this.#refused += 1;
      return false;
    }
    try {
      const refusal = await this.#entered(piece, bytes, size);
      if (refusal === undefined) {
        this.#writes += 1;
        this.#writtenBytes += bytes.length;
        this.#problem = undefined;
        return true;
      }
      if (refusal !== 'busy') this.#rest(refusal === 'full' ? 'all of it is pinned' : 'the disk is nearly full', REST_MS);
    } catch (error) {
      this.#room.distrust();
      this.#tell('write', error);
    }
    this.#refused += 1;
    return false;
  }

  async #entered(piece: PieceKey, bytes: Uint8Array, size: number): Promise<Refusal | undefined> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const tag = await (this.#prepared ??= this.#prepare());
        const refusal = await this.#room.admit(size);
        if (refusal !== undefined) return refusal;
        const draft = join(this.#tmp, `${tag}-${this.#drafts++}`);
        try {
          await writeEntry(draft, encodeHeader(piece, bytes), bytes);
          await this.#place(draft, this.#path(piece));
          this.#room.settle(size, true);
          return undefined;
        } catch (error) {
          this.#room.settle(size, false);
          await unlink(draft).catch(() => undefined);
          throw error;
        }
      } catch (error) {
        this.#prepared = undefined;
        // Somebody may have removed the whole directory: it is made again, once.
        if (attempt > 0 || !isErrno(error, 'ENOENT')) throw error;
      }
    }
  }

  async #place(draft: string, path: string): Promise<void> {
    try {
      await renameFile(draft, path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
      await renameFile(draft, path);
    }
  }

  /** Returns the tag of this opening's drafts. What killed processes left half-written goes. */
  async #prepare(): Promise<string> {
    const isNew = (await mkdir(this.directory, { recursive: true, mode: 0o700 })) !== undefined;
    if (isNew) await chmod(this.directory, 0o700);
    for (const path of [this.#data, this.#tmp]) await mkdir(path, { recursive: true, mode: 0o700 });
    await sweepLeftovers(this.#tmp, this.#clock);
    return `${await ownTag()}-${Buffer.from(this.#random.bytes(4)).toString('hex')}`;
  }

  #tell(doing: 'read' | 'write', error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#rest(`could not ${doing}: ${reason}`, doing === 'write' ? REST_MS : 0);
  }

  #rest(problem: string, forMs: number): void {
    this.#problem = problem;
    this.#restUntilMs = Math.max(this.#restUntilMs, this.#clock.monotonicMs() + forMs);
    const kind = problem.replaceAll(/'[^']*'/g, '');
    if (this.#noted.has(kind) || this.#noted.size >= 16) return;
    this.#noted.add(kind);
    this.#note(`cache ${this.directory}: ${problem}; reads go on without it`);
  }

  #path(piece: PieceKey): string {
    const name = entryName(piece);
    const shard = (crc32(Buffer.from(name)) & 0xff).toString(16).padStart(2, '0');
    return join(this.#data, shard, name);
  }
}

/** Bounded by forgetting everything: what is forgotten is found again at the cost of one look. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  if (map.size >= REMEMBERED_MAX) map.clear();
  map.set(key, value);
}

async function writeEntry(path: string, header: Uint8Array, bytes: Uint8Array): Promise<void> {
  const fd = await openFile(path, 'wx', 0o600);
  try {
    await writeFully(fd, header, 0);
    await writeFully(fd, bytes, header.length);
  } finally {
    await closeFile(fd);
  }
}
