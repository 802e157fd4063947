/**
 * How this client reaches blocks: asked of the server once, opened when the first body needs it. It is a block store
 * itself, so that readers and uploads can be made before anybody knows whether they will touch a block.
 */
import { openBlockStore, type BlockStore } from '@nokv/object';
import type { AccessResult, BlockAccess, Clock, Random } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { CallOptions, MetadataClient } from '../metadata-client.js';

export interface LazyBlocksOptions {
  readonly metadata: MetadataClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
  /** Ways that may be used; undefined: whatever the server offers. */
  readonly ways: readonly BlockAccess['kind'][] | undefined;
}

export class LazyBlocks implements BlockStore {
  readonly #options: LazyBlocksOptions;
  #access: Promise<AccessResult> | undefined;
  #store: Promise<BlockStore> | undefined;
  #description = 'blocks as the server offers them';

  constructor(options: LazyBlocksOptions) {
    this.#options = options;
  }

  get description(): string {
    return this.#description;
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

  async putBlock(...call: Parameters<BlockStore['putBlock']>): Promise<void> {
    return (await this.open({ signal: call[3].signal })).putBlock(...call);
  }

  async getBlock(...call: Parameters<BlockStore['getBlock']>): Promise<Uint8Array> {
    return (await this.open({ signal: call[4]?.signal })).getBlock(...call);
  }

  async close(): Promise<void> {
    const store = await this.#store?.catch(() => undefined);
    this.#store = undefined;
    await store?.close();
  }

  async #open(options: CallOptions): Promise<BlockStore> {
    const { metadata, env = {}, clock, random } = this.#options;
    const access = await this.access(options);
    const renew = async () => (await metadata.access()).ways;
    const store = await openBlockStore(this.#allowed(access.ways), { env, renew, clock, random });
    this.#description = store.description;
    return store;
  }

  #allowed(offered: readonly BlockAccess[]): readonly BlockAccess[] {
    const { ways } = this.#options;
    if (ways === undefined) return offered;
    const allowed = offered.filter(({ kind }) => ways.includes(kind));
    if (allowed.length > 0) return allowed;
    const found = offered.map(({ kind }) => kind).join(', ');
    throw new NokvError('unsupported', `expected the server to offer one of ${ways.join(', ')} as way to the blocks, found ${found}`);
  }
}
