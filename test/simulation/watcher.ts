/** A watcher: reads the change log by its cursor, page after page, across crashes; hears each change once, in order. */
import type { LocatedChange, ShardEngine } from '@nokv/meta';
import { toNokvError, version, wholeVersion, type ChangeRecord } from '@nokv/types';
import { PathMirror } from './path-mirror.js';
import type { SeededRandom } from './seeded-random.js';
import type { World } from './world.js';

export class Watcher {
  readonly #world: World;
  readonly #name: string;
  readonly #random: SeededRandom;
  readonly #mirror = new PathMirror();
  cursor = 0;

  constructor(world: World, name: string, random: SeededRandom) {
    this.#world = world;
    this.#name = name;
    this.#random = random;
  }

  async run(): Promise<void> {
    // Ends when the world winds down.
    for (;;) {
      await this.#world.turn(this.#name, 4);
      if (this.#world.isWindingDown) return;
      await this.readPage(1 + this.#random.below(8));
    }
  }

  /** @returns whether the cursor moved. */
  async readPage(limit: number): Promise<boolean> {
    const { oracle, process } = this.#world;
    const { engine } = process;
    if (engine === undefined) return false;
    const since = this.cursor;
    const read = async () => {
      // The same changes with their paths, by a reader that knows nothing of the directories yet.
      const located = engine.pathLog(wholeVersion(version(since)), 1 + this.#random.below(4)).read(1000).changes;
      return { ...(await engine.read('changes', { since: since as never, limit }, { visible: false })), located };
    };
    const answer = await process.hear(read());
    if (answer.kind === 'died') return false;
    if (answer.kind === 'refused') return this.#refused(answer.error);
    const { changes, next, located } = answer.value;
    const expected = oracle.changesBetween(since, next).map(describe).join(' | ');
    const heard = changes.map(describe).join(' | ');
    if (heard !== expected) oracle.violate(`${this.#name} heard of ${since} to ${next}: ${heard}; there were: ${expected}`);
    oracle.led(this.#name, next);
    if (next < since) oracle.violate(`${this.#name} was led back from ${since} to ${next}`);
    this.#follow(
      located.filter(({ change }) => change.version <= next),
      heard,
    );
    this.cursor = next;
    return next > since;
  }

  #follow(located: readonly LocatedChange[], heard: string): void {
    const { oracle } = this.#world;
    const seen = located.map(({ change }) => describe(change)).join(' | ');
    if (seen !== heard) oracle.violate(`${this.#name} read with paths: ${seen}; without: ${heard}`);
    for (const each of located) {
      const wrong = this.#mirror.take(each);
      if (wrong !== undefined) oracle.violate(`${this.#name} was shown ${describe(each.change)} ${wrong}`);
    }
  }

  #refused(error: unknown): boolean {
    const { code, details } = toNokvError(error);
    const next = details['next'];
    if (code !== 'cursor-too-old' || typeof next !== 'number') return false;
    if (next <= this.cursor) this.#world.oracle.violate(`${this.#name} at ${this.cursor} is too old and told to go on at ${next}`);
    this.cursor = next;
    this.#mirror.forget();
    return true;
  }
}

function describe({
  version,
  ordinal,
  kind,
  ino,
  name,
  fromName,
}: Pick<ChangeRecord, 'version' | 'ordinal' | 'ino' | 'name' | 'fromName'> & { readonly kind: string }): string {
  const names = [fromName, name].flatMap((each) => (each === undefined ? [] : [Buffer.from(each).toString()])).join('>');
  return `${version}.${ordinal} ${kind} ${ino} ${names}`;
}

/** The same by push: what `onDurable` tells must be every change after `from` once, in order, and durable. */
export function listen(world: World, engine: ShardEngine, from: number): void {
  let last = from;
  engine.onDurable((version, changes) => {
    const expected = world.oracle.changesBetween(last, version).map(describe).join(' | ');
    const heard = changes.map(describe).join(' | ');
    if (heard !== expected) world.oracle.violate(`listeners heard up to ${version}: ${heard}; there were: ${expected}`);
    if (version > world.oracle.durableVersion) world.oracle.violate(`listeners heard of ${version} before it was durable`);
    last = version;
  });
}
