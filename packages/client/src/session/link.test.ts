import { NokvError, systemClock, systemRandom } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import type { Connection } from '../wire/connection.js';
import { Link, type Dial } from './link.js';
import type { CallBudget } from './retry.js';

class FakeConnection {
  readonly closed: Promise<NokvError>;
  readonly draining: Promise<void>;
  isDraining = false;
  wasClosed = false;
  #end: (error: NokvError) => void = () => undefined;
  #drain: () => void = () => undefined;

  constructor(readonly peer: string) {
    this.closed = new Promise((resolve) => (this.#end = resolve));
    this.draining = new Promise((resolve) => (this.#drain = resolve));
  }

  goaway(): void {
    this.isDraining = true;
    this.#drain();
  }

  end(): void {
    this.isDraining = true;
    this.#drain();
    this.#end(new NokvError('connection-lost', 'gone'));
  }

  async close(): Promise<void> {
    this.wasClosed = true;
    this.end();
  }
}

function budget(timeoutMs = 5000, signal?: AbortSignal): CallBudget {
  return { deadlineMs: systemClock.monotonicMs() + timeoutMs, timeoutMs, signal };
}

/** Dials `FakeConnection`s; addresses in `down` refuse. */
function network(addresses: readonly string[]) {
  const down = new Map<string, NokvError>();
  const dialled: string[] = [];
  const made: FakeConnection[] = [];
  const dial: Dial = async (address) => {
    dialled.push(address);
    const error = down.get(address);
    if (error !== undefined) throw error;
    const connection = new FakeConnection(address);
    made.push(connection);
    return connection as unknown as Connection;
  };
  return { down, dialled, made, link: new Link({ addresses, dial, clock: systemClock, random: systemRandom }) };
}

const refused = new NokvError('unavailable', 'nobody listens');

describe('a link', () => {
  test('dials once for calls that come together', async () => {
    const { link, dialled } = network(['a:1']);
    const all = await Promise.all(Array.from({ length: 50 }, () => link.connection(budget())));
    expect(new Set(all).size).toBe(1);
    expect(dialled).toEqual(['a:1']);
    await link.close();
  });

  test('goes on to the next address and stays with the one that worked', async () => {
    const { link, down, dialled, made } = network(['a:1', 'b:2']);
    down.set('a:1', refused);
    expect((await link.connection(budget())).peer).toBe('b:2');
    made[0]?.end();
    await made[0]?.closed;
    expect((await link.connection(budget())).peer).toBe('b:2');
    expect(dialled).toEqual(['a:1', 'b:2', 'b:2']);
    await link.close();
  });

  test('leaves a server that drains, and lets it finish', async () => {
    const { link, made } = network(['a:1']);
    const first = await link.connection(budget());
    made[0]?.goaway();
    const second = await link.connection(budget());
    expect(second).not.toBe(first);
    await link.close();
  });

  test('avoids a server that does not own the shard', async () => {
    const { link } = network(['a:1', 'b:2']);
    const first = await link.connection(budget());
    link.avoid(first);
    expect((await link.connection(budget())).peer).toBe('b:2');
    await link.close();
  });

  test('names every address when none answers', async () => {
    const { link, down } = network(['a:1', 'b:2']);
    down.set('a:1', new NokvError('unavailable', 'a:1: connection refused'));
    down.set('b:2', new NokvError('unavailable', 'b:2: connection refused'));
    await expect(link.connection(budget())).rejects.toThrow(/a:1: connection refused.*b:2: connection refused/);
    await link.close();
  });

  test('a refusal for good is what the caller hears', async () => {
    const { link, down } = network(['a:1', 'b:2']);
    down.set('a:1', new NokvError('bad-token', 'the token is not known'));
    down.set('b:2', refused);
    await expect(link.connection(budget())).rejects.toMatchObject({ code: 'bad-token' });
    await link.close();
  });

  test('a caller waits no longer than its budget, the dial goes on', async () => {
    let finish: (connection: Connection) => void = () => undefined;
    const dial: Dial = () => new Promise((resolve) => (finish = resolve));
    const link = new Link({ addresses: ['a:1'], dial, clock: systemClock, random: systemRandom });
    await expect(Promise.resolve(link.connection(budget(5)))).rejects.toMatchObject({ code: 'deadline-exceeded', outcome: 'not-applied' });
    const abort = new AbortController();
    const waiting = Promise.resolve(link.connection(budget(60_000, abort.signal)));
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    finish(new FakeConnection('a:1') as unknown as Connection);
    expect((await link.connection(budget())).peer).toBe('a:1');
    await link.close();
  });

  test('a closed link makes no connections and closes the one it has', async () => {
    const { link, made } = network(['a:1']);
    await link.connection(budget());
    await link.close();
    expect(made[0]?.wasClosed).toBe(true);
    expect(() => link.connection(budget())).toThrow(/closed/);
  });
});
