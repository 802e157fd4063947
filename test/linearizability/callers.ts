/** Callers of the namespace over the wire that record what they ask and hear. */
import type { NokvClient } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import { Recorder, type Operation } from './history.js';
import type { DirectoryInput, DirectoryKey, DirectoryOutput } from './directory-pair.js';
import { ABSENT, NOTHING, type PairInput, type PairKey, type PairOutput } from './file-pair.js';

/** A mutation whose version its caller was told. */
export interface Told {
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly version: number;
}

/** One directory with its history. */
export class Place {
  readonly path: string;
  readonly files = new Recorder<PairInput, PairOutput>();
  readonly directories = new Recorder<DirectoryInput, DirectoryOutput>();
  /** Texts by generation: bodies are recorded by their texts, listings show generations. */
  readonly textOf = new Map<number, string>();
  /** A text that two generations have was published twice. */
  readonly republished: string[] = [];

  constructor(path: string) {
    this.path = path;
  }

  learn(generation: number, text: string): void {
    const known = this.textOf.get(generation);
    const isNew = known === undefined && [...this.textOf.values()].includes(text);
    if (isNew || (known !== undefined && known !== text)) this.republished.push(`${text} at generation ${generation}`);
    this.textOf.set(generation, text);
  }

  /** The history of the files, with listings told by texts; those of bodies that nobody ever read by their generations are left out. */
  get fileHistory(): readonly Operation<PairInput, PairOutput>[] {
    return this.files.operations.flatMap((operation) => {
      if (operation.input.kind !== 'list' || operation.output === undefined) return [operation];
      let isKnown = true;
      const output = operation.output.replace(/#(\d+)/g, (_, generation: string) => {
        const text = this.textOf.get(Number(generation));
        isKnown &&= text !== undefined;
        return text ?? '';
      });
      return isKnown ? [{ ...operation, output }] : [];
    });
  }
}

/** Orders all calls and returns of mutations, whatever place they concern. */
export class Clockwork {
  readonly told: Told[] = [];
  #at = 0;

  tick(): number {
    return this.#at++;
  }
}

export class Caller {
  readonly #name: string;
  readonly #client: NokvClient;
  readonly #clockwork: Clockwork;
  /** The text and generation that this caller last saw under a name. */
  readonly #seen = new Map<string, { readonly text: string; readonly generation: number }>();
  #texts = 0;

  constructor(name: string, client: NokvClient, clockwork: Clockwork) {
    this.#name = name;
    this.#client = client;
    this.#clockwork = clockwork;
  }

  async run(places: readonly Place[], operations: number): Promise<void> {
    for (let i = 0; i < operations; i++) {
      const place = pick(places);
      if (Math.random() < 0.65) await this.#onFiles(place);
      else await this.#onDirectories(place);
    }
  }

  async #onFiles(place: Place): Promise<void> {
    const key = pick<PairKey>(['x', 'y']);
    const other: PairKey = key === 'x' ? 'y' : 'x';
    const path = `${place.path}/${key}`;
    const draw = Math.random();
    if (draw < 0.35) await this.#put(place, key);
    else if (draw < 0.6) {
      const ended = place.files.begin(this.#name, { kind: 'read', key });
      await this.#hear(
        ended,
        async () => {
          const body = await this.#client.get(path);
          const text = await body.text();
          place.learn(body.generation, text);
          this.#seen.set(path, { text, generation: body.generation });
          return text;
        },
        'read',
        ABSENT,
      );
    } else if (draw < 0.7) {
      const ended = place.files.begin(this.#name, { kind: 'list' });
      await this.#hear(ended, () => this.#listFiles(place), 'read');
    } else if (draw < 0.88) {
      const mode = pick(['replace', 'no-replace', 'exchange'] as const);
      const ended = place.files.begin(this.#name, { kind: 'rename', from: key, mode });
      await this.#mutate(ended, () => this.#client.rename(path, `${place.path}/${other}`, { mode }));
    } else {
      const ended = place.files.begin(this.#name, { kind: 'unlink', key });
      await this.#mutate(ended, () => this.#client.unlink(path));
    }
  }

  async #put(place: Place, key: PairKey): Promise<void> {
    const path = `${place.path}/${key}`;
    const text = `${this.#name}.${++this.#texts}`;
    const seen = this.#seen.get(path);
    const draw = Math.random();
    const condition =
      draw < 0.35
        ? { expected: NOTHING, generation: 0 }
        : draw < 0.75 && seen !== undefined
          ? { expected: seen.text, generation: seen.generation }
          : undefined;
    const ended = place.files.begin(this.#name, { kind: 'put', key, text, expected: condition?.expected });
    await this.#mutate(ended, async () => {
      const outcome = await this.#client.put(path, text, condition === undefined ? {} : { ifGeneration: condition.generation });
      place.learn(outcome.generation, text);
      this.#seen.set(path, { text, generation: outcome.generation });
      return outcome;
    });
  }

