/** Each entry against the inode that it leads to. */
import type { InodeNumber } from '@nokv/types';
import { FAMILY, NAME_AT, familyEnd, familyStart, linkKey } from '../key.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import { decodeDentry, encodeDentry, type Dentry, type Inode } from '../value-inode.js';
import type { FsckContext } from './context.js';
import { entryLabel } from './problem.js';

export function* checkEntries(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  for (const { key, value } of context.kv.range(from ?? familyStart(FAMILY.dentry), familyEnd(FAMILY.dentry))) {
    let entry: Dentry | undefined;
    try {
      entry = decodeDentry(value);
    } catch {
      // Named by the pass over inodes.
    }
    if (entry !== undefined) checkEntry(context, readU64(key, 1) as InodeNumber, copyBytes(key, NAME_AT, key.length), entry, value);
    yield key;
  }
}

function checkEntry(context: FsckContext, parent: InodeNumber, name: Uint8Array, entry: Dentry, value: Uint8Array): void {
  const { ino, type, birth } = entry;
  const where = entryLabel(parent, name);
  const inode = context.inode(ino);
  if (inode === undefined) {
    // One that cannot be decoded was named already, and its entry may be right.
    if (context.hasInode(ino)) return;
    context.report({
      severity: 'error',
      class: 'entry-without-inode',
      where,
      ino: parent,
      expected: `an inode ${ino}`,
      found: 'none',
      fix: { kind: 'drop-entry', parent, name, ino },
      drops: true,
    });
    return;
  }
  if (!isKnownName(context, inode, parent, name)) context.suspect(ino);
  // The names of a suspect are counted and written anew as a whole.
  if (context.suspects.has(ino)) return;
  const fix = { kind: 'entry', parent, name, ino } as const;
  if (inode.type !== type) {
    context.report({ severity: 'error', class: 'entry-type', where, ino, expected: inode.type, found: type, fix });
    return;
  }
  if (inode.parent !== 0 && inode.namedAt !== birth) {
    const named = { kind: 'names', ino, revision: inode.revision, names: [{ parent, name }] } as const;
    context.report({
      severity: 'error',
      class: 'place',
      where: `inode ${ino}`,
      ino,
      expected: `the name of version ${birth}`,
      found: `version ${inode.namedAt}`,
      fix: named,
    });
    return;
  }
  const repeated = type !== 'directory' && inode.nlink === 1 ? inode : undefined;
  if (Buffer.compare(value, encodeDentry(birth, ino, type, repeated)) === 0) return;
  context.report({
    severity: 'error',
    class: 'entry-attributes',
    where,
    ino,
    expected: repeated === undefined ? 'no attributes' : `those of inode ${ino}`,
    found: value.length === 17 ? 'none' : 'others',
    fix,
  });
}

function isKnownName(context: FsckContext, inode: Inode, parent: InodeNumber, name: Uint8Array): boolean {
  if (inode.type === 'directory' || inode.nlink === 1) return inode.parent === parent && Buffer.compare(inode.name, name) === 0;
  return context.kv.get(linkKey(inode.ino, parent, name)) !== undefined;
}
