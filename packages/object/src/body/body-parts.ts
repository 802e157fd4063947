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
  const { extents } = manifest;
  const end = Math.min(offset + length, manifest.size);
  const starts = startsOf(manifest);
  for (let at = lastNotAfter(starts, offset); at < extents.length; at += 1) {
    const extent = extents[at];
    const start = starts[at];
    if (extent === undefined || start === undefined || start >= end) return;
    const from = Math.max(offset, start);
    const to = Math.min(end, start + extent.take);
    if (from < to) yield { extent, start: from - start + (isHole(extent) ? 0 : extent.skip), length: to - from };
  }
}

/** Where each extent begins in the file; kept beside the manifest so that random reads of huge bodies stay cheap. */
const startsOfManifest = new WeakMap<Manifest, Float64Array>();

function startsOf(manifest: Manifest): Float64Array {
  const known = startsOfManifest.get(manifest);
  if (known !== undefined) return known;
  const starts = new Float64Array(manifest.extents.length);
  let at = 0;
  manifest.extents.forEach((extent, index) => {
    starts[index] = at;
    at += extent.take;
  });
  startsOfManifest.set(manifest, starts);
  return starts;
}

/** The index of the last start that is at most `offset`; 0 when there is none. */
function lastNotAfter(starts: Float64Array, offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? Infinity) <= offset) low = middle;
    else high = middle;
  }
  return low;
}
