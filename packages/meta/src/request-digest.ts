/**
 * The digest that tells a retry from another request under the same id: 53 bits over the operation and its arguments.
 * It guards against mistakes of one client with its own ids, not against an adversary, and so need not be cryptographic.
 * The order of an object's fields and fields that are undefined make no difference.
 */
import { crc32 } from 'node:zlib';

const LONG_BYTES = 64;
/** Hashes of field names, in both lanes. */
const keyHashes = new Map<string, Lanes>();

interface Lanes {
  readonly high: number;
  readonly low: number;
}

/** The second lane of the last hash: both are computed in one walk over the arguments, and nothing is allocated for it. */
let low = 0;

export function digestOf(operation: string, args: object): number {
  const hash = hashText(operation, 0x9e3779b9, 0x9e3779b9);
  const high = hashValue(args, hash ^ 0x85ebca6b, low ^ 0xc2b2ae35);
  return (high & 0x1fffff) * 4_294_967_296 + (low >>> 0);
}

/** Returns the first lane and leaves the second in `low`, as all of these do. */
function hashValue(value: unknown, seed: number, seedLow: number): number {
  switch (typeof value) {
    case 'number':
      return hashNumber(value, seed ^ 1, seedLow ^ 1);
    case 'string':
      return hashText(value, seed ^ 2, seedLow ^ 2);
    case 'boolean':
      return mixBoth(seed ^ 3, seedLow ^ 3, value ? 1 : 2);
    case 'object':
      if (value === null) return mixBoth(seed, seedLow, 4);
      if (value instanceof Uint8Array) return hashBytes(value, seed ^ 5, seedLow ^ 5);
      if (Array.isArray(value)) return hashList(value, seed ^ 6, seedLow ^ 6);
      return hashFields(value as Record<string, unknown>, seed ^ 7, seedLow ^ 7);
    default:
      return mixBoth(seed, seedLow, 8);
  }
}

function hashFields(fields: Record<string, unknown>, seed: number, seedLow: number): number {
  let sum = seed;
  let sumLow = seedLow;
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    const name = hashKey(key);
    const hash = hashValue(value, seed, seedLow);
    // Adding makes the order of the fields irrelevant.
    sumLow = (sumLow + mix(name.low, low)) | 0;
    sum = (sum + mix(name.high, hash)) | 0;
  }
  low = mix(sumLow, seedLow);
  return mix(sum, seed);
}

function hashKey(key: string): Lanes {
  let hash = keyHashes.get(key);
  if (hash === undefined) {
    const high = hashText(key, 17, 19);
    hash = { high, low };
    // Keys come from schemas; the bound is for callers that bypass them.
    if (keyHashes.size < 1024) keyHashes.set(key, hash);
  }
  return hash;
}

function hashList(list: readonly unknown[], seed: number, seedLow: number): number {
  let hash = mix(seed, list.length);
  let hashLow = mix(seedLow, list.length);
  for (const value of list) {
    hash = mix(hash, hashValue(value, seed, seedLow));
    hashLow = mix(hashLow, low);
  }
  low = hashLow;
  return hash;
}

function hashNumber(value: number, seed: number, seedLow: number): number {
  const bottom = value | 0;
  const isInteger = Number.isInteger(value);
  const top = isInteger ? Math.floor(value / 4_294_967_296) | 0 : hashText(String(value), seed, seedLow);
  const topLow = isInteger ? top : low;
  low = mix(mix(seedLow, bottom), topLow);
  return mix(mix(seed, bottom), top);
}

function hashText(text: string, seed: number, seedLow: number): number {
  let hash = mix(seed, text.length);
  let hashLow = mix(seedLow, text.length);
  // Two characters at a time.
  for (let i = 0; i < text.length; i += 2) {
    const pair = text.charCodeAt(i) | (i + 1 < text.length ? text.charCodeAt(i + 1) << 16 : 0);
    hash = mix(hash, pair);
    hashLow = mix(hashLow, pair);
  }
  low = hashLow;
  return hash;
}

function hashBytes(bytes: Uint8Array, seed: number, seedLow: number): number {
  const { length } = bytes;
  let hash = mix(seed, length);
  let hashLow = mix(seedLow, length);
  if (length > LONG_BYTES) {
    // The same checksum serves both halves of the digest of long bytes: 32 bits are enough for a mistake.
    return mixBoth(hash, hashLow, crc32(bytes) | 0);
  }
  // Four bytes at a time; past the end they count as 0, and the length tells those apart.
  for (let i = 0; i < length; i += 4) {
    const word = (byteAt(bytes, i) << 24) | (byteAt(bytes, i + 1) << 16) | (byteAt(bytes, i + 2) << 8) | byteAt(bytes, i + 3);
    hash = mix(hash, word);
    hashLow = mix(hashLow, word);
  }
  low = hashLow;
  return hash;
}

function byteAt(bytes: Uint8Array, at: number): number {
  return at < bytes.length ? (bytes[at] as number) : 0;
}

function mixBoth(seed: number, seedLow: number, value: number): number {
  low = mix(seedLow, value);
  return mix(seed, value);
}

/** One round of MurmurHash3's 32-bit mixing (Appleby, public domain). */
function mix(hash: number, value: number): number {
  let k = Math.imul(value, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  let h = hash ^ Math.imul(k, 0x1b873593);
  h = (h << 13) | (h >>> 19);
  return (Math.imul(h, 5) + 0xe6546b64) ^ (h >>> 16);
}
