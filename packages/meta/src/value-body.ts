/**
 * Values of bodies, extents, the staging ledger and extended attributes.
 *
 * body:   birth u64, published (sec u64, nsec u32), ordinal u32, actor (text8), digest, content type (text8), producer (text8), kind u8, then
 *         kind 1 inline: the bytes, to the end of the row
 *         kind 3 lost: size u64, allocated bytes u64 (of a fork: the body was forgotten before it was taken over)
 *         kind 2 blocks: size u64, count of upload ids u16, the ids (16 bytes each), count of extents u32, then for each
 *           hole 00, take u64 | piece 01, number of the upload id u16, index u32, offset u32, length u32, crc32c u32, skip u32, take u32
 *           compressed piece 02, the same as of a piece, codec u8 (1 gzip, 2 brotli), plain length u32, plain crc32c u32
 *           piece in chunks 03, the same as of a piece, log2 of a chunk's bytes u8, its running checksums (u32 for each chunk but the last)
 * extent: references u32 (bodies that name the upload), blocks u32, bytes u64
 * upload: state u8 (1 open, 2 ended), begun ms u64, expires (sec u64, nsec u32), actor (text8), target (to the end)
 * digest: ino u64, generation u64: a body that had it when the row was written
 * xattr:  birth u64, the bytes
 *
 * A digest is 00 for none, 01 and the 32 bytes of a sha256, or 02 and a text8 for any other.
 * text8 is a length u8 and that many bytes of UTF-8. Offsets inside a block fit 32 bits: a block is at most 4 GiB.
 */
import {
  NokvError,
  chunkCount,
  isChunksOf,
  type Body,
  type Codec,
  type Extent,
  type Generation,
  type InodeNumber,
  type Piece,
  type Timespec,
  type UploadId,
  type Version,
} from '@nokv/types';
import { RowReader, corruptRow } from './row-reader.js';
import { RowWriter, copyBytes } from './row-writer.js';

export const TEXT8_BYTES_MAX = 255;
const KIND_INLINE = 1;
const KIND_BLOCKS = 2;
const KIND_LOST = 3;
const EXTENT_BYTES_MAX = 52;

export interface BodyRow {
  readonly birth: Version;
  /** When, by whom and as which one of its file it was published: what a log shows. */
  readonly time: Timespec;
  readonly ordinal: number;
  readonly actor: string;
  readonly digest: string | undefined;
  readonly contentType: string | undefined;
  readonly producer: string | undefined;
  readonly body: Body;
  /** The body was forgotten: what its file says of it; `body` is empty then. */
  readonly lost?: { readonly size: number; readonly allocated: number };
}

export interface ExtentRow {
  readonly references: number;
  readonly blocks: number;
  readonly bytes: number;
}

/** Where a body with a digest is, or was. */
export interface DigestRow {
  readonly ino: InodeNumber;
  readonly generation: Generation;
}

export interface UploadRow {
  readonly state: 'open' | 'ended';
  readonly begunMs: number;
  readonly expires: Timespec;
  readonly actor: string;
  readonly target: string;
}

const EXTENT_HOLE = 0;
const EXTENT_PIECE = 1;
const EXTENT_COMPRESSED = 2;
const EXTENT_CHUNKED = 3;
/** Codecs by their numbers in rows, from 1 on; a new one goes to the end. */
const ROW_CODECS: readonly Codec[] = ['gzip', 'brotli'];

function codecNumber(codec: Codec): number {
  return ROW_CODECS.indexOf(codec) + 1;
}

const writer = new RowWriter();

export function encodeBody(row: BodyRow): Buffer {
  const { body } = row;
  const head = writer.begin(bodyBytesMax(row)).u64(row.birth).time(row.time).u32(row.ordinal);
  text8(head, row.actor);
  writeDigest(head, row.digest);
  text8(head, row.contentType);
  text8(head, row.producer);
  if (row.lost !== undefined) return head.u8(KIND_LOST).u64(row.lost.size).u64(row.lost.allocated).end();
  if (body.kind === 'inline') return head.u8(KIND_INLINE).bytes(body.bytes).end();
  const { manifest } = body;
  const uploads = new Map<UploadId, number>();
  for (const extent of manifest.extents) {
    if (!('hole' in extent) && !uploads.has(extent.upload)) uploads.set(extent.upload, uploads.size);
  }
  head.u8(KIND_BLOCKS).u64(manifest.size).u16(uploads.size);
  for (const upload of uploads.keys()) head.hex16(upload);
  head.u32(manifest.extents.length);
  for (const extent of manifest.extents) {
    if ('hole' in extent) {
      head.u8(EXTENT_HOLE).u64(extent.take);
    } else {
      const { chunks, compression } = extent;
      head
        .u8(formOf(extent))
        .u16(uploads.get(extent.upload) ?? 0)
        .u32(extent.index)
        .u32(extent.offset)
        .u32(extent.length)
        .u32(extent.crc32c)
        .u32(extent.skip)
        .u32(extent.take);
      if (compression !== undefined) head.u8(codecNumber(compression.codec)).u32(compression.plainLength).u32(compression.plainCrc32c);
      else if (chunks !== undefined) head.u8(Math.log2(chunks.bytes)).bytes(chunks.running);
    }
  }
  return head.end();
}

