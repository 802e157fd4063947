/**
 * Small parts of large pieces, read and verified by themselves: their chunks from the disk cache, else from the store where the manifest
 * has checksums of chunks. What they come to is in memory afterwards, 64 KiB at a time.
 *
 * Invariant: no byte is shown that the checksums before and behind its chunk do not prove. Where anything disagrees there is no
 * answer here, and the whole piece, which its own checksum proves, decides.
 */
import { isNokvError, type Piece, type PieceChunks } from '@nokv/types';
import { CHUNK_BYTES } from '../cache/cache-entry.js';
import type { BodyPart } from './body-parts.js';
import type { PieceCache } from './piece-cache.js';
import { matchesSpan, spanOf, type ChunkSpan } from './piece-chunks.js';
import type { PieceSource } from './piece-source.js';

export interface PartReadOptions {
  readonly path?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Whether what is read stays in memory. */
  readonly keep: boolean;
}

/** A part is read alone when it is at most this fraction of its piece. */
const SMALL_PART = 4;
/** Parts of one piece that are fetched alone at once; who comes then fetches all of it, and others join that. */
const AT_ONCE_MAX = 4;
/** Once this fraction of a piece came in parts, all of it is worth having on the disk. */
const WHOLE_AFTER = 4;
/** Pieces whose parts are counted. */
const COUNTED_MAX = 4096;

interface PieceParts {
  active: number;
  bytes: number;
}

/** Parts of one piece that were asked for in one turn of the event loop. */
interface Round {
  readonly spans: Set<string>;
  /** Whether so many came that all of the piece is to be fetched. */
  readonly isCrowded: Promise<boolean>;
}

/** What a fetch ends with whose bytes the checksums do not prove. */
class Unproved extends Error {}

export class PartReads {
  readonly #source: PieceSource;
  readonly #cache: PieceCache;
  readonly #parts = new Map<string, PieceParts>();
  readonly #rounds = new Map<string, Round>();

  constructor(source: PieceSource, cache: PieceCache) {
    this.#source = source;
    this.#cache = cache;
  }

  /** The part, or undefined where its whole piece is to be read. */
  async read(key: string, piece: Piece, part: BodyPart, options: PartReadOptions): Promise<Uint8Array | undefined> {
    const { start, length } = part;
    // Parts of what is compressed are nothing.
    if (piece.compression !== undefined) return undefined;
    if (length * SMALL_PART > piece.length || piece.length <= CHUNK_BYTES || this.#cache.isFetching(key)) return undefined;
    const known = this.#fromMemory(key, start, length);
    if (known !== undefined) return known;
    const found = (await this.#source.disk?.readChunks(piece, start, length)) ?? (await this.#fromStore(key, piece, part, options));
    if (found === undefined) return undefined;
    if (options.keep) this.#keep(key, found);
    const from = start - found.first * CHUNK_BYTES;
    return found.bytes.subarray(from, from + length);
  }

  /** A view where one chunk has it all, else a copy. */
  #fromMemory(key: string, start: number, length: number): Uint8Array | undefined {
    const first = Math.floor(start / CHUNK_BYTES);
    const last = Math.floor((start + Math.max(length, 1) - 1) / CHUNK_BYTES);
    for (let chunk = first; chunk <= last; chunk += 1) if (!this.#cache.isNear(`${key}#${chunk}`)) return undefined;
    const within = start - first * CHUNK_BYTES;
    if (first === last) return this.#cache.hit(`${key}#${first}`)?.subarray(within, within + length);
    const whole = new Uint8Array(length);
    for (let chunk = first; chunk <= last; chunk += 1) {
      const bytes = this.#cache.hit(`${key}#${chunk}`);
      if (bytes === undefined) return undefined;
      const from = Math.max(0, start - chunk * CHUNK_BYTES);
      const to = Math.min(CHUNK_BYTES, start + length - chunk * CHUNK_BYTES);
      whole.set(bytes.subarray(from, to), chunk * CHUNK_BYTES + from - start);
    }
    return whole;
  }

  #keep(key: string, { first, bytes }: Chunks): void {
    for (let start = 0, at = first; start < bytes.length; start += CHUNK_BYTES, at += 1) {
      this.#cache.keep(`${key}#${at}`, bytes.subarray(start, start + CHUNK_BYTES));
    }
  }

  async #fromStore(key: string, piece: Piece, part: BodyPart, options: PartReadOptions): Promise<Chunks | undefined> {
    const { chunks } = piece;
    if (chunks === undefined) return undefined;
    const span = spanOf(piece, chunks, part.start, part.length);
    const parts = this.#partsOf(key);
    const spanKey = `${key}#${span.start}+${span.length}`;
    if (!this.#cache.isFetching(spanKey)) {
      if (await this.#isCrowded(key, spanKey)) return undefined;
    }
    if (!this.#cache.isFetching(spanKey)) {
      const isWholeWanted = this.#source.fillsDisk && parts.bytes * WHOLE_AFTER >= piece.length;
      if (span.length * SMALL_PART > piece.length || parts.active >= AT_ONCE_MAX || isWholeWanted) return undefined;
      parts.bytes += span.length;
    }
    parts.active += 1;
    try {
      const fetch = (stop: AbortSignal): Promise<Uint8Array> => this.#fetch(piece, chunks, span, stop);
      const bytes = await this.#cache.get(spanKey, fetch, false, options.signal);
      return { first: span.start / CHUNK_BYTES, bytes };
    } catch (error) {
      if (error instanceof Unproved || isNokvError(error, 'corrupt') || isNokvError(error, 'no-object')) return undefined;
      throw error;
    } finally {
      parts.active -= 1;
    }
  }

  /** Waits for the end of the turn: many readers that begin together cause one fetch, of the piece. */
  async #isCrowded(key: string, spanKey: string): Promise<boolean> {
    const round = this.#rounds.get(key) ?? this.#begin(key);
    round.spans.add(spanKey);
    return (await round.isCrowded) || this.#cache.isFetching(key);
  }

  #begin(key: string): Round {
    const spans = new Set<string>();
    const isCrowded = new Promise<boolean>((decide) =>
      setImmediate(() => {
        this.#rounds.delete(key);
        decide(spans.size > AT_ONCE_MAX);
      }),
    );
    const round = { spans, isCrowded };
    this.#rounds.set(key, round);
    return round;
  }

  async #fetch(piece: Piece, chunks: PieceChunks, span: ChunkSpan, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#source.range(piece, span.start, span.length, signal);
    if (!matchesSpan(piece, chunks, span, bytes)) throw new Unproved();
    return bytes;
  }

  #partsOf(key: string): PieceParts {
    const known = this.#parts.get(key);
    if (known !== undefined) return known;
    const parts = { active: 0, bytes: 0 };
    this.#parts.set(key, parts);
    for (const [oldest, { active }] of this.#parts) {
      if (this.#parts.size <= COUNTED_MAX) break;
      if (active === 0) this.#parts.delete(oldest);
    }
    return parts;
  }
}

/** Verified bytes of whole chunks, from the one with this number on. */
interface Chunks {
  readonly first: number;
  readonly bytes: Uint8Array;
}
