/**
 * Reads bodies: random ranges, sequential reads through a handle, and streams.
 *
 * Every piece that comes from a store is verified against the manifest's checksum before a byte of it is shown; a
 * mismatch is fetched once more, then fails `corrupt`. Results are views of verified pieces: callers must not change them.
 */
import { bodySize, isHole, type Body, type Piece } from '@nokv/types';
import type { BlockStore } from '../block-store.js';
import { linkedSignal, throwIfAborted } from '../cancellation.js';
import { PieceCache } from './piece-cache.js';
import { partsOf, type BodyPart } from './body-parts.js';
import { READ_AHEAD_BYTES_FIRST, ReadAhead } from './read-ahead.js';
import { fetchPiece } from './fetch-piece.js';

export interface BodyReaderOptions {
  readonly store: BlockStore;
  /** Verified pieces kept in memory; default 64 MiB, 0 keeps none. */
  readonly cacheBytes?: number | undefined;
  /** Bytes fetched ahead of a sequential reader, at most; default 16 MiB. */
  readonly readAheadBytesMax?: number | undefined;
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
const READ_AHEAD_BYTES_DEFAULT = 16 * 1024 * 1024;
/** A kernel may send the reads of a sequential reader slightly out of order. */
const SEQUENTIAL_SLACK_BYTES = 1024 * 1024;
/** Zeros are handed out in parts of this size. */
const HOLE_BYTES_MAX = 1024 * 1024;

export class BodyReader {
  readonly #store: BlockStore;
  readonly #cache: PieceCache;
  readonly #cacheBytes: number;
  readonly #aheadBytesMax: number;

  constructor(options: BodyReaderOptions) {
    this.#store = options.store;
    this.#cacheBytes = options.cacheBytes ?? CACHE_BYTES_DEFAULT;
    this.#cache = new PieceCache(this.#cacheBytes);
    this.#aheadBytesMax = options.readAheadBytesMax ?? READ_AHEAD_BYTES_DEFAULT;
  }

  /** Up to `length` bytes from `offset`: fewer at the end of the body, none beyond it. */
  async read(body: Body, offset: number, length: number, options: ReadOptions = {}): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    if (body.kind === 'inline') return body.bytes.subarray(offset, offset + length);
    const parts = [...partsOf(body.manifest, offset, length)];
    const [only] = parts;
    if (only === undefined) return new Uint8Array(0);
    if (parts.length === 1) return this.#part(only, true, options);
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    const result = Buffer.allocUnsafe(total);
    let at = 0;
    await Promise.all(
      parts.map(async (part) => {
        const start = at;
        at += part.length;
        if (isHole(part.extent)) result.fill(0, start, start + part.length);
        else result.set(await this.#part(part, true, options), start);
      }),
    );
    return result;
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
    const fetch = options.reuse === true ? this.#reusing({ ...options, signal }) : this.#keeping(length, { ...options, signal });
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
    return { part: (part) => this.#part(part, keep, options), done: () => undefined };
  }

  /** Into buffers of this stream alone, which come back when the caller is done with them. */
  #reusing({ path, signal }: ReadOptions): PartFetch {
    const free: ArrayBufferLike[] = [];
    const lent = new Map<Uint8Array, ArrayBufferLike>();
    return {
      part: async (part) => {
        const { extent } = part;
        if (isHole(extent)) return new Uint8Array(part.length);
        const found = free.pop();
        const buffer = found !== undefined && found.byteLength >= extent.length ? found : Buffer.allocUnsafeSlow(extent.length).buffer;
        const piece =
          this.#cache.peek(keyOf(extent)) ?? (await fetchPiece(this.#store, extent, path, { signal, into: new Uint8Array(buffer) }));
        const bytes = piece.subarray(part.start, part.start + part.length);
        lent.set(bytes, buffer);
        return bytes;
      },
      done: (bytes) => {
        const buffer = lent.get(bytes);
        lent.delete(bytes);
        if (buffer !== undefined) free.push(buffer);
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
        const bytes = this.read(body, offset, length, { signal, path });
        const end = offset + length;
        if (Math.abs(offset - expected) <= SEQUENTIAL_SLACK_BYTES) {
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
    this.#part(part, true, { path }).catch(() => undefined);
  }

  async #part(part: BodyPart, keep: boolean, { signal, path }: ReadOptions): Promise<Uint8Array> {
    const { extent } = part;
    if (isHole(extent)) return new Uint8Array(part.length);
    const bytes = await this.#cache.get(keyOf(extent), (stop) => fetchPiece(this.#store, extent, path, { signal: stop }), keep, signal);
    return bytes.subarray(part.start, part.start + part.length);
  }
}

interface PartFetch {
  readonly part: (part: BodyPart) => Promise<Uint8Array>;
  /** The caller is done with these bytes. */
  readonly done: (bytes: Uint8Array) => void;
}

/** The checksum is part of the key, so that a wrong manifest never gets bytes that another one vouched for. */
function keyOf({ upload, index, offset, length, crc32c }: Piece): string {
  return `${upload}/${index}@${offset}+${length}:${crc32c}`;
}

function* zeros(length: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(Math.min(length, HOLE_BYTES_MAX));
  for (let left = length; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}
