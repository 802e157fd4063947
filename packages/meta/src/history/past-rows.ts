/**
 * Rows as they were: of each key the value whose birth is not younger than a version and that was not replaced by then.
 *
 * A value lives from its birth (its first eight bytes) until the version under which history keeps it; the current value lives on.
 * So the value at a version is the current one where that is old enough, else the first that history keeps beyond the version, where
 * that is old enough. Points and ranges follow the same rule.
 */
import type { Version } from '@nokv/types';
import { HISTORY_KEY_EXTRA, historyKey, historyStart } from '../key.js';
import type { KvEntry } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';

export interface RowSource {
  /** Valid until the next read. */
  get(key: Buffer): Uint8Array | undefined;
  range(start: Buffer, end: Buffer): Iterable<KvEntry>;
}

const VERSION_END = Number.MAX_SAFE_INTEGER as Version;

export function birthOf(value: Uint8Array): Version {
  return readU64(value, 0) as Version;
}

/** The version at which the value of a history row was replaced. */
export function replacedAt(historyRowKey: Uint8Array): Version {
  return readU64(historyRowKey, historyRowKey.length - 8) as Version;
}

/** The key whose value a history row keeps. */
export function keyOfHistory(historyRowKey: Uint8Array): Uint8Array {
  return historyRowKey.subarray(1, historyRowKey.length - (HISTORY_KEY_EXTRA - 1));
}

/** The value of `key` at `version`, valid until the next read. */
export function rowAt(source: RowSource, key: Buffer, version: Version): Uint8Array | undefined {
  const current = source.get(key);
  if (current !== undefined && birthOf(current) <= version) return current;
  for (const { value } of source.range(historyKey(key, (version + 1) as Version), historyKey(key, VERSION_END))) {
    return birthOf(value) <= version ? value : undefined;
  }
  return undefined;
}

/** Rows from `start` to `end`, which are of one family and number, as they were at `version`. Rows are owned by the caller. */
export function* rangeAt(source: RowSource, start: Buffer, end: Buffer, version: Version): Generator<KvEntry> {
  const past = pastValues(source, start, end, version);
  let old = past.next();
  for (const current of source.range(start, end)) {
    while (old.done !== true && Buffer.compare(old.value.key, current.key) < 0) {
      yield old.value;
      old = past.next();
    }
    const isReplaced = old.done !== true && Buffer.compare(old.value.key, current.key) === 0;
    if (birthOf(current.value) <= version) yield current;
    else if (isReplaced && old.done !== true) yield old.value;
    if (isReplaced) old = past.next();
  }
  for (; old.done !== true; old = past.next()) yield old.value;
}

/** Of each key the value that history keeps for `version`, if it does. */
function* pastValues(source: RowSource, start: Buffer, end: Buffer, version: Version): Generator<KvEntry> {
  let settled: Uint8Array | undefined;
  for (const { key: rowKey, value } of source.range(historyStart(start), historyStart(end))) {
    if (replacedAt(rowKey) <= version) continue;
    const key = keyOfHistory(rowKey);
    // The history of a key that is a beginning of `start` lies behind `start` with it.
    if (Buffer.compare(key, start) < 0) continue;
    // The first row beyond the version decides; later ones of the same key are younger.
    if (settled !== undefined && Buffer.compare(settled, key) === 0) continue;
    settled = key;
    if (birthOf(value) <= version) yield { key, value };
  }
}
