/**
 * A verified piece from the nearest place that has it: the disk cache, else the store, whose pieces then go to the disk cache behind the
 * reader's back. Gets of the store run under one budget.
 */
import { isNokvError, type Piece } from '@nokv/types';
import { crc32c } from '../block-checksum.js';
import type { BlockStore } from '../block-store.js';
import type { DiskCache } from '../cache/disk-cache.js';
import { throwIfAborted } from '../cancellation.js';
import { FetchBudget } from './fetch-budget.js';
import { fetchPiece } from './fetch-piece.js';

export interface PieceSourceOptions {
  readonly store: BlockStore;
  readonly disk: DiskCache | undefined;
  /** Pieces of a store on this machine's own disk are not copied to another place of it. */
  readonly skipLocal: boolean;
  readonly fetchesMax: number;
}

export interface SourceOptions {
  readonly path?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Used when it is large enough; the caller's again once {@link PieceSource.unused} resolves. */
  readonly into?: Uint8Array | undefined;
}

export interface StoreFigures {
  /** Requests for parts of blocks, repeats after a mismatch included. */
  readonly gets: number;
  readonly bytes: number;
}

/** Neighbouring pieces of one block, in the order of their offsets. */
export type PieceGroup = readonly [Piece, ...Piece[]];

export class PieceSource {
  readonly disk: DiskCache | undefined;
  readonly #store: BlockStore;
  readonly #skipLocal: boolean;
  readonly #budget: FetchBudget;
  readonly #unwritten = new WeakMap<ArrayBufferLike, Promise<unknown>>();
  #gets = 0;
  #bytes = 0;

  constructor({ store, disk, skipLocal, fetchesMax }: PieceSourceOptions) {
    this.disk = disk;
    this.#skipLocal = skipLocal;
    this.#budget = new FetchBudget(fetchesMax);
    this.#store = {
      description: store.description,
      putBlock: (...call) => store.putBlock(...call),
      getBlock: async (...call) => {
        this.#gets += 1;
        const bytes = await store.getBlock(...call);
        this.#bytes += bytes.length;
        return bytes;
      },
      get isLocal() {
        return store.isLocal;
      },
      close: () => store.close(),
    };
  }

  get figures(): StoreFigures {
    return { gets: this.#gets, bytes: this.#bytes };
  }

  async piece(piece: Piece, options: SourceOptions): Promise<Uint8Array> {
    const cached = await this.disk?.read(piece, options.into);
    if (cached !== undefined) return cached;
    return await this.fetch(piece, options);
  }

  /** Into the disk cache, if it is not there and right; true when the store was asked. */
  async warm(piece: Piece, options: SourceOptions): Promise<boolean> {
    const { disk } = this;
    if (disk === undefined || (await disk.read(piece)) !== undefined) return false;
    const bytes = await this.fetch(piece, options);
    if (!this.fillsDisk) await disk.put(piece, bytes);
    return true;
  }

  /** From the store, whatever the disk has. */
  async fetch(piece: Piece, { path, signal, into }: SourceOptions): Promise<Uint8Array> {
    return await this.#budget.run(async () => {
      throwIfAborted(signal);
      const bytes = await fetchPiece(this.#store, piece, { path, signal, into });
      await this.#toDisk(piece, bytes);
      return bytes;
    });
  }

  /**
   * Several pieces of one block with one get, gaps between them included; each is verified for itself. Pieces that do not match are
   * absent from the answer, and so are all of a block that is short or gone: fetched alone they tell why.
   */
  async group(pieces: PieceGroup, signal: AbortSignal | undefined): Promise<ReadonlyMap<Piece, Uint8Array>> {
    return await this.#budget.run(async () => {
      throwIfAborted(signal);
      const [first] = pieces;
      const end = Math.max(...pieces.map(({ offset, length }) => offset + length));
      const found = new Map<Piece, Uint8Array>();
      const all = await this.#store.getBlock(first.upload, first.index, first.offset, end - first.offset, { signal }).catch(noneIfDamaged);
      if (all === undefined) return found;
      for (const piece of pieces) {
        const bytes = all.subarray(piece.offset - first.offset, piece.offset - first.offset + piece.length);
        if (bytes.length !== piece.length || crc32c(bytes) !== piece.crc32c) continue;
        found.set(piece, bytes);
        await this.#toDisk(piece, bytes);
      }
      return found;
    });
  }

  /** Bytes of a piece as the store has them: unverified, and not for the disk. */
  async range(piece: Piece, start: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return await this.#budget.run(async () => {
      throwIfAborted(signal);
      return await this.#store.getBlock(piece.upload, piece.index, piece.offset + start, length, { signal });
    });
  }

  /** Resolves when nothing here needs the bytes any more. */
  unused(bytes: Uint8Array): Promise<unknown> | undefined {
    return this.#unwritten.get(bytes.buffer);
  }

  /** Whether pieces from the store are kept on the disk. */
  get fillsDisk(): boolean {
    return this.disk !== undefined && !(this.#skipLocal && this.#store.isLocal === true);
  }

  async #toDisk(piece: Piece, bytes: Uint8Array): Promise<void> {
    if (this.disk === undefined || !this.fillsDisk) return;
    const { written } = await this.disk.put(piece, bytes);
    const { buffer } = bytes;
    const before = this.#unwritten.get(buffer);
    const unused = Promise.all([before, written]).finally(() => {
      if (this.#unwritten.get(buffer) === unused) this.#unwritten.delete(buffer);
    });
    this.#unwritten.set(buffer, unused);
  }
}

function noneIfDamaged(error: unknown): undefined {
  if (!isNokvError(error, 'no-object') && !isNokvError(error, 'corrupt')) throw error;
  return undefined;
}
