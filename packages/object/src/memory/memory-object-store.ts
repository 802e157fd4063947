/**
 * Objects in memory, with scripted faults: for tests and simulation. Faults are consumed in the order in which they
 * were given, each by the first call that it matches.
 */
import { NokvError, systemClock, type Clock } from '@nokv/types';
import { cancelled, throwIfAborted } from '../cancellation.js';
import { LIST_KEYS_MAX, checkKey, checkListLimit, checkPrefix, checkRange, compareKeys, noObject, shortObject } from '../object-key.js';
import type {
  DeleteOptions,
  GetOptions,
  ListOptions,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoreCallOptions,
} from '../object-store.js';

export type StoreCall = 'put' | 'get' | 'head' | 'list' | 'delete';

export interface StoreFault {
  readonly on: StoreCall;
  /** Only calls whose key (prefix, first key) contains this. */
  readonly key?: string | undefined;
  /** How many calls meet it; default 1. */
  readonly times?: number | undefined;
  readonly effect:
    /** Nothing happens; `store-unavailable`, or the error given. */
    | { readonly kind: 'fail'; readonly error?: NokvError | undefined }
    /** It takes effect, the answer is lost: `store-unavailable`, outcome unknown. */
    | { readonly kind: 'lose-reply' }
    | { readonly kind: 'delay'; readonly ms: number }
    /** A put that stores nothing, a get whose bytes end early: `store-unavailable`. */
    | { readonly kind: 'cut' }
    /** A get whose first byte is wrong. */
    | { readonly kind: 'flip' };
}

export interface MemoryStoreOptions {
  readonly clock?: Clock | undefined;
  readonly faults?: readonly StoreFault[] | undefined;
}

export interface MemoryObjectStore extends ObjectStore {
  inject(...faults: readonly StoreFault[]): void;
  /** Calls so far, those that met a fault included. */
  readonly calls: Readonly<Record<StoreCall, number>>;
  /** Calls of `get` and `put` that were under way at once, at most. */
  readonly concurrencyMax: number;
  readonly keys: readonly string[];
}

export function memoryStore(options: MemoryStoreOptions = {}): MemoryObjectStore {
  return new MemoryStore(options);
}

class MemoryStore implements MemoryObjectStore {
  readonly description = 'memory:';
  readonly calls: Record<StoreCall, number> = { put: 0, get: 0, head: 0, list: 0, delete: 0 };
  concurrencyMax = 0;
  readonly #clock: Clock;
  readonly #objects = new Map<string, Uint8Array>();
  readonly #faults: { fault: StoreFault; left: number }[] = [];
  #running = 0;

  constructor({ clock = systemClock, faults = [] }: MemoryStoreOptions) {
    this.#clock = clock;
    this.inject(...faults);
  }

  inject(...faults: readonly StoreFault[]): void {
    for (const fault of faults) this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  get keys(): readonly string[] {
    return [...this.#objects.keys()].sort(compareKeys);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutOutcome> {
    checkKey(key);
    return this.#call('put', key, options, () => {
      for (const other of this.#objects.keys()) {
        if (other.startsWith(`${key}/`) || key.startsWith(`${other}/`)) {
          throw new NokvError('invalid-argument', `expected no key to be the directory of another, found ${key} and ${other}`);
        }
      }
      if (this.#objects.has(key)) return 'exists';
      this.#objects.set(key, Uint8Array.from(bytes));
      return 'created';
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const { offset = 0, length } = options;
    checkRange(options.offset, length);
    return this.#call('get', key, options, (effect) => {
      const found = this.#objects.get(key);
      if (found === undefined) throw noObject(key, this.description);
      const end = length === undefined ? found.length : offset + length;
      if (end > found.length || offset > found.length) throw shortObject(key, `at least ${Math.max(end, offset)}`, found.length);
      const bytes = copyOf(found.subarray(offset, end), options.into);
      if (effect === 'flip' && bytes[0] !== undefined) bytes[0] ^= 1;
      return bytes;
    });
  }

  async head(key: string, options: StoreCallOptions = {}): Promise<ObjectHead | undefined> {
    checkKey(key);
    return this.#call('head', key, options, () => {
      const found = this.#objects.get(key);
      return found === undefined ? undefined : { size: found.length };
    });
  }

  async list(prefix: string, options: ListOptions): Promise<ObjectPage> {
    checkPrefix(prefix);
    checkListLimit(options.limit);
    return this.#call('list', prefix, options, () => {
      const { after = '', limit } = options;
      const keys = this.keys.filter((key) => key.startsWith(prefix) && key > after);
      const objects = keys.slice(0, limit).map((key) => ({ key, size: this.#objects.get(key)?.length ?? 0 }));
      return { objects, more: keys.length > limit };
    });
  }

  async delete(keys: readonly string[], options: DeleteOptions = {}): Promise<void> {
    if (keys.length > LIST_KEYS_MAX)
      throw new NokvError('invalid-argument', `expected at most ${LIST_KEYS_MAX} keys to delete, found ${keys.length}`);
    for (const key of keys) checkKey(key);
    options.mayGoOn?.();
    await this.#call('delete', keys[0] ?? '', options, () => {
      for (const key of keys) this.#objects.delete(key);
    });
  }

  async close(): Promise<void> {}

  async #call<T>(on: StoreCall, key: string, { signal }: StoreCallOptions, act: (effect: string | undefined) => T): Promise<T> {
    throwIfAborted(signal);
    this.calls[on] += 1;
    const effect = this.#take(on, key);
    this.#running += 1;
    this.concurrencyMax = Math.max(this.concurrencyMax, this.#running);
    try {
      if (effect?.kind === 'delay') await this.#clock.sleep(effect.ms, signal);
      else await Promise.resolve();
      if (effect?.kind === 'fail') throw effect.error ?? lost(on, 'not-applied');
      if (effect?.kind === 'cut') throw lost(on, 'unknown');
      const result = act(effect?.kind);
      if (effect?.kind === 'lose-reply') throw lost(on, 'unknown');
      return result;
    } catch (error) {
      if (signal?.aborted === true) throw cancelled(signal, on === 'put' || on === 'delete' ? 'unknown' : 'not-applied');
      throw error;
    } finally {
      this.#running -= 1;
    }
  }

  #take(on: StoreCall, key: string): StoreFault['effect'] | undefined {
    const index = this.#faults.findIndex(({ fault }) => fault.on === on && key.includes(fault.key ?? ''));
    const entry = this.#faults[index];
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left <= 0) this.#faults.splice(index, 1);
    return entry.fault.effect;
  }
}

function copyOf(bytes: Uint8Array, into: Uint8Array | undefined): Uint8Array {
  if (into === undefined || into.length < bytes.length) return Uint8Array.from(bytes);
  into.set(bytes);
  return into.subarray(0, bytes.length);
}

function lost(on: StoreCall, outcome: 'not-applied' | 'unknown'): NokvError {
  return new NokvError('store-unavailable', `the memory store was told to fail this ${on}`, { outcome });
}
