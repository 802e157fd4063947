/**
 * Running checksums within pieces: made when a block is sent, used when a small part of it is read alone.
 *
 * A chunk is proved by the running checksums before and behind it; the last one is the piece's own. So coarser chunks are a selection
 * of finer ones, and a body whose length shows only at its end is thinned out then.
 */
import { CHUNK_BYTES_MIN, chunkCount, isHole, type Extent, type Piece, type PieceChunks } from '@nokv/types';
import { crc32c } from '../block-checksum.js';

/** A shorter piece is read whole: a request costs more than the bytes. */
export const CHUNKED_PIECE_BYTES_MIN = 4 * CHUNK_BYTES_MIN;
/** Of one body: 256 KiB of checksums in its plan. */
export const BODY_CHUNKS_MAX = 65_536;

export type PieceChecksum = Pick<Piece, 'crc32c' | 'chunks'>;

export function checksumsOf(bytes: Uint8Array): PieceChecksum {
  if (bytes.length < CHUNKED_PIECE_BYTES_MIN) return { crc32c: crc32c(bytes) };
  const count = chunkCount(bytes.length, CHUNK_BYTES_MIN);
  const running = Buffer.allocUnsafe(4 * (count - 1));
  let checksum = 0;
  for (let chunk = 0; chunk < count; chunk += 1) {
    checksum = crc32c(bytes.subarray(chunk * CHUNK_BYTES_MIN, (chunk + 1) * CHUNK_BYTES_MIN), checksum);
    if (chunk < count - 1) running.writeUInt32BE(checksum, 4 * chunk);
  }
  return { crc32c: checksum, chunks: { bytes: CHUNK_BYTES_MIN, running: new Uint8Array(running) } };
}

/** Bounds the checksums of a body by making its chunks coarser. */
export function thinChunks(extents: readonly Extent[]): readonly Extent[] {
  let chunks = 0;
  for (const extent of extents) if (!isHole(extent)) chunks += (extent.chunks?.running.length ?? 0) / 4;
  let factor = 1;
  while (chunks / factor > BODY_CHUNKS_MAX) factor *= 2;
  if (factor === 1) return extents;
  return extents.map((extent) => (isHole(extent) || extent.chunks === undefined ? extent : coarser(extent, extent.chunks, factor)));
}

function coarser(piece: Piece, { bytes, running }: PieceChunks, factor: number): Piece {
  const count = chunkCount(piece.length, bytes * factor) - 1;
  if (count < 1) return withoutChunks(piece);
  const kept = new Uint8Array(4 * count);
  for (let chunk = 0; chunk < count; chunk += 1) {
    const from = 4 * ((chunk + 1) * factor - 1);
    kept.set(running.subarray(from, from + 4), 4 * chunk);
  }
  return { ...piece, chunks: { bytes: bytes * factor, running: kept } };
}

function withoutChunks(piece: Piece): Piece {
  const plain: { -readonly [Key in keyof Piece]: Piece[Key] } = { ...piece };
  delete plain.chunks;
  return plain;
}

/** Whole chunks of a piece. */
export interface ChunkSpan {
  /** From the start of the piece. */
  readonly start: number;
  readonly length: number;
}

/** The fewest chunks that hold a part of a piece. */
export function spanOf({ length }: Piece, { bytes }: PieceChunks, start: number, partLength: number): ChunkSpan {
  const from = Math.floor(start / bytes) * bytes;
  return { start: from, length: Math.min(length, Math.ceil((start + partLength) / bytes) * bytes) - from };
}

/** Whether the bytes are those of the span, by the checksums before and behind each of its chunks. */
export function matchesSpan(
  piece: Piece,
  { bytes: chunkBytes, running }: PieceChunks,
  { start, length }: ChunkSpan,
  bytes: Uint8Array,
): boolean {
  if (bytes.length !== length) return false;
  const view = new DataView(running.buffer, running.byteOffset, running.length);
  const first = start / chunkBytes;
  let checksum = first === 0 ? 0 : view.getUint32(4 * (first - 1));
  for (let at = 0, chunk = first; at < length; at += chunkBytes, chunk += 1) {
    checksum = crc32c(bytes.subarray(at, at + chunkBytes), checksum);
    if (checksum !== (4 * chunk < running.length ? view.getUint32(4 * chunk) : piece.crc32c)) return false;
  }
  return true;
}
