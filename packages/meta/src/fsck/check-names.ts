/**
 * Counts the names of the inodes that the passes before could not clear, in one scan over all entries, and says once for each
 * what is wrong. Costs nothing in a shard without such inodes.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { FAMILY, NAME_AT, familyEnd, familyStart, numberEnd, numberStart } from '../key.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import type { Inode } from '../value-inode.js';
import type { FsckContext } from './context.js';
import { entryLabel, type Problem } from './problem.js';

interface Name {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
  readonly birth: Version;
}

/** Of one inode; a file with more is reported and left as it is. */
const NAMES_MENDED_MAX = 1024;
const NAMES_TOLD_MAX = 8;
/** Of all suspects together; those that have more are left to the next check. */
const NAMES_KEPT_MAX = 1_000_000;

export function* checkNames(context: FsckContext, _from: Uint8Array | undefined): Generator<undefined> {
  if (context.suspects.size === 0) return;
  const names = new Map<InodeNumber, Name[]>();
  for (const ino of context.suspects) names.set(ino, []);
  let kept = 0;
  for (const { key, value } of context.kv.range(familyStart(FAMILY.dentry), familyEnd(FAMILY.dentry))) {
    const ino = value.length < 17 ? undefined : (readU64(value, 8) as InodeNumber);
    const found = ino === undefined ? undefined : names.get(ino);
    if (ino !== undefined && found !== undefined && kept === NAMES_KEPT_MAX) {
      names.delete(ino);
    } else if (found !== undefined && found.length <= NAMES_MENDED_MAX) {
      kept += 1;
      found.push({
        parent: readU64(key, 1) as InodeNumber,
        name: copyBytes(key, NAME_AT, key.length),
        birth: readU64(value, 0) as Version,
      });
    }
    yield;
  }
  for (const [ino, found] of names) {
    const inode = context.inode(ino);
    const problem = inode === undefined ? undefined : problemOf(context, inode, found);
    if (problem !== undefined) context.report(problem);
    yield;
  }
  context.suspects.clear();
}

function problemOf(context: FsckContext, inode: Inode, names: readonly Name[]): Problem | undefined {
  const { ino, revision, type, nlink } = inode;
  const where = `inode ${ino}`;
  const [only] = names;
  if (only === undefined) {
    return {
      severity: 'error',
      class: 'orphan',
      where,
      expected: 'an entry that leads to it',
      found: 'none',
      fix: { kind: 'adopt', ino, revision },
    };
  }
  if (names.length > NAMES_MENDED_MAX) {
    return { severity: 'error', class: 'nlink', where, ino, expected: `more than ${NAMES_MENDED_MAX} names`, found: `nlink ${nlink}` };
  }
  const listed = listOf(names.map(({ parent, name }) => entryLabel(parent, name)));
  if (type === 'directory' && names.length > 1) {
    return { severity: 'error', class: 'directory-names', where, ino, expected: 'one name', found: listed };
  }
  const fix = { kind: 'names', ino, revision, names: names.map(({ parent, name }) => ({ parent, name })) } as const;
  if (type !== 'directory' && nlink !== names.length) {
    return { severity: 'error', class: 'nlink', where, ino, expected: `${names.length}: ${listed}`, found: `${nlink}`, fix };
  }
  const isShared = type !== 'directory' && names.length > 1;
  const expectedRows = isShared ? names.map(({ parent, name }) => entryLabel(parent, name)).sort() : [];
  const rows = linkRowsOf(context, ino);
  if (rows.join('\n') !== expectedRows.join('\n')) {
    return {
      severity: 'error',
      class: 'link-rows',
      where,
      ino,
      expected: listOf(expectedRows),
      found: listOf(rows),
      fix,
    };
  }
  const noted = inode.parent === 0 ? 'none' : entryLabel(inode.parent, inode.name);
  const place = isShared ? 'none' : entryLabel(only.parent, only.name);
  if (noted === place) return undefined;
  return { severity: 'error', class: 'place', where, ino, expected: place, found: noted, fix };
}

function listOf(labels: readonly string[]): string {
  if (labels.length === 0) return 'none';
  const more = labels.length - NAMES_TOLD_MAX;
  return labels.slice(0, NAMES_TOLD_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function linkRowsOf(context: FsckContext, ino: InodeNumber): string[] {
  const rows: string[] = [];
  for (const { key } of context.kv.range(numberStart(FAMILY.link, ino), numberEnd(FAMILY.link, ino))) {
    rows.push(entryLabel(readU64(key, 9), copyBytes(key, 17, key.length)));
    if (rows.length > NAMES_MENDED_MAX) break;
  }
  return rows.sort();
}
