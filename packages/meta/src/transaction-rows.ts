/**
 * The rows of one command by key and by inode number. Most commands touch a handful: they are looked for one by one, and an index is
 * made only for those that touch many. Rows come out in the order in which they came in, so that a replay writes the same.
 */
import type { InodeNumber } from '@nokv/types';
import type { TransactionRow } from './transaction.js';

/** Beyond it a map is quicker than looking at each. */
const UNINDEXED_MAX = 12;

export class TransactionRows {
  readonly #rows: TransactionRow[] = [];
  #byId: Map<string, TransactionRow> | undefined;
  #byInode: Map<InodeNumber, TransactionRow> | undefined;

  get(id: string): TransactionRow | undefined {
    if (this.#byId !== undefined) return this.#byId.get(id);
    // The newest is asked for most.
    for (let i = this.#rows.length - 1; i >= 0; i--) {
      const row = this.#rows[i] as TransactionRow;
      if (row.id === id) return row;
    }
    return undefined;
  }

  /** The row of an inode that was added with its number. */
  ofInode(ino: InodeNumber): TransactionRow | undefined {
    if (this.#byInode !== undefined) return this.#byInode.get(ino);
    for (let i = this.#rows.length - 1; i >= 0; i--) {
      const row = this.#rows[i] as TransactionRow;
      if (row.ino === ino) return row;
    }
    return undefined;
  }

  add(row: TransactionRow): void {
    this.#rows.push(row);
    if (this.#byId !== undefined) this.#index(row);
    else if (this.#rows.length > UNINDEXED_MAX) {
      this.#byId = new Map();
      this.#byInode = new Map();
      for (const each of this.#rows) this.#index(each);
    }
  }

  values(): readonly TransactionRow[] {
    return this.#rows;
  }

  #index(row: TransactionRow): void {
    this.#byId?.set(row.id, row);
    if (row.ino !== undefined) this.#byInode?.set(row.ino, row);
  }
}
