/**
 * The object store with failpoints around what it changes, for tests: blocks that clients put through the server, segments of the shared
 * log, deletions of blocks. Nothing is held while `isArmed` says no, so that a start gets through.
 */
import type { ObjectStore } from '@nokv/object';
import { BLOCKS_PREFIX } from './block-inventory.js';
import type { Failpoint, HitFailpoint } from './failpoints.js';

export function heldStore(store: ObjectStore, failpoint: NonNullable<HitFailpoint>, isArmed: () => boolean): ObjectStore {
  async function around<T>(names: readonly [before: Failpoint, after: Failpoint] | undefined, work: () => Promise<T>): Promise<T> {
    if (names === undefined || !isArmed()) return work();
    await failpoint(names[0]);
    const result = await work();
    await failpoint(names[1]);
    return result;
  }

  return {
    description: store.description,
    putIfAbsent: (key, bytes, options) => around(putsOf(key), () => store.putIfAbsent(key, bytes, options)),
    get: (key, options) => store.get(key, options),
    head: (key, options) => store.head(key, options),
    list: (prefix, options) => store.list(prefix, options),
    async delete(keys, options) {
      await store.delete(keys, options);
      if (isArmed() && keys[0]?.startsWith(BLOCKS_PREFIX) === true) await failpoint('after-remove-blocks');
    },
    close: () => store.close(),
  };
}

function putsOf(key: string): readonly [Failpoint, Failpoint] | undefined {
  if (key.startsWith(BLOCKS_PREFIX)) return ['before-block-put', 'after-block-put'];
  return key.includes('/log/') ? ['before-log-append', 'after-log-append'] : undefined;
}
