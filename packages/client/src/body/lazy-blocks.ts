/**
 * How this client reaches blocks: asked of the server once, opened when the first body needs it. It is a block store
 * itself, so that readers and uploads can be made before anybody knows whether they will touch a block.
 */
import { openBlockStore, orAborted, type BlockStore } from '@nokv/object';
import type { AccessResult, BlockAccess, Clock, Random } from '@nokv/types';
import { NokvError, isNokvError } from '@nokv/types';
import type { CallOptions, MetadataClient } from '../metadata-client.js';

export interface LazyBlocksOptions {
  readonly metadata: MetadataClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
  /** Ways that may be used; undefined: whatever the server offers. */
  readonly ways: readonly BlockAccess['kind'][] | undefined;
}

/** A way that is about to be opened should be good for a while. */
const SPARE_MS = 60_000;

export class LazyBlocks implements BlockStore {
  readonly #options: LazyBlocksOptions;
  /** An opening serves every call: it ends with the client, not with the call that began it. */
  readonly #closing = new AbortController();
  #access: Promise<AccessResult> | undefined;
  #store: Promise<BlockStore> | undefined;
  /** Stores that were given up; bounded by how often a server moves. */
  readonly #left: BlockStore[] = [];
  #description = 'blocks as the server offers them';
  #isLocal: boolean | undefined;

  constructor(options: LazyBlocksOptions) {
    this.#options = options;
  }

  get description(): string {
    return this.#description;
  }

  /** Known once the first block was asked for. */
  get isLocal(): boolean | undefined {
    return this.#isLocal;
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

  putBlock(...call: Parameters<BlockStore['putBlock']>): Promise<void> {
    return this.#use(call[3].signal, (store) => store.putBlock(...call));
  }

  getBlock(...call: Parameters<BlockStore['getBlock']>): Promise<Uint8Array> {
    return this.#use(call[4]?.signal, (store) => store.getBlock(...call));
  }

  async close(): Promise<void> {
    this.#closing.abort(new NokvError('cancelled', 'the client was closed'));
    const last = await this.#store?.catch(() => undefined);
    this.#store = undefined;
    for (const store of [...this.#left.splice(0), ...(last === undefined ? [] : [last])]) await store.close();
  }

  /** A way that has ended (another server serves now, at another address) is asked for again, once a call. */
  async #use<Result>(signal: AbortSignal | undefined, call: (store: BlockStore) => Promise<Result>): Promise<Result> {
    const store = await this.#opened(signal);
    try {
      return await call(store);
    } catch (error) {
      if (!isNokvError(error) || error.kind !== 'unavailable' || signal?.aborted === true) throw error;
      if (!(await this.#hasMoved(store, { signal }))) throw error;
      return call(await this.#opened(signal));
    }
  }

  /** Waits for the opening no longer than the call may take. */
  #opened(signal: AbortSignal | undefined): Promise<BlockStore> {
    return orAborted(this.open({ signal }), signal);
  }

  async #hasMoved(failed: BlockStore, options: CallOptions): Promise<boolean> {
    const before = await this.access(options);
    const fresh = await this.#options.metadata.access(options);
    // Somebody else may have noticed meanwhile.
    if ((await this.#store) !== failed) return true;
    if (placesOf(before) === placesOf(fresh)) return false;
    this.#access = Promise.resolve(fresh);
    this.#store = undefined;
    // Calls of others may still be on their way over it.
    this.#left.push(failed);
    return true;
  }

  async #open(options: CallOptions): Promise<BlockStore> {
    const { metadata, env = {}, clock, random } = this.#options;
    const access = await this.#freshAccess(options);
    const renew = async () => (await metadata.access()).ways;
    const store = await openBlockStore(this.#allowed(access.ways), {
      env,
      renew,
      signal: this.#closing.signal,
      clock,
      random,
      presign: { puts: (args) => metadata.presignPuts(args), gets: (args) => metadata.presignGets(args) },
    });
    this.#description = store.description;
    this.#isLocal = store.isLocal;
    return store;
  }

  /** What was answered long ago may have expired: a way is not to be passed over for that. */
  async #freshAccess(options: CallOptions): Promise<AccessResult> {
    const known = await this.access(options);
    const soonMs = this.#options.clock.nowMs() + SPARE_MS;
    if (known.ways.every((way) => !('expiresAtMs' in way) || way.expiresAtMs > soonMs)) return known;
    this.#access = undefined;
    return this.access(options);
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

/** Where the ways lead, without what expires. */
function placesOf({ ways }: AccessResult): string {
  return JSON.stringify(
    ways.map((way) => {
      if (way.kind === 'proxied') return way.url;
      return way.kind === 'presigned' ? [way.description, way.marker] : way;
    }),
  );
}
