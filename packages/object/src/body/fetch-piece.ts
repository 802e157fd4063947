/** One verified piece from a store. */
import { NokvError, blockKey, isNokvError, type Piece } from '@nokv/types';
import { crc32c, formatCrc32c } from '../block-checksum.js';
import type { BlockStore, GetBlockOptions } from '../block-store.js';

export interface FetchPieceOptions extends GetBlockOptions {
  /** Whose body it is, for the message. */
  readonly path?: string | undefined;
}

/**
 * The piece's bytes, checked against the manifest before anybody sees them. Wrong, missing or short bytes are fetched once
 * more, because the way may be at fault; then the error is `corrupt` with the block's key.
 */
export async function fetchPiece(store: BlockStore, piece: Piece, options: FetchPieceOptions): Promise<Uint8Array> {
  const first = await fetchOnce(store, piece, { ...options, crc32c: piece.crc32c });
  if (first instanceof Uint8Array) return first;
  const second = await fetchOnce(store, piece, options);
  if (second instanceof Uint8Array) return second;
  const { path } = options;
  const key = blockKey(piece.upload, piece.index);
  throw new NokvError(
    'corrupt',
    `block ${key}${path === undefined ? '' : ` of ${path}`}: expected ${piece.length} bytes from ${piece.offset} with crc32c ${formatCrc32c(piece.crc32c)}, ` +
      `found twice: ${second.found}; restore the object from a copy or publish the file again`,
    { details: { key, ...(path === undefined ? {} : { path }) }, cause: second.cause },
  );
}

interface Mismatch {
  readonly found: string;
  readonly cause?: unknown;
}

async function fetchOnce(store: BlockStore, piece: Piece, options: FetchPieceOptions): Promise<Uint8Array | Mismatch> {
  const { signal, into, crc32c: expected } = options;
  try {
    const bytes = await store.getBlock(piece.upload, piece.index, piece.offset, piece.length, { signal, into, crc32c: expected });
    const checksum = crc32c(bytes);
    if (checksum === piece.crc32c && bytes.length === piece.length) return bytes;
    return { found: `${bytes.length} bytes with crc32c ${formatCrc32c(checksum)}` };
  } catch (cause) {
    if (isNokvError(cause, 'no-object')) return { found: 'no such object', cause };
    if (isNokvError(cause, 'corrupt')) return { found: cause.message, cause };
    throw cause;
  }
}
