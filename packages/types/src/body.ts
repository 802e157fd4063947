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
  /** Absent: the piece is stored as it is. */
  readonly compression?: Compression;
  /** Makes small parts of a large piece readable by themselves; never with `compression`. */
  readonly chunks?: PieceChunks;
}

/**
 * Checksums within a piece: a part of it is verified by those before and behind it, without the rest. They are no second truth: the
 * last running checksum is the piece's own, and where they contradict its bytes, `crc32c` decides.
 */
export interface PieceChunks {
  /** Bytes of a chunk: {@link CHUNK_BYTES_MIN} times a power of two; the last one of a piece may be shorter. */
  readonly bytes: number;
  /** For each chunk but the last the crc32c of the piece from its start to the end of that chunk; 4 bytes each, big-endian. */
  readonly running: Uint8Array;
}

export const CHUNK_BYTES_MIN = 64 * 1024;

/** Chunks of a piece of so many bytes. */
export function chunkCount(length: number, chunkBytes: number): number {
  return Math.ceil(length / chunkBytes);
}

/** Whether chunks are such as a piece of so many bytes can have: at least two. */
export function isChunksOf({ bytes, running }: PieceChunks, length: number): boolean {
  const factor = bytes / CHUNK_BYTES_MIN;
  if (!Number.isInteger(factor) || factor < 1 || !Number.isInteger(Math.log2(factor)) || bytes >= length) return false;
  return running.length === 4 * (chunkCount(length, bytes) - 1);
}

/**
 * How a piece is stored in fewer bytes. `offset`, `length` and `crc32c` of the piece are of what is stored, `skip` and `take` of what it
 * was made of: `skip + take <= plainLength`.
 */
export interface Compression {
  readonly codec: Codec;
  readonly plainLength: number;
  readonly plainCrc32c: number;
}

/** `gzip` is RFC 1952, `brotli` RFC 7932; both are in every version of Node that we run on. */
export type Codec = 'gzip' | 'brotli';
export const CODECS: readonly Codec[] = ['gzip', 'brotli'];
export const CODEC_DEFAULT: Codec = 'brotli';
/** Bytes that one compressed piece may become: nobody is made to take more into memory. */
export const PLAIN_BYTES_MAX = 64 * 1024 * 1024;

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

/** The bytes that a piece is made of, however it is stored. */
export function plainLength({ length, compression }: Piece): number {
  return compression?.plainLength ?? length;
}

/** What an extent takes in the store: of a piece that is shown in part its share. */
export function storedBytes(extent: Extent): number {
  if (isHole(extent)) return 0;
  const { compression, length, take } = extent;
  return compression === undefined ? take : Math.ceil((length * take) / compression.plainLength);
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
