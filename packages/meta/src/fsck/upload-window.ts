/**
 * Uploads by the last byte of their id, as many at a time as memory allows: a sorted table of ids with a few numbers beside each.
 * The store keeps blocks under the same byte, so that its listing goes along.
 */
import type { UploadId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { readU32 } from '../row-reader.js';
import { decodeUpload } from '../value-body.js';

export const UPLOAD_BUCKETS = 256;
/** About 12 MB of tables. */
const WINDOW_ROWS_MAX = 400_000;
const ID_BYTES = 16;
const ID_AT = 1;

export interface UploadRange {
  /** Buckets from `first` (inclusive) to `end` (exclusive). */
  readonly first: number;
  readonly end: number;
}

/** 128 MiB of bits, for needed and for present blocks together. */
const WINDOW_BLOCKS_MAX = 512 * 1024 * 1024;

/** Splits all buckets into ranges of at most {@link WINDOW_ROWS_MAX} uploads and {@link WINDOW_BLOCKS_MAX} blocks. Yields after each row it looks at. */
export function* uploadRanges(kv: KvReader, first: number): Generator<undefined, UploadRange[]> {
  const sizes = new Uint32Array(UPLOAD_BUCKETS);
  const blocks = new Float64Array(UPLOAD_BUCKETS);
  for (const family of [FAMILY.extent, FAMILY.upload]) {
    for (const { key, value } of kv.range(familyStart(family), familyEnd(family))) {
      const bucket = key[ID_BYTES] ?? 0;
      sizes[bucket] = (sizes[bucket] as number) + 1;
      if (family === FAMILY.extent && value.length === 16) blocks[bucket] = (blocks[bucket] as number) + readU32(value, 4);
      yield;
    }
  }
  const ranges: UploadRange[] = [];
  for (let start = first; start < UPLOAD_BUCKETS;) {
    let rows = 0;
    let bits = 0;
    let end = start;
    do {
      rows += sizes[end] as number;
      bits += blocks[end] as number;
      end += 1;
    } while (end < UPLOAD_BUCKETS && rows + (sizes[end] ?? 0) <= WINDOW_ROWS_MAX && bits + (blocks[end] ?? 0) <= WINDOW_BLOCKS_MAX);
    ranges.push({ first: start, end });
    start = end;
  }
  return ranges;
}

export const LEDGER = { none: 0, open: 1, ended: 2 } as const;

export class UploadWindow {
  readonly range: UploadRange;
  #ids = Buffer.alloc(ID_BYTES * 64);
  /** References that the extent row counts; 2^32-1: no row. */
  #references = new Uint32Array(64);
  #blocks = new Uint32Array(64);
  #ledger = new Uint8Array(64);
  size = 0;

  private constructor(range: UploadRange) {
    this.range = range;
  }

  /** Reads the rows of a range; both families are sorted by id, so that they merge. Yields after each row. */
  static *load(kv: KvReader, range: UploadRange): Generator<undefined, UploadWindow> {
    const window = new UploadWindow(range);
    const uploads = kv.range(familyStart(FAMILY.upload), familyEnd(FAMILY.upload))[Symbol.iterator]();
    let upload = uploads.next();
    const takeUploads = function* (before: Uint8Array | undefined): Generator<undefined> {
      for (; upload.done !== true; upload = uploads.next()) {
        if (before !== undefined && Buffer.compare(idOf(upload.value.key), before) >= 0) return;
        window.#add(upload.value.key, NO_EXTENT, 0, ledgerState(upload.value.value));
        yield;
      }
    };
    try {
      for (const { key, value } of kv.range(familyStart(FAMILY.extent), familyEnd(FAMILY.extent))) {
        yield* takeUploads(idOf(key));
        const hasLedger = upload.done !== true && Buffer.compare(idOf(upload.value.key), idOf(key)) === 0;
        const ledger = hasLedger ? ledgerState((upload.value as { value: Uint8Array }).value) : LEDGER.none;
        if (hasLedger) upload = uploads.next();
        const isWhole = value.length === 16;
        window.#add(key, isWhole ? readU32(value, 0) : 0, isWhole ? readU32(value, 4) : 0, ledger);
        yield;
      }
      yield* takeUploads(undefined);
    } finally {
      uploads.return?.();
    }
    return window;
  }

  holds(bytes: Uint8Array, at: number): boolean {
    const bucket = bytes[at + ID_BYTES - 1] as number;
    return bucket >= this.range.first && bucket < this.range.end;
  }

  /** Where the id that begins at `at` of `bytes` is in the table; -1: not there. */
  find(bytes: Uint8Array, at: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      // Compares the table's id with the one looked for.
      const order = this.#ids.compare(bytes, at, at + ID_BYTES, middle * ID_BYTES, (middle + 1) * ID_BYTES);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1;
  }

  id(slot: number): UploadId {
    return this.#ids.toString('hex', slot * ID_BYTES, (slot + 1) * ID_BYTES) as UploadId;
  }

  hasExtent(slot: number): boolean {
    return this.#references[slot] !== NO_EXTENT;
  }

  references(slot: number): number {
    return this.hasExtent(slot) ? (this.#references[slot] as number) : 0;
  }

  blocks(slot: number): number {
    return this.#blocks[slot] as number;
  }

  ledger(slot: number): number {
    return this.#ledger[slot] as number;
  }

  #add(key: Uint8Array, references: number, blocks: number, ledger: number): void {
    if (key.length !== ID_AT + ID_BYTES || !this.holds(key, ID_AT)) return;
    if (this.size === this.#references.length) this.#grow();
    this.#ids.set(idOf(key), this.size * ID_BYTES);
    this.#references[this.size] = references;
    this.#blocks[this.size] = blocks;
    this.#ledger[this.size] = ledger;
    this.size += 1;
  }

  #grow(): void {
    const room = this.#references.length * 2;
    const ids = Buffer.alloc(room * ID_BYTES);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#references = grown(this.#references, new Uint32Array(room));
    this.#blocks = grown(this.#blocks, new Uint32Array(room));
    this.#ledger = grown(this.#ledger, new Uint8Array(room));
  }
}

const NO_EXTENT = 0xffff_ffff;

function idOf(key: Uint8Array): Uint8Array {
  return key.subarray(ID_AT, ID_AT + ID_BYTES);
}

function ledgerState(value: Uint8Array): number {
  try {
    return LEDGER[decodeUpload(value).state];
  } catch {
    // An unreadable row protects its blocks as an open one does; the pass over extents names it.
    return LEDGER.open;
  }
}

function grown<T extends Uint32Array | Uint8Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
