/**
 * Pieces in fewer bytes. Each is compressed for itself, so that a range costs only the pieces that it touches, and only where that saves
 * something; the manifest says how. What comes back is compared with the length and the checksum of what went in.
 *
 * The codecs run in the threads of Node's pool (node:zlib), beside hashing and transfers.
 */
import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants, gunzip, gzip } from 'node:zlib';
import { NokvError, PLAIN_BYTES_MAX, blockKey, type Codec, type Compression, type Piece } from '@nokv/types';
import { crc32c, formatCrc32c } from '../block-checksum.js';

export interface CompressedBytes {
  readonly bytes: Uint8Array;
  readonly compression: Compression;
}

/** What does not lose an eighth of its length is stored as it is: reading it would cost more than it saves. */
const SAVED_LEAST = 1 / 8;
/** Of a piece this part is tried first: a checkpoint or a picture is not pressed in full to learn that it cannot be. */
const SAMPLE_BYTES = 64 * 1024;

/**
 * About the speed of a disk and three quarters of the best ratio (measured on logs: brotli 2 is smaller than gzip 6 and three times as
 * fast).
 */
const BROTLI_QUALITY = 2;
const GZIP_LEVEL = 3;

/** Undefined: store it as it is. `plainCrc32c` may be known already. */
export async function compressPiece(bytes: Uint8Array, codec: Codec, plainCrc32c = crc32c(bytes)): Promise<CompressedBytes | undefined> {
  if (bytes.length > PLAIN_BYTES_MAX) return undefined;
  if (bytes.length > 4 * SAMPLE_BYTES) {
    const middle = Math.floor((bytes.length - SAMPLE_BYTES) / 2);
    const parts = [bytes.subarray(0, SAMPLE_BYTES), bytes.subarray(middle, middle + SAMPLE_BYTES)];
    const tried = await Promise.all(parts.map((part) => compress(part, codec)));
    if (tried.every(({ length }) => !isWorthIt(length, SAMPLE_BYTES))) return undefined;
  }
  const stored = await compress(bytes, codec);
  if (!isWorthIt(stored.length, bytes.length)) return undefined;
  return { bytes: stored, compression: { codec, plainLength: bytes.length, plainCrc32c } };
}

function isWorthIt(stored: number, plain: number): boolean {
  return stored <= plain * (1 - SAVED_LEAST);
}

const inGzip = promisify<Uint8Array, object, Buffer>(gzip);
const inBrotli = promisify<Uint8Array, object, Buffer>(brotliCompress);
const fromGzip = promisify<Uint8Array, object, Buffer>(gunzip);
const fromBrotli = promisify<Uint8Array, object, Buffer>(brotliDecompress);

async function compress(bytes: Uint8Array, codec: Codec): Promise<Uint8Array> {
  if (codec === 'gzip') return await inGzip(bytes, { level: GZIP_LEVEL });
  const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return await inBrotli(bytes, { params });
}

/**
 * What a piece was made of. `stored` has been compared with the piece's checksum, so what fails here was compressed wrongly, or the
 * manifest lies: `corrupt`, and fetching it again cannot help.
 */
export async function plainBytesOf(piece: Piece, stored: Uint8Array, path?: string): Promise<Uint8Array> {
  const { compression } = piece;
  if (compression === undefined) return stored;
  const { codec, plainLength, plainCrc32c } = compression;
  let found: string;
  let cause: unknown;
  try {
    // One byte more would be more than the manifest says: it ends there, whatever the rest would become.
    const options = { maxOutputLength: plainLength };
    const bytes = await (codec === 'gzip' ? fromGzip : fromBrotli)(stored, options);
    const checksum = crc32c(bytes);
    if (bytes.length === plainLength && checksum === plainCrc32c) return bytes;
    found = `${bytes.length} bytes with crc32c ${formatCrc32c(checksum)}`;
  } catch (error) {
    found = `no ${codec} of that length`;
    cause = error;
  }
  const key = blockKey(piece.upload, piece.index);
  throw new NokvError(
    'corrupt',
    `block ${key}${path === undefined ? '' : ` of ${path}`}: expected ${plainLength} bytes with crc32c ${formatCrc32c(plainCrc32c)} in ${codec}, ` +
      `found ${found}; restore the object from a copy or publish the file again`,
    { details: { key, ...(path === undefined ? {} : { path }) }, cause },
  );
}
