/** A log store in memory with scripted faults: for tests and simulation. Faults are taken in the order given, each by the first call it matches. */
import { NokvError } from '@nokv/types';
import type { LogCallOptions, LogListOptions, LogPage, LogStore } from './log-store.js';

export interface LogFault {
  readonly on: 'put' | 'get' | 'list' | 'delete';
  /** Only calls whose key or prefix contains this. */
  readonly key?: string;
  /** How many calls meet it; default 1. */
  readonly times?: number;
  readonly effect: /** Nothing happens, and the answer says so. */
    | 'refuse'
    /** Nothing happens, and the answer leaves it open. */
    | 'lose-request'
    /** It happens, and the answer is lost. */
    | 'lose-reply'
    /** It happens after `release` was called, and nobody answers. */
    | 'hold'
    /** It waits for this. */
    | (() => Promise<void>);
}

export class MemoryLogStore implements LogStore {
  readonly description = 'memory:';
  readonly objects: Map<string, Uint8Array>;
  readonly calls = { put: 0, get: 0, list: 0, delete: 0 };
  readonly #faults: { readonly fault: LogFault; left: number }[] = [];
  readonly #held: (() => void)[] = [];

  /** @param objects shared with other stores that are to be the same store, seen from other nodes. */
  constructor(objects = new Map<string, Uint8Array>()) {
    this.objects = objects;
  }

  inject(...faults: readonly LogFault[]): void {
    for (const fault of faults) this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  /** What was held happens now, late. */
  release(): void {
    for (const act of this.#held.splice(0)) act();
  }

  putIfAbsent(key: string, bytes: Uint8Array, options: LogCallOptions = {}): Promise<'created' | 'exists'> {
    const copy = Uint8Array.from(bytes);
    return this.#call('put', key, options, () => {
      if (this.objects.has(key)) return 'exists';
      this.objects.set(key, copy);
      return 'created';
    });
  }

  get(key: string, options: LogCallOptions = {}): Promise<Uint8Array | undefined> {
    return this.#call('get', key, options, () => {
      const bytes = this.objects.get(key);
      return bytes === undefined ? undefined : Uint8Array.from(bytes);
    });
  }

  list(prefix: string, options: LogListOptions): Promise<LogPage> {
    return this.#call('list', prefix, options, () => {
      const { after = '', limit } = options;
      const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      return { keys: keys.slice(0, limit), more: keys.length > limit };
    });
  }

  delete(keys: readonly string[], options: LogCallOptions = {}): Promise<void> {
    return this.#call('delete', keys[0] ?? '', options, () => {
      for (const key of keys) this.objects.delete(key);
    });
  }

  async #call<T>(on: LogFault['on'], key: string, { signal }: LogCallOptions, act: () => T): Promise<T> {
    this.calls[on] += 1;
    const effect = this.#take(on, key);
    await Promise.resolve();
    switch (effect) {
      case 'refuse':
        throw new NokvError('store-unavailable', `the store was told to refuse this ${on}`);
      case 'lose-request':
        throw lost(on);
      case 'lose-reply':
        act();
        throw lost(on);
      case 'hold':
        this.#held.push(act);
        return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(lost(on)), { once: true }));
      case undefined:
        return act();
      default:
        await effect();
        return act();
    }
  }

  #take(on: LogFault['on'], key: string): LogFault['effect'] | undefined {
    const index = this.#faults.findIndex(({ fault }) => fault.on === on && key.includes(fault.key ?? ''));
    const entry = this.#faults[index];
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left <= 0) this.#faults.splice(index, 1);
    return entry.fault.effect;
  }
}

function lost(on: LogFault['on']): NokvError {
  return new NokvError('store-unavailable', `the store was told to lose the answer of this ${on}`, { outcome: 'unknown' });
}
