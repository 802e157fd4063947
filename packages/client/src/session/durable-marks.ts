/**
 * Which versions are known to be durable, and those who wait for one.
 *
 * A server that was killed may have lost versions that it had only shown, and the next one counts on far above all of them. So a
 * mark is a pair of incarnation and version: it says that the versions of this incarnation up to it are durable.
 *
 * Invariants: an incarnation's own versions are above the one that it counts on from; whatever a server answers with a version
 * that is not its own was in its environment when it opened it, and is durable. The current incarnation is that of the newest
 * connection. When it changes, whoever waits for a version of the last one is told that it may be lost; announcements that still
 * come from an earlier one are not listened to. Past incarnations and found versions are kept up to a bound, and what was
 * forgotten counts as not durable.
 */
import type { Incarnation } from '@nokv/protocol';
import { NokvError, type Version } from '@nokv/types';

interface Life {
  readonly incarnation: Incarnation;
  /** The highest version that this client was shown under it. */
  shown: number;
  /** The highest version announced as durable under it. */
  durable: number;
}

interface Waiter {
  readonly version: Version;
  readonly resolve: () => void;
  readonly reject: (error: NokvError) => void;
}

const PAST_MAX = 64;
const FOUND_MAX = 4096;

export class DurableMarks {
  #current: Life | undefined;
  /** Newest last. */
  readonly #past: Life[] = [];
  /** Versions of earlier incarnations that a later one still had. */
  readonly #found = new Set<Version>();
  #waiters: Waiter[] = [];

  /** The mark of the current incarnation. */
  get version(): Version {
    return (this.#current?.durable ?? 0) as Version;
  }

  get isAwaited(): boolean {
    return this.#waiters.length > 0;
  }

  /** A connection was made, or is used again. */
  enter(incarnation: Incarnation): void {
    const last = this.#current;
    if (last?.incarnation.id === incarnation.id || this.#past.some((life) => life.incarnation.id === incarnation.id)) return;
    this.#current = { incarnation, shown: 0, durable: 0 };
    if (last !== undefined) this.#past.push(last);
    if (this.#past.length > PAST_MAX) this.#past.shift();
    // A server that was given an older state of its data gives these numbers out again.
    for (const version of this.#found) if (version > incarnation.opened) this.#found.delete(version);
    // Before the first connection nobody was shown anything: a version above what it counts on from can only be its own.
    const isDue = ({ version }: Waiter): boolean => last !== undefined || version <= incarnation.opened;
    const due = this.#waiters.filter(isDue);
    this.#waiters = this.#waiters.filter((waiter) => !isDue(waiter));
    for (const { version, reject } of due) reject(maybeLost(version));
  }

  /** A mutation was answered with this version. */
  answered({ id, opened }: Incarnation, version: Version, isDurable: boolean): void {
    if (version <= opened) {
      this.#found.add(version);
      const [oldest] = this.#found;
      if (this.#found.size > FOUND_MAX && oldest !== undefined) this.#found.delete(oldest);
      return;
    }
    const life = this.#current?.incarnation.id === id ? this.#current : this.#past.find((past) => past.incarnation.id === id);
    if (life === undefined) return;
    life.shown = Math.max(life.shown, version);
    if (isDurable) this.#raise(life, version);
  }

  /** The server announced that all of its versions up to this one are durable. */
  announced({ id }: Incarnation, version: Version): void {
    if (this.#current?.incarnation.id === id) this.#raise(this.#current, version);
  }

  /** Whether the version is durable for certain; undefined: it may become so. Throws where that can no longer be told. */
  isDurable(version: Version): true | undefined {
    if (this.#found.has(version)) return true;
    const current = this.#current;
    if (current === undefined) return undefined;
    const isShownUnder = ({ incarnation, shown }: Life): boolean => incarnation.opened < version && version <= shown;
    const lives = [...this.#past, current].filter(isShownUnder);
    const [life = current] = lives;
    // Shown under more than one: the server was given an older state of its data. Under none, and not the current one's: before it.
    if (lives.length > 1 || version <= life.incarnation.opened) throw maybeLost(version);
    if (version <= life.durable) return true;
    if (life !== current) throw maybeLost(version);
    return undefined;
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

  #raise(life: Life, version: Version): void {
    if (version <= life.durable) return;
    life.durable = version;
    if (life !== this.#current || this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => waiter.version <= version);
    this.#waiters = this.#waiters.filter((waiter) => waiter.version > version);
    for (const waiter of due) waiter.resolve();
  }
}

function maybeLost(version: Version): NokvError {
  return new NokvError(
    'connection-lost',
    `the server was started anew before version ${version} was known to be durable, and may have lost it: send the change again under its request id, or look whether it is there`,
    { outcome: 'unknown', details: { version } },
  );
}
