/**
 * The rows that belong to each inode, in one walk over the families that are sorted by its number: what directories hold,
 * extended attributes, link rows, the current body, and the inode's own note of its name.
 *
 * That the names of an inode are exactly those that it counts follows without counting: its note or its link rows lead to
 * entries that lead back (here), and each entry is the noted one or has a link row (`check-entries.ts`). Where either fails,
 * the inode is suspect, and `check-names.ts` counts.
 */
import type { InodeNumber } from '@nokv/types';
import { FAMILY, NAME_AT, bodyKey, dentryKey, familyEnd, holdsEnd, holdsStart, inodeKey } from '../key.js';
import { allocatedBytes } from '../operations/setattr.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import { decodeBody, decodeBodyHead, type BodyRow } from '../value-body.js';
import { decodeDentry, decodeInode, type Inode } from '../value-inode.js';
import type { FsckContext } from './context.js';
import { FamilyCursor } from './family-cursor.js';
import { entryLabel, rowLabel, undecodable } from './problem.js';

const LINK_NAME_AT = 17;
const INODE_KEY_BYTES = 9;

export function* checkInodes(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  const { kv } = context;
  // A cursor lies behind the key of the last inode that was done.
  const first = from === undefined ? 0 : readU64(from, 1) + (from.length > INODE_KEY_BYTES ? 1 : 0);
  const entries = new FamilyCursor(kv, FAMILY.dentry, first);
  const links = new FamilyCursor(kv, FAMILY.link, first);
  const xattrs = new FamilyCursor(kv, FAMILY.xattr, first);
  try {
    for (const { key, value } of kv.range(inodeKey(first as InodeNumber), familyEnd(FAMILY.inode))) {
      const ino = readU64(key, 1) as InodeNumber;
      yield* rowsOfNoInode(context, entries, links, xattrs, ino);
      const inode = decoded(context, key, ino, value);
      yield* checkDirectory(context, ino, inode, entries);
      yield* checkXattrs(context, ino, inode, xattrs);
      const linkRows = yield* countLinks(context, ino, links);
      if (inode !== undefined) {
        if (!hasItsNames(context, inode, linkRows)) context.suspect(ino);
        checkBody(context, inode);
      }
      yield key;
    }
    yield* rowsOfNoInode(context, entries, links, xattrs, Number.POSITIVE_INFINITY);
  } finally {
    entries.close();
    links.close();
    xattrs.close();
  }
}

function decoded(context: FsckContext, key: Uint8Array, ino: InodeNumber, value: Uint8Array): Inode | undefined {
  try {
    return decodeInode(ino, value);
  } catch (error) {
    context.report(undecodable(key, `inode ${ino}`, error));
    return undefined;
  }
}

function* rowsOfNoInode(
  context: FsckContext,
  entries: FamilyCursor,
  links: FamilyCursor,
  xattrs: FamilyCursor,
  ino: number,
): Generator<undefined> {
  for (const { key } of entries.below(ino)) {
    const parent = readU64(key, 1);
    context.report({
      severity: 'error',
      class: 'entry-without-directory',
      where: entryLabel(parent, key.subarray(NAME_AT)),
      expected: `a directory with the inode ${parent}`,
      found: 'none',
    });
    yield;
  }
  for (const { key } of links.below(ino)) {
    const owner = readU64(key, 1) as InodeNumber;
    const [parent, name] = [readU64(key, 9) as InodeNumber, copyBytes(key, LINK_NAME_AT, key.length)];
    context.report({
      severity: 'warning',
      class: 'link-rows',
      where: `link ${owner} at ${entryLabel(parent, name)}`,
      expected: `an inode ${owner}`,
      found: 'none',
      fix: { kind: 'drop-link', ino: owner, parent, name },
    });
    yield;
  }
  for (const { key } of xattrs.below(ino)) {
    const owner = readU64(key, 1) as InodeNumber;
    context.report({
      severity: 'warning',
      class: 'xattr-without-inode',
      where: `xattr of inode ${owner} (${rowLabel(key)})`,
      expected: `an inode ${owner}`,
      found: 'none',
      fix: { kind: 'drop-xattr', ino: owner, name: copyBytes(key, NAME_AT, key.length) },
    });
    yield;
  }
}

/** Entries are counted with what they say of themselves; only where that does not fit, what they lead to decides. */
function* checkDirectory(context: FsckContext, ino: InodeNumber, inode: Inode | undefined, entries: FamilyCursor): Generator<undefined> {
  let children = 0;
  let directories = 0;
  for (const { key, value } of entries.of(ino)) {
    children += 1;
    if (inode !== undefined && inode.type !== 'directory') {
      context.report({
        severity: 'error',
        class: 'entry-without-directory',
        where: entryLabel(ino, key.subarray(NAME_AT)),
        ino,
        expected: `inode ${ino} to be a directory`,
        found: inode.type,
      });
    }
    try {
      if (decodeDentry(value).type === 'directory') directories += 1;
    } catch (error) {
      context.report(undecodable(key, entryLabel(ino, key.subarray(NAME_AT)), error));
    }
    yield undefined;
  }
  // A directory of a fork counts entries that have no rows yet.
  if (inode?.type !== 'directory' || inode.isLazy) return;
  if (directories + 2 !== inode.nlink) directories = yield* countDirectories(context, ino);
  if (children === inode.children && directories + 2 === inode.nlink) return;
  context.report({
    severity: 'error',
    class: 'children',
    where: `inode ${ino}`,
    ino,
    expected: `${children} entries, nlink ${directories + 2}`,
    found: `${inode.children} entries, nlink ${inode.nlink}`,
    fix: { kind: 'directory-counts', ino, revision: inode.revision, children, nlink: directories + 2 },
  });
}