export function decodeBody(bytes: Uint8Array): BodyRow {
  const row = new RowReader(bytes);
  const head = readHead(row);
  const kind = row.u8();
  if (kind !== KIND_LOST) return { ...head, body: readBody(row, kind) };
  const lost = { size: row.u64(), allocated: row.u64() };
  row.end();
  return { ...head, body: { kind: 'inline', bytes: new Uint8Array(0) }, lost };
}

/** What `stat` and `log` show of a body, without its extents. */
export type BodyHead = Omit<BodyRow, 'body'> & { readonly inline: boolean; readonly size: number };

export function decodeBodyHead(bytes: Uint8Array): BodyHead {
  const row = new RowReader(bytes);
  const head = readHead(row);
  const inline = row.u8() === KIND_INLINE;
  return { ...head, inline, size: inline ? row.rest : row.u64() };
}

function readHead(row: RowReader): Omit<BodyRow, 'body'> {
  const birth = row.u64() as Version;
  const time = row.time();
  const ordinal = row.u32();
  const actor = readText8(row) ?? '';
  const digest = readDigest(row);
  const contentType = readText8(row);
  const producer = readText8(row);
  return { birth, time, ordinal, actor, digest, contentType, producer };
}

const SHA256 = /^sha256:[0-9a-f]{64}$/;
const SHA256_BYTES = 32;
const DIGEST_NONE = 0;
const DIGEST_SHA256 = 1;
const DIGEST_TEXT = 2;

/** The bytes of a digest that is a sha256. */
export function sha256Of(digest: string | undefined): Uint8Array | undefined {
  return digest === undefined || !SHA256.test(digest) ? undefined : Buffer.from(digest.slice(7), 'hex');
}

function writeDigest(row: RowWriter, digest: string | undefined): void {
  if (digest === undefined) row.u8(DIGEST_NONE);
  else if (SHA256.test(digest)) row.u8(DIGEST_SHA256).bytes(Buffer.from(digest.slice(7), 'hex'));
  else text8(row.u8(DIGEST_TEXT), digest);
}

function readDigest(row: RowReader): string | undefined {
  const kind = row.u8();
  switch (kind) {
    case DIGEST_NONE:
      return undefined;
    case DIGEST_SHA256:
      return `sha256:${row.hex(SHA256_BYTES)}`;
    case DIGEST_TEXT:
      return readText8(row);
    default:
      throw corruptRow(`${kind} is no kind of digest`);
  }
}

/** Birth, time and ordinal. */
const UPLOADS_AFTER_HEAD = 24;

/** Where the ids of the uploads that a body names begin in its row; nothing else of it is decoded. */
export function uploadsNamed(bytes: Uint8Array): readonly number[] {
  let at = UPLOADS_AFTER_HEAD;
  const skipText = (): void => {
    at += 1 + (bytes[at] ?? 0);
  };
  skipText();
  const digestForm = bytes[at++];
  if (digestForm === 1) at += 32;
  else if (digestForm === 2) skipText();
  skipText();
  skipText();
  const kind = bytes[at];
  if (kind === KIND_INLINE || kind === KIND_LOST) return [];
  const count = kind === KIND_BLOCKS ? ((bytes[at + 9] ?? 0) << 8) | (bytes[at + 10] ?? 0) : 0;
  const first = at + 11;
  if (kind !== KIND_BLOCKS || first + count * 16 > bytes.length) throw corruptRow('its uploads cannot be read');
  return Array.from({ length: count }, (_, i) => first + i * 16);
}

export function encodeExtent(row: ExtentRow): Buffer {
  return writer.begin(16).u32(row.references).u32(row.blocks).u64(row.bytes).end();
}

export function decodeExtent(bytes: Uint8Array): ExtentRow {
  const row = new RowReader(bytes);
  const extent = { references: row.u32(), blocks: row.u32(), bytes: row.u64() };
  row.end();
  return extent;
}

export function encodeDigest({ ino, generation }: DigestRow): Buffer {
  return writer.begin(16).u64(ino).u64(generation).end();
}

export function decodeDigest(bytes: Uint8Array): DigestRow {
  const row = new RowReader(bytes);
  const digest = { ino: row.u64() as InodeNumber, generation: row.u64() as Generation };
  row.end();
  return digest;
}

export function encodeUpload(row: UploadRow): Buffer {
  const target = Buffer.from(row.target);
  const head = writer.begin(22 + 256 + target.length).u8(row.state === 'open' ? 1 : 2);
  text8(head.u64(row.begunMs).time(row.expires), row.actor);
  return head.bytes(target).end();
}

