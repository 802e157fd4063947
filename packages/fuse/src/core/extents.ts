/** Slicing and joining of manifests. */
import type { Extent, Manifest, Piece } from '@nokv/types';
import { isHole } from '@nokv/types';

/** The extents that show `[start, end)` of a manifest, as slices of the same pieces. */
export function sliceExtents(manifest: Manifest, start: number, end: number): Extent[] {
  const slices: Extent[] = [];
  let at = 0;
  for (const extent of manifest.extents) {
    const from = Math.max(start, at);
    const to = Math.min(end, at + extent.take);
    if (from < to)
      slices.push(isHole(extent) ? { hole: true, take: to - from } : { ...extent, skip: extent.skip + from - at, take: to - from });
    at += extent.take;
    if (at >= end) break;
  }
  return slices;
}

/** Joins neighbouring holes and neighbouring slices of one piece. */
export function joinExtents(extents: readonly Extent[]): Extent[] {
  const joined: Extent[] = [];
  for (const extent of extents) {
    const last = joined.at(-1);
    if (last !== undefined && isHole(last) && isHole(extent)) joined[joined.length - 1] = { hole: true, take: last.take + extent.take };
    else if (last !== undefined && !isHole(last) && !isHole(extent) && continues(last, extent)) {
      joined[joined.length - 1] = { ...last, take: last.take + extent.take };
    } else joined.push(extent);
  }
  return joined;
}

function continues(a: Piece, b: Piece): boolean {
  return a.upload === b.upload && a.index === b.index && a.offset === b.offset && a.length === b.length && a.skip + a.take === b.skip;
}
