/**
 * Reads bodies: random ranges, many ranges of many bodies at once, sequential reads through a handle, and streams.
 *
 * Every piece that comes from a store is verified against the manifest's checksum before a byte of it is shown; a
 * mismatch is fetched once more, then fails `corrupt`. Results are views of verified pieces: callers must not change them.
 */
import { bodySize, isHole, toNokvError, type Body, type Piece, type Settled } from '@nokv/types';
import type { BlockStore } from '../block-store.js';
import { entryName } from '../cache/cache-entry.js';
import type { DiskCache, DiskCacheFigures } from '../cache/disk-cache.js';
import { linkedSignal, throwIfAborted } from '../cancellation.js';
import { PartReads } from './part-reads.js';
import { PieceCache, type PieceCacheFigures } from './piece-cache.js';
import { partsOf, type BodyPart } from './body-parts.js';
import { plainBytesOf } from './compression.js';
import { PieceSource, type PieceGroup, type StoreFigures } from './piece-source.js';
import { planPieces, type PieceUse } from './piece-plan.js';
import { hasRepeatedPieces, sharingPieces, type PartFetch } from './shared-pieces.js';
import { READ_AHEAD_BYTES_FIRST, ReadAhead } from './read-ahead.js';

export interface BodyReaderOptions {
  readonly store: BlockStore;
  /** Verified pieces kept in memory; default 64 MiB, 0 keeps none. */
  readonly cacheBytes?: number | undefined;
  /** Verified pieces kept on the disk, shared with other processes. */
  readonly disk?: DiskCache | undefined;
  /** Leave pieces out of the disk cache whose blocks lie on a disk of this machine anyway. */
  readonly skipLocal?: boolean | undefined;
  /** Bytes fetched ahead of a sequential reader, at most; default 64 MiB. */
  readonly readAheadBytesMax?: number | undefined;
  /** Gets of the store under way at once; default 32. */
  readonly fetchesMax?: number | undefined;
}

/** What reading has cost so far. */
export interface ReaderFigures {
  readonly memory: PieceCacheFigures;
  readonly disk: DiskCacheFigures | undefined;
  readonly store: StoreFigures;
}

export interface BodyRangeRead {
  readonly body: Body;
  readonly offset: number;
  readonly length: number;
  /** For error messages: whose body this is. */
  readonly path?: string | undefined;
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** For error messages: whose body this is. */
  readonly path?: string | undefined;
}

export interface StreamOptions extends ReadOptions {
  readonly offset?: number | undefined;
  /** To the end of the body when absent. */
  readonly length?: number | undefined;
  /**
   * The caller is done with a chunk when it asks for the next: its memory is used again, so that a stream of any size
   * runs in a few buffers. Default false: every chunk is the caller's to keep.
   */
  readonly reuse?: boolean | undefined;
}

/** Positional reads of one body that notice when they are sequential and fetch ahead. */
export interface BodyHandle {
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
}

const CACHE_BYTES_DEFAULT = 64 * 1024 * 1024;
const READ_AHEAD_BYTES_DEFAULT = 64 * 1024 * 1024;
const FETCHES_DEFAULT = 32;
/** Pieces, or groups of small ones, that a read of many ranges holds at once. */
const GROUPS_AT_ONCE = 16;
/** A kernel may send the reads of a sequential reader slightly out of order. */
const SEQUENTIAL_SLACK_BYTES = 1024 * 1024;
/** So many small parts of one piece are read one by one, more with all of it. */
const LONE_PARTS_MAX = 4;
/** Zeros are handed out in parts of this size. */
const HOLE_BYTES_MAX = 1024 * 1024;

export class BodyReader {
  readonly #source: PieceSource;
  readonly #cache: PieceCache;
  readonly #parts: PartReads;
  readonly #cacheBytes: number;
  readonly #aheadBytesMax: number;

  constructor(options: BodyReaderOptions) {
    const { store, disk, skipLocal = false, fetchesMax = FETCHES_DEFAULT } = options;
    this.#source = new PieceSource({ store, disk, skipLocal, fetchesMax });
    this.#cacheBytes = options.cacheBytes ?? CACHE_BYTES_DEFAULT;
    this.#cache = new PieceCache(this.#cacheBytes);
    this.#parts = new PartReads(this.#source, this.#cache);
    this.#aheadBytesMax = options.readAheadBytesMax ?? READ_AHEAD_BYTES_DEFAULT;
  }

  get figures(): ReaderFigures {
    return { memory: this.#cache.figures, disk: this.#source.disk?.figures, store: this.#source.figures };
  }

  /** Up to `length` bytes from `offset`: fewer at the end of the body, none beyond it. */
  async read(body: Body, offset: number, length: number, options: ReadOptions = {}): Promise<Uint8Array> {
    return this.#read(body, offset, length, options, true);
  }

  async #read(body: Body, offset: number, length: number, options: ReadOptions, mayBeAlone: boolean): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    if (body.kind === 'inline') return body.bytes.subarray(offset, offset + length);
    const parts = partsOf(body.manifest, offset, length);
    const first = parts.next();
    if (first.done === true) return new Uint8Array(0);
    if (parts.next().done === true) return this.#part(first.value, true, options, mayBeAlone);
    const [answer] = await this.readRanges([{ body, offset, length, path: options.path }], options);
    if (answer?.ok === true) return answer.value;
    throw answer?.error;
  }

