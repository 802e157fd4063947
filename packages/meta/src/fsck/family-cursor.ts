/** Walks one family beside another that is sorted by the same number. */
import { familyEnd, numberStart, type Family } from '../key.js';
import type { KvEntry, KvReader } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';

export class FamilyCursor {
  readonly #rows: Iterator<KvEntry>;
  #entry: KvEntry | undefined;

  constructor(kv: KvReader, family: Family, from: number) {
    this.#rows = kv.range(numberStart(family, from), familyEnd(family))[Symbol.iterator]();
    this.#advance();
  }

  /** Rows of numbers below `number`: those that the other family has no row for. */
  *below(number: number): Generator<KvEntry> {
    for (let entry = this.#entry; entry !== undefined && readU64(entry.key, 1) < number; entry = this.#advance()) yield entry;
  }

  /** Rows of this number. */
  *of(number: number): Generator<KvEntry> {
    for (let entry = this.#entry; entry !== undefined && readU64(entry.key, 1) === number; entry = this.#advance()) yield entry;
  }

  #advance(): KvEntry | undefined {
    const { done, value } = this.#rows.next();
    this.#entry = done === true ? undefined : value;
    return this.#entry;
  }

  close(): void {
    this.#rows.return?.();
  }
}
