/** The checksum of blocks and pieces: CRC-32C (Castagnoli, RFC 3720 appendix B.4). The only file that knows the library. */
import { crc32 as localChecksum, crc32c as checksum } from '@node-rs/crc32';

/** @param before the checksum of the bytes before these, to go on from. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  return checksum(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), before);
}

/** CRC-32 (ISO-HDLC, as zip has it): four times as fast as the other in this library, for files that never leave the machine. */
export function crc32(bytes: Uint8Array): number {
  return localChecksum(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/** Eight lower-case hex digits, as in the header `x-nokv-crc32c`. */
export function formatCrc32c(value: number): string {
  return value.toString(16).padStart(8, '0');
}

export function parseCrc32c(text: string): number | undefined {
  return /^[0-9a-f]{8}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}

/** Big-endian base64, as in `x-amz-checksum-crc32c`. */
export function crc32cToBase64(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('base64');
}

export function crc32cFromBase64(text: string): number | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === 4 && bytes.toString('base64') === text ? bytes.readUInt32BE() : undefined;
}