  /**
   * Many ranges at once, each with its bytes or its error, in their order. A piece is read once however many ranges want it, and
   * neighbouring small pieces of a block come with one get, gaps between them included. The bytes are the caller's.
   */
  async readRanges(ranges: readonly BodyRangeRead[], options: Pick<ReadOptions, 'signal'> = {}): Promise<Settled<Uint8Array>[]> {
    throwIfAborted(options.signal);
    const { results, uses } = layOut(ranges);
    const failures = new Map<number, unknown>();
    const isNear = async (piece: Piece): Promise<boolean> =>
      this.#cache.isNear(keyOf(piece)) || (await this.#source.disk?.has(piece)) === true;
    const groups = (await planPieces(uses, isNear)).values();
    const worker = async (): Promise<void> => {
      for (const group of groups) await this.#readGroup(group, results, failures, options);
    };
    await Promise.all(Array.from({ length: GROUPS_AT_ONCE }, worker));
    return results.map((value, index) =>
      failures.has(index) ? { ok: false, error: toNokvError(failures.get(index)) } : { ok: true, value },
    );
  }

  /**
   * Sees to it that a piece is on the disk, verified, whether or not blocks of this store are usually copied there; true when it came from
   * the store. What comes of the write shows in the cache itself. Errors: those of reading.
   */
  async warm(piece: Piece, { path, signal }: ReadOptions = {}): Promise<boolean> {
    throwIfAborted(signal);
    return await this.#source.warm(piece, { path, signal });
  }