function* countDirectories(context: FsckContext, ino: InodeNumber): Generator<undefined, number> {
  let directories = 0;
  const end = inodeRangeEnd(ino);
  for (const { value } of context.kv.range(dentryKey(ino, NO_NAME), end)) {
    try {
      const { ino: child, type } = decodeDentry(value);
      const found = context.inode(child);
      if ((found?.type ?? type) === 'directory') directories += 1;
    } catch {
      // Named where the entries were counted.
    }
    yield;
  }
  return directories;
}

const NO_NAME = new Uint8Array(0);

function inodeRangeEnd(ino: InodeNumber): Uint8Array {
  return dentryKey((ino + 1) as InodeNumber, NO_NAME);
}

function* checkXattrs(
  context: FsckContext,
  ino: InodeNumber,
  inode: Inode | undefined,
  xattrs: FamilyCursor,
): Generator<Uint8Array | undefined> {
  let bytes = 0;
  for (const { key, value } of xattrs.of(ino)) {
    bytes += key.length - NAME_AT + 1;
    if (value.length < 8)
      context.report(undecodable(key, `xattr of inode ${ino}`, new Error(`${value.length} bytes, at least 8 expected`)));
    yield undefined;
  }
  if (inode === undefined || bytes === inode.xattrListBytes) return;
  context.report({
    severity: 'error',
    class: 'xattr-bytes',
    where: `inode ${ino}`,
    ino,
    expected: `a list of ${bytes} bytes of names`,
    found: `${inode.xattrListBytes}`,
    fix: { kind: 'xattr-bytes', ino, revision: inode.revision, bytes },
  });
}

/** @returns how many link rows lead to entries that lead back; NaN where one does not. */
function* countLinks(context: FsckContext, ino: InodeNumber, links: FamilyCursor): Generator<Uint8Array | undefined, number> {
  let rows = 0;
  for (const { key, value } of links.of(ino)) {
    if (value.length !== 8) context.report(undecodable(key, `link of inode ${ino}`, new Error(`${value.length} bytes, 8 expected`)));
    rows += leadsTo(context, readU64(key, 9) as InodeNumber, copyBytes(key, LINK_NAME_AT, key.length), ino) ? 1 : Number.NaN;
    yield undefined;
  }
  return rows;
}

function hasItsNames(context: FsckContext, inode: Inode, linkRows: number): boolean {
  const { ino, parent, name, nlink, type } = inode;
  if (context.roots.has(ino)) return true;
  // Without a name a file lives as long as somebody has it open.
  if (type !== 'directory' && nlink === 0) return linkRows === 0 && parent === 0 && isHeldOpen(context, ino);
  if (type === 'directory' || nlink === 1) return linkRows === 0 && parent !== 0 && leadsTo(context, parent, name, ino);
  return linkRows === nlink && parent === 0;
}

function isHeldOpen(context: FsckContext, ino: InodeNumber): boolean {
  for (const _ of context.kv.range(holdsStart(ino, 'handle'), holdsEnd(ino, 'handle'), { limit: 1 })) return true;
  return false;
}

/** A body that was forgotten before a fork took it over keeps its sizes alone. */
function allocatedIn({ body, lost }: BodyRow): number {
  return lost?.allocated ?? allocatedBytes(body);
}

function leadsTo(context: FsckContext, parent: InodeNumber, name: Uint8Array, ino: InodeNumber): boolean {
  const entry = context.kv.get(dentryKey(parent, name));
  return entry !== undefined && entry.length >= 17 && readU64(entry, 8) === ino;
}

function checkBody(context: FsckContext, inode: Inode): void {
  const { ino, generation, revision } = inode;
  if (generation === 0) return;
  const key = bodyKey(ino, generation);
  const bytes = context.kv.get(key);
  if (bytes === undefined) {
    context.report({
      severity: 'error',
      class: 'body-missing',
      where: `inode ${ino}`,
      ino,
      expected: `a body of generation ${generation}`,
      found: 'none',
    });
    return;
  }
  let size: number;
  let allocated: number;
  try {
    const head = decodeBodyHead(bytes);
    ({ size } = head);
    // Most bodies lie in the metadata: no copy of them is made.
    allocated = head.inline ? size : allocatedIn(decodeBody(bytes));
  } catch (error) {
    context.report({ ...undecodable(key, `body ${generation} of inode ${ino}`, error), ino });
    return;
  }
  if (size === inode.size && allocated === inode.allocated) return;
  context.report({
    severity: 'error',
    class: 'size',
    where: `inode ${ino}`,
    ino,
    expected: `${size} bytes, ${allocated} of them stored`,
    found: `${inode.size} and ${inode.allocated}`,
    fix: { kind: 'size', ino, revision, generation },
  });
}
