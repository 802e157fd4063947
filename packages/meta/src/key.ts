/**
 * Every key of a shard: one byte of family, then fixed-width big-endian integers, then at most one run of free bytes.
 * Byte order of keys is the order of their parts. Names hold neither NUL nor "/", so a NUL ends a name inside a key.
 *
 * | family          | parts after the family byte                                              |
 * |-----------------|--------------------------------------------------------------------------|
 * | 01 system       | item u8 (01 format, 02 epoch, 03 progress, 10 log position), or 11 outbox, first version u64 |
 * | 10 inode        | ino u64                                                                  |
 * | 11 dentry       | parent u64, name                                                         |
 * | 12 link         | ino u64, parent u64, name                                                |
 * | 13 body         | ino u64, generation u64                                                  |
 * | 14 xattr        | ino u64, name                                                            |
 * | 15 origin       | ino u64 of a directory that shows another until it has entries of its own |
 * | 16 whiteout     | parent u64, name: an entry of the origin that is not shown any more      |
 * | 17 counterpart  | fork u64, ino u64 in the base: directories of a fork that are there      |
 * | 20 extent       | upload id (16 bytes)                                                     |
 * | 21 upload       | upload id (16 bytes)                                                     |
 * | 22 digest       | sha256 (32 bytes) of a body in blocks that is offered to be shared       |
 * | 30 history      | a key of family 10 to 14, 00, version u64 at which its value was replaced |
 * | 40 change       | version u64, ordinal u16                                                 |
 * | 50 request      | form u8, request id: form 0 its 32 hex characters as 16 bytes, form 1 its text |
 * | 60 gc           | due time in ms u64, kind u8, then by kind (see {@link GC_KIND})          |
 * | 70 counters     | root of the subtree u64                                                  |
 * | 80 pin          | id u64                                                                   |
 * | 81 tag          | name (UTF-8)                                                             |
 * | 82 fork         | ino u64 of its root, or a number of its own for the root of the namespace |
 * | 83 policy       | ino u64 of a directory                                                   |
 * | 90 session      | session id (16 bytes)                                                    |
 * | 91 hold         | ino u64, kind u8 (see {@link HOLD_KIND}), session id; of a lock also owner u64, start u64 |
 * | 92 session hold | session id, ino u64                                                      |
 * | 93 sessions     | nothing                                                                  |
 *
 * u64 holds safe integers only. The longest key is a history key of a link: 282 bytes.
 */
import type { Generation, InodeNumber, LockKind, PinId, RequestId, SessionId, UploadId, Version } from '@nokv/types';
import { readU64 } from './row-reader.js';
import { RowWriter, isPackable } from './row-writer.js';

/** Number of all layouts in `key.ts` and `value*.ts` together; raised by any change of one of them. */
export const SHARD_FORMAT = 3;
/** Rows of formats from here on are rows of the newest, too; a shard of an older one becomes one of the newest when it is opened. */
export const SHARD_FORMAT_OLDEST = 2;

export const FAMILY = {
  system: 0x01,
  inode: 0x10,
  dentry: 0x11,
  link: 0x12,
  body: 0x13,
  xattr: 0x14,
  origin: 0x15,
  whiteout: 0x16,
  counterpart: 0x17,
  extent: 0x20,
  upload: 0x21,
  digest: 0x22,
  history: 0x30,
  change: 0x40,
  request: 0x50,
  gc: 0x60,
  counters: 0x70,
  pin: 0x80,
  tag: 0x81,
  fork: 0x82,
  policy: 0x83,
  session: 0x90,
  hold: 0x91,
  sessionHold: 0x92,
  sessions: 0x93,
} as const;

export type Family = (typeof FAMILY)[keyof typeof FAMILY];

/**
 * Families whose rows lie in a tree of their own, in order: those that grow with every inode, most of them at their end. A change of
 * this list is a change of the format.
 */
export const FAMILIES_APART: readonly Family[] = [FAMILY.inode, FAMILY.dentry, FAMILY.body, FAMILY.history, FAMILY.change, FAMILY.request];

