/**
 * A store that is lent to one engine after the other. Closing takes it back: it resolves when nothing that was handed in is under way
 * any more, and from then on nothing is taken, so that whatever an earlier engine still has in mind never reaches the store of a later.
 *
 * The store itself stays open: LMDB's library does not survive closing an environment after a failed write.
 */
import { NokvError } from '@nokv/types';
import type { KvCommit, OrderedKv } from '../ordered-kv.js';

export function lendKv(kv: OrderedKv): OrderedKv {
  const underWay = new Set<Promise<unknown>>();
  let isReturned = false;
  // What a failed commit of the last engine left behind is not this one's.
  kv.resume();
  return {
    get: (key) => kv.get(key),
    range: (start, end, options) => kv.range(start, end, options),
    snapshot: () => kv.snapshot(),
    resume: () => {
      if (!isReturned) kv.resume();
    },
    commit(writes): KvCommit {
      if (isReturned) return refused();
      const commit = kv.commit(writes);
      const settled = Promise.allSettled([commit.committed, commit.flushed]).finally(() => underWay.delete(settled));
      underWay.add(settled);
      return commit;
    },
    async close() {
      isReturned = true;
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

function refused(): KvCommit {
  const refusal = Promise.reject(new NokvError('unavailable', 'this ownership of the shard is over; nothing of it is stored any more'));
  refusal.catch(() => undefined);
  return { committed: refusal, flushed: refusal };
}
