/**
 * What holds the past: pins with their tags, forks with the directories that still show their origin, policies; and that the shard
 * counts as many of them as there are, since it looks for none where it counts none. Its tables grow with forks and tags alone.
 */
import type { InodeNumber, PinId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, originKey, pinKey, type Family } from '../key.js';
import { readU64 } from '../row-reader.js';
import type { ProgressRow } from '../value-log.js';
import { decodeCounterpart, decodeFork, decodeOrigin, decodePin, decodePolicy, decodeTag, type PinRow } from '../value-pin.js';
import type { FsckContext } from './context.js';
import { progressOf } from './progress-of.js';
import { entryLabel, undecodable } from './problem.js';

export function* checkPins(context: FsckContext, _from: Uint8Array | undefined): Generator<undefined> {
  const progress = progressOf(context);
  yield* checkPinRows(context, progress);
  yield* checkForks(context, progress);
  yield* checkWhiteouts(context);
  yield* checkCounterparts(context);
  yield* checkPolicies(context, progress);
}

function* checkPinRows(context: FsckContext, progress: ProgressRow | undefined): Generator<undefined> {
  const tagged = new Set<PinId>();
  for (const { key, row: id } of rows(context, FAMILY.tag, decodeTag, 'tag')) {
    const where = `tag ${Buffer.from(key.subarray(1)).toString()}`;
    const pin = pinOf(context, id);
    if (pin?.state !== 'live' || pin.kind !== 'tag')
      say(context, 'pin', where, `a tag's pin ${id} that lives`, pin === undefined ? 'none' : `${pin.state} ${pin.kind}`);
    tagged.add(id);
    yield;
  }
  let live = 0;
  for (const { key, row } of rows(context, FAMILY.pin, decodePin, 'pin')) {
    const id = readU64(key, 1) as PinId;
    if (row.state === 'live') live += 1;
    if (row.state === 'live' && row.kind === 'tag' && !tagged.has(id)) say(context, 'pin', `pin ${id}`, 'a tag that names it', 'none');
    if (row.state === 'live' && progress !== undefined && row.version > progress.newestPinned) {
      say(context, 'pin', `pin ${id}`, `a version up to ${progress.newestPinned}, the newest that history is kept for`, `${row.version}`);
    }
    yield;
  }
  if (progress !== undefined && progress.pins !== live) say(context, 'pin', 'progress', `${live} pins`, `${progress.pins}`);
}

function pinOf(context: FsckContext, id: PinId): PinRow | undefined {
  const row = context.kv.get(pinKey(id));
  try {
    return row === undefined ? undefined : decodePin(row);
  } catch {
    return undefined;
  }
}

function* checkForks(context: FsckContext, progress: ProgressRow | undefined): Generator<undefined> {
  const origins = new Map<InodeNumber, number>();
  for (const { key, row } of rows(context, FAMILY.origin, decodeOrigin, 'origin')) {
    const ino = readU64(key, 1) as InodeNumber;
    origins.set(row.fork, (origins.get(row.fork) ?? 0) + 1);
    const inode = row.removed === 0 ? context.inode(ino) : undefined;
    if (row.removed === 0 && !context.hasInode(ino)) say(context, 'fork', `origin of inode ${ino}`, 'a directory that shows it', 'none');
    else if (inode !== undefined && !inode.isLazy) say(context, 'fork', `inode ${ino}`, 'a mark, since it shows an origin', 'none', ino);
    yield;
  }
  let forks = 0;
  for (const { key, row } of rows(context, FAMILY.fork, decodeFork, 'fork')) {
    const root = readU64(key, 1) as InodeNumber;
    forks += 1;
    const showing = origins.get(root) ?? 0;
    origins.delete(root);
    if (!row.isRootGone && !context.hasInode(root)) say(context, 'fork', `fork ${root}`, 'its root', 'none');
    if (row.outstanding !== showing)
      say(context, 'fork', `fork ${root}`, `${showing} directories that show their origin`, `${row.outstanding}`, root);
    yield;
  }
  for (const [root, showing] of origins)
    say(context, 'fork', `fork ${root}`, `a row, since ${showing} directories belong to it`, 'none', root);
  if (progress !== undefined && progress.forks !== forks) say(context, 'fork', 'progress', `${forks} forks`, `${progress.forks}`);
}

function* checkWhiteouts(context: FsckContext): Generator<undefined> {
  for (const { key } of context.kv.range(familyStart(FAMILY.whiteout), familyEnd(FAMILY.whiteout))) {
    const parent = readU64(key, 1) as InodeNumber;
    if (context.kv.get(originKey(parent)) === undefined && context.hasInode(parent)) {
      say(context, 'fork', `whiteout ${entryLabel(parent, key.subarray(9))}`, 'an origin that has the entry', 'none', parent);
    }
    yield;
  }
}

function* checkCounterparts(context: FsckContext): Generator<undefined> {
  for (const _ of rows(context, FAMILY.counterpart, decodeCounterpart, 'counterpart')) yield;
}

function* checkPolicies(context: FsckContext, progress: ProgressRow | undefined): Generator<undefined> {
  let policies = 0;
  for (const { key } of rows(context, FAMILY.policy, decodePolicy, 'policy')) {
    const ino = readU64(key, 1) as InodeNumber;
    policies += 1;
    if (!context.hasInode(ino)) say(context, 'policy', `policy of inode ${ino}`, 'a directory', 'none');
    yield;
  }
  if (progress !== undefined && progress.policies !== policies) {
    say(context, 'policy', 'progress', `${policies} policies`, `${progress.policies}`);
  }
}

/** The rows of a family that can be decoded; the others are named. */
function* rows<Row>(
  context: FsckContext,
  family: Family,
  decode: (bytes: Uint8Array) => Row,
  what: string,
): Generator<{ readonly key: Uint8Array; readonly row: Row }> {
  for (const { key, value } of context.kv.range(familyStart(family), familyEnd(family))) {
    let row: Row;
    try {
      row = decode(value);
    } catch (error) {
      context.report(undecodable(key, what, error));
      continue;
    }
    yield { key, row };
  }
}

function say(
  context: FsckContext,
  kind: 'pin' | 'fork' | 'policy',
  where: string,
  expected: string,
  found: string,
  ino?: InodeNumber,
): void {
  context.report({ severity: 'error', class: kind, where, ...(ino === undefined ? {} : { ino }), expected, found });
}
