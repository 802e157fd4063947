/**
 * What evaluated batches changed and the store has not flushed yet, above what the store holds.
 *
 * Invariants: a row is here from the evaluation of the batch that wrote it last until the flush of that batch; it then equals
 * the row in the store. Rows that no command reads (changes, request results, gc work) are not kept here.
 */
import { FAMILY } from './key.js';
import type { KvEntry, OrderedKv } from './ordered-kv.js';

export class OverlayRow {
  readonly key: Buffer;
  /** Undefined: removed. */
  value: Buffer | undefined;
  /** The decoded value, shared and never changed; undefined where nobody decoded it yet. */
  decoded: unknown;
  /** The value that the last write replaced. */
  before: Uint8Array | undefined;
  /** Number of the batch that wrote it last. */
  batch: number;

  constructor(key: Buffer, value: Buffer | undefined, decoded: unknown, before: Uint8Array | undefined, batch: number) {
    this.key = key;
    this.value = value;
    this.decoded = decoded;
    this.before = before;
    this.batch = batch;
  }
}

/** Key bytes as a string of one character per byte; strings compare as their keys do. */
export function rowId(key: Buffer): string {
  return key.latin1Slice(0, key.length);
}

export class Overlay {
  readonly #rows = new Map<string, OverlayRow>();
  /** Rows of ranged families by what the keys of one range share. */
  readonly #groups = new Map<string, Map<string, OverlayRow>>();

  get size(): number {
    return this.#rows.size;
  }

  get(id: string): OverlayRow | undefined {
    return this.#rows.get(id);
  }

  set(id: string, row: OverlayRow): void {
    this.#rows.set(id, row);
    if (!isRanged(id)) return;
    const groupId = groupOf(id);
    const group = this.#groups.get(groupId);
    if (group === undefined) this.#groups.set(groupId, new Map([[id, row]]));
    else group.set(id, row);
  }

  /** Forgets a row if `batch` was the last to write it. */
  settle(id: string, batch: number): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.batch !== batch) return;
    this.#rows.delete(id);
    if (!isRanged(id)) return;
    const groupId = groupOf(id);
    const group = this.#groups.get(groupId);
    if (group === undefined) return;
    group.delete(id);
    if (group.size === 0) this.#groups.delete(groupId);
  }

  clear(): void {
    this.#rows.clear();
    this.#groups.clear();
  }

  /** Rows of the group of `start` that lie in `[start, end)`, in key order. */
  range(start: string, end: string): [string, OverlayRow][] {
    const group = this.#groups.get(groupOf(start));
    if (group === undefined) return [];
    const rows: [string, OverlayRow][] = [];
    for (const entry of group) if (entry[0] >= start && entry[0] < end) rows.push(entry);
    return rows.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  }
}

function isRanged(id: string): boolean {
  const family = id.charCodeAt(0);
  return (family >= FAMILY.dentry && family <= FAMILY.xattr) || family >= FAMILY.pin || family === FAMILY.history || isForkRow(family);
}

function isForkRow(family: number): boolean {
  return family === FAMILY.whiteout || family === FAMILY.counterpart;
}

/** What the keys of one range share: family and number; the family alone where rows are few; both families of history. */
function groupOf(id: string): string {
  const family = id.charCodeAt(0);
  if (family >= FAMILY.pin && family <= FAMILY.policy) return id.slice(0, 1);
  return id.slice(0, family === FAMILY.history ? 10 : 9);
}

/**
 * The state as the next command or read sees it: the store below, the overlay above. Counts what it reads and notes the
 * newest unflushed batch that an answer depends on.
 */
export class ShardView {
  readonly kv: OrderedKv;
  readonly overlay: Overlay;
  rowsRead = 0;
  /** Newest batch of the overlay that was read since this was last set to 0. */
  touched = 0;

  constructor(kv: OrderedKv, overlay: Overlay) {
    this.kv = kv;
    this.overlay = overlay;
  }

  /** The overlay's row, noted as read. */
  overlaid(id: string): OverlayRow | undefined {
    const row = this.overlay.get(id);
    if (row !== undefined && row.batch > this.touched) this.touched = row.batch;
    return row;
  }

  /** The stored bytes, valid until the next read. */
  get(key: Buffer): Uint8Array | undefined {
    this.rowsRead += 1;
    if (this.overlay.size > 0) {
      const row = this.overlaid(rowId(key));
      if (row !== undefined) return row.value;
    }
    return this.kv.get(key);
  }

  /** Rows from `start` to `end`, which are of one group; values are valid until the next read. */
  *range(start: Buffer, end: Buffer): Generator<KvEntry> {
    const added = this.overlay.size === 0 ? [] : this.overlay.range(rowId(start), rowId(end));
    if (added.length === 0) {
      for (const entry of this.kv.range(start, end)) {
        this.rowsRead += 1;
        yield entry;
      }
      return;
    }
    let next = 0;
    for (const entry of this.kv.range(start, end)) {
      const id = Buffer.from(entry.key.buffer, entry.key.byteOffset, entry.key.length).latin1Slice(0, entry.key.length);
      let isReplaced = false;
      for (let row = added[next]; row !== undefined && row[0] <= id; row = added[++next]) {
        isReplaced = row[0] === id;
        yield* this.#entryOf(row[1]);
      }
      if (isReplaced) continue;
      this.rowsRead += 1;
      yield entry;
    }
    for (let row = added[next]; row !== undefined; row = added[++next]) yield* this.#entryOf(row[1]);
  }

  *#entryOf(row: OverlayRow): Generator<KvEntry> {
    if (row.batch > this.touched) this.touched = row.batch;
    this.rowsRead += 1;
    if (row.value !== undefined) yield { key: row.key, value: row.value };
  }
}