/** `log` and `outbox` belong to one copy of the shard, not to its state: see the folder `log`. */
export const SYSTEM_ITEM = { format: 1, epoch: 2, progress: 3, log: 16, outbox: 17 } as const;

/**
 * Work that waits in the gc family: upload and extent rows by upload id, bodies by inode and generation, trees, ended forks and changed
 * policies by inode, sessions by session id.
 */
export const GC_KIND = { upload: 1, extent: 2, body: 3, tree: 4, fork: 5, policy: 6, session: 16 } as const;

/** What a session can hold of an inode; the kinds of locks are those of `LockKind`. */
export const HOLD_KIND = { handle: 1, flock: 2, range: 3 } as const satisfies Record<LockKind | 'handle', number>;
export type HoldKind = keyof typeof HOLD_KIND;

const writer = new RowWriter();

export function systemKey(item: number): Buffer {
  return writer.begin(2).u8(FAMILY.system).u8(item).end();
}

/** A batch that was committed here and is not in the shared log yet, by its first version. */
export function outboxKey(firstVersion: number): Buffer {
  return writer.begin(10).u8(FAMILY.system).u8(SYSTEM_ITEM.outbox).u64(firstVersion).end();
}

export function inodeKey(ino: InodeNumber): Buffer {
  return writer.begin(9).u8(FAMILY.inode).u64(ino).end();
}

export function dentryKey(parent: InodeNumber, name: Uint8Array): Buffer {
  return writer
    .begin(9 + name.length)
    .u8(FAMILY.dentry)
    .u64(parent)
    .bytes(name)
    .end();
}

export function linkKey(ino: InodeNumber, parent: InodeNumber, name: Uint8Array): Buffer {
  return writer
    .begin(17 + name.length)
    .u8(FAMILY.link)
    .u64(ino)
    .u64(parent)
    .bytes(name)
    .end();
}

export function bodyKey(ino: InodeNumber, generation: Generation): Buffer {
  return writer.begin(17).u8(FAMILY.body).u64(ino).u64(generation).end();
}

export function xattrKey(ino: InodeNumber, name: Uint8Array): Buffer {
  return writer
    .begin(9 + name.length)
    .u8(FAMILY.xattr)
    .u64(ino)
    .bytes(name)
    .end();
}

export function originKey(directory: InodeNumber): Buffer {
  return writer.begin(9).u8(FAMILY.origin).u64(directory).end();
}

export function whiteoutKey(parent: InodeNumber, name: Uint8Array): Buffer {
  return writer
    .begin(9 + name.length)
    .u8(FAMILY.whiteout)
    .u64(parent)
    .bytes(name)
    .end();
}

export function counterpartKey(fork: InodeNumber, base: InodeNumber): Buffer {
  return writer.begin(17).u8(FAMILY.counterpart).u64(fork).u64(base).end();
}

export function pinKey(id: PinId): Buffer {
  return writer.begin(9).u8(FAMILY.pin).u64(id).end();
}

export function tagKey(name: string): Buffer {
  const bytes = Buffer.from(name);
  return writer
    .begin(1 + bytes.length)
    .u8(FAMILY.tag)
    .bytes(bytes)
    .end();
}

export function forkKey(root: InodeNumber): Buffer {
  return writer.begin(9).u8(FAMILY.fork).u64(root).end();
}

/** @param sha256 32 bytes. */
export function digestKey(sha256: Uint8Array): Buffer {
  return writer.begin(33).u8(FAMILY.digest).bytes(sha256).end();
}

export function policyKey(directory: InodeNumber): Buffer {
  return writer.begin(9).u8(FAMILY.policy).u64(directory).end();
}

export function extentKey(upload: UploadId): Buffer {
  return writer.begin(17).u8(FAMILY.extent).hex16(upload).end();
}

export function uploadKey(upload: UploadId): Buffer {
  return writer.begin(17).u8(FAMILY.upload).hex16(upload).end();
}

export function historyKey(key: Uint8Array, replacedAt: Version): Buffer {
  return writer
    .begin(10 + key.length)
    .u8(FAMILY.history)
    .bytes(key)
    .u8(0)
    .u64(replacedAt)
    .end();
}

