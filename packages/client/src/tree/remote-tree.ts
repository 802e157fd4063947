/** Reads a remote tree for those who copy it: directories page by page, bodies and attributes of many entries in a call. */
import {
  NokvError,
  READ_MANY_BYTES_MAX,
  READ_MANY_MAX,
  checkName,
  formatName,
  isNokvError,
  type At,
  type InodeNumber,
  type NodeCard,
  type ReadPlan,
} from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import { keptXattr } from './kept-xattrs.js';
import type { PathFilter } from './path-filter.js';
import type { Xattr } from './tree-writer.js';

const PAGE_ENTRIES = 2048;

export interface RemoteEntry {
  readonly name: Uint8Array;
  readonly card: NodeCard;
}

export class RemoteTree {
  readonly #context: ClientContext;
  readonly #signal: AbortSignal;
  readonly #at: { readonly at?: At };

  /** @param at the moment that is read, or nothing for now; the same for every read. */
  constructor(context: ClientContext, signal: AbortSignal, at: At | undefined) {
    this.#context = context;
    this.#signal = signal;
    this.#at = at === undefined ? {} : { at };
  }

  /** What a directory holds, a few hundred entries at a time, in byte order of names. */
  async *entriesOf(ino: InodeNumber): AsyncGenerator<readonly RemoteEntry[]> {
    let after: Uint8Array | undefined;
    // Ends at the last page; each begins after the last name of the one before.
    for (;;) {
      const args = { node: { ino }, limit: PAGE_ENTRIES, attributes: false, ...this.#at, ...(after === undefined ? {} : { after }) };
      const { entries, more } = await this.#context.metadata.read('list', args, this.#call);
      for (let from = 0; from < entries.length; from += READ_MANY_MAX) {
        yield await this.#cards(entries.slice(from, from + READ_MANY_MAX));
      }
      after = entries.at(-1)?.name;
      if (!more || after === undefined) return;
    }
  }

  /** What lies at and below a directory: one pass over names and attributes, none over bodies. */
  async totals(top: InodeNumber, filter: PathFilter | undefined): Promise<{ readonly files: number; readonly bytes: number }> {
    let files = 1;
    let bytes = 0;
    const pending = [{ ino: top, prefix: '' }];
    // Ends with the tree: hard links of directories do not exist and symlinks are not followed.
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      for await (const entries of this.entriesOf(directory.ino)) {
        for (const { name, card } of entries) {
          const path = `${directory.prefix}${formatName(name)}`;
          if (filter?.takes(path, card.type === 'directory') === false) continue;
          files += 1;
          if (card.type === 'file') bytes += card.size;
          if (card.type === 'directory') pending.push({ ino: card.ino, prefix: `${path}/` });
        }
      }
    }
    return { files, bytes };
  }

  /** How to read the bodies of many files; one that is gone by now is undefined. */
  async plans(inodes: readonly InodeNumber[]): Promise<readonly (ReadPlan | undefined)[]> {
    const nodes = inodes.map((ino) => ({ ino }));
    const { answers } = await this.#context.metadata.read('read-many', { nodes, bytesMax: READ_MANY_BYTES_MAX, ...this.#at }, this.#call);
    return Promise.all(
      answers.map(async (answer, place) => {
        if (answer.ok) return answer.value;
        const ino = inodes[place];
        if (ino === undefined || isGone(answer.error)) return undefined;
        // What does not fit into an answer with others is asked for by itself.
        if (isNokvError(answer.error, 'too-large')) return await this.plan(ino);
        throw answer.error;
      }),
    );
  }

  plan(ino: InodeNumber): Promise<ReadPlan> {
    return this.#context.metadata.read('open-read', { node: { ino }, ...this.#at }, this.#call);
  }

  /** The extended attributes that transfers keep. */
  async xattrs({ ino, xattrs }: NodeCard): Promise<readonly Xattr[]> {
    const kept: Xattr[] = [];
    for (const name of xattrs.filter(keptXattr)) {
      const { value } = await this.#context.metadata.read('xattr-get', { node: { ino }, name, ...this.#at }, this.#call);
      kept.push({ name, value });
    }
    return kept;
  }

  async #cards(entries: readonly { readonly name: Uint8Array; readonly ino: InodeNumber }[]): Promise<readonly RemoteEntry[]> {
    const nodes = entries.map(({ ino }) => ({ ino }));
    const { answers } = await this.#context.metadata.read('stat-many', { nodes, follow: false, ...this.#at }, this.#call);
    return entries.flatMap(({ name }, place) => {
      checkName(name);
      const answer = answers[place];
      if (answer?.ok === true) return [{ name, card: answer.value }];
      // Removed between its listing and now: it is no longer part of the tree.
      if (answer !== undefined && isGone(answer.error)) return [];
      throw answer?.error ?? new NokvError('internal', 'a call for many nodes was answered with fewer');
    });
  }

  get #call(): { readonly signal: AbortSignal } {
    return { signal: this.#signal };
  }
}

function isGone(error: NokvError): boolean {
  return isNokvError(error, 'not-found');
}
