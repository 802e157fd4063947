/**
 * The rows that one command reads and writes. A command that fails is dropped with its transaction and leaves no trace.
 * Everything read here, points and ranges alike, shows what the command itself wrote before: a command may be several operations.
 *
 * Invariants: every versioned row that is replaced or removed leaves its old value in history, exactly once per command and
 * under the command's version; every row written carries that version as its birth; a file with one name is repeated in
 * its dentry whenever its inode is written.
 */
import {
  NokvError,
  assert,
  type ChangeKind,
  type Generation,
  type InodeNumber,
  type InodeType,
  type Timespec,
  type UploadId,
  type Version,
} from '@nokv/types';
import {
  FAMILY,
  bodyKey,
  dentryKey,
  extentKey,
  historyKey,
  inodeKey,
  linkKey,
  NAME_AT,
  numberEnd,
  numberStart,
  uploadKey,
  xattrKey,
  type Family,
} from './key.js';
import type { KvWrite } from './ordered-kv.js';
import { rowId, type ShardView } from './overlay.js';
import { readU64 } from './row-reader.js';
import { copyBytes } from './row-writer.js';
import {
  decodeBody,
  decodeExtent,
  decodeUpload,
  encodeBody,
  encodeExtent,
  encodeUpload,
  encodeXattr,
  type BodyRow,
  type ExtentRow,
  type UploadRow,
} from './value-body.js';
import { Inode, decodeDentry, decodeInode, encodeDentry, encodeInode, encodeLink, type Dentry } from './value-inode.js';
import { encodeHeld, type HeldCodec, type HeldRow } from './value-session.js';
import type { ChangeRow } from './value-log.js';

type RowState = 'read' | 'put' | 'removed' | 'refreshed';

/** A row of the transaction: what was there before, and what is there now. */
export interface TransactionRow {
  readonly id: string;
  readonly key: Buffer;
  readonly before: Uint8Array | undefined;
  decoded: unknown;
  state: RowState;
  /** Set by `finish` for rows that are written. */
  value: Buffer | undefined;
}

export type ChangeDraft = Omit<ChangeRow, 'version' | 'ordinal' | 'requestId' | 'actor' | 'time'>;

/** The directories that every shard has. */
export interface ShardRoots {
  readonly root: InodeNumber;
  readonly staging: InodeNumber;
  readonly trash: InodeNumber;
}

export class Transaction {
  readonly root: InodeNumber;
  readonly staging: InodeNumber;
  readonly trash: InodeNumber;
  readonly version: Version;
  readonly time: Timespec;
  readonly changes: ChangeDraft[] = [];
  /** Rows that nobody reads through the overlay: history, and what commands add to or take from the gc queue. */
  readonly blind: KvWrite[] = [];
  /** Inodes whose locks the command lets go or lowers; undefined for none. */
  released: Set<InodeNumber> | undefined;
  bytesDelta = 0;
  inodesDelta = 0;
  readonly #view: ShardView;
  readonly #rows = new Map<string, TransactionRow>();
  readonly #inodes = new Map<InodeNumber, TransactionRow>();
  /** The rows by what the keys of a range share, once a range was read. */
  #groups: Map<string, TransactionRow[]> | undefined;
  #lastEntry: { readonly parent: InodeNumber; readonly name: Uint8Array; readonly row: TransactionRow } | undefined;

  constructor(view: ShardView, roots: ShardRoots, version: Version, time: Timespec) {
    this.#view = view;
    this.root = roots.root;
    this.staging = roots.staging;
    this.trash = roots.trash;
    this.version = version;
    this.time = time;
  }

  /* ------------------------------------------------------------- inodes */

  inode(ino: InodeNumber): Inode | undefined {
    return this.#inodeRow(ino).decoded as Inode | undefined;
  }

  /** The inode, to be changed: it is written with the command's version and a revision one higher. */
  edit(ino: InodeNumber): Inode {
    const row = this.#inodeRow(ino);
    const inode = row.decoded as Inode | undefined;
    if (inode === undefined) throw corruptNamespace(`inode ${ino} is missing`);
    if (row.state === 'put') return inode;
    const copy = inode.clone();
    copy.revision += 1;
    copy.birth = this.version;
    row.decoded = copy;
    row.state = 'put';
    return copy;
  }

