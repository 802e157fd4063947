/**
 * One face for the engines that a process has one after the other: whoever holds it need not know that the shard was given up, or
 * opened anew from the log under a later ownership.
 *
 * While there is no engine every call is refused with the reason that is given, and numbers are zero. Listeners stay from engine to
 * engine. `failed` of the face never settles: an engine that ends is replaced.
 */
import type { ShardEngine, ShardGate, ShardStats } from '@nokv/meta';
import { NokvError, epoch, version } from '@nokv/types';

export interface ReplaceableEngine {
  readonly face: ShardEngine;
  readonly current: ShardEngine | undefined;
  /** The one before is the caller's again. */
  replace(engine: ShardEngine | undefined): void;
}

interface Listening {
  readonly name: PropertyKey;
  readonly listener: unknown;
  /** Ends it at the engine that it is attached to. */
  stop: () => void;
}

/** How methods are named that take a listener and return how to stop. */
const LISTENS = /^on[A-Z]/;
const NO_STATS: ShardStats = { commands: 0, batches: 0, flushes: 0, queued: 0, reads: 0, rowsRead: 0 };

export function replaceableEngine(): ReplaceableEngine {
  let current: ShardEngine | undefined;
  let gate: ShardGate | undefined;
  /** Methods of the current engine, bound once. */
  let bound = new Map<PropertyKey, unknown>();
  const listeners = new Set<Listening>();

  function refuse(): never {
    throw gate?.refusal() ?? new NokvError('not-owner', 'this server does not own the shard yet; try again shortly');
  }

  /** What the face answers by itself, whichever engine there is. */
  const own: Partial<ShardEngine> = {
    failed: new Promise<never>(() => {}),
    setGate(given) {
      gate = given;
      current?.setGate(given);
    },
    close: async () => {},
  };
  const absent: Partial<ShardEngine> = { epoch: epoch(0), visibleVersion: version(0), durableVersion: version(0), stats: NO_STATS };

  /** Listens to this engine and to every later one. */
  function listen(name: PropertyKey, listener: unknown): () => void {
    const listening: Listening = { name, listener, stop: () => undefined };
    listeners.add(listening);
    if (current !== undefined) attach(current, listening);
    return () => {
      listeners.delete(listening);
      listening.stop();
    };
  }

  const face = new Proxy({} as ShardEngine, {
    get(_target, name) {
      // It is no promise, whoever asks.
      if (name === 'then') return undefined;
      if (name in own) return Reflect.get(own, name) as unknown;
      if (typeof name === 'string' && LISTENS.test(name)) return (listener: unknown) => listen(name, listener);
      if (current === undefined) return name in absent ? (Reflect.get(absent, name) as unknown) : refuse;
      const known = bound.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(current, name, current);
      if (typeof value !== 'function') return value;
      const method: unknown = value.bind(current);
      bound.set(name, method);
      return method;
    },
  });

  return {
    face,
    get current() {
      return current;
    },
    replace(engine) {
      current = engine;
      bound = new Map();
      if (engine === undefined) return;
      if (gate !== undefined) engine.setGate(gate);
      for (const listening of listeners) attach(engine, listening);
    },
  };
}

function attach(engine: ShardEngine, listening: Listening): void {
  const subscribe = Reflect.get(engine, listening.name, engine) as (listener: unknown) => () => void;
  listening.stop = subscribe.call(engine, listening.listener);
}
