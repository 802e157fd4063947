/** An object store that counts its requests and their latencies by call. */
import type { ObjectStore } from '@nokv/object';
import { toNokvError, type Clock } from '@nokv/types';
import type { Latencies } from './metrics.js';

export function measuredStore(store: ObjectStore, latencies: Latencies, clock: Clock): ObjectStore {
  async function measure<T>(call: string, work: () => Promise<T>): Promise<T> {
    const startMs = clock.monotonicMs();
    try {
      const result = await work();
      latencies.observe(call, clock.monotonicMs() - startMs);
      return result;
    } catch (error) {
      latencies.observe(call, clock.monotonicMs() - startMs, toNokvError(error));
      throw error;
    }
  }
  const health = store.health?.bind(store);
  return {
    description: store.description,
    putIfAbsent: (key, bytes, options) => measure('put', () => store.putIfAbsent(key, bytes, options)),
    get: (key, options) => measure('get', () => store.get(key, options)),
    head: (key, options) => measure('head', () => store.head(key, options)),
    list: (prefix, options) => measure('list', () => store.list(prefix, options)),
    delete: (keys, options) => measure('delete', () => store.delete(keys, options)),
    ...(health === undefined ? {} : { health }),
    close: () => store.close(),
  };
}
