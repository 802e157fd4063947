/**
 * What was written to a file and is not yet part of a published body: segments over byte ranges, newest content only.
 *
 * Invariants: segments are sorted, do not overlap and are never empty; a segment shows `[at, at + end - start)` of its chunk.
 * A chunk of memory belongs to one block of the file, so that whole blocks can be uploaded while writing goes on. A frozen chunk
 * is being uploaded: it is never written to again; new bytes over it get a chunk of their own.
 */
import type { Piece } from '@nokv/types';

export interface Chunk {
  /** Present while the content is in memory. */
  bytes: Uint8Array | undefined;
  /** Bytes of content; the array behind `bytes` may be longer. */
  length: number;
  isFrozen: boolean;
  /** Present once uploaded. */
  piece: Piece | undefined;
}

export interface Segment {
  start: number;
  end: number;
  /** Undefined: zeros. */
  chunk: Chunk | undefined;
  at: number;
}

/** First capacity of a chunk that begins with a small write. */
const SMALL_CHUNK_BYTES = 4096;
/** A write of at least this size is taken as the beginning of more. */
const STREAM_WRITE_BYTES = 64 * 1024;

export class Overlay {
  readonly segments: Segment[] = [];

  constructor(
    readonly blockBytes: number,
    readonly allocate: (bytes: number) => Uint8Array,
  ) {}

  get isEmpty(): boolean {
    return this.segments.length === 0;
  }

  /** Bytes of content that are held in memory. */
  memoryBytes(): number {
    let sum = 0;
    for (const { chunk, start, end } of this.segments) if (chunk?.bytes !== undefined) sum += end - start;
    return sum;
  }

  /** Copies `bytes` in. Returns chunks that now hold a whole block. */
  write(offset: number, bytes: Uint8Array): Segment[] {
    const full: Segment[] = [];
    for (let done = 0; done < bytes.length;) {
      const start = offset + done;
      const blockEnd = start - (start % this.blockBytes) + this.blockBytes;
      const part = bytes.subarray(done, Math.min(bytes.length, done + blockEnd - start));
      const segment = this.#writePart(start, part, blockEnd);
      if (segment.end - segment.start === this.blockBytes) full.push(segment);
      done += part.length;
    }
    return full;
  }

  /** Segments that hold a whole block. */
  wholeBlocks(): Segment[] {
    return this.segments.filter(({ start, end }) => end - start === this.blockBytes);
  }

  /** Zeros without bytes behind them. */
  zero(start: number, end: number): void {
    if (end <= start) return;
    const at = this.#cut(start, end);
    this.segments.splice(at, 0, { start, end, chunk: undefined, at: 0 });
  }

  /** Forgets everything from `size` on. */
  truncate(size: number): void {
    this.#cut(size, Infinity);
  }

  /** Puts the segments of `newer` on top. */
  cover(newer: Overlay): void {
    for (const segment of newer.segments) {
      const at = this.#cut(segment.start, segment.end);
      this.segments.splice(at, 0, segment);
    }
  }

  /** Index of the first segment that ends after `offset`. */
  firstAfter(offset: number): number {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.segments[middle] as Segment).end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #writePart(start: number, bytes: Uint8Array, blockEnd: number): Segment {
    const end = start + bytes.length;
    // The segment that holds the byte before `start`, or begins at it: it may take the bytes in place.
    const index = this.firstAfter(start - 1);
    const segment = this.segments[index];
    const chunk = segment?.chunk;
    if (
      segment !== undefined &&
      chunk?.bytes !== undefined &&
      !chunk.isFrozen &&
      segment.start <= start &&
      segment.end > blockEnd - this.blockBytes
    ) {
      const at = segment.at + start - segment.start;
      if (end <= segment.end) {
        chunk.bytes.set(bytes, at);
        return segment;
      }
      // Only the segment with the end of the chunk may let it grow.
      if (segment.at + segment.end - segment.start === chunk.length) {
        this.#grow(chunk, at + bytes.length, segment.at + blockEnd - segment.start);
        chunk.bytes.set(bytes, at);
        chunk.length = at + bytes.length;
        this.#cut(segment.end, end);
        segment.end = end;
        return segment;
      }
    }
    return this.#insert(start, bytes, blockEnd);
  }

  #insert(start: number, bytes: Uint8Array, blockEnd: number): Segment {
    const end = start + bytes.length;
    const at = this.#cut(start, end);
    const room = blockEnd - start;
    const capacity = bytes.length >= STREAM_WRITE_BYTES ? room : Math.min(room, Math.max(SMALL_CHUNK_BYTES, bytes.length));
    const memory = this.allocate(capacity);
    memory.set(bytes);
    const segment: Segment = { start, end, chunk: { bytes: memory, length: bytes.length, isFrozen: false, piece: undefined }, at: 0 };
    this.segments.splice(at, 0, segment);
    return segment;
  }

  #grow(chunk: Chunk, needed: number, capacityMax: number): void {
    const old = chunk.bytes as Uint8Array;
    if (needed <= old.length) return;
    const memory = this.allocate(Math.min(capacityMax, Math.max(needed, old.length * 4)));
    memory.set(old.subarray(0, chunk.length));
    chunk.bytes = memory;
  }

  /** Removes `[start, end)`; returns the index where a segment of that range would be inserted. */
  #cut(start: number, end: number): number {
    const from = this.firstAfter(start);
    let to = from;
    const kept: Segment[] = [];
    for (; to < this.segments.length; to++) {
      const segment = this.segments[to] as Segment;
      if (segment.start >= end) break;
      if (segment.start < start) kept.push({ ...segment, end: start });
      if (segment.end > end) kept.push({ ...segment, start: end, at: segment.at + end - segment.start });
    }
    if (to > from || kept.length > 0) this.segments.splice(from, to - from, ...kept);
    const first = kept[0];
    return first !== undefined && first.start < start ? from + 1 : from;
  }
}