/** First history key of the rows that replaced values of keys from `key` on. */
export function historyStart(key: Uint8Array): Buffer {
  return writer
    .begin(1 + key.length)
    .u8(FAMILY.history)
    .bytes(key)
    .end();
}

/** Bytes of a history key beyond those of the key whose value it keeps: the family before it, a NUL and the version behind it. */
export const HISTORY_KEY_EXTRA = 10;

export function changeKey(version: Version, ordinal: number): Buffer {
  return writer.begin(11).u8(FAMILY.change).u64(version).u16(ordinal).end();
}

export function requestKey(id: RequestId): Buffer {
  const row = writer.begin(2 + id.length).u8(FAMILY.request);
  return isPackable(id) ? row.u8(0).hex16(id).end() : row.u8(1).latin1(id).end();
}

export function gcUploadKey(dueMs: number, kind: typeof GC_KIND.upload | typeof GC_KIND.extent, upload: UploadId): Buffer {
  return writer.begin(26).u8(FAMILY.gc).u64(dueMs).u8(kind).hex16(upload).end();
}

export function gcBodyKey(dueMs: number, ino: InodeNumber, generation: Generation): Buffer {
  return writer.begin(26).u8(FAMILY.gc).u64(dueMs).u8(GC_KIND.body).u64(ino).u64(generation).end();
}

/** A due time that never comes: work that waits until a pin goes. */
export const GC_HELD_MS = Number.MAX_SAFE_INTEGER;

export function gcTreeKey(dueMs: number, root: InodeNumber): Buffer {
  return writer.begin(18).u8(FAMILY.gc).u64(dueMs).u8(GC_KIND.tree).u64(root).end();
}

export function gcForkKey(dueMs: number, root: InodeNumber): Buffer {
  return writer.begin(18).u8(FAMILY.gc).u64(dueMs).u8(GC_KIND.fork).u64(root).end();
}

/** A policy was set or taken away: what waits by the one before is looked at again. */
export function gcPolicyKey(dueMs: number, directory: InodeNumber): Buffer {
  return writer.begin(18).u8(FAMILY.gc).u64(dueMs).u8(GC_KIND.policy).u64(directory).end();
}

export function countersKey(root: InodeNumber): Buffer {
  return writer.begin(9).u8(FAMILY.counters).u64(root).end();
}

export function gcSessionKey(dueMs: number, session: SessionId): Buffer {
  return writer.begin(26).u8(FAMILY.gc).u64(dueMs).u8(GC_KIND.session).hex16(session).end();
}

export function sessionKey(session: SessionId): Buffer {
  return writer.begin(17).u8(FAMILY.session).hex16(session).end();
}

export function handleKey(ino: InodeNumber, session: SessionId): Buffer {
  return writer.begin(26).u8(FAMILY.hold).u64(ino).u8(HOLD_KIND.handle).hex16(session).end();
}

export function lockKey(ino: InodeNumber, kind: LockKind, session: SessionId, owner: number, start: number): Buffer {
  return writer.begin(42).u8(FAMILY.hold).u64(ino).u8(HOLD_KIND[kind]).hex16(session).u64(owner).u64(start).end();
}

/** All rows of one kind that an inode has, or of one session among them: from this key up to {@link holdsEnd} of the same. */
export function holdsStart(ino: InodeNumber, kind: HoldKind, session?: SessionId): Buffer {
  const row = writer.begin(26).u8(FAMILY.hold).u64(ino).u8(HOLD_KIND[kind]);
  return (session === undefined ? row : row.hex16(session)).end();
}

export function holdsEnd(ino: InodeNumber, kind: HoldKind, session?: SessionId): Buffer {
  if (session === undefined) {
    return writer
      .begin(10)
      .u8(FAMILY.hold)
      .u64(ino)
      .u8(HOLD_KIND[kind] + 1)
      .end();
  }
  // Owners are safe integers: no row of this session begins with a byte this high.
  return writer.begin(27).u8(FAMILY.hold).u64(ino).u8(HOLD_KIND[kind]).hex16(session).u8(0xff).end();
}

export function sessionHoldKey(session: SessionId, ino: InodeNumber): Buffer {
  return writer.begin(25).u8(FAMILY.sessionHold).hex16(session).u64(ino).end();
}