export function decodeUpload(bytes: Uint8Array): UploadRow {
  const row = new RowReader(bytes);
  const state = row.u8();
  if (state !== 1 && state !== 2) throw corruptRow(`${state} is no state of an upload`);
  const begunMs = row.u64();
  const expires = row.time();
  const actor = readText8(row) ?? '';
  return { state: state === 1 ? 'open' : 'ended', begunMs, expires, actor, target: row.utf8(row.rest) };
}

export function encodeXattr(birth: Version, value: Uint8Array): Buffer {
  return writer
    .begin(8 + value.length)
    .u64(birth)
    .bytes(value)
    .end();
}

export function decodeXattr(bytes: Uint8Array): Uint8Array {
  return copyBytes(bytes, 8, bytes.length);
}

/** Refuses text that does not fit where it is kept. */
export function checkText8(text: string | undefined, what: string): void {
  if (text !== undefined && Buffer.byteLength(text) > TEXT8_BYTES_MAX) {
    throw new NokvError('invalid-argument', `${what} has at most ${TEXT8_BYTES_MAX} bytes, found ${Buffer.byteLength(text)}`);
  }
}

/** Room for the row; generous, since what is not used is not taken. */
function bodyBytesMax(row: BodyRow): number {
  const { body } = row;
  const fixed = 8 + 16 + 1 + 4 * 256 + 15;
  if (body.kind === 'inline') return fixed + body.bytes.length;
  let extents = 0;
  for (const extent of body.manifest.extents)
    extents += EXTENT_BYTES_MAX + ('hole' in extent ? 0 : 1 + (extent.chunks?.running.length ?? 0));
  return fixed + extents;
}

export function text8(row: RowWriter, text: string | undefined): void {
  if (text === undefined || text.length === 0) {
    row.u8(0);
    return;
  }
  if (text !== lastText) {
    lastText = text;
    lastBytes = Buffer.from(text);
  }
  row.u8(lastBytes.length).bytes(lastBytes);
}

/** The text that was written last: rows in a row are mostly of one actor. */
let lastText = '';
let lastBytes: Uint8Array = Buffer.alloc(0);

/** Undefined for the empty text. */
export function readText8(row: RowReader): string | undefined {
  const length = row.u8();
  return length === 0 ? undefined : row.utf8(length);
}

function formOf({ chunks, compression }: Piece): number {
  if (compression !== undefined) return EXTENT_COMPRESSED;
  return chunks === undefined ? EXTENT_PIECE : EXTENT_CHUNKED;
}

function readBody(row: RowReader, kind: number): Body {
  if (kind === KIND_INLINE) return { kind: 'inline', bytes: row.bytes(row.rest) };
  if (kind !== KIND_BLOCKS) throw corruptRow(`${kind} is no kind of body`);
  const size = row.u64();
  const uploads = Array.from({ length: row.u16() }, () => row.hex16() as UploadId);
  const count = row.u32();
  const extents: Extent[] = [];
  for (let i = 0; i < count; i++) extents.push(readExtent(row, uploads));
  row.end();
  return { kind: 'blocks', manifest: { size, extents } };
}

function readExtent(row: RowReader, uploads: readonly UploadId[]): Extent {
  const kind = row.u8();
  switch (kind) {
    case EXTENT_HOLE:
      return { hole: true, take: row.u64() };
    case EXTENT_PIECE:
      return readPiece(row, uploads);
    case EXTENT_COMPRESSED: {
      const piece = readPiece(row, uploads);
      const codec = ROW_CODECS[row.u8() - 1];
      if (codec === undefined) throw corruptRow('a piece is compressed in a way that is not known; a newer version wrote it');
      return { ...piece, compression: { codec, plainLength: row.u32(), plainCrc32c: row.u32() } };
    }
    case EXTENT_CHUNKED: {
      const piece = readPiece(row, uploads);
      const bytes = 2 ** row.u8();
      if (bytes >= piece.length) throw corruptRow(`a piece of ${piece.length} bytes in chunks of ${bytes}`);
      const chunks = { bytes, running: row.bytes(4 * (chunkCount(piece.length, bytes) - 1)) };
      if (!isChunksOf(chunks, piece.length)) throw corruptRow(`a piece of ${piece.length} bytes in chunks of ${bytes}`);
      return { ...piece, chunks };
    }
    default:
      throw corruptRow(`${kind} is no kind of extent`);
  }
}

function readPiece(row: RowReader, uploads: readonly UploadId[]): Piece {
  const upload = uploads[row.u16()];
  if (upload === undefined) throw corruptRow('a piece of an upload that the body does not name');
  return { upload, index: row.u32(), offset: row.u32(), length: row.u32(), crc32c: row.u32(), skip: row.u32(), take: row.u32() };
}