  /** Both names from one page, by generations: `x=#7,y=(absent)`. */
  async #listFiles(place: Place): Promise<string> {
    const { entries } = await this.#client.listPage(place.path, { limit: 100 });
    const shown = (name: string): string => {
      const entry = entries.find((each) => each.name === name);
      return entry === undefined ? ABSENT : `#${entry.attributes?.generation ?? 0}`;
    };
    return `x=${shown('x')},y=${shown('y')}`;
  }

  async #onDirectories(place: Place): Promise<void> {
    const key = pick<DirectoryKey>(['d', 'e']);
    const other: DirectoryKey = key === 'd' ? 'e' : 'd';
    const path = `${place.path}/${key}`;
    const client = this.#client;
    const kind = pick(['mkdir', 'mkdir', 'rmdir', 'create', 'create', 'unlink', 'list', 'rename'] as const);
    if (kind === 'rename') {
      const ended = place.directories.begin(this.#name, { kind, from: key });
      return this.#mutate(ended, () => client.rename(path, `${place.path}/${other}`));
    }
    const ended = place.directories.begin(this.#name, { kind, key });
    switch (kind) {
      case 'list':
        return this.#hear(
          ended,
          async () => ((await client.listPage(path, { limit: 10 })).entries.length === 0 ? 'empty' : 'full'),
          'read',
        );
      case 'mkdir':
        return this.#mutate(ended, () => client.mkdir(path));
      case 'rmdir':
        return this.#mutate(ended, () => client.rmdir(path));
      case 'create':
        return this.#mutate(ended, () => client.put(`${path}/f`, this.#name, { ifGeneration: 0 }));
      case 'unlink':
        return this.#mutate(ended, () => client.unlink(`${path}/f`));
    }
  }

  async #mutate(ended: (output: string | undefined) => void, ask: () => Promise<{ readonly version: number }>): Promise<void> {
    const calledAt = this.#clockwork.tick();
    await this.#hear(
      ended,
      async () => {
        const { version } = await ask();
        this.#clockwork.told.push({ calledAt, returnedAt: this.#clockwork.tick(), version });
        return 'ok';
      },
      'mutation',
    );
  }

  /**
   * Records an answer. A mutation of unknown outcome is recorded as lost; what certainly had no effect and told nothing is left out, and so is a
   * read that failed.
   */
  async #hear(
    ended: (output: string | undefined) => void,
    ask: () => Promise<string>,
    what: 'read' | 'mutation',
    notFound = 'not-found',
  ): Promise<void> {
    try {
      ended(await ask());
    } catch (error) {
      if (!isNokvError(error)) throw error;
      if (DECISIONS.has(error.code)) ended(error.code === 'not-found' ? notFound : error.code);
      else if (what === 'mutation' && error.outcome === 'unknown') ended(undefined);
    }
  }
}

/** Refusals that tell of the state. */
const DECISIONS = new Set<string>(['not-found', 'exists', 'generation-mismatch', 'not-empty']);

function pick<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)] as T;
}
