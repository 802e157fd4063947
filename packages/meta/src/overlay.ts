/**
 * What evaluated batches changed and the store has not flushed yet, above what the store holds.
 *
 * Invariants: a row is here from the evaluation of the batch that wrote it last until the flush of that batch; it then equals
 * the row in the store. Rows that no command reads (changes, request results, gc work) are not kept here.
 */
import { FAMILY } from './key.js';
import type { KvEntry, OrderedKv } from './ordered-kv.js';
import { Inode, encodeInode } from './value-inode.js';

export class OverlayRow {
  readonly id: string;
  readonly key: Buffer;
  /** Undefined where nobody needed the bytes yet, and where the row was removed. */
  #value: Buffer | undefined;
  /** The decoded value, shared and never changed; undefined where nobody decoded it yet. */
  decoded: unknown;
  /** The decoded value that the last write replaced; undefined where there was none, or nobody decoded it. */
  readonly replaced: unknown;
  /** Number of the batch that wrote it last. */
  readonly batch: number;
  /** Its place among the rows of that batch. */
  at = 0;

  constructor(id: string, key: Buffer, value: Buffer | undefined, decoded: unknown, replaced: unknown, batch: number) {
    this.id = id;
    this.key = key;
    this.#value = value;
    this.decoded = decoded;
    this.replaced = replaced;
    this.batch = batch;
  }

  /** Undefined: removed. Inodes are encoded when their bytes are asked for: a busy directory is written once a batch. */
  get value(): Buffer | undefined {
    if (this.#value === undefined && this.decoded instanceof Inode) this.#value = encodeInode(this.decoded);
    return this.#value;
  }

  get isRemoved(): boolean {
    return this.#value === undefined && this.decoded === undefined;
  }
}

/** Key bytes as a string of one character per byte; strings compare as their keys do. */
export function rowId(key: Buffer): string {
  return key.latin1Slice(0, key.length);
}

/** Rows written since a range was last read, after which the index for ranges is given up: many a load reads none. */
const IDLE_WRITES_MAX = 4096;

export class Overlay {
  readonly #rows = new Map<string, OverlayRow>();
  /** Rows of ranged families by what the keys of one range share; made by the first range that is read. */
  #groups: Map<string, Map<string, OverlayRow>> | undefined;
  #idleWrites = 0;

  get size(): number {
    return this.#rows.size;
  }

  get(id: string): OverlayRow | undefined {
    return this.#rows.get(id);
  }

  set(row: OverlayRow): void {
    this.#rows.set(row.id, row);
    if (this.#groups === undefined) return;
    this.#idleWrites += 1;
    if (this.#idleWrites > IDLE_WRITES_MAX) this.#groups = undefined;
    else join(this.#groups, row);
  }

  /** Forgets a row if it is the newest under its key. */
  settle(row: OverlayRow): void {
    const { id } = row;
    if (this.#rows.get(id) !== row) return;
    this.#rows.delete(id);
    if (this.#groups === undefined || !isRanged(id)) return;
    const groupId = groupOf(id);
    const group = this.#groups.get(groupId);
    if (group === undefined) return;
    group.delete(id);
    if (group.size === 0) this.#groups.delete(groupId);
  }

  clear(): void {
    this.#rows.clear();
    this.#groups = undefined;
  }

  /** Rows of the group of `start` that lie in `[start, end)`, in key order. */
  range(start: string, end: string): [string, OverlayRow][] {
    this.#idleWrites = 0;
    if (this.#groups === undefined) {
      this.#groups = new Map();
      for (const row of this.#rows.values()) join(this.#groups, row);
    }
    const group = this.#groups.get(groupOf(start));
    if (group === undefined) return [];
    const rows: [string, OverlayRow][] = [];
    for (const entry of group) if (entry[0] >= start && entry[0] < end) rows.push(entry);
    return rows.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  }
}

function join(groups: Map<string, Map<string, OverlayRow>>, row: OverlayRow): void {
  if (!isRanged(row.id)) return;
  const groupId = groupOf(row.id);
  const group = groups.get(groupId);
  if (group === undefined) groups.set(groupId, new Map([[row.id, row]]));
  else group.set(row.id, row);
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
  /** Inode numbers from here on were drawn since the store was opened: whatever is not in the overlay of them was not there then. */
  freshFrom = Number.POSITIVE_INFINITY;
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
