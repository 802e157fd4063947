/**
 * One cached piece as a file: a header with a checksum for each chunk, then the piece's bytes.
 *
 * Layout, little-endian: 8 bytes `nokvpc01` · u32 length of the piece · u32 bytes of a chunk · u32 number of chunks · u32 crc32 of the
 * entry's name · for each chunk its crc32 · u32 crc32 of the header before it · the bytes.
 *
 * Invariants: bytes were compared with the manifest's crc32c before they were written; the name, and so the checksum in it, is part of the
 * header; and each chunk is proved alone, so that a part is read without the rest. Whatever does not match is no entry.
 */
import { CHUNK_BYTES_MIN, chunkCount, uploadId, type Piece } from '@nokv/types';
import { crc32, formatCrc32c, parseCrc32c } from '../block-checksum.js';

/** What a small range costs to read from the disk; chunks of manifests are whole numbers of these. */
export const CHUNK_BYTES = CHUNK_BYTES_MIN;
const MAGIC = Buffer.from('nokvpc01', 'latin1');
const FIXED_BYTES = MAGIC.length + 16;
/** Files take whole blocks of a file system. */
const DISK_BLOCK_BYTES = 4096;

/** What names the bytes: which part of the file shows them does not matter. */
export type PieceKey = Pick<Piece, 'upload' | 'index' | 'offset' | 'length' | 'crc32c'>;

/** The checksum is part of the name, so that a wrong manifest never gets bytes that another one vouched for. */
export function entryName({ upload, index, offset, length, crc32c: checksum }: PieceKey): string {
  return `${upload}.${index}.${offset}.${length}.${formatCrc32c(checksum)}`;
}

export function parseEntryName(name: string): PieceKey | undefined {
  const match = /^([0-9a-f]{32})\.(\d{1,10})\.(\d{1,15})\.(\d{1,10})\.([0-9a-f]{8})$/.exec(name);
  const checksum = parseCrc32c(match?.[5] ?? '');
  if (match === null || checksum === undefined) return undefined;
  return {
    upload: uploadId(match[1] ?? ''),
    index: Number(match[2]),
    offset: Number(match[3]),
    length: Number(match[4]),
    crc32c: checksum,
  };
}

/** The length in a name, for those who sum up many; undefined for what is no entry's. */
export function entryNameBytes(name: string): number | undefined {
  const [upload, , , length, checksum, ...more] = name.split('.');
  if (upload?.length !== 32 || checksum?.length !== 8 || more.length > 0 || length === undefined || !/^\d{1,10}$/.test(length))
    return undefined;
  return Number(length);
}

export function headerBytes(length: number): number {
  return FIXED_BYTES + chunkCount(length, CHUNK_BYTES) * 4 + 4;
}

/** What an entry takes on the disk. */
export function entryDiskBytes(length: number): number {
  return Math.ceil((headerBytes(length) + length) / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
}

/** @param bytes of the piece, compared with its checksum. */
export function encodeHeader(piece: PieceKey, bytes: Uint8Array): Uint8Array {
  const count = chunkCount(bytes.length, CHUNK_BYTES);
  const header = Buffer.alloc(headerBytes(bytes.length));
  MAGIC.copy(header);
  header.writeUInt32LE(bytes.length, 8);
  header.writeUInt32LE(CHUNK_BYTES, 12);
  header.writeUInt32LE(count, 16);
  header.writeUInt32LE(nameChecksum(piece), 20);
  for (let chunk = 0; chunk < count; chunk += 1) {
    header.writeUInt32LE(crc32(bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)), FIXED_BYTES + chunk * 4);
  }
  header.writeUInt32LE(crc32(header.subarray(0, header.length - 4)), header.length - 4);
  return header;
}

/** The checksums of the chunks; undefined for what is no header of this piece. */
export function decodeHeader(header: Uint8Array, piece: PieceKey): Uint32Array | undefined {
  const count = chunkCount(piece.length, CHUNK_BYTES);
  if (header.length !== headerBytes(piece.length)) return undefined;
  const view = Buffer.from(header.buffer, header.byteOffset, header.length);
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (view.readUInt32LE(view.length - 4) !== crc32(view.subarray(0, view.length - 4))) return undefined;
  if (view.readUInt32LE(8) !== piece.length || view.readUInt32LE(12) !== CHUNK_BYTES || view.readUInt32LE(16) !== count) return undefined;
  if (view.readUInt32LE(20) !== nameChecksum(piece)) return undefined;
  return Uint32Array.from({ length: count }, (_, chunk) => view.readUInt32LE(FIXED_BYTES + chunk * 4));
}

/** Whether the bytes are those of the chunks from `first` on. */
export function matchesChunks(checksums: Uint32Array, first: number, bytes: Uint8Array): boolean {
  for (let start = 0, chunk = first; start < bytes.length; start += CHUNK_BYTES, chunk += 1) {
    if (crc32(bytes.subarray(start, start + CHUNK_BYTES)) !== checksums[chunk]) return false;
  }
  return true;
}

function nameChecksum(piece: PieceKey): number {
  return crc32(Buffer.from(entryName(piece)));
}
