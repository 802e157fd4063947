/**
 * Verified pieces in memory, least recently used first out, bounded by bytes; and one fetch for all who ask for the
 * same piece at once. A fetch ends early only when everybody who waits for it gave up.
 */
import { WORK_OVER, orAborted } from '../cancellation.js';

export type FetchPiece = (signal: AbortSignal) => Promise<Uint8Array>;

export interface PieceCacheFigures {
  /** What the cached pieces take, keys included. */
  readonly bytes: number;
  readonly bytesMax: number;
  readonly hits: number;
  /** Pieces that had to be fetched. */
  readonly misses: number;
  /** Askers that joined a fetch that was under way. */
  readonly joined: number;
  readonly evictions: number;
}

interface Fetching {
  readonly bytes: Promise<Uint8Array>;
  readonly abort: AbortController;
  waiting: number;
  keep: boolean;
  isShared: boolean;
}

/** A key and its place in the map. */
const ENTRY_BYTES = 256;
/** A view of a buffer that is this much larger is copied: it would keep all of it. */
const SLACK_BYTES_MAX = 4096;

export class PieceCache {
  readonly #bytesMax: number;
  /** In order of use: a Map keeps insertion order. */
  readonly #pieces = new Map<string, Uint8Array>();
  readonly #fetching = new Map<string, Fetching>();
  /** Pieces that more than one asker has, or the cache and an asker. */
  readonly #shared = new WeakSet<Uint8Array>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #joined = 0;
  #evictions = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get figures(): PieceCacheFigures {
    return {
      bytes: this.#bytes,
      bytesMax: this.#bytesMax,
      hits: this.#hits,
      misses: this.#misses,
      joined: this.#joined,
      evictions: this.#evictions,
    };
  }

  /** What is cached, as a use of it. */
  hit(key: string): Uint8Array | undefined {
    const cached = this.#pieces.get(key);
    if (cached === undefined) return undefined;
    this.#hits += 1;
    this.#pieces.delete(key);
    this.#pieces.set(key, cached);
    return cached;
  }

  /** @param keep whether the piece stays in the cache afterwards. */
  async get(key: string, fetch: FetchPiece, keep: boolean, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = this.hit(key);
    if (cached !== undefined) return cached;
    const entry = this.#join(key) ?? this.#start(key, fetch);
    entry.keep ||= keep;
    entry.waiting += 1;
    try {
      return await orAborted(entry.bytes, signal);
    } finally {
      entry.waiting -= 1;
      if (entry.waiting === 0 && this.#fetching.get(key) === entry) entry.abort.abort(WORK_OVER);
    }
  }

  /** Whether somebody is fetching it now. */
  isFetching(key: string): boolean {
    return this.#fetching.has(key);
  }

  /** Whether it is here or will be, without counting as a use. */
  isNear(key: string): boolean {
    return this.#pieces.has(key) || this.#fetching.has(key);
  }

  /** Whether others may read these bytes: then they are nobody's to overwrite. */
  isShared(piece: Uint8Array): boolean {
    return this.#shared.has(piece);
  }

  /** Keeps bytes that were read without a fetch. */
  keep(key: string, bytes: Uint8Array): void {
    const size = bytes.length + ENTRY_BYTES;
    if (size > this.#bytesMax || this.#pieces.has(key)) return;
    const held = bytes.buffer.byteLength > bytes.length + SLACK_BYTES_MAX ? Uint8Array.from(bytes) : bytes;
    this.#shared.add(held);
    this.#pieces.set(key, held);
    this.#bytes += size;
    for (const [oldest, old] of this.#pieces) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#pieces.delete(oldest);
      this.#bytes -= old.length + ENTRY_BYTES;
      this.#evictions += 1;
    }
  }

  clear(): void {
    this.#pieces.clear();
    this.#bytes = 0;
  }

  #join(key: string): Fetching | undefined {
    const entry = this.#fetching.get(key);
    if (entry === undefined) return undefined;
    this.#joined += 1;
    entry.isShared = true;
    return entry;
  }

  #start(key: string, fetch: FetchPiece): Fetching {
    this.#misses += 1;
    const abort = new AbortController();
    const entry: Fetching = { bytes: fetch(abort.signal), abort, waiting: 0, keep: false, isShared: false };
    this.#fetching.set(key, entry);
    // After an abort a new asker must not join the dying fetch.
    const forget = (): void => {
      if (this.#fetching.get(key) === entry) this.#fetching.delete(key);
    };
    abort.signal.addEventListener('abort', forget, { once: true });
    // Runs before those who wait go on: what they get is known to be shared or not.
    entry.bytes.then((bytes) => {
      forget();
      if (entry.isShared) this.#shared.add(bytes);
      if (entry.keep) this.keep(key, bytes);
    }, forget);
    return entry;
  }
}
