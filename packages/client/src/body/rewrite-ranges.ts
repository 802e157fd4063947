/**
 * Which of the bytes around a change are written anew with it, so that plans stay short however often a file is changed in place.
 *
 * The bound, for each block's length of the file: at most {@link EXTENTS_PER_BLOCK_MAX} extents ({@link TAIL_EXTENTS_MAX} at its end) while
 * the plan as a whole is short, {@link EXTENTS_PER_BLOCK_LEAST} once it has more than {@link EXTENTS_FREE} and two a block. Of writers that
 * change one block at the same moment one writes it anew; the others add their extents, up to {@link CONTENDED_FACTOR} times the limit and
 * what is under way then. Reading in order costs no more than twice the bytes and three small requests a block on average. What appends
 * leave behind them is one piece a block: at the end of the file pieces are joined with those of their own size or less, so that a byte is
 * written anew a few times at most until its block is full.
 */
import { sliceExtents, type Extent } from '@nokv/types';

export const EXTENTS_PER_BLOCK_MAX = 8;
export const TAIL_EXTENTS_MAX = 16;
export const EXTENTS_PER_BLOCK_LEAST = 3;
export const EXTENTS_FREE = 1024;
export const CONTENDED_FACTOR = 4;
/** Pieces up to this are joined whatever their size: reading them costs less than asking for them one by one. */
const SMALL_BYTES = 64 * 1024;

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Ranges of the body, in order, that lie beside the change `[start, end)`.
 *
 * @param isContended another writer was faster to write anew what lies there.
 */
export function rewriteRanges(
  extents: readonly Extent[],
  size: number,
  { start, end }: ByteRange,
  blockBytes: number,
  isContended = false,
): ByteRange[] {
  if (start >= end) return [];
  const blocks = Math.ceil(size / blockBytes);
  const isLong = extents.length > EXTENTS_FREE + 2 * blocks;
  const first = Math.floor(start / blockBytes);
  const last = Math.floor((end - 1) / blockBytes);
  const ranges: ByteRange[] = [];
  for (const block of first === last ? [first] : [first, last]) {
    const from = block * blockBytes;
    const to = Math.min(from + blockBytes, size);
    const left = { start: from, end: Math.min(start, to) };
    const right = { start: Math.max(end, from), end: to };
    const before = left.start < left.end ? sliceExtents(extents, left.start, left.end) : [];
    const after = right.start < right.end ? sliceExtents(extents, right.start, right.end) : [];
    const isAtEnd = after.length === 0 && start >= size && block === first;
    const isFull = isAtEnd && !isContended && end >= from + blockBytes;
    const usual = isLong ? EXTENTS_PER_BLOCK_LEAST : isAtEnd ? TAIL_EXTENTS_MAX : EXTENTS_PER_BLOCK_MAX;
    const limit = isContended ? usual * CONTENDED_FACTOR : usual;
    if (isFull && before.length > 1) {
      ranges.push(left);
    } else if (before.length + after.length + 1 > limit) {
      if (isAtEnd) ranges.push(joinedTail(before, left));
      else ranges.push(...[left, right].filter((range) => range.start < range.end));
    }
  }
  return ranges.filter((range) => range.start < range.end);
}

/** From the end on while pieces are no longer than all behind them together: long ones are left alone. */
function joinedTail(extents: readonly Extent[], { end }: ByteRange): ByteRange {
  let start = end;
  for (const extent of extents.toReversed()) {
    if (extent.take > Math.max(SMALL_BYTES, end - start)) break;
    start -= extent.take;
  }
  return { start, end };
}
