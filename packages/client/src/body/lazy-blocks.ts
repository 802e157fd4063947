/** How this client reaches blocks: asked of the server once, opened when the first body needs it. */
import type { BlockStore } from '@nokv/object';
import type { AccessResult, Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { CallOptions, MetadataClient } from '../metadata-client.js';

export interface LazyBlocksOptions {
  readonly metadata: MetadataClient;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
}

export class LazyBlocks {
  readonly #options: LazyBlocksOptions;
  #access: Promise<AccessResult> | undefined;
  #store: Promise<BlockStore> | undefined;

  constructor(options: LazyBlocksOptions) {
    this.#options = options;
  }

  /** A failure is not kept: the next caller asks again. */
  access(options: CallOptions = {}): Promise<AccessResult> {
    if (this.#access === undefined) {
      const asked = this.#options.metadata.access(options);
      this.#access = asked;
      asked.catch(() => {
        if (this.#access === asked) this.#access = undefined;
      });
    }
    return this.#access;
  }

  open(options: CallOptions = {}): Promise<BlockStore> {
    if (this.#store === undefined) {
      const opened = this.#open(options);
      this.#store = opened;
      opened.catch(() => {
        if (this.#store === opened) this.#store = undefined;
      });
    }
    return this.#store;
  }

  async close(): Promise<void> {
    const store = await this.#store?.catch(() => undefined);
    this.#store = undefined;
    await store?.close();
  }

  async #open(options: CallOptions): Promise<BlockStore> {
    await this.access(options);
    throw new NokvError('unsupported', 'this build of the client has no way to reach blocks');
  }
}
