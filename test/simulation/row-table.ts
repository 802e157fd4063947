/** Rows in key order, in memory: the state of a simulated store. */
import type { KvEntry, KvReader, KvWrite } from '@nokv/meta';

export class RowTable implements KvReader {
  readonly #rows: Map<string, Uint8Array>;
  readonly #keys: string[];

  constructor(from?: RowTable) {
    this.#rows = from === undefined ? new Map() : new Map(from.#rows);
    this.#keys = from === undefined ? [] : [...from.#keys];
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#rows.get(textOf(key));
  }

  *range(start: Uint8Array, end: Uint8Array, options: { readonly limit?: number; readonly reverse?: boolean } = {}): Generator<KvEntry> {
    const keys = this.#keys.slice(this.#position(textOf(start)), this.#position(textOf(end)));
    if (options.reverse === true) keys.reverse();
    for (const key of keys.slice(0, options.limit)) {
      const value = this.#rows.get(key);
      if (value !== undefined) yield { key: Buffer.from(key, 'latin1'), value };
    }
  }

  apply(writes: readonly KvWrite[]): void {
    for (const { key, value } of writes) {
      const text = textOf(key);
      const isKnown = this.#rows.has(text);
      if (value === undefined) {
        this.#rows.delete(text);
        if (isKnown) this.#keys.splice(this.#position(text), 1);
      } else {
        this.#rows.set(text, value);
        if (!isKnown) this.#keys.splice(this.#position(text), 0, text);
      }
    }
  }

  get size(): number {
    return this.#keys.length;
  }

  /** Where `key` is or would be. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).latin1Slice(0, bytes.length);
}
