/**
 * A recorded upload that stays alive while bytes are on their way: begun when the first block is ready, renewed
 * long before it expires, ended when nothing will be published from it. Ending is a courtesy: an upload that is
 * not ended expires, and only the server's sweep ever removes blocks.
 */
import { UploadSession, type BlockStore } from '@nokv/object';
import { UPLOAD_TTL_MS_DEFAULT, isNokvError, type RequestId, type UploadId } from '@nokv/types';
import type { ClientContext } from '../client-context.js';

export interface UploadLeaseOptions {
  /** Shown to operators. */
  readonly target: string;
  readonly signal: AbortSignal;
  /** Of `begin-upload`: under the same id a repeat meets the upload that it began before, even one that was published. */
  readonly requestId?: RequestId | undefined;
}

/** What a courtesy may take. */
const END_TIMEOUT_MS = 2000;

export class UploadLease {
  readonly session: UploadSession;
  readonly #context: ClientContext;
  readonly #options: UploadLeaseOptions;
  readonly #stop = new AbortController();

  constructor(context: ClientContext, options: UploadLeaseOptions) {
    this.#context = context;
    this.#options = options;
    const store = options.requestId === undefined ? context.store : toleratingEnded(context.store);
    this.session = new UploadSession({ store, begin: () => this.#begin() });
  }

  /** The upload's id, once there is one. */
  async upload(): Promise<UploadId | undefined> {
    return (await this.session.started)?.upload;
  }

  /** Ends the renewals; the upload lives on until it expires. */
  release(): void {
    this.#stop.abort();
  }

  async #begin() {
    const { target, signal, requestId } = this.#options;
    const args = { target: clippedTarget(target), ttlMs: UPLOAD_TTL_MS_DEFAULT };
    const { result } = await this.#context.metadata.mutate('begin-upload', args, { signal, requestId });
    void this.#renew(result.upload);
    return { upload: result.upload, ticket: result.ticket };
  }

  /** Ends with `release`, or when the upload is gone: then the next put or the publish says so. */
  async #renew(upload: UploadId): Promise<void> {
    const { clock, metadata } = this.#context;
    try {
      for (;;) {
        await clock.sleep(UPLOAD_TTL_MS_DEFAULT / 3, this.#stop.signal);
        const { result } = await metadata.mutate('renew-upload', { upload, ttlMs: UPLOAD_TTL_MS_DEFAULT }, { signal: this.#stop.signal });
        this.session.renewed({ upload, ticket: result.ticket });
      }
    } catch {
      // Released, or refused: what needs the upload meets the refusal itself.
    }
  }
}

/** Tells the server that nothing more comes from an upload. A failure is not the caller's concern. */
export async function endUpload(context: ClientContext, upload: UploadId | undefined): Promise<void> {
  if (upload === undefined) return;
  await context.metadata.mutate('end-upload', { upload }, { timeoutMs: END_TIMEOUT_MS }).catch(() => undefined);
}

/** Blocks of an upload that was published before are in place already; the publish, repeated, tells what became of it. */
function toleratingEnded(store: BlockStore): BlockStore {
  return {
    description: store.description,
    getBlock: (...call) => store.getBlock(...call),
    close: () => store.close(),
    async putBlock(...call) {
      try {
        await store.putBlock(...call);
      } catch (error) {
        if (!isNokvError(error, 'no-upload')) throw error;
      }
    },
  };
}

/** Text for operators: long paths show their end. */
export function clippedTarget(target: string): string {
  return target.length <= 200 ? target : `…${target.slice(-199)}`;
}
