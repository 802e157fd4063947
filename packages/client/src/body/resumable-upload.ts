/** One put of a local file that can go on where an earlier one ended; see `upload-notes.ts` for what that relies on. */
import type { BlockPlace, ResumeHooks, StoredBlock } from '@nokv/object';
import { UPLOAD_TTL_MS_DEFAULT, UPLOAD_TTL_MS_MAX, isNokvError, type UploadId } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { ResumeOptions } from '../nokv-client.js';
import type { FileIdentity } from './local-file-source.js';
import { UploadNotes } from './upload-notes.js';

/** An upload that is still open. */
export interface ResumedGrant {
  readonly upload: UploadId;
  readonly ticket: string;
}

export class ResumableUpload implements ResumeHooks {
  readonly ttlMs: number;
  /** Bytes that an earlier run had sent. */
  resumedBytes = 0;
  readonly #options: ResumeOptions;
  #notes: UploadNotes | undefined;

  constructor(options: ResumeOptions) {
    this.#options = options;
    this.ttlMs = options.ttlMs ?? (this.goesOn ? UPLOAD_TTL_MS_MAX : UPLOAD_TTL_MS_DEFAULT);
  }

  get goesOn(): boolean {
    return this.#options.mode !== 'note';
  }

  /** The upload of an earlier run of the same file to the same place, if there is one and the server still has it. */
  async open(
    context: ClientContext,
    of: { readonly identity: FileIdentity; readonly target: string; readonly blockBytes: number; readonly compress: string },
    signal: AbortSignal,
  ): Promise<ResumedGrant | undefined> {
    const notes = await UploadNotes.open(this.#options.stateFile, this.goesOn, of);
    this.#notes = notes;
    const upload = notes.earlier;
    if (upload === undefined) return undefined;
    try {
      const { result } = await context.metadata.mutate('renew-upload', { upload, ttlMs: this.ttlMs }, { signal });
      return { upload, ticket: result.ticket };
    } catch (error) {
      if (!isNokvError(error, 'no-upload')) throw error;
      notes.forget();
      return undefined;
    }
  }

  async begun(upload: UploadId): Promise<void> {
    try {
      await this.#notes?.begun(upload);
    } catch (error) {
      // Where nobody asked to go on later, notes that cannot be taken are no reason to fail.
      if (this.goesOn) throw error;
      this.#notes = undefined;
    }
  }

  storedBefore(block: BlockPlace): StoredBlock | undefined {
    const stored = this.#notes?.storedBefore(block);
    if (stored !== undefined) this.resumedBytes += block.length;
    return stored;
  }

  async stored(block: BlockPlace, as: StoredBlock): Promise<void> {
    await this.#notes?.stored(block, as);
  }

  /** Whether what was sent is to be kept for a later run after this failure. */
  keepsAfter(error: unknown): boolean {
    return this.goesOn && isNokvError(error) && (error.kind === 'unavailable' || error.kind === 'fenced' || error.outcome === 'unknown');
  }

  /** @param isOver whether nothing will go on from here: the body is published, or never will be. */
  async close(isOver: boolean): Promise<void> {
    if (isOver) await this.#notes?.remove();
    else await this.#notes?.close();
  }
}
