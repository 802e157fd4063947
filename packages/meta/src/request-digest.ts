/**
 * The digest that tells a retry from another request under the same id: 53 bits over the operation and its arguments.
 * It guards against mistakes of one client with its own ids, not against an adversary, and so need not be cryptographic.
 * The order of an object's fields and fields that are undefined make no difference.
 */
import { crc32 } from 'node:zlib';

const LONG_BYTES = 64;
const keyHashes = new Map<string, number>();

export function digestOf(operation: string, args: object): number {
  const hash = hashText(operation, 0x9e3779b9);
  const high = hashValue(args, hash ^ 0x85ebca6b);
  const low = hashValue(args, hash ^ 0xc2b2ae35);
  return (high & 0x1fffff) * 4_294_967_296 + (low >>> 0);
}

function hashValue(value: unknown, seed: number): number {
  switch (typeof value) {
    case 'number':
      return hashNumber(value, seed ^ 1);
    case 'string':
      return hashText(value, seed ^ 2);
    case 'boolean':
      return mix(seed ^ 3, value ? 1 : 2);
    case 'object':
      if (value === null) return mix(seed, 4);
      if (value instanceof Uint8Array) return hashBytes(value, seed ^ 5);
      if (Array.isArray(value)) return hashList(value, seed ^ 6);
      return hashFields(value as Record<string, unknown>, seed ^ 7);
    default:
      return mix(seed, 8);
  }
}

function hashFields(fields: Record<string, unknown>, seed: number): number {
  let sum = seed;
  for (const key in fields) {
    const value = fields[key];
    // Adding makes the order of the fields irrelevant.
    if (value !== undefined) sum = (sum + mix(hashKey(key), hashValue(value, seed))) | 0;
  }
  return mix(sum, seed);
}

function hashKey(key: string): number {
  let hash = keyHashes.get(key);
  if (hash === undefined) {
    hash = hashText(key, 17);
    // Keys come from schemas; the bound is for callers that bypass them.
    if (keyHashes.size < 1024) keyHashes.set(key, hash);
  }
  return hash;
}

function hashList(list: readonly unknown[], seed: number): number {
  let hash = mix(seed, list.length);
  for (const value of list) hash = mix(hash, hashValue(value, seed));
  return hash;
}

function hashNumber(value: number, seed: number): number {
  return mix(mix(seed, value | 0), Number.isInteger(value) ? Math.floor(value / 4_294_967_296) | 0 : hashText(String(value), seed));
}

function hashText(text: string, seed: number): number {
  let hash = mix(seed, text.length);
  let i = 0;
  for (; i + 1 < text.length; i += 2) hash = mix(hash, text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16));
  return i < text.length ? mix(hash, text.charCodeAt(i)) : hash;
}

function hashBytes(bytes: Uint8Array, seed: number): number {
  let hash = mix(seed, bytes.length);
  // The same checksum serves both halves of the digest of long bytes: 32 bits are enough for a mistake.
  if (bytes.length > LONG_BYTES) return mix(hash, crc32(bytes) | 0);
  let i = 0;
  for (; i + 3 < bytes.length; i += 4) {
    const word =
      ((bytes[i] as number) << 24) | ((bytes[i + 1] as number) << 16) | ((bytes[i + 2] as number) << 8) | (bytes[i + 3] as number);
    hash = mix(hash, word);
  }
  for (; i < bytes.length; i++) hash = mix(hash, bytes[i] as number);
  return hash;
}

/** One round of MurmurHash3's 32-bit mixing (Appleby, public domain). */
function mix(hash: number, value: number): number {
  let k = Math.imul(value, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  let h = hash ^ Math.imul(k, 0x1b873593);
  h = (h << 13) | (h >>> 19);
  return (Math.imul(h, 5) + 0xe6546b64) ^ (h >>> 16);
}