export function sessionHoldsStart(session: SessionId): Buffer {
  return writer.begin(17).u8(FAMILY.sessionHold).hex16(session).end();
}

export function sessionHoldsEnd(session: SessionId): Buffer {
  return writer.begin(18).u8(FAMILY.sessionHold).hex16(session).u8(0xff).end();
}

export function sessionsKey(): Buffer {
  return writer.begin(1).u8(FAMILY.sessions).end();
}

/** The inode of a session hold's key. */
export function inodeOfSessionHold(key: Uint8Array): InodeNumber {
  return readU64(key, 17) as InodeNumber;
}

/** Who holds, by the key of a hold; owner and start are those of a lock. */
export function parseHoldKey(key: Uint8Array): {
  readonly ino: InodeNumber;
  readonly kind: HoldKind;
  readonly session: SessionId;
  readonly owner: number;
  readonly start: number;
} {
  const kind = key[9] === HOLD_KIND.handle ? 'handle' : key[9] === HOLD_KIND.flock ? 'flock' : 'range';
  const isLock = kind !== 'handle';
  return {
    ino: readU64(key, 1) as InodeNumber,
    kind,
    session: Buffer.from(key.buffer, key.byteOffset, key.length).hexSlice(10, 26) as SessionId,
    owner: isLock ? readU64(key, 26) : 0,
    start: isLock ? readU64(key, 34) : 0,
  };
}

/** First key of a family, and of everything in it that begins with `number`. */
export function familyStart(family: Family): Buffer {
  return writer.begin(1).u8(family).end();
}

export function familyEnd(family: Family): Buffer {
  return writer
    .begin(1)
    .u8(family + 1)
    .end();
}

export function numberStart(family: Family, number: number): Buffer {
  return writer.begin(9).u8(family).u64(number).end();
}

export function numberEnd(family: Family, number: number): Buffer {
  return numberStart(family, number + 1);
}

/** The first key after `key`. */
export function keyAfter(key: Uint8Array): Buffer {
  return writer
    .begin(key.length + 1)
    .bytes(key)
    .u8(0)
    .end();
}

export type GcWork =
  | { readonly kind: 'upload' | 'extent'; readonly dueMs: number; readonly upload: UploadId }
  | { readonly kind: 'body'; readonly dueMs: number; readonly ino: InodeNumber; readonly generation: Generation }
  | { readonly kind: 'tree' | 'fork' | 'policy'; readonly dueMs: number; readonly root: InodeNumber }
  | { readonly kind: 'session'; readonly dueMs: number; readonly session: SessionId };

const KIND_OF_ROOT = { [GC_KIND.tree]: 'tree', [GC_KIND.fork]: 'fork', [GC_KIND.policy]: 'policy' } as const;

export function parseGcKey(key: Uint8Array): GcWork | undefined {
  const dueMs = readU64(key, 1);
  switch (key[9]) {
    case GC_KIND.upload:
    case GC_KIND.extent:
      return {
        kind: key[9] === GC_KIND.upload ? 'upload' : 'extent',
        dueMs,
        upload: Buffer.from(key.subarray(10, 26)).toString('hex') as UploadId,
      };
    case GC_KIND.body:
      return { kind: 'body', dueMs, ino: readU64(key, 10) as InodeNumber, generation: readU64(key, 18) as Generation };
    case GC_KIND.tree:
    case GC_KIND.fork:
    case GC_KIND.policy:
      return { kind: KIND_OF_ROOT[key[9]], dueMs, root: readU64(key, 10) as InodeNumber };
    case GC_KIND.session:
      return { kind: 'session', dueMs, session: Buffer.from(key.subarray(10, 26)).toString('hex') as SessionId };
    default:
      return undefined;
  }
}

/** The version and ordinal of a change key. */
export function parseChangeKey(key: Uint8Array): { readonly version: Version; readonly ordinal: number } {
  return { version: readU64(key, 1) as Version, ordinal: ((key[9] as number) << 8) | (key[10] as number) };
}

/** Where the name begins in the key of a dentry or an extended attribute: after its first integer. */
export const NAME_AT = 9;
