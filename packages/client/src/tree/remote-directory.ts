/** A directory of the destination while a tree is sent into it. */
import { NokvError, READ_MANY_MAX, isNokvError, type InodeNumber, type InodeType, type NodeCard } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { Place } from './tree-writer.js';

const PAGE_ENTRIES = 4096;

export interface RemoteDirectoryOptions {
  readonly context: ClientContext;
  readonly signal: AbortSignal;
  /** Absent: it would be made, in a dry run. */
  readonly ino?: InodeNumber | undefined;
  /** As it was found; absent: it was made for this transfer and is empty. */
  readonly card?: NodeCard | undefined;
  /** Look into it although there is no card. */
  readonly isFull?: boolean | undefined;
}

/** Cards by name; names are bytes. */
export class CardsByName {
  readonly #cards = new Map<string, NodeCard>();

  get(name: Uint8Array): NodeCard | undefined {
    return this.#cards.get(keyOf(name));
  }

  set(name: Uint8Array, card: NodeCard): void {
    this.#cards.set(keyOf(name), card);
  }
}

export class RemoteDirectory {
  readonly ino: InodeNumber | undefined;
  readonly card: NodeCard | undefined;
  readonly #options: RemoteDirectoryOptions;
  /** Whether an entry was made or removed in it, which moves its time. */
  isChanged = false;

  constructor(options: RemoteDirectoryOptions) {
    this.#options = options;
    this.ino = options.ino;
    this.card = options.card;
  }

  changed(): void {
    this.isChanged = true;
  }

  place(name: Uint8Array): Place {
    if (this.ino === undefined) throw new NokvError('internal', 'a dry run was about to make an entry');
    return { parent: this.ino, name };
  }

  /** What lies there under these names. */
  async cards(names: readonly Uint8Array[]): Promise<CardsByName> {
    const { context, signal } = this.#options;
    const found = new CardsByName();
    const { ino } = this;
    if (ino === undefined || this.card === undefined) return found;
    for (let from = 0; from < names.length; from += READ_MANY_MAX) {
      const asked = names.slice(from, from + READ_MANY_MAX);
      const nodes = asked.map((name) => ({ parent: ino, name }));
      const { answers } = await context.metadata.read('stat-many', { nodes, follow: false }, { signal });
      answers.forEach((answer, place) => {
        const name = asked[place];
        if (answer.ok && name !== undefined) found.set(name, answer.value);
        else if (!answer.ok && !isNokvError(answer.error, 'not-found')) throw answer.error;
      });
    }
    return found;
  }

  /** What lies there under other names. */
  async others(names: readonly Uint8Array[]): Promise<readonly { readonly name: Uint8Array; readonly type: InodeType }[]> {
    const { context, signal } = this.#options;
    if (this.ino === undefined || (this.card === undefined && this.#options.isFull !== true)) return [];
    const known = new Set(names.map(keyOf));
    const found: { readonly name: Uint8Array; readonly type: InodeType }[] = [];
    let after: Uint8Array | undefined;
    // Ends at the last page; each begins after the last name of the one before.
    for (;;) {
      const args = { node: { ino: this.ino }, limit: PAGE_ENTRIES, attributes: false, ...(after === undefined ? {} : { after }) };
      const { entries, more } = await context.metadata.read('list', args, { signal });
      for (const { name, type } of entries) if (!known.has(keyOf(name))) found.push({ name, type });
      after = entries.at(-1)?.name;
      if (!more || after === undefined) return found;
    }
  }
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}
