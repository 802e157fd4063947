/**
 * One open directory. Cookies are positions: 1 and 2 follow `.` and `..`, `n + 2` follows the nth entry that this handle has
 * met. Pages come from the server in byte order of names, each beginning after the last name of the one before, so names that
 * come and go between two pages move nothing. Going back re-reads the page that held the position.
 */
import type { ListEntry } from '@nokv/types';
import type { MountContext } from './mount-context.js';
import type { Node } from './node-table.js';

const PAGE_ENTRIES = 2048;

interface Page {
  /** Number of the first entry. */
  readonly first: number;
  readonly after: Uint8Array | undefined;
}

export class DirectoryListing {
  #pages: Page[] = [{ first: 0, after: undefined }];
  #first = 0;
  #entries: readonly ListEntry[] = [];
  #hasMore = true;
  /** On the table's clock of changes: attributes of the page are fresh when nothing changed since. */
  loadedAt = 0;

  constructor(
    readonly node: Node,
    readonly context: MountContext,
    readonly clock: () => number,
  ) {}

  /** Reads again from the beginning what is there now. */
  rewind(): void {
    this.#pages = [{ first: 0, after: undefined }];
    this.#first = 0;
    this.#entries = [];
    this.#hasMore = true;
  }

  /** The entry with this number, if it is at hand. */
  peek(number: number): ListEntry | undefined {
    return this.#entries[number - this.#first];
  }

  /** Brings the entry with this number to hand; false at the end. */
  async fetch(number: number): Promise<boolean> {
    if (number < this.#first) await this.#load(this.#pageOf(number));
    while (number >= this.#first + this.#entries.length) {
      if (!this.#hasMore) return false;
      const next: Page = { first: this.#first + this.#entries.length, after: this.#entries.at(-1)?.name ?? this.#pages.at(-1)?.after };
      if (next.first > (this.#pages.at(-1)?.first ?? 0)) this.#pages.push(next);
      await this.#load(next);
    }
    return true;
  }

  #pageOf(number: number): Page {
    return this.#pages.findLast((page) => page.first <= number) ?? { first: 0, after: undefined };
  }

  async #load(page: Page): Promise<void> {
    this.loadedAt = this.clock();
    const { entries, more } = await this.context.read('list', {
      node: { ino: this.node.ino },
      limit: PAGE_ENTRIES,
      attributes: true,
      ...(page.after === undefined ? {} : { after: page.after }),
    });
    this.#first = page.first;
    this.#entries = entries;
    this.#hasMore = more;
  }
}
