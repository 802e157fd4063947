/**
 * An image: the state of a shard after one segment of its log, in blocks under one prefix, the manifest last. What has no manifest
 * is no image.
 *
 * manifest  JSON `{"digest": SHA-256 of the text of "image", "image": {…}}`, see {@link ImageManifest}
 * block     magic "NKIM" · format u16 · index u32 · rows u32, then each row: key length u16, value length u32, key, value; big-endian
 *
 * Rows lie in key order. The manifest carries the SHA-256 of each block and the state digest of all rows (state-digest.ts).
 */
import { createHash } from 'node:crypto';
import { NokvError, isNokvError, type Epoch, type ShardId } from '@nokv/types';
import type { KvEntry } from '../ordered-kv.js';
import type { LogStore } from './log-store.js';
import { altered } from './segment.js';

export const IMAGE_FORMAT = 1;

export interface ImageManifest {
  readonly format: number;
  readonly shard: ShardId;
  /** Of the store that the bodies are in, where the writer knows it; else empty. */
  readonly namespace: string;
  /** Of the rows: `SHARD_FORMAT` of the build that wrote it. */
  readonly shardFormat: number;
  /** The segment after which this is the state, with its epoch and digest; 0, 0 and random bytes at the origin of a log. */
  readonly sequence: number;
  readonly epoch: Epoch;
  /** Hex. */
  readonly segmentDigest: string;
  readonly version: number;
  readonly madeMs: number;
  readonly rows: number;
  readonly bytes: number;
  readonly stateDigest: string;
  readonly blocks: readonly { readonly bytes: number; readonly rows: number; readonly sha256: string }[];
}

const MAGIC = Buffer.from('NKIM');
export const BLOCK_HEADER_BYTES = 14;
export const ROW_HEADER_BYTES = 6;
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

export function manifestKey(prefix: string): string {
  return `${prefix}manifest`;
}

export function blockKeyOf(prefix: string, index: number): string {
  return `${prefix}block-${String(index).padStart(6, '0')}`;
}

export function encodeManifest(image: ImageManifest): Uint8Array {
  const text = JSON.stringify(image);
  return Buffer.from(`{"digest":"${sha256(text)}","image":${text}}`);
}

export function decodeManifest(key: string, bytes: Uint8Array): ImageManifest {
  const { digest, image } = parse(key, bytes);
  if (typeof image !== 'object' || image === null) throw altered(key, 'it names no image');
  const manifest = image as ImageManifest;
  if (manifest.format !== IMAGE_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `expected image format ${IMAGE_FORMAT} in ${key}, found ${JSON.stringify(manifest.format)}; use the build that wrote it`,
      { details: { key, expected: IMAGE_FORMAT } },
    );
  }
  if (digest !== sha256(JSON.stringify(image))) throw altered(key, 'its digest does not match');
  return manifest;
}

export function encodeBlock(index: number, rows: readonly KvEntry[], bytes: number): Buffer {
  const block = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + bytes);
  MAGIC.copy(block, 0);
  block.writeUInt16BE(IMAGE_FORMAT, 4);
  block.writeUInt32BE(index, 6);
  block.writeUInt32BE(rows.length, 10);
  let at = BLOCK_HEADER_BYTES;
  for (const { key, value } of rows) {
    block.writeUInt16BE(key.length, at);
    block.writeUInt32BE(value.length, at + 2);
    block.set(key, at + ROW_HEADER_BYTES);
    block.set(value, at + ROW_HEADER_BYTES + key.length);
    at += ROW_HEADER_BYTES + key.length + value.length;
  }
  return block;
}

/** The rows of a block whose bytes were checked against the manifest; views of it. */
export function* rowsOfBlock(key: string, block: Uint8Array, index: number): Generator<KvEntry> {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (bytes.length < BLOCK_HEADER_BYTES || !bytes.subarray(0, 4).equals(MAGIC) || bytes.readUInt32BE(6) !== index) {
    throw altered(key, `it is no block ${index}`);
  }
  const rows = bytes.readUInt32BE(10);
  let at = BLOCK_HEADER_BYTES;
  for (let row = 0; row < rows; row++) {
    const keyEnd = at + ROW_HEADER_BYTES + bytes.readUInt16BE(at);
    const end = keyEnd + bytes.readUInt32BE(at + 2);
    if (end > bytes.length) throw altered(key, 'its last row is cut');
    yield { key: bytes.subarray(at + ROW_HEADER_BYTES, keyEnd), value: bytes.subarray(keyEnd, end) };
    at = end;
  }
  if (at !== bytes.length) throw altered(key, 'bytes follow its last row');
}

/** Refuses, naming it, a block that is missing or altered. */
export async function readBlock(store: LogStore, prefix: string, image: ImageManifest, index: number): Promise<Uint8Array> {
  const key = blockKeyOf(prefix, index);
  const expected = image.blocks[index];
  const bytes = await store.get(key);
  if (bytes === undefined || expected === undefined) {
    throw new NokvError('corrupt', `${key} is missing: the image ${prefix} is not whole; restore this object`, { details: { key } });
  }
  if (bytes.length !== expected.bytes) throw altered(key, `expected ${expected.bytes} bytes, found ${bytes.length}`);
  if (createHash('sha256').update(bytes).digest('hex') !== expected.sha256) throw altered(key, 'its digest does not match');
  return bytes;
}

/** Undefined where there is none. */
export async function readManifest(store: LogStore, prefix: string): Promise<ImageManifest | undefined> {
  const key = manifestKey(prefix);
  const bytes = await store.get(key);
  return bytes === undefined ? undefined : decodeManifest(key, bytes);
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function parse(key: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    if (bytes.length > MANIFEST_BYTES_MAX) throw altered(key, `it has ${bytes.length} bytes`);
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    if (isNokvError(error)) throw error;
  }
  throw altered(key, 'it is no manifest');
}
