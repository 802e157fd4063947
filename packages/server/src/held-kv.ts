/**
 * The shard's store with two failpoints in it, for tests: `before-commit` holds back what is already visible, `before-flush` what
 * the store has made durable. Commits keep their order. Nothing is held while `isArmed` says no, so that a start gets through.
 */
import type { KvCommit, KvWrite, OrderedKv } from '@nokv/meta';
import type { HitFailpoint } from './failpoints.js';

export function heldKv(kv: OrderedKv, failpoint: NonNullable<HitFailpoint>, isArmed: () => boolean): OrderedKv {
  let last: Promise<unknown> = Promise.resolve();

  function commit(writes: readonly KvWrite[]): KvCommit {
    if (!isArmed()) return kv.commit(writes);
    const handedOn = last.then(() => failpoint('before-commit')).then(() => kv.commit(writes));
    last = handedOn.catch(() => undefined);
    const committed = handedOn.then((done) => done.committed);
    const flushed = handedOn.then((done) => done.flushed).then(() => failpoint('before-flush'));
    for (const promise of [committed, flushed]) promise.catch(() => undefined);
    return { committed, flushed };
  }

  return {
    get: (key) => kv.get(key),
    range: (start, end, options) => kv.range(start, end, options),
    snapshot: () => kv.snapshot(),
    resume: () => kv.resume(),
    ...(kv.usage === undefined ? {} : { usage: kv.usage.bind(kv) }),
    close: () => kv.close(),
    commit,
  };
}