  createInode(inode: Inode): void {
    const row = this.#inodeRow(inode.ino);
    assert(row.decoded === undefined, `inode number ${inode.ino} is fresh`);
    inode.birth = this.version;
    row.decoded = inode;
    row.state = 'put';
    this.inodesDelta += 1;
    this.bytesDelta += inode.allocated;
  }

  removeInode(inode: Inode): void {
    const row = this.#inodeRow(inode.ino);
    row.decoded = undefined;
    row.state = 'removed';
    this.inodesDelta -= 1;
    this.bytesDelta -= inode.allocated;
  }

  /* ------------------------------------------------------------ entries */

  entry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    return this.#entryRow(parent, name).decoded as Dentry | undefined;
  }

  putEntry(parent: InodeNumber, name: Uint8Array, ino: InodeNumber, type: InodeType): void {
    const row = this.#entryRow(parent, name);
    row.decoded = { birth: this.version, ino, type } satisfies Dentry;
    row.state = 'put';
  }

  removeEntry(parent: InodeNumber, name: Uint8Array): void {
    const row = this.#entryRow(parent, name);
    row.decoded = undefined;
    row.state = 'removed';
  }

  /** Writes the entry anew with the attributes that its inode has now, or without when it has several names. */
  refreshEntry(parent: InodeNumber, name: Uint8Array): void {
    const row = this.#entryRow(parent, name);
    if (row.state === 'read' && row.decoded !== undefined) row.state = 'refreshed';
  }

  /** Corrects what an entry says of its inode; its birth stays that of the name. */
  rewriteEntry(parent: InodeNumber, name: Uint8Array, type: InodeType): void {
    const row = this.#entryRow(parent, name);
    if (row.decoded === undefined) return;
    row.decoded = { ...(row.decoded as Dentry), type };
    if (row.state === 'read') row.state = 'refreshed';
  }

  /** Entries of a directory in byte order of names; changes made while it runs may be missed. */
  *entries(directory: InodeNumber): Generator<{ readonly name: Uint8Array; readonly entry: Dentry }> {
    for (const { key, value, row } of this.#range(FAMILY.dentry, directory)) {
      const entry = row === undefined ? decodeDentry(value) : (row.decoded as Dentry);
      yield { name: copyBytes(key, NAME_AT, key.length), entry };
    }
  }

  /* -------------------------------------------------------------- links */

  putLink(ino: InodeNumber, parent: InodeNumber, name: Uint8Array): void {
    const row = this.#load(linkKey(ino, parent, name), decodeLink);
    row.decoded = true;
    row.state = 'put';
  }

  removeLink(ino: InodeNumber, parent: InodeNumber, name: Uint8Array): void {
    const row = this.#load(linkKey(ino, parent, name), decodeLink);
    row.decoded = undefined;
    row.state = 'removed';
  }

  /** Places of an inode with several names. */
  links(ino: InodeNumber, limit: number): { readonly parent: InodeNumber; readonly name: Uint8Array }[] {
    const links: { parent: InodeNumber; name: Uint8Array }[] = [];
    for (const { key } of this.#range(FAMILY.link, ino)) {
      links.push({ parent: readU64(key, 9) as InodeNumber, name: copyBytes(key, 17, key.length) });
      if (links.length === limit) break;
    }
    return links;
  }

  /* ------------------------------------------------- bodies and extents */

  body(ino: InodeNumber, generation: Generation): BodyRow | undefined {
    return this.#load(bodyKey(ino, generation), decodeBody).decoded as BodyRow | undefined;
  }

  /** Bodies of an inode, newest first. */
  *bodies(ino: InodeNumber): Generator<BodyRow> {
    const rows: Buffer[] = [];
    for (const { key } of this.#range(FAMILY.body, ino)) rows.push(Buffer.from(key));
    for (const key of rows.reverse()) {
      const body = this.#load(key, decodeBody).decoded as BodyRow | undefined;
      if (body !== undefined) yield body;
    }
  }

  putBody(ino: InodeNumber, body: Omit<BodyRow, 'birth'>): void {
    const row = this.#load(bodyKey(ino, this.version as number as Generation), decodeBody);
    row.decoded = { ...body, birth: this.version } satisfies BodyRow;
    row.state = 'put';
  }

  /** Forgets a superseded body for good: bodies leave no history, they are it. */
  dropBody(ino: InodeNumber, generation: Generation): void {
    const row = this.#load(bodyKey(ino, generation), decodeBody);
    row.decoded = undefined;
    row.state = 'removed';
  }

  extent(upload: UploadId): ExtentRow | undefined {
    return this.#load(extentKey(upload), decodeExtent).decoded as ExtentRow | undefined;
  }

  putExtent(upload: UploadId, extent: ExtentRow | undefined): void {
    const row = this.#load(extentKey(upload), decodeExtent);
    row.decoded = extent;
    row.state = extent === undefined ? 'removed' : 'put';
  }

  upload(upload: UploadId): UploadRow | undefined {
    return this.#load(uploadKey(upload), decodeUpload).decoded as UploadRow | undefined;
  }

  putUpload(upload: UploadId, ledger: UploadRow | undefined): void {
    const row = this.#load(uploadKey(upload), decodeUpload);
    row.decoded = ledger;
    row.state = ledger === undefined ? 'removed' : 'put';
  }

  /* -------------------------------------------------------------- xattrs */

  xattr(ino: InodeNumber, name: Uint8Array): Uint8Array | undefined {
    return this.#load(xattrKey(ino, name), decodeXattrRow).decoded as Uint8Array | undefined;
  }

  putXattr(ino: InodeNumber, name: Uint8Array, value: Uint8Array | undefined): void {
    const row = this.#load(xattrKey(ino, name), decodeXattrRow);
    row.decoded = value;
    row.state = value === undefined ? 'removed' : 'put';
  }

  /** Names of an inode's attributes. */
  xattrNames(ino: InodeNumber): Uint8Array[] {
    const names: Uint8Array[] = [];
    for (const { key } of this.#range(FAMILY.xattr, ino)) names.push(copyBytes(key, NAME_AT, key.length));
    return names;
  }

  /* ------------------------------------------- sessions and what they hold */

  /** A row of the families of sessions, decoded; undefined where there is none. */
  held<Row extends HeldRow>(codec: HeldCodec<Row>, key: Buffer): Row | undefined {
    return this.#load(key, codec.decode).decoded as Row | undefined;
  }

  putHeld<Row extends HeldRow>(codec: HeldCodec<Row>, key: Buffer, value: Row | undefined): void {
    const row = this.#load(key, codec.decode);
    row.decoded = value;
    row.state = value === undefined ? 'removed' : 'put';
  }

  /** Keys from `start` to `end`, which share family and number. */
  keysBetween(start: Buffer, end: Buffer, limit = Number.POSITIVE_INFINITY): Buffer[] {
    const keys: Buffer[] = [];
    for (const { key } of this.#rangeBetween(start, end)) {
      keys.push(Buffer.from(key));
      if (keys.length >= limit) break;
    }
    return keys;
  }

  /** Rows from `start` to `end`, decoded. */
  heldBetween<Row extends HeldRow>(codec: HeldCodec<Row>, start: Buffer, end: Buffer): { readonly key: Buffer; readonly held: Row }[] {
    const found: { key: Buffer; held: Row }[] = [];
    for (const { key, value, row } of this.#rangeBetween(start, end)) {
      found.push({ key: Buffer.from(key), held: row === undefined ? codec.decode(value) : (row.decoded as Row) });
    }
    return found;
  }

  release(ino: InodeNumber): void {
    this.released ??= new Set();
    this.released.add(ino);
  }

  /* ------------------------------------------------------- queue and log */

  addWork(key: Buffer): void {
    this.blind.push({ key, value: EMPTY });
  }

  removeBlind(key: Uint8Array): void {
    this.blind.push({ key, value: undefined });
  }

  /** A row that no command reads: request results, change records, system rows. */
  putBlind(key: Uint8Array, value: Uint8Array): void {
    this.blind.push({ key, value });
  }

  change(kind: ChangeKind, inode: Inode, place: { readonly parent: InodeNumber; readonly name: Uint8Array } | undefined): void {
    const { ino, type, generation } = inode;
    this.changes.push({ kind, ino, type, ...place, ...(generation === 0 ? {} : { generation }) });
  }

  /* --------------------------------------------------------------- finish */

  /** Encodes what the command wrote. Call once, after the command succeeded. */
  finish(): readonly TransactionRow[] {
    this.#repeatInodesInEntries();
    const written: TransactionRow[] = [];
    for (const row of this.#rows.values()) {
      if (row.state === 'read' || (row.state === 'removed' && row.before === undefined)) continue;
      row.value = row.state === 'removed' ? undefined : this.#encode(row);
      if (row.before !== undefined && row.state !== 'refreshed' && hasHistory(row.key)) {
        this.blind.push({ key: historyKey(row.key, this.version), value: row.before });
      }
      written.push(row);
    }
    return written;
  }

  #repeatInodesInEntries(): void {
    for (const row of this.#inodes.values()) {
      if (row.state !== 'put') continue;
      const inode = row.decoded as Inode;
      if (inode.type === 'directory' || inode.nlink !== 1) continue;
      const entry = this.#entryToRefresh(inode);
      if (entry.state === 'read') entry.state = 'refreshed';
    }
  }

  /** The row of an inode's one entry. The birth of the name is in the inode, so that the entry need not be read. */
  #entryToRefresh(inode: Inode): TransactionRow {
    const last = this.#lastEntry;
    if (last !== undefined && last.name === inode.name && last.parent === inode.parent) return last.row;
    const key = dentryKey(inode.parent, inode.name);
    const id = rowId(key);
    const known = this.#rows.get(id);
    if (known !== undefined) return known;
    const decoded: Dentry = { birth: inode.namedAt, ino: inode.ino, type: inode.type };
    const row: TransactionRow = { id, key, before: undefined, decoded, state: 'read', value: undefined };
    this.#rows.set(id, row);
    return row;
  }

  #encode(row: TransactionRow): Buffer {
    const { decoded } = row;
    switch (row.key[0]) {
      case FAMILY.inode:
        return encodeInode(decoded as Inode);
      case FAMILY.dentry: {
        const { birth, ino, type } = decoded as Dentry;
        const inode = type === 'directory' ? undefined : this.inode(ino);
        return encodeDentry(birth, ino, type, inode?.nlink === 1 ? inode : undefined);
      }
      case FAMILY.link:
        return encodeLink(this.version);
      case FAMILY.body:
        return encodeBody(decoded as BodyRow);
      case FAMILY.xattr:
        return encodeXattr(this.version, decoded as Uint8Array);
      case FAMILY.extent:
        return encodeExtent(decoded as ExtentRow);
      case FAMILY.upload:
        return encodeUpload(decoded as UploadRow);
      case FAMILY.session:
      case FAMILY.hold:
      case FAMILY.sessionHold:
      case FAMILY.sessions:
        return encodeHeld(row.key, decoded as HeldRow);
      default:
        throw new NokvError('internal', `family ${row.key[0]} is not written by commands`, { outcome: 'unknown' });
    }
  }

  /* ----------------------------------------------------------------- load */

  /** By number: a command asks for the same few inodes again and again. */
  #inodeRow(ino: InodeNumber): TransactionRow {
    let row = this.#inodes.get(ino);
    if (row === undefined) {
      row = this.#load(inodeKey(ino), (bytes) => decodeInode(ino, bytes));
      this.#inodes.set(ino, row);
    }
    return row;
  }

  /** The last entry is asked for again with the very same name. */
  #entryRow(parent: InodeNumber, name: Uint8Array): TransactionRow {
    const last = this.#lastEntry;
    if (last !== undefined && last.name === name && last.parent === parent) return last.row;
    const row = this.#load(dentryKey(parent, name), decodeDentry);
    this.#lastEntry = { parent, name, row };
    return row;
  }

  #load(key: Buffer, decode: (bytes: Uint8Array) => unknown): TransactionRow {
    const id = rowId(key);
    const known = this.#rows.get(id);
    if (known !== undefined) return known;
    const view = this.#view;
    view.rowsRead += 1;
    const overlaid = view.overlaid(id);
    let row: TransactionRow;
    if (overlaid === undefined) {
      const stored = view.kv.get(key);
      const before = stored === undefined ? undefined : copyBytes(stored, 0, stored.length);
      row = { id, key, before, decoded: before === undefined ? undefined : decode(before), state: 'read', value: undefined };
    } else {
      if (overlaid.decoded === undefined && overlaid.value !== undefined) overlaid.decoded = decode(overlaid.value);
      row = { id, key, before: overlaid.value, decoded: overlaid.decoded, state: 'read', value: undefined };
    }
    this.#rows.set(id, row);
    if (this.#groups !== undefined) join(this.#groups, row);
    return row;
  }

  /**
   * Rows of a family whose keys begin with `number`, in key order: the command's own where it has them, else those of the state
   * before it. `value` is valid until the next read.
   */
  #range(family: Family, number: number): Generator<RangeRow> {
    return this.#rangeBetween(numberStart(family, number), numberEnd(family, number));
  }

  /** The same from `start` to `end`, which share the family and the eight bytes behind it. */
  *#rangeBetween(start: Buffer, end: Buffer): Generator<RangeRow> {
    const own = this.#ownRows(rowId(start), rowId(end));
    let next = 0;
    for (const { key, value } of this.#view.range(start, end)) {
      const id = own.length === 0 ? '' : rowId(Buffer.from(key.buffer, key.byteOffset, key.length));
      let isOwn = false;
      for (let row = own[next]; row !== undefined && row.id <= id; row = own[++next]) {
        isOwn = row.id === id;
        if (row.decoded !== undefined) yield { key: row.key, value: EMPTY, row };
      }
      if (!isOwn) yield { key, value, row: undefined };
    }
    for (let row = own[next]; row !== undefined; row = own[++next])
      if (row.decoded !== undefined) yield { key: row.key, value: EMPTY, row };
  }

  /** The command's rows from `start` to `end`, in key order. The index is made by the first range that is read: most commands read none. */
  #ownRows(start: string, end: string): readonly TransactionRow[] {
    if (this.#groups === undefined) {
      this.#groups = new Map();
      for (const row of this.#rows.values()) join(this.#groups, row);
    }
    const rows = this.#groups.get(start.slice(0, GROUP_LENGTH));
    return rows === undefined ? [] : rows.filter(({ id }) => id >= start && id < end).sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

/** A row of a range: `row` where the command has one, else the stored `value`. */
interface RangeRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly row: TransactionRow | undefined;
}

/** Family and number: what the keys of a range share. */
const GROUP_LENGTH = 9;

function join(groups: Map<string, TransactionRow[]>, row: TransactionRow): void {
  const groupId = row.id.slice(0, GROUP_LENGTH);
  const group = groups.get(groupId);
  if (group === undefined) groups.set(groupId, [row]);
  else group.push(row);
}

const EMPTY = Buffer.alloc(0);

/** Families whose replaced values are kept; superseded bodies are kept under keys of their own. */
function hasHistory(key: Uint8Array): boolean {
  const family = key[0];
  return family === FAMILY.inode || family === FAMILY.dentry || family === FAMILY.link || family === FAMILY.xattr;
}

function decodeLink(): true {
  return true;
}

function decodeXattrRow(bytes: Uint8Array): Uint8Array {
  return copyBytes(bytes, 8, bytes.length);
}

/** Rows contradict each other: a bug or damage, never the caller's fault. */
export function corruptNamespace(what: string): NokvError {
  return new NokvError('corrupt', `the namespace contradicts itself: ${what}; run a check of the shard`);
}
