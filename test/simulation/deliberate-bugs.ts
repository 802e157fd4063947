/**
 * Faults that are put in on purpose, to show that the simulation finds such. Each wraps a port or the engine from outside, in
 * test code: no configuration of a server reaches them.
 */
import type { KvWrite, LogStore, OrderedKv, ShardEngine, ShardOptions } from '@nokv/meta';

export interface DeliberateBug {
  readonly name: string;
  readonly options?: (options: ShardOptions) => ShardOptions;
  readonly kv?: (kv: OrderedKv) => OrderedKv;
  readonly log?: (store: LogStore) => LogStore;
  /** Where it can be seen; default: in every world. */
  readonly durability?: 'local' | 'shared';
  readonly engine?: (engine: ShardEngine) => ShardEngine;
}

const FAMILY_CHANGE = 0x40;
const FAMILY_REQUEST = 0x50;
const FAMILY_PIN = 0x80;

/** Replies go out once a commit is visible: what a crash can still take is acknowledged. */
const replyBeforeFlush: DeliberateBug = {
  name: 'reply before flush',
  kv: (kv) =>
    over(kv, {
      commit: (writes) => {
        const { committed } = kv.commit(writes);
        return { committed, flushed: committed };
      },
    }),
};

/** A request that is sent again is done again. */
const resultNotStored: DeliberateBug = {
  name: 'request result not stored',
  kv: (kv) => over(kv, { commit: (writes) => kv.commit(writes.filter(({ key }) => key[0] !== FAMILY_REQUEST)) }),
};

/** Blocks go as soon as no body names them: a reader that was just told of them finds nothing. */
const freedWithoutGrace: DeliberateBug = {
  name: 'extent freed without grace',
  options: (options) => ({ ...options, retention: { ...options.retention, extentMs: 0, bodyMs: 0, bodiesKept: 0 } }),
};

/** Every fourth commit loses its last rows, as a store without atomic commits would in a crash. */
const tornCommit: DeliberateBug = {
  name: 'torn commit',
  kv: (kv) => {
    let commits = 0;
    return over(kv, {
      commit: (writes) => kv.commit(++commits % 4 === 0 && writes.length > 8 ? writes.slice(2) : writes),
    });
  },
};

/** First bodies of new files leave no trace in the change log: a watcher misses them. */
const changeNotLogged: DeliberateBug = {
  name: 'change not logged',
  kv: (kv) => over(kv, { commit: (writes) => kv.commit(writes.filter((write) => !isFirstPublish(write))) }),
};

/** Durable reads tell of rows that a crash can still undo. */
const readsUnflushed: DeliberateBug = {
  name: 'durable reads do not wait',
  engine: (engine) => withRead(engine),
};

/** What is held is decided by the pins that were there when the process started, not by those that the writer sees. */
const stalePins: DeliberateBug = {
  name: 'pin check outside the transaction',
  kv: (kv) => {
    const known = new Set<string>();
    for (const { key } of kv.range(Uint8Array.of(FAMILY_PIN), Uint8Array.of(FAMILY_PIN + 1))) known.add(hexOf(key));
    return over(kv, {
      *range(start, end, options) {
        for (const entry of kv.range(start, end, options)) {
          if (entry.key[0] !== FAMILY_PIN || known.has(hexOf(entry.key))) yield entry;
        }
      },
    });
  },
};

/** The shared log is told of a batch, and not waited for. */
const replyBeforeAppend: DeliberateBug = {
  name: 'reply before the shared log has it',
  durability: 'shared',
  log: (store) => ({
    description: store.description,
    get: (key, options) => store.get(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    putIfAbsent: (key, bytes, options) => {
      const put = store.putIfAbsent(key, bytes, options);
      if (!key.includes('/log/')) return put;
      put.catch(() => undefined);
      return Promise.resolve('created');
    },
  }),
};

export const DELIBERATE_BUGS: readonly DeliberateBug[] = [
  replyBeforeFlush,
  resultNotStored,
  freedWithoutGrace,
  tornCommit,
  changeNotLogged,
  readsUnflushed,
  stalePins,
  replyBeforeAppend,
];

function isFirstPublish({ key, value }: KvWrite): boolean {
  // Kind 5 of the change log is `published`; that of a new file comes second, after `created`.
  return key[0] === FAMILY_CHANGE && value?.[0] === 5 && key.at(-1) === 1;
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function over(kv: OrderedKv, changed: Partial<OrderedKv>): OrderedKv {
  const whole: OrderedKv = {
    get: (key) => kv.get(key),
    range: (start, end, options) => kv.range(start, end, options),
    commit: (writes) => kv.commit(writes),
    resume: () => kv.resume(),
    snapshot: () => kv.snapshot(),
    close: () => kv.close(),
  };
  return { ...whole, ...changed };
}

function withRead(engine: ShardEngine): ShardEngine {
  return new Proxy(engine, {
    get(target, property) {
      if (property === 'read') {
        return (...[operation, args]: Parameters<ShardEngine['read']>) => target.read(operation, args, { visible: true });
      }
      const member: unknown = Reflect.get(target, property, target);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}
