/**
 * Where an inode was at a version, from its current row and its history.
 *
 * Reads the store below the overlay alone: what it holds is some version no older than the newest durable one, and a row
 * leaves its old value in history in the commit that replaces it. Every version that a caller may ask for must be durable
 * and no older than the window of the change log, for as long as history is kept.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { birthOf, keyOfHistory, replacedAt, rowAt } from '../history/past-rows.js';
import { FAMILY, historyStart, inodeKey, numberEnd, numberStart } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import { decodeInode } from '../value-inode.js';

export interface PastPlace {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
}

/** Names of an inode that are looked at, present and past ones. */
const LINKS_MAX = 64;

/** Undefined where it was not there at that version. A root has the parent 0, and so has a file with several names. */
export function placeAt(kv: KvReader, ino: InodeNumber, version: Version): PastPlace | undefined {
  const row = rowAt(kv, inodeKey(ino), version);
  return row === undefined ? undefined : decodeInode(ino, row);
}

/** The names of a file with several names at that version, in key order. */
export function linksAt(kv: KvReader, ino: InodeNumber, version: Version): PastPlace[] {
  const start = numberStart(FAMILY.link, ino);
  const end = numberEnd(FAMILY.link, ino);
  const places: PastPlace[] = [];
  for (const { key, value } of kv.range(start, end, { limit: LINKS_MAX })) {
    if (birthOf(value) <= version) places.push(placeOf(key));
  }
  for (const { key, value } of kv.range(historyStart(start), historyStart(end), { limit: LINKS_MAX })) {
    if (replacedAt(key) > version && birthOf(value) <= version) places.push(placeOf(keyOfHistory(key)));
  }
  return places;
}

function placeOf(linkKey: Uint8Array): PastPlace {
  return { parent: readU64(linkKey, 9) as InodeNumber, name: copyBytes(linkKey, 17, linkKey.length) };
}
