/** The highest version known to be durable, and those who wait for it to rise. */
import type { NokvError, Version } from '@nokv/types';

export class DurableMark {
  #version = 0 as Version;
  #waiters: { readonly version: Version; readonly resolve: () => void; readonly reject: (error: NokvError) => void }[] = [];

  get version(): Version {
    return this.#version;
  }

  raise(version: Version): void {
    if (version <= this.#version) return;
    this.#version = version;
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => waiter.version <= version);
    this.#waiters = this.#waiters.filter((waiter) => waiter.version > version);
    for (const waiter of due) waiter.resolve();
  }

  reached(version: Version): Promise<void> {
    if (version <= this.#version) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ version, resolve, reject }));
  }

  fail(error: NokvError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}
