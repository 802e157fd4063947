/** What the shard counts of itself against a recount. Needs one state from end to end, so a broken-off pass begins anew. */
import type { InodeNumber } from '@nokv/types';
import { FAMILY, SYSTEM_ITEM, countersKey, familyEnd, familyStart, systemKey } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeInode } from '../value-inode.js';
import { decodeCounters, decodeProgress } from '../value-log.js';
import { localOfInode } from '@nokv/types';
import type { FsckContext } from './context.js';
import { undecodable } from './problem.js';

export function* checkCounters(context: FsckContext, _from: Uint8Array | undefined): Generator<undefined> {
  let bytes = 0;
  let inodes = 0;
  let newest = 0 as InodeNumber;
  for (const { key, value } of context.kv.range(familyStart(FAMILY.inode), familyEnd(FAMILY.inode))) {
    const ino = readU64(key, 1) as InodeNumber;
    newest = ino;
    if (!context.roots.has(ino)) inodes += 1;
    try {
      bytes += decodeInode(ino, value).allocated;
    } catch {
      // Named by the pass over inodes.
    }
    yield;
  }
  checkReserved(context, newest);
  const [root] = context.roots;
  const key = countersKey((root ?? 0) as InodeNumber);
  const row = context.kv.get(key);
  if (row === undefined) {
    context.report({ severity: 'error', class: 'system', where: 'counters', expected: 'a row', found: 'none' });
    return;
  }
  let counted;
  try {
    counted = decodeCounters(row);
  } catch (error) {
    context.report(undecodable(key, 'counters', error));
    return;
  }
  if (counted.bytes === bytes && counted.inodes === inodes) return;
  context.report({
    severity: 'error',
    class: 'counters',
    where: 'counters',
    expected: `${bytes} bytes in ${inodes} inodes`,
    found: `${counted.bytes} bytes in ${counted.inodes} inodes`,
    fix: { kind: 'counters', bytes: bytes - counted.bytes, inodes: inodes - counted.inodes },
  });
}

/** A number that was given out is never given out again. */
function checkReserved(context: FsckContext, newest: InodeNumber): void {
  const key = systemKey(SYSTEM_ITEM.progress);
  const row = context.kv.get(key);
  if (row === undefined || newest === 0) return;
  try {
    const { inodesReserved } = decodeProgress(row);
    if (localOfInode(newest) < inodesReserved) return;
    context.report({
      severity: 'error',
      class: 'system',
      where: 'progress',
      expected: `numbers reserved beyond inode ${newest}`,
      found: `up to ${inodesReserved}`,
    });
  } catch {
    // Named by the pass over the logs.
  }
}
