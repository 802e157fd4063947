/** Which parts of which extents make up a range of a body. */
import { isHole, type Extent, type Manifest } from '@nokv/types';

export interface BodyPart {
  readonly extent: Extent;
  /** From the start of the piece (its `skip` included), or of the hole. */
  readonly start: number;
  readonly length: number;
}

/** In file order; clipped at the end of the body. */
export function* partsOf(manifest: Manifest, offset: number, length: number): Generator<BodyPart> {
  const end = Math.min(offset + length, manifest.size);
  let at = 0;
  for (const extent of manifest.extents) {
    if (at >= end) return;
    const from = Math.max(offset, at);
    const to = Math.min(end, at + extent.take);
    if (from < to) yield { extent, start: from - at + (isHole(extent) ? 0 : extent.skip), length: to - from };
    at += extent.take;
  }
}