  /** Fills what the ranges want of these pieces; a piece that fails, fails its ranges. */
  async #readGroup(
    group: readonly PieceUse[],
    results: readonly Uint8Array[],
    failures: Map<number, unknown>,
    { signal }: Pick<ReadOptions, 'signal'>,
  ): Promise<void> {
    const [first, ...others] = group.map(({ piece }) => piece);
    if (first === undefined) return;
    let together: Promise<ReadonlyMap<Piece, Uint8Array>> | undefined;
    const fetchTogether = (stop: AbortSignal) => (together ??= this.#source.group([first, ...others] satisfies PieceGroup, stop));
    await Promise.all(
      group.map(async ({ piece, parts }) => {
        try {
          if (others.length > 0) {
            const alone = parts[0]?.path;
            const fetch = async (stop: AbortSignal) => {
              const stored = (await fetchTogether(stop)).get(piece) ?? (await this.#source.fetch(piece, { path: alone, signal: stop }));
              return await plainBytesOf(piece, stored, alone);
            };
            const bytes = await this.#cache.get(keyOf(piece), fetch, true, signal);
            for (const { range, at, part } of parts) results[range]?.set(bytes.subarray(part.start, part.start + part.length), at);
            return;
          }
          const mayBeAlone = parts.length <= LONE_PARTS_MAX;
          for (const { range, at, part, path } of parts)
            results[range]?.set(await this.#part(part, true, { signal, path }, mayBeAlone), at);
        } catch (error) {
          for (const { range } of parts) if (!failures.has(range)) failures.set(range, error);
        }
      }),
    );
  }

  /** In order, in chunks of at most a piece; stops fetching when the caller stops reading. */
  async *stream(body: Body, options: StreamOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Math.max(0, bodySize(body) - offset) } = options;
    if (body.kind === 'inline') {
      throwIfAborted(options.signal);
      if (offset < body.bytes.length && length > 0) yield body.bytes.subarray(offset, offset + length);
      return;
    }
    const link = linkedSignal(options.signal);
    const { signal } = link;
    const each =
      options.reuse === true && length > this.#cacheBytes / 4
        ? this.#reusing({ ...options, signal })
        : this.#keeping(length, { ...options, signal });
    const fetch = hasRepeatedPieces(body.manifest) ? sharingPieces(each) : each;
    const ahead = new ReadAhead(partsOf(body.manifest, offset, length), this.#aheadBytesMax, fetch.part);
    try {
      for (;;) {
        throwIfAborted(options.signal);
        const next = ahead.next();
        if (next === undefined) return;
        if (isHole(next.part.extent)) {
          yield* zeros(next.part.length);
          continue;
        }
        const bytes = await next.bytes;
        yield bytes;
        fetch.done(bytes);
      }
    } finally {
      link.release();
      link.abort();
    }
  }

  /** Shared with other readers through the cache; a stream that would sweep the whole cache out leaves it alone. */
  #keeping(length: number, options: ReadOptions): PartFetch {
    const keep = length <= this.#cacheBytes / 4;
    return { part: (part) => this.#part(part, keep, options, true), done: () => undefined };
  }

  /** Into buffers of this stream alone, which come back when the caller is done with them and nobody else reads them. */
  #reusing({ path, signal }: ReadOptions): PartFetch {
    const free: ArrayBufferLike[] = [];
    const lent = new Map<Uint8Array, Uint8Array>();
    return {
      part: async (part) => {
        const { extent } = part;
        if (isHole(extent)) return new Uint8Array(part.length);
        // What it is made of is in memory of its own.
        if (extent.compression !== undefined) return await this.#part(part, false, { path, signal }, false);
        // A small piece does not take the memory of a large one, which would have to be made anew.
        const fits = free.findLastIndex(({ byteLength }) => byteLength >= extent.length && byteLength <= 4 * extent.length);
        const [found] = fits < 0 ? [] : free.splice(fits, 1);
        const buffer = found ?? Buffer.allocUnsafeSlow(extent.length).buffer;
        const fetch = (stop: AbortSignal) => this.#source.piece(extent, { path, signal: stop, into: new Uint8Array(buffer) });
        const piece = await this.#cache.get(keyOf(extent), fetch, false, signal);
        const bytes = piece.subarray(part.start, part.start + part.length);
        if (piece.buffer === buffer) lent.set(bytes, piece);
        else free.push(buffer);
        return bytes;
      },
      done: (bytes) => {
        const piece = lent.get(bytes);
        lent.delete(bytes);
        if (piece === undefined || this.#cache.isShared(piece)) return;
        const unused = this.#source.unused(piece);
        if (unused === undefined) free.push(piece.buffer);
        else void unused.then(() => free.push(piece.buffer));
      },
    };
  }

  /** For mounts: one handle for each open file. */
  handle(body: Body, options: { readonly path?: string | undefined } = {}): BodyHandle {
    const { path } = options;
    let expected = 0;
    let window = 0;
    let fetchedTo = 0;
    const prefetch = (from: number): void => {
      // Only when half of the window is used up: looking again each time would cost more than it brings.
      if (body.kind === 'inline' || from + window / 2 <= fetchedTo || from >= body.manifest.size) return;
      for (const part of partsOf(body.manifest, from, window)) this.#prefetch(part, path);
      fetchedTo = from + window;
    };
    return {
      read: (offset, length, signal) => {
        const end = offset + length;
        const isSequential = Math.abs(offset - expected) <= SEQUENTIAL_SLACK_BYTES;
        // Who reads on soon wants the rest of the piece, too.
        const bytes = this.#read(body, offset, length, { signal, path }, !isSequential);
        if (isSequential) {
          window = Math.min(Math.max(window * 2, READ_AHEAD_BYTES_FIRST), this.#aheadBytesMax, this.#cacheBytes / 2);
          expected = Math.max(expected, end);
          prefetch(end);
        } else {
          window = 0;
          fetchedTo = 0;
          expected = end;
        }
        return bytes;
      },
    };
  }

  #prefetch(part: BodyPart, path: string | undefined): void {
    if (isHole(part.extent)) return;
    // A failure shows when the piece is read: it is fetched again then.
    this.#part(part, true, { path }, false).catch(() => undefined);
  }

  /** @param mayBeAlone a small part may come without the rest of its piece. */
  async #part(part: BodyPart, keep: boolean, { signal, path }: ReadOptions, mayBeAlone: boolean): Promise<Uint8Array> {
    const { extent } = part;
    if (isHole(extent)) return new Uint8Array(part.length);
    const key = keyOf(extent);
    const cached = this.#cache.hit(key);
    const alone = cached === undefined && mayBeAlone ? await this.#parts.read(key, extent, part, { keep, path, signal }) : undefined;
    if (alone !== undefined) return alone;
    const fetch = async (stop: AbortSignal) => await plainBytesOf(extent, await this.#source.piece(extent, { path, signal: stop }), path);
    const bytes = cached ?? (await this.#cache.get(key, fetch, keep, signal));
    return bytes.subarray(part.start, part.start + part.length);
  }
}

/** Results in the ranges' sizes, holes and inline bytes filled in, and what of which piece goes where. */
function layOut(ranges: readonly BodyRangeRead[]): {
  readonly results: readonly Uint8Array[];
  readonly uses: ReadonlyMap<string, PieceUse>;
} {
  const uses = new Map<string, PieceUse>();
  const results = ranges.map(({ body, offset, length, path }, range) => {
    if (body.kind === 'inline') return Uint8Array.from(body.bytes.subarray(offset, offset + length));
    const result = new Uint8Array(Math.max(0, Math.min(length, body.manifest.size - offset)));
    let at = 0;
    for (const part of partsOf(body.manifest, offset, length)) {
      if (!isHole(part.extent)) {
        const key = keyOf(part.extent);
        const use = uses.get(key) ?? { piece: part.extent, parts: [] };
        use.parts.push({ range, at, part, path });
        uses.set(key, use);
      }
      at += part.length;
    }
    return result;
  });
  return { results, uses };
}

/** In memory a piece is what it was made of: how that was stored belongs to the name. */
function keyOf(piece: Piece): string {
  const { compression } = piece;
  const form = compression === undefined ? '' : `.${compression.codec}.${compression.plainLength}.${compression.plainCrc32c}`;
  return `${entryName(piece)}${form}`;
}

function* zeros(length: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(Math.min(length, HOLE_BYTES_MAX));
  for (let left = length; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}
