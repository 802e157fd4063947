/** One life of the server's process: an engine over the simulated ports, until it is closed or the machine stops. */
import { ImageKeeper, openShard, openSharedShard, type ImagePolicy, type LogStore, type ShardEngine, type ShardOptions } from '@nokv/meta';
import { NokvError, shardId, toNokvError, type Epoch } from '@nokv/types';
import { deferred } from './deferred.js';
import type { DeliberateBug } from './deliberate-bugs.js';
import type { SeededRandom } from './seeded-random.js';
import { SimClock, type SimTime } from './sim-clock.js';
import type { SimKv } from './sim-kv.js';

export type Answer<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly error: NokvError }
  | { readonly kind: 'died' };

export interface SharedOptions {
  readonly store: LogStore;
  readonly epoch: Epoch;
  readonly hasBeenServed: boolean;
  readonly images: Partial<ImagePolicy>;
}

export interface OpenOptions {
  readonly bug: DeliberateBug | undefined;
  /** Undefined: durable is what the own disk has flushed. */
  readonly shared: SharedOptions | undefined;
}

export const SHARD = shardId(0);
const APPEND_TIMEOUT_MS = 10_000;

export class SimProcess {
  readonly kv: SimKv;
  readonly clock: SimClock;
  /** Undefined while it opens, and when it serves no more. */
  engine: ShardEngine | undefined;
  /** Why it serves no more without having been stopped. */
  failure: Error | undefined;
  /** Of a shard with a shared log. */
  images: ImageKeeper | undefined;
  #isDead = false;
  readonly #died = deferred<'died'>();

  constructor(kv: SimKv, time: SimTime) {
    this.kv = kv;
    this.clock = new SimClock(time);
  }

  async open(options: Pick<ShardOptions, 'retention' | 'window'>, random: SeededRandom, { bug, shared }: OpenOptions): Promise<void> {
    const given: ShardOptions = { ...options, kv: this.kv, shard: SHARD, clock: this.clock, random };
    const asked = bug?.options?.(given) ?? given;
    const kv = bug?.kv?.(asked.kv) ?? asked.kv;
    const engine =
      shared === undefined
        ? await openShard({ ...asked, kv })
        : await this.#openShared({ ...asked, kv }, random, { ...shared, store: bug?.log?.(shared.store) ?? shared.store });
    this.engine = bug?.engine?.(engine) ?? engine;
    void engine.failed.then((error) => {
      this.failure = error;
      this.engine = undefined;
    });
  }

  async #openShared(
    options: ShardOptions,
    random: SeededRandom,
    { store, epoch, hasBeenServed, images }: SharedOptions,
  ): Promise<ShardEngine> {
    const opened = await openSharedShard({ ...options, store, epoch, hasBeenServed, appendTimeoutMs: APPEND_TIMEOUT_MS });
    this.images = new ImageKeeper({
      kv: options.kv,
      store,
      shard: SHARD,
      clock: this.clock,
      random,
      log: () => opened.sink.stats,
      mustOwn: () => {
        if (this.#isDead || this.engine === undefined) throw new NokvError('fenced', 'this owner serves no more');
      },
      policy: images,
      blockBytes: 4096,
    });
    return opened.engine;
  }

  /** The answer of the engine, or that the process died first. */
  async hear<T>(asked: Promise<T> | T): Promise<Answer<T>> {
    const heard = Promise.resolve(asked).then(
      (value): Answer<T> => ({ kind: 'done', value }),
      (error: unknown): Answer<T> => ({ kind: 'refused', error: toNokvError(error) }),
    );
    return Promise.race([heard, this.#died.promise.then((): Answer<T> => ({ kind: 'died' }))]);
  }

  die(time: SimTime): void {
    this.#isDead = true;
    this.engine = undefined;
    time.forget(this.clock);
    this.#died.resolve('died');
  }
}
