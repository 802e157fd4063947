/**
 * Where an inode was at a version, from its current row and its history.
 *
 * Reads the store below the overlay alone: what it holds is some version no older than the newest durable one, and a row
 * leaves its old value in history in the commit that replaces it. Every version that a caller may ask for must be durable
 * and no older than the window of the change log, for as long as history is kept.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { FAMILY, historyKey, inodeKey, numberEnd, numberStart } from './key.js';
import type { KvReader } from './ordered-kv.js';
import { readU64 } from './row-reader.js';
import { copyBytes } from './row-writer.js';
import { decodeInode } from './value-inode.js';

export interface PastPlace {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
}

const NEVER = Number.MAX_SAFE_INTEGER as Version;
/** Names of an inode that are looked at, present and past ones. */
const LINKS_MAX = 64;

/** Undefined where it was not there at that version. A root has the parent 0, and so has a file with several names. */
export function placeAt(kv: KvReader, ino: InodeNumber, version: Version): PastPlace | undefined {
  const key = inodeKey(ino);
  const current = kv.get(key);
  if (current !== undefined && readU64(current, 0) <= version) return decodeInode(ino, current);
  for (const { value } of kv.range(historyKey(key, (version + 1) as Version), historyKey(key, NEVER), { limit: 1 })) {
    return readU64(value, 0) <= version ? decodeInode(ino, value) : undefined;
  }
  return undefined;
}

/** The names of a file with several names at that version, in key order. */
export function linksAt(kv: KvReader, ino: InodeNumber, version: Version): PastPlace[] {
  const start = numberStart(FAMILY.link, ino);
  const end = numberEnd(FAMILY.link, ino);
  const places: PastPlace[] = [];
  for (const { key, value } of kv.range(start, end, { limit: LINKS_MAX })) {
    if (readU64(value, 0) <= version) places.push(placeOf(key, 0, key.length));
  }
  const past = { start: historyPrefix(start), end: historyPrefix(end) };
  for (const { key, value } of kv.range(past.start, past.end, { limit: LINKS_MAX })) {
    const replacedAt = readU64(key, key.length - 8);
    if (replacedAt > version && readU64(value, 0) <= version) places.push(placeOf(key, 1, key.length - 9));
  }
  return places;
}

/** The parent and the name of a link's key that begins at `at`. */
function placeOf(key: Uint8Array, at: number, end: number): PastPlace {
  return { parent: readU64(key, at + 9) as InodeNumber, name: copyBytes(key, at + 17, end) };
}

function historyPrefix(key: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(key.length + 1);
  prefix[0] = FAMILY.history;
  prefix.set(key, 1);
  return prefix;
}
