/**
 * One upload's ledger row as several bodies share it: the row is asked for when the first block needs it, and every
 * block index is handed out once.
 */
import { NokvError, UPLOAD_BLOCKS_MAX, type UploadId } from '@nokv/types';
import type { BlockStore } from '../block-store.js';

export interface UploadGrant {
  readonly upload: UploadId;
  /** For proxied puts. */
  readonly ticket?: string | undefined;
}

export interface UploadSessionOptions {
  readonly store: BlockStore;
  /** Records the upload (`begin-upload`); called when the first block is ready, and again only after it failed. */
  begin(): Promise<UploadGrant>;
  /** First free index, for an upload that is resumed; default 0. */
  readonly firstIndex?: number | undefined;
}

export class UploadSession {
  readonly store: BlockStore;
  readonly #begin: () => Promise<UploadGrant>;
  #grant: Promise<UploadGrant> | undefined;
  #nextIndex: number;

  constructor(options: UploadSessionOptions) {
    this.store = options.store;
    this.#begin = () => options.begin();
    this.#nextIndex = options.firstIndex ?? 0;
  }

  /** The ledger row, if one was needed so far. */
  get started(): Promise<UploadGrant> | undefined {
    return this.#grant;
  }

  /** A failure is not kept: the next body asks again. */
  grant(): Promise<UploadGrant> {
    if (this.#grant === undefined) {
      const asked = this.#begin();
      this.#grant = asked;
      asked.catch(() => {
        if (this.#grant === asked) this.#grant = undefined;
      });
    }
    return this.#grant;
  }

  /** Replaces the ticket after a renewal. */
  renewed(grant: UploadGrant): void {
    this.#grant = Promise.resolve(grant);
  }

  takeIndex(): number {
    return this.indexAt(this.#nextIndex++);
  }

  /** For a body that has the upload to itself and numbers its blocks. */
  indexAt(index: number): number {
    if (index < UPLOAD_BLOCKS_MAX) return index;
    throw new NokvError('too-large', `expected at most ${UPLOAD_BLOCKS_MAX} blocks in one upload; begin another`);
  }
}
