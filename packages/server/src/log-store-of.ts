/** The object store as the shared log of a shard sees it. */
import type { LogStore } from '@nokv/meta';
import type { ObjectStore } from '@nokv/object';
import { isNokvError } from '@nokv/types';

export function logStoreOf(store: ObjectStore): LogStore {
  return {
    description: store.description,
    putIfAbsent: (key, bytes, options) => store.putIfAbsent(key, bytes, options),
    get: (key, options) =>
      store.get(key, options).catch((error: unknown) => {
        if (isNokvError(error, 'no-object')) return undefined;
        throw error;
      }),
    list: async (prefix, options) => {
      const { objects, more } = await store.list(prefix, options);
      return { keys: objects.map(({ key }) => key), more };
    },
    delete: (keys, options) => store.delete(keys, options),
  };
}
