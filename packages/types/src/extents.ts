/** Slicing, joining and splicing of extents: how a body changes without a byte of it being copied. */
import { isHole, type Extent, type Piece } from './body.js';

/** The extents that show `[start, end)`, as slices of the same pieces. */
export function sliceExtents(extents: readonly Extent[], start: number, end: number): Extent[] {
  const slices: Extent[] = [];
  let at = 0;
  for (const extent of extents) {
    if (at >= end) break;
    const from = Math.max(start, at);
    const to = Math.min(end, at + extent.take);
    if (from < to) slices.push(from === at && to === at + extent.take ? extent : sliceOf(extent, from - at, to - from));
    at += extent.take;
  }
  return slices;
}

function sliceOf(extent: Extent, from: number, take: number): Extent {
  return isHole(extent) ? { hole: true, take } : { ...extent, skip: extent.skip + from, take };
}

/** Joins neighbouring holes and neighbouring slices of one piece. */
export function joinExtents(extents: readonly Extent[]): Extent[] {
  const joined: Extent[] = [];
  for (const extent of extents) {
    const last = joined.at(-1);
    if (last !== undefined && isHole(last) && isHole(extent)) joined[joined.length - 1] = { hole: true, take: last.take + extent.take };
    else if (last !== undefined && !isHole(last) && !isHole(extent) && isSamePiece(last, extent) && last.skip + last.take === extent.skip) {
      joined[joined.length - 1] = { ...last, take: last.take + extent.take };
    } else joined.push(extent);
  }
  return joined;
}

/** Whether both are stored as the same bytes; which part of them a file shows may differ. */
function isSamePiece(a: Piece, b: Piece): boolean {
  return (
    a.upload === b.upload &&
    a.index === b.index &&
    a.offset === b.offset &&
    a.length === b.length &&
    a.crc32c === b.crc32c &&
    isSameForm(a, b)
  );
}

/** How it was compressed is part of what it is: a wrong manifest must not pass for another one. */
function isSameForm({ compression: a }: Piece, { compression: b }: Piece): boolean {
  return a?.codec === b?.codec && a?.plainLength === b?.plainLength && a?.plainCrc32c === b?.plainCrc32c;
}

/** `patch` in the place of what lies from `offset` on; where the body ends before `offset`, a hole fills it up. */
export function spliceExtents(extents: readonly Extent[], size: number, offset: number, patch: readonly Extent[]): Extent[] {
  const end = offset + lengthOf(patch);
  const gap: Extent[] = offset > size ? [{ hole: true, take: offset - size }] : [];
  return joinExtents([...sliceExtents(extents, 0, offset), ...gap, ...patch, ...sliceExtents(extents, end, size)]);
}

/** Whether two lists show the same stored bytes in the same order. */
export function isSameExtents(a: readonly Extent[], b: readonly Extent[]): boolean {
  const left = joinExtents(a);
  const right = joinExtents(b);
  return left.length === right.length && left.every((extent, at) => isSameExtent(extent, right[at]));
}

function isSameExtent(a: Extent, b: Extent | undefined): boolean {
  if (b === undefined || a.take !== b.take) return false;
  if (isHole(a) || isHole(b)) return isHole(a) && isHole(b);
  return isSamePiece(a, b) && a.skip === b.skip;
}

export function lengthOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, { take }) => sum + take, 0);
}
