/** Descriptions of bodies: small ones inline, others as a list of pieces of immutable blocks. */
import type { UploadId } from './ids.js';

export const BLOCK_BYTES_DEFAULT = 4 * 1024 * 1024;
/** Bodies up to this size live inside the metadata. */
export const INLINE_BYTES_MAX = 16 * 1024;

/**
 * A piece of a stored block and the part of it that the file shows.
 *
 * The object is the block `index` of `upload`; the piece is `[offset, offset + length)` of that object and is
 * the unit of verification: `crc32c` covers exactly these bytes. The file shows `take` bytes of the piece
 * from `skip` on (`skip + take <= length`). Packed small files and reused blocks are both said this way.
 */
export interface Piece {
  readonly upload: UploadId;
  readonly index: number;
  readonly offset: number;
  readonly length: number;
  readonly crc32c: number;
  readonly skip: number;
  readonly take: number;
}

/** `take` zero bytes that no block holds. */
export interface Hole {
  readonly hole: true;
  readonly take: number;
}

export type Extent = Piece | Hole;

/** Extents in file order; the sum of their `take` is `size`. */
export interface Manifest {
  readonly size: number;
  readonly extents: readonly Extent[];
}

export type Body = { readonly kind: 'inline'; readonly bytes: Uint8Array } | { readonly kind: 'blocks'; readonly manifest: Manifest };

export function isHole(extent: Extent): extent is Hole {
  return 'hole' in extent;
}

export function bodySize(body: Body): number {
  return body.kind === 'inline' ? body.bytes.length : body.manifest.size;
}

/**
 * Key of a block inside a store: `blocks/<2 hex>/<upload id>/<index>`. The two hex digits spread load and come
 * from the random end of the upload id; the key says nothing of paths or inodes.
 */
export function blockKey(upload: UploadId, index: number): string {
  return `${uploadPrefix(upload)}${index}`;
}

/** Every block of an upload lies under this prefix (with its final slash). */
export function uploadPrefix(upload: UploadId): string {
  return `blocks/${upload.slice(-2)}/${upload}/`;
}
