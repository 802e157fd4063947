/**
 * Every directory leads up to a root: none lies in a circle of directories that hold each other. Ways that are known to end are
 * remembered in a bounded set, so that a walk is short; a circle is found by Brent's algorithm (BIT 20, 1980) in constant memory.
 */
import type { InodeNumber } from '@nokv/types';
import { FAMILY, familyEnd, familyStart } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeInode, type Inode } from '../value-inode.js';
import type { FsckContext } from './context.js';

const REMEMBERED_MAX = 262_144;
const NO_INODE = 0 as InodeNumber;

export function* checkTree(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  const known = new Set<InodeNumber>();
  for (const { key, value } of context.kv.range(from ?? familyStart(FAMILY.inode), familyEnd(FAMILY.inode))) {
    const ino = readU64(key, 1) as InodeNumber;
    const inode = decoded(ino, value);
    if (inode?.type === 'directory') {
      const circle = circleAbove(context, ino, known);
      // Said once, of its lowest member.
      if (circle !== undefined && lowest(context, circle) === ino) {
        context.report({
          severity: 'error',
          class: 'cycle',
          where: `inode ${ino}`,
          expected: 'a way up to the root',
          found: 'a circle of directories',
          fix: { kind: 'adopt', ino, revision: inode.revision },
        });
      }
    }
    yield key;
  }
}

/** A row that cannot be decoded was named by the pass over inodes. */
function decoded(ino: InodeNumber, value: Uint8Array): Inode | undefined {
  try {
    return decodeInode(ino, value);
  } catch {
    return undefined;
  }
}

/** A member of the circle that the way up from `start` runs into; undefined where it ends. */
function circleAbove(context: FsckContext, start: InodeNumber, known: Set<InodeNumber>): InodeNumber | undefined {
  const path: InodeNumber[] = [];
  let mark = start;
  let at = start;
  // Ends: at a root, at a missing parent, at a way that is known, or when it comes back to its mark.
  for (let steps = 1, stride = 1; ; steps++) {
    if (known.size < REMEMBERED_MAX && path.length < REMEMBERED_MAX) path.push(at);
    at = parentOf(context, at);
    if (at === NO_INODE || known.has(at)) break;
    if (at === mark) return at;
    if (steps === stride) {
      mark = at;
      stride *= 2;
      steps = 0;
    }
  }
  if (known.size + path.length > REMEMBERED_MAX) known.clear();
  for (const ino of path) known.add(ino);
  return undefined;
}

function lowest(context: FsckContext, member: InodeNumber): InodeNumber {
  let least = member;
  for (let at = parentOf(context, member); at !== member && at !== NO_INODE; at = parentOf(context, at)) if (at < least) least = at;
  return least;
}

function parentOf(context: FsckContext, ino: InodeNumber): InodeNumber {
  return context.inode(ino)?.parent ?? NO_INODE;
}
