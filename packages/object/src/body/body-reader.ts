/**
 * Reads bodies: random ranges, sequential reads through a handle, and streams.
 *
 * Every piece that comes from a store is verified against the manifest's checksum before a byte of it is shown; a
 * mismatch is fetched once more, then fails `corrupt`. Results are views of verified pieces: callers must not change them.
 */
import { NokvError, blockKey, bodySize, isHole, type Body, type Piece } from '@nokv/types';
import { crc32c, formatCrc32c } from '../block-checksum.js';
import type { BlockStore } from '../block-store.js';
import { throwIfAborted } from '../object-key.js';
import { PieceCache } from './piece-cache.js';
import { partsOf, type BodyPart } from './body-parts.js';

export interface BodyReaderOptions {
  readonly store: BlockStore;
  /** Verified pieces kept in memory; default 64 MiB, 0 keeps none. */
  readonly cacheBytes?: number | undefined;
  /** Bytes fetched ahead of a sequential reader, at most; default 32 MiB. */
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
}

/** Positional reads of one body that notice when they are sequential and fetch ahead. */
export interface BodyHandle {
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
}

const CACHE_BYTES_DEFAULT = 64 * 1024 * 1024;
const READ_AHEAD_BYTES_DEFAULT = 32 * 1024 * 1024;
/** Where read-ahead begins; it doubles with every step that stays sequential. */
const READ_AHEAD_BYTES_FIRST = 256 * 1024;
/** Pieces may be small: never more than this many gets at once for one reader. */
const AHEAD_PIECES_MAX = 64;
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
    // A stream that would sweep the whole cache out leaves it alone.
    const keep = length <= this.#cacheBytes / 4;
    const stop = new AbortController();
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
    const ahead = new ReadAhead(partsOf(body.manifest, offset, length), this.#aheadBytesMax, (part) =>
      this.#part(part, keep, { ...options, signal }),
    );
    try {
      for (;;) {
        throwIfAborted(options.signal);
        const next = ahead.next();
        if (next === undefined) return;
        if (isHole(next.part.extent)) yield* zeros(next.part.length);
        else yield await next.bytes;
      }
    } finally {
      stop.abort();
    }
  }

  /** For mounts: one handle for each open file. */
  handle(body: Body, options: { readonly path?: string | undefined } = {}): BodyHandle {
    let expected = 0;
    let window = 0;
    let fetchedTo = 0;
    return {
      read: async (offset, length, signal) => {
        if (body.kind === 'blocks') {
          if (offset === expected)
            window = window === 0 ? READ_AHEAD_BYTES_FIRST : Math.min(window * 2, this.#aheadBytesMax, this.#cacheBytes / 2);
          else {
            window = 0;
            fetchedTo = 0;
          }
          const end = offset + length;
          expected = end;
          // Ask again only when half of the window is used up: a request each time would cost more than it brings.
          if (window > 0 && end + window / 2 > fetchedTo && end < body.manifest.size) {
            for (const part of partsOf(body.manifest, end, window)) this.#prefetch(part, options.path);
            fetchedTo = end + window;
          }
        }
        return this.read(body, offset, length, { signal, path: options.path });
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
    const key = `${extent.upload}/${extent.index}@${extent.offset}+${extent.length}:${extent.crc32c}`;
    const bytes = await this.#cache.get(key, (stop) => this.#fetch(extent, path, stop), keep, signal);
    return bytes.subarray(part.start, part.start + part.length);
  }

  async #fetch(piece: Piece, path: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
    let found: number | undefined;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const bytes = await this.#store.getBlock(piece.upload, piece.index, piece.offset, piece.length, { signal });
      found = crc32c(bytes);
      if (found === piece.crc32c && bytes.length === piece.length) return bytes;
    }
    const key = blockKey(piece.upload, piece.index);
    throw new NokvError(
      'corrupt',
      `block ${key}${path === undefined ? '' : ` of ${path}`}: expected crc32c ${formatCrc32c(piece.crc32c)} for ${piece.length} bytes from ${piece.offset}, ` +
        `found ${formatCrc32c(found ?? 0)} twice; restore the object from a copy or publish the file again`,
      { details: { key, ...(path === undefined ? {} : { path }) } },
    );
  }
}

interface Ahead {
  readonly part: BodyPart;
  /** Settled by the fetch; undefined for holes. */
  readonly bytes: Promise<Uint8Array>;
}

/** Keeps fetches in flight ahead of a reader: a window that doubles with every chunk taken. */
class ReadAhead {
  readonly #parts: Iterator<BodyPart>;
  readonly #bytesMax: number;
  readonly #fetch: (part: BodyPart) => Promise<Uint8Array>;
  readonly #queue: Ahead[] = [];
  #window = READ_AHEAD_BYTES_FIRST;
  #queued = 0;
  #ended = false;

  constructor(parts: Iterable<BodyPart>, bytesMax: number, fetch: (part: BodyPart) => Promise<Uint8Array>) {
    this.#parts = parts[Symbol.iterator]();
    this.#bytesMax = bytesMax;
    this.#fetch = fetch;
  }

  next(): Ahead | undefined {
    this.#fill();
    const first = this.#queue.shift();
    if (first === undefined) return undefined;
    this.#queued -= costOf(first.part);
    this.#window = Math.min(this.#window * 2, this.#bytesMax);
    this.#fill();
    return first;
  }

  #fill(): void {
    while (!this.#ended && (this.#queue.length === 0 || this.#queued < this.#window) && this.#queue.length < AHEAD_PIECES_MAX) {
      const next = this.#parts.next();
      if (next.done === true) {
        this.#ended = true;
        return;
      }
      const part = next.value;
      const bytes = isHole(part.extent) ? Promise.resolve(new Uint8Array(0)) : this.#fetch(part);
      bytes.catch(() => undefined); // Thrown when the reader comes to it.
      this.#queue.push({ part, bytes });
      this.#queued += costOf(part);
    }
  }
}

/** Memory that a part takes while it waits: its whole piece. */
function costOf({ extent }: BodyPart): number {
  return isHole(extent) ? 0 : extent.length;
}

function* zeros(length: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(Math.min(length, HOLE_BYTES_MAX));
  for (let left = length; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}
