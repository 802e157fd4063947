/** Scans a store that is at rest and lists every contradiction between its rows: the invariants of the engine, spelled out. */
import type { Generation, InodeNumber, UploadId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, inodeKey } from '../key.js';
import { uploadsOf } from '../operations/extents.js';
import type { KvEntry, KvReader } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';
import { decodeBody, decodeExtent } from '../value-body.js';
import { decodeDentry, decodeDentryAttributes, decodeInode, toAttributes, type Inode } from '../value-inode.js';
import { decodeCounters } from '../value-log.js';
import { checkHolds } from './check-holds.js';

/** Inodes of the roots of shard 0, which no entry leads to. */
const ROOTS = new Set([1, 2, 3]);

export function contradictions(kv: KvReader): string[] {
  const found: string[] = [];
  const inodes = new Map<number, Inode>();
  for (const { key, value } of family(kv, FAMILY.inode)) {
    const ino = readU64(key, 1) as InodeNumber;
    inodes.set(ino, decodeInode(ino, value));
  }
  const names = checkEntries(kv, inodes, found);
  const links = new Map<number, number>();
  for (const { key } of family(kv, FAMILY.link)) count(links, readU64(key, 1));
  const xattrs = new Map<number, number>();
  for (const { key } of family(kv, FAMILY.xattr)) count(xattrs, readU64(key, 1), key.length - 9 + 1);
  let bytes = 0;
  for (const [ino, inode] of inodes) {
    bytes += inode.allocated;
    if ((xattrs.get(ino) ?? 0) !== inode.xattrListBytes) found.push(`inode ${ino}: extended attributes are miscounted`);
    if (ROOTS.has(ino) || inode.type === 'directory') continue;
    if ((names.get(ino) ?? 0) !== inode.nlink) found.push(`inode ${ino}: ${names.get(ino)} names, nlink ${inode.nlink}`);
    const expected = inode.nlink > 1 ? inode.nlink : 0;
    if ((links.get(ino) ?? 0) !== expected) found.push(`inode ${ino}: ${links.get(ino)} link rows, expected ${expected}`);
  }
  for (const ino of [...links.keys(), ...xattrs.keys()]) if (!inodes.has(ino)) found.push(`rows of inode ${ino}, which is gone`);
  checkBodies(kv, inodes, found);
  checkHolds(kv, inodes, found);
  for (const { value } of family(kv, FAMILY.counters)) {
    const counters = decodeCounters(value);
    const expected = { bytes, inodes: inodes.size - ROOTS.size };
    if (counters.bytes !== expected.bytes || counters.inodes !== expected.inodes) {
      found.push(`counters say ${JSON.stringify(counters)}, a recount ${JSON.stringify(expected)}`);
    }
  }
  return found;
}

/** @returns the number of names of each inode. */
function checkEntries(kv: KvReader, inodes: ReadonlyMap<number, Inode>, found: string[]): Map<number, number> {
  const names = new Map<number, number>();
  const children = new Map<number, number>();
  const directories = new Map<number, number>();
  for (const { key, value } of family(kv, FAMILY.dentry)) {
    const parent = readU64(key, 1);
    const name = Buffer.from(key.subarray(9));
    const { birth, ino, type } = decodeDentry(value);
    const where = `entry ${parent}/${name.toString('latin1')}`;
    const inode = inodes.get(ino);
    count(names, ino);
    count(children, parent);
    if (type === 'directory') count(directories, parent);
    if (inodes.get(parent)?.type !== 'directory') found.push(`${where}: its parent is no directory`);
    if (inode === undefined) {
      found.push(`${where}: inode ${ino} is missing`);
      continue;
    }
    if (inode.type !== type) found.push(`${where}: says ${type}, inode ${ino} is a ${inode.type}`);
    const isAlone = type === 'directory' || inode.nlink === 1;
    const isPlaced = inode.parent === parent && Buffer.compare(inode.name, name) === 0 && inode.namedAt === birth;
    if (isAlone && !isPlaced) found.push(`${where}: inode ${ino} names another place or birth`);
    const repeated = JSON.stringify(decodeDentryAttributes(value));
    const expected = type !== 'directory' && inode.nlink === 1 ? JSON.stringify(toAttributes(inode)) : undefined;
    if (repeated !== expected) found.push(`${where}: repeats other attributes than inode ${ino} has`);
  }
  for (const [ino, inode] of inodes) {
    if (inode.type !== 'directory') continue;
    if (!ROOTS.has(ino) && names.get(ino) !== 1) found.push(`directory ${ino}: ${names.get(ino)} names`);
    // A directory of a fork counts entries that have no rows yet.
    if (inode.isLazy) continue;
    if ((children.get(ino) ?? 0) !== inode.children) found.push(`directory ${ino}: ${children.get(ino)} entries, counts ${inode.children}`);
    if ((directories.get(ino) ?? 0) + 2 !== inode.nlink) found.push(`directory ${ino}: nlink ${inode.nlink}`);
  }
  return names;
}

function checkBodies(kv: KvReader, inodes: ReadonlyMap<number, Inode>, found: string[]): void {
  const references = new Map<UploadId, number>();
  const bodies = new Set<string>();
  for (const { key, value } of family(kv, FAMILY.body)) {
    bodies.add(`${readU64(key, 1)}@${readU64(key, 9) as Generation}`);
    for (const upload of uploadsOf(decodeBody(value).body)) references.set(upload, (references.get(upload) ?? 0) + 1);
  }
  for (const [ino, { generation }] of inodes) {
    if (generation !== 0 && !bodies.has(`${ino}@${generation}`)) found.push(`inode ${ino}: its body ${generation} is missing`);
  }
  for (const { key, value } of family(kv, FAMILY.extent)) {
    const upload = Buffer.from(key.subarray(1)).toString('hex') as UploadId;
    const counted = decodeExtent(value).references;
    if (counted !== (references.get(upload) ?? 0)) found.push(`extent ${upload}: counts ${counted}, bodies say ${references.get(upload)}`);
    references.delete(upload);
  }
  for (const upload of references.keys()) found.push(`extent ${upload} has no row`);
}

function* family(kv: KvReader, code: (typeof FAMILY)[keyof typeof FAMILY]): Generator<KvEntry> {
  yield* kv.range(familyStart(code), familyEnd(code));
}

function count(map: Map<number, number>, key: number, by = 1): void {
  map.set(key, (map.get(key) ?? 0) + by);
}

/** The history rows of an inode: replaced-at version and birth of each old value, oldest first. */
export function historyOf(kv: KvReader, ino: InodeNumber): { readonly replaced: number; readonly birth: number }[] {
  const key = inodeKey(ino);
  const start = Buffer.concat([Uint8Array.of(FAMILY.history), key, Uint8Array.of(0)]);
  const end = Buffer.concat([Uint8Array.of(FAMILY.history), key, Uint8Array.of(1)]);
  return [...kv.range(start, end)].map((row) => ({ replaced: readU64(row.key, row.key.length - 8), birth: readU64(row.value, 0) }));
}
