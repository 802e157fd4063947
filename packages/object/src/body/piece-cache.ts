/**
 * Verified pieces in memory, least recently used first out, bounded by bytes; and one fetch for all who ask for the
 * same piece at once. A fetch ends early only when everybody who waits for it gave up.
 */
import { orAborted } from '../cancellation.js';

export type FetchPiece = (signal: AbortSignal) => Promise<Uint8Array>;

interface Fetching {
  readonly bytes: Promise<Uint8Array>;
  readonly abort: AbortController;
  waiting: number;
  keep: boolean;
}

export class PieceCache {
  readonly #bytesMax: number;
  /** In order of use: a Map keeps insertion order. */
  readonly #pieces = new Map<string, Uint8Array>();
  readonly #fetching = new Map<string, Fetching>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param keep whether the piece stays in the cache afterwards. */
  async get(key: string, fetch: FetchPiece, keep: boolean, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = this.#pieces.get(key);
    if (cached !== undefined) {
      this.#pieces.delete(key);
      this.#pieces.set(key, cached);
      return cached;
    }
    const entry = this.#fetching.get(key) ?? this.#start(key, fetch);
    entry.keep ||= keep;
    entry.waiting += 1;
    try {
      return await orAborted(entry.bytes, signal);
    } finally {
      entry.waiting -= 1;
      if (entry.waiting === 0) entry.abort.abort();
    }
  }

  /** What is cached, without counting as a use. */
  peek(key: string): Uint8Array | undefined {
    return this.#pieces.get(key);
  }

  clear(): void {
    this.#pieces.clear();
    this.#bytes = 0;
  }

  #start(key: string, fetch: FetchPiece): Fetching {
    const abort = new AbortController();
    const entry: Fetching = { bytes: fetch(abort.signal), abort, waiting: 0, keep: false };
    this.#fetching.set(key, entry);
    // After an abort a new asker must not join the dying fetch.
    const forget = (): void => {
      if (this.#fetching.get(key) === entry) this.#fetching.delete(key);
    };
    abort.signal.addEventListener('abort', forget, { once: true });
    entry.bytes.then((bytes) => {
      forget();
      if (entry.keep) this.#insert(key, bytes);
    }, forget);
    return entry;
  }

  #insert(key: string, bytes: Uint8Array): void {
    if (bytes.length > this.#bytesMax || this.#pieces.has(key)) return;
    this.#pieces.set(key, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, old] of this.#pieces) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#pieces.delete(oldest);
      this.#bytes -= old.length;
    }
  }
}
