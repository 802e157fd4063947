/** One life of the server's process: an engine over the simulated ports, until it is closed or the machine stops. */
import { openShard, type Committed, type ShardEngine, type ShardOptions } from '@nokv/meta';
import { shardId, toNokvError, type NokvError } from '@nokv/types';
import { deferred } from './deferred.js';
import type { DeliberateBug } from './deliberate-bugs.js';
import type { SeededRandom } from './seeded-random.js';
import { SimClock, type SimTime } from './sim-clock.js';
import type { SimKv } from './sim-kv.js';

export type Answer<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly error: NokvError }
  | { readonly kind: 'died' };

export class SimProcess {
  readonly kv: SimKv;
  readonly clock: SimClock;
  /** Undefined while it opens, and when it serves no more. */
  engine: ShardEngine | undefined;
  /** Why it serves no more without having been stopped. */
  failure: Error | undefined;
  readonly #died = deferred<'died'>();

  constructor(kv: SimKv, time: SimTime) {
    this.kv = kv;
    this.clock = new SimClock(time);
  }

  async open(options: Pick<ShardOptions, 'retention' | 'window'>, random: SeededRandom, bug: DeliberateBug | undefined): Promise<void> {
    const given: ShardOptions = { ...options, kv: this.kv, shard: shardId(0), clock: this.clock, random };
    const asked = bug?.options?.(given) ?? given;
    const engine = await openShard({ ...asked, kv: bug?.kv?.(asked.kv) ?? asked.kv });
    this.engine = bug?.engine?.(engine) ?? engine;
    void engine.failed.then((error) => {
      this.failure = error;
      this.engine = undefined;
    });
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
    this.engine = undefined;
    time.forget(this.clock);
    this.#died.resolve('died');
  }
}

export type { Committed };
