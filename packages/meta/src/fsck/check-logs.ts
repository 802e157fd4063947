/** History, the change log, request results, the queue, the shard's own rows, and keys that no family has. */
import { FAMILY, SYSTEM_ITEM, changeKey, familyEnd, familyStart, parseChangeKey, parseGcKey, systemKey } from '../key.js';
import { decodeResult } from '../request-result.js';
import { readU64 } from '../row-reader.js';
import { decodeXattr } from '../value-body.js';
import { decodeDentry, decodeInode } from '../value-inode.js';
import { decodeChange, decodeEpoch, decodeFormat, decodeProgress, decodeRequest, type ProgressRow } from '../value-log.js';
import type { InodeNumber, Version } from '@nokv/types';
import type { FsckContext } from './context.js';
import { progressOf } from './progress-of.js';
import { rowLabel, undecodable } from './problem.js';

const UNKNOWN_KEYS_TOLD_MAX = 100;
const BYTE_END = 255;

/** Behind the family and the form of the id. */
const REQUEST_ID_AT = 2;

type Check = (context: FsckContext, key: Uint8Array, value: Uint8Array, progress: ProgressRow | undefined) => void;

/** In the order of their keys, so that a cursor is a key. */
const CHECKS: readonly (readonly [family: (typeof FAMILY)[keyof typeof FAMILY], check: Check])[] = [
  [FAMILY.history, checkHistory],
  [FAMILY.change, checkChange],
  [FAMILY.request, checkRequest],
  [FAMILY.gc, checkQueue],
];

export function* checkLogs(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  if (from === undefined) {
    checkSystem(context);
    yield* checkUnknown(context);
  }
  const progress = progressOf(context);
  for (const [family, check] of CHECKS) {
    const start = familyStart(family);
    const end = familyEnd(family);
    if (from !== undefined && Buffer.compare(from, end) >= 0) continue;
    for (const { key, value } of context.kv.range(from !== undefined && Buffer.compare(from, start) > 0 ? from : start, end)) {
      check(context, key, value, progress);
      yield key;
    }
  }
}

function checkSystem(context: FsckContext): void {
  const rows = { format: decodeFormat, epoch: decodeEpoch, progress: decodeProgress } as const;
  for (const name of ['format', 'epoch', 'progress'] as const) {
    const key = systemKey(SYSTEM_ITEM[name]);
    const row = context.kv.get(key);
    if (row === undefined) {
      context.report({ severity: 'error', class: 'system', where: name, expected: 'a row', found: 'none' });
      continue;
    }
    try {
      rows[name](row);
    } catch (error) {
      context.report(undecodable(key, name, error));
    }
  }
}

/** Between the families that are known there is nothing. */
function* checkUnknown(context: FsckContext): Generator<undefined> {
  let told = 0;
  for (const [first, end] of GAPS) {
    for (const { key } of context.kv.range(Uint8Array.of(first), Uint8Array.of(end))) {
      yield;
      if (++told > UNKNOWN_KEYS_TOLD_MAX) return;
      context.report({
        severity: 'warning',
        class: 'unknown-family',
        where: rowLabel(key),
        expected: 'a key of a known family',
        found: `family 0x${(key[0] ?? 0).toString(16).padStart(2, '0')}`,
      });
    }
  }
}

/** From the first byte of each run of unknown families to the one behind it. */
const GAPS: readonly (readonly [first: number, end: number])[] = gapsBetween(Object.values(FAMILY).sort((a, b) => a - b));

function gapsBetween(known: readonly number[]): [number, number][] {
  const gaps: [number, number][] = [];
  let first = 0;
  for (const family of [...known, BYTE_END]) {
    if (family > first) gaps.push([first, family]);
    first = family + 1;
  }
  return gaps;
}

function checkHistory(context: FsckContext, key: Uint8Array, value: Uint8Array, progress: ProgressRow | undefined): void {
  const replacedAt = readU64(key, key.length - 8);
  const inner = key.subarray(1, key.length - 9);
  try {
    if (key.length < 19 || key[key.length - 9] !== 0) throw new Error(`a key of ${key.length} bytes that names no version`);
    decodeVersioned(inner, value);
  } catch (error) {
    context.report(undecodable(key, 'history', error));
    return;
  }
  const birth = readU64(value, 0);
  if (birth < replacedAt && (progress === undefined || replacedAt <= progress.version)) return;
  context.report({
    severity: 'error',
    class: 'history',
    where: `history of ${rowLabel(inner)}`,
    expected: `a value of before version ${replacedAt}, replaced by version ${progress?.version ?? '?'} at the latest`,
    found: `one of version ${birth}`,
  });
}

function decodeVersioned(key: Uint8Array, value: Uint8Array): void {
  switch (key[0]) {
    case FAMILY.inode:
      decodeInode(readU64(key, 1) as InodeNumber, value);
      break;
    case FAMILY.dentry:
      decodeDentry(value);
      break;
    case FAMILY.link:
      if (value.length !== 8) throw new Error(`a link of ${value.length} bytes`);
      break;
    case FAMILY.xattr:
      if (value.length < 8) throw new Error(`an extended attribute of ${value.length} bytes`);
      decodeXattr(value);
      break;
    default:
      throw new Error(`family ${key[0]} keeps no history`);
  }
}

function checkChange(context: FsckContext, key: Uint8Array, value: Uint8Array, progress: ProgressRow | undefined): void {
  const { version, ordinal } = parseChangeKey(key);
  const where = `change ${version}.${ordinal}`;
  try {
    if (key.length !== 11) throw new Error(`a key of ${key.length} bytes, 11 expected`);
    decodeChange(version, ordinal, value);
  } catch (error) {
    context.report(undecodable(key, where, error));
    return;
  }
  if (progress === undefined || version <= progress.version) return;
  context.report({ severity: 'error', class: 'log', where, expected: `a version up to ${progress.version}`, found: `${version}` });
}

/** A result is forgotten by way of the change that was written with it. */
function checkRequest(context: FsckContext, key: Uint8Array, value: Uint8Array, progress: ProgressRow | undefined): void {
  const id = Buffer.from(key.subarray(REQUEST_ID_AT)).toString(key[1] === 0 ? 'hex' : 'latin1');
  const where = `request ${id}`;
  let version: Version;
  try {
    const row = decodeRequest(value);
    decodeResult(row.operation, row.result);
    ({ version } = row);
  } catch (error) {
    context.report(undecodable(key, where, error));
    return;
  }
  if (progress === undefined) return;
  if (version > progress.version) {
    context.report({ severity: 'error', class: 'log', where, expected: `a version up to ${progress.version}`, found: `${version}` });
  } else if (version > progress.requestsForgotten && context.kv.get(changeKey(version, 0)) === undefined) {
    context.report({ severity: 'warning', class: 'log', where, expected: `a change of version ${version}`, found: 'none' });
  }
}

function checkQueue(context: FsckContext, key: Uint8Array): void {
  try {
    if (parseGcKey(key) !== undefined && (key.length === 26 || key.length === 18)) return;
  } catch {
    // The same as one of no known kind.
  }
  context.report({
    severity: 'warning',
    class: 'queue',
    where: rowLabel(key),
    expected: 'work of a known kind',
    found: `kind ${key[9] ?? 'none'} in ${key.length} bytes`,
  });
}
