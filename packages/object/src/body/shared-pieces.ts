/**
 * A body that was changed in place shows a piece in slices, with new pieces between them. A stream gets such a piece once: it stays while
 * a slice of it is on its way or was the last that was read.
 */
import { isHole, plainLength, type Manifest, type Piece } from '@nokv/types';
import type { BodyPart } from './body-parts.js';

export interface PartFetch {
  readonly part: (part: BodyPart) => Promise<Uint8Array>;
  /** The caller is done with these bytes. */
  readonly done: (bytes: Uint8Array) => void;
}

interface SharedPiece {
  readonly bytes: Promise<Uint8Array>;
  readers: number;
}

/** Kept beside the manifest, like the places of its extents. */
const repeatedIn = new WeakMap<Manifest, boolean>();

export function hasRepeatedPieces(manifest: Manifest): boolean {
  const known = repeatedIn.get(manifest);
  if (known !== undefined) return known;
  const seen = new Set<string>();
  const isRepeated = manifest.extents.some((extent) => {
    if (isHole(extent)) return false;
    const key = keyOf(extent);
    return seen.has(key) || (seen.add(key), false);
  });
  repeatedIn.set(manifest, isRepeated);
  return isRepeated;
}

export function sharingPieces(fetch: PartFetch): PartFetch {
  const pieces = new Map<string, SharedPiece>();
  const lent = new Map<Uint8Array, string>();
  let last: string | undefined;

  function release(key: string): void {
    const piece = pieces.get(key);
    if (piece === undefined || piece.readers > 0) return;
    pieces.delete(key);
    piece.bytes.then(fetch.done, () => undefined);
  }

  return {
    part: async (part) => {
      const { extent } = part;
      if (isHole(extent)) return await fetch.part(part);
      const key = keyOf(extent);
      let piece = pieces.get(key);
      if (piece === undefined) {
        piece = { bytes: fetch.part({ extent, start: 0, length: plainLength(extent) }), readers: 0 };
        pieces.set(key, piece);
      }
      piece.readers += 1;
      const slice = (await piece.bytes).subarray(part.start, part.start + part.length);
      lent.set(slice, key);
      return slice;
    },
    done: (slice) => {
      const key = lent.get(slice);
      if (key === undefined) return;
      lent.delete(slice);
      const piece = pieces.get(key);
      if (piece !== undefined) piece.readers -= 1;
      if (last !== undefined && last !== key) release(last);
      last = key;
    },
  };
}

function keyOf({ upload, index, offset, length, crc32c }: Piece): string {
  return `${upload}/${index}/${offset}/${length}/${crc32c}`;
}
