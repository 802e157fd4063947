/** The highest version known to be durable, and those who wait for it to rise. */
import type { NokvError, Version } from '@nokv/types';

interface Waiter {
  readonly version: Version;
  readonly resolve: () => void;
  readonly reject: (error: NokvError) => void;
}

export class DurableMark {
  #version = 0 as Version;
  #waiters: Waiter[] = [];

  get version(): Version {
    return this.#version;
  }

  get isAwaited(): boolean {
    return this.#waiters.length > 0;
  }

  raise(version: Version): void {
    if (version <= this.#version) return;
    this.#version = version;
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => waiter.version <= version);
    this.#waiters = this.#waiters.filter((waiter) => waiter.version > version);
    for (const waiter of due) waiter.resolve();
  }

  /** Runs `wait` with a promise that resolves when the version is durable; whoever stops waiting is forgotten. */
  async waitFor(version: Version, wait: (reached: Promise<void>) => Promise<void>): Promise<void> {
    let waiter: Waiter | undefined;
    const reached = new Promise<void>((resolve, reject) => {
      waiter = { version, resolve, reject };
      this.#waiters.push(waiter);
    });
    try {
      await wait(reached);
    } finally {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
    }
  }

  fail(error: NokvError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}
