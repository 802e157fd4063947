/**
 * A recorded upload that stays alive while bytes are on their way: begun when the first block is ready, renewed
 * long before it expires, ended when nothing will be published from it. Ending is a courtesy: an upload that is
 * not ended expires, and only the server's sweep ever removes blocks.
 */
import { UploadSession, type BlockStore } from '@nokv/object';
import { UPLOAD_TTL_MS_DEFAULT, isNokvError, type RequestId, type UploadId } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { ResumedGrant } from './resumable-upload.js';

/** Of every lease that ends: a default reason is made anew, with its stack, each time. */
const RELEASED = new Error('the upload is no longer renewed');

export interface UploadLeaseOptions {
  /** Shown to operators. */
  readonly target: string;
  readonly signal: AbortSignal;
  /** Of `begin-upload`: under the same id a repeat meets the upload that it began before, even one that was published. */
  readonly requestId?: RequestId | undefined;
  /** How long the upload outlives its client; default 15 minutes. */
  readonly ttlMs?: number | undefined;
  /** An open upload that is gone on with instead of a new one. */
  readonly resumed?: ResumedGrant | undefined;
  /** Called before any block is sent. */
  readonly onBegun?: ((upload: UploadId) => Promise<void>) | undefined;
}

/** What a courtesy may take. */
const END_TIMEOUT_MS = 2000;

export class UploadLease {
  readonly session: UploadSession;
  readonly #context: ClientContext;
  readonly #options: UploadLeaseOptions;
  readonly #stop = new AbortController();
  /** Asked once for all who wait. */
  #renewing: Promise<string> | undefined;

  constructor(context: ClientContext, options: UploadLeaseOptions) {
    this.#context = context;
    this.#options = options;
    const store = options.requestId === undefined ? context.store : toleratingEnded(context.store);
    this.session = new UploadSession({ store: this.#withFreshTickets(store), begin: () => this.#begin() });
  }

  /** The upload's id, once there is one. */
  async upload(): Promise<UploadId | undefined> {
    return (await this.session.started)?.upload;
  }

  /** Ends the renewals; the upload lives on until it expires. */
  release(): void {
    this.#stop.abort(RELEASED);
  }

  async #begin() {
    const { resumed, onBegun } = this.#options;
    const { upload, ticket } = resumed ?? (await this.#record());
    await onBegun?.(upload);
    void this.#renew(upload);
    return { upload, ticket };
  }

  async #record(): Promise<{ readonly upload: UploadId; readonly ticket: string }> {
    const { target, signal, requestId } = this.#options;
    const args = { target: clippedTarget(target), ttlMs: this.#ttlMs };
    return (await this.#context.metadata.mutate('begin-upload', args, { signal, requestId })).result;
  }

  get #ttlMs(): number {
    return this.#options.ttlMs ?? UPLOAD_TTL_MS_DEFAULT;
  }

  /** Ends with `release`, or when the upload is gone: then the next put or the publish says so. */
  async #renew(upload: UploadId): Promise<void> {
    for (;;) {
      try {
        await this.#context.clock.sleep(Math.min(this.#ttlMs, UPLOAD_TTL_MS_DEFAULT) / 3, this.#stop.signal);
        await this.#renewNow(upload);
      } catch (error) {
        // A server that is away now may be back before the upload expires.
        if (this.#stop.signal.aborted || !isNokvError(error) || error.kind !== 'unavailable') return;
      }
    }
  }

  async #renewNow(upload: UploadId): Promise<string> {
    const { result } = await this.#context.metadata.mutate('renew-upload', { upload, ttlMs: this.#ttlMs }, { signal: this.#stop.signal });
    this.session.renewed({ upload, ticket: result.ticket });
    return result.ticket;
  }

  /** Another node that serves now does not know the tickets of the last one: a put that is refused for its ticket asks for a new one, once. */
  #withFreshTickets(store: BlockStore): BlockStore {
    return {
      description: store.description,
      getBlock: (...call) => store.getBlock(...call),
      close: () => store.close(),
      putBlock: async (upload, index, bytes, options) => {
        try {
          await store.putBlock(upload, index, bytes, options);
        } catch (error) {
          if (!isNokvError(error, 'bad-token')) throw error;
          this.#renewing ??= this.#renewNow(upload).finally(() => (this.#renewing = undefined));
          await store.putBlock(upload, index, bytes, { ...options, ticket: await this.#renewing });
        }
      },
    };
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
