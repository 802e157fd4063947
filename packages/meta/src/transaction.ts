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
  type Caller,
  type ChangeKind,
  type Generation,
  type InodeNumber,
  type InodeType,
  type PinId,
  type RetentionPolicy,
  type Timespec,
  type UploadId,
  type Version,
} from '@nokv/types';
import { DiffTrees } from './history/diff-node.js';
import { livePin, momentOf, type Moment, type VersionedAt } from './history/moment.js';
import { birthOf, replacedAt } from './history/past-rows.js';
import { PastView, refuseShownByOrigin, type PinnedRoot } from './history/past-view.js';
import {
  FAMILY,
  bodyKey,
  counterpartKey,
  dentryKey,
  extentKey,
  familyEnd,
  familyStart,
  forkKey,
  historyKey,
  inodeKey,
  linkKey,
  NAME_AT,
  numberEnd,
  numberStart,
  originKey,
  pinKey,
  digestKey,
  policyKey,
  tagKey,
  uploadKey,
  whiteoutKey,
  xattrKey,
  type Family,
} from './key.js';
import type { KvWrite } from './ordered-kv.js';
import { rowId, type OverlayRow, type ShardView } from './overlay.js';
import { ReadView } from './read-view.js';
import { readU64 } from './row-reader.js';
import { copyBytes } from './row-writer.js';
import { TransactionRows } from './transaction-rows.js';
import {
  decodeBody,
  decodeExtent,
  decodeDigest,
  decodeUpload,
  encodeBody,
  encodeExtent,
  encodeDigest,
  encodeUpload,
  encodeXattr,
  type BodyRow,
  type ExtentRow,
  type UploadRow,
  sha256Of,
  type DigestRow,
} from './value-body.js';
import { Inode, decodeDentry, decodeInode, encodeDentry, encodeInode, encodeLink, type Dentry } from './value-inode.js';
import { encodeHeld, type HeldCodec, type HeldRow } from './value-session.js';
import type { ChangeRow, ProgressRow } from './value-log.js';
import {
  decodeCounterpart,
  decodeFork,
  decodeOrigin,
  decodePin,
  decodePolicy,
  decodeTag,
  encodeCounterpart,
  encodeFork,
  encodeOrigin,
  encodePin,
  encodePolicy,
  encodeTag,
  type ForkRow,
  type OriginRow,
  type PinRow,
} from './value-pin.js';

type RowState = 'read' | 'put' | 'removed' | 'refreshed';

/** A row of the transaction: what was there before, and what is there now. */
export class TransactionRow {
  readonly id: string;
  readonly key: Buffer;
  /** What was there before, decoded: shared, never changed; undefined where there was nothing. */
  readonly decodedBefore: unknown;
  decoded: unknown;
  state: RowState = 'read';
  /** Set by `finish` for rows that are written, save for those that are encoded later. */
  value: Buffer | undefined;
  /** Of an inode. */
  readonly ino: InodeNumber | undefined;
  readonly #stored: Uint8Array | undefined;
  readonly #overlaid: OverlayRow | undefined;

  constructor(
    id: string,
    key: Buffer,
    ino: InodeNumber | undefined,
    decodedBefore: unknown,
    stored: Uint8Array | undefined,
    overlaid: OverlayRow | undefined,
  ) {
    this.id = id;
    this.key = key;
    this.ino = ino;
    this.decodedBefore = decodedBefore;
    this.decoded = decodedBefore;
    this.#stored = stored;
    this.#overlaid = overlaid;
  }

  /** The bytes that were there before. */
  get before(): Uint8Array | undefined {
    return this.#stored ?? this.#overlaid?.value;
  }

  get existed(): boolean {
    return this.#stored !== undefined || (this.#overlaid !== undefined && !this.#overlaid.isRemoved);
  }
}

/** What a command brings that its rows carry. */
export interface CommandOrigin {
  readonly time: Timespec;
  readonly actor: string;
}

export interface HistoryWrite {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** A body as its publisher gives it. */
export type NewBody = Pick<BodyRow, 'digest' | 'contentType' | 'producer' | 'body'>;

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
  /** Whom the command acts for; permissions are checked where there is one. */
  caller: Caller | undefined = undefined;
  readonly actor: string;
  /** As before this command. */
  readonly progress: ProgressRow;
  readonly changes: ChangeDraft[] = [];
  /** Rows that no command reads: what commands add to or take from the gc queue. */
  readonly blind: KvWrite[] = [];
  /** Inodes whose locks the command lets go or lowers; undefined for none. */
  released: Set<InodeNumber> | undefined;
  /** Rows of history that are added or dropped. */
  readonly history: HistoryWrite[] = [];
  bytesDelta = 0;
  inodesDelta = 0;
  pinsDelta = 0;
  forksDelta = 0;
  policiesDelta = 0;
  pinsEndedDelta = 0;
  newestPinned: Version;
  readonly #view: ShardView;
  readonly #rows = new TransactionRows();
  /** The rows by what the keys of a range share, once a range was read. */
  #groups: Map<string, TransactionRow[]> | undefined;
  #lastEntry: { readonly parent: InodeNumber; readonly name: Uint8Array; readonly row: TransactionRow } | undefined;

  constructor(view: ShardView, roots: ShardRoots, version: Version, { time, actor }: CommandOrigin, progress: ProgressRow) {
    this.#view = view;
    this.root = roots.root;
    this.staging = roots.staging;
    this.trash = roots.trash;
    this.version = version;
    this.time = time;
    this.actor = actor;
    this.progress = progress;
    this.newestPinned = progress.newestPinned;
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
    const row = inode.ino < this.#view.freshFrom ? this.#inodeRow(inode.ino) : this.#freshRow(inode.ino);
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

  /** Throws `Unmaterialised` where a directory of a fork shows an entry of its origin. */
  entry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    const row = this.#entryRow(parent, name);
    if (row.decoded === undefined && row.state === 'read' && this.inode(parent)?.isLazy === true) {
      refuseShownByOrigin(this.#view, parent, name);
    }
    return row.decoded as Dentry | undefined;
  }

  /** The entry that has a row, whatever a directory of a fork may show beyond it. */
  storedEntry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
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
    if (this.inode(parent)?.isLazy === true && this.origin(parent) !== undefined) {
      const whiteout = this.#load(whiteoutKey(parent, name), decodeNothing);
      whiteout.decoded = true;
      whiteout.state = 'put';
    }
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

  putLink(ino: InodeNumber, parent: InodeNumber, name: Uint8Array, birth = this.version): void {
    const row = this.#load(linkKey(ino, parent, name), birthOf);
    row.decoded = birth;
    row.state = 'put';
  }

  removeLink(ino: InodeNumber, parent: InodeNumber, name: Uint8Array): void {
    const row = this.#load(linkKey(ino, parent, name), birthOf);
    row.decoded = undefined;
    row.state = 'removed';
  }

  /** Places of an inode with several names. */
  links(ino: InodeNumber, limit = Number.POSITIVE_INFINITY): { readonly parent: InodeNumber; readonly name: Uint8Array }[] {
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

  /** Makes a body the one of this command's generation. */
  putBody(ino: InodeNumber, ordinal: number, body: NewBody): void {
    const { version, time, actor } = this;
    this.#putBodyRow(ino, version as number as Generation, { ...body, birth: version, time, ordinal, actor });
  }

  /** A body that another inode has or had, under its own generation. */
  copyBody(ino: InodeNumber, generation: Generation, body: BodyRow): void {
    this.#putBodyRow(ino, generation, body);
  }

  #putBodyRow(ino: InodeNumber, generation: Generation, body: BodyRow): void {
    const row = this.#load(bodyKey(ino, generation), decodeBody);
    row.decoded = body;
    row.state = 'put';
  }

  /** Forgets a superseded body for good: bodies leave no history, they are it. */
  dropBody(ino: InodeNumber, generation: Generation): void {
    const row = this.#load(bodyKey(ino, generation), decodeBody);
    this.#withdrawDigest(ino, generation, row.decoded as BodyRow | undefined);
    row.decoded = undefined;
    row.state = 'removed';
  }

  /**
   * Offers the blocks of a body to whoever brings a body of the same digest. The first that is offered stays until it goes, so that a
   * repeated request finds what it found before.
   */
  offerDigest(sha256: Uint8Array, place: DigestRow): void {
    const row = this.#load(digestKey(sha256), decodeDigest);
    const known = row.decoded as DigestRow | undefined;
    if (known !== undefined && this.body(known.ino, known.generation) !== undefined) return;
    row.decoded = place;
    row.state = 'put';
  }

  #withdrawDigest(ino: InodeNumber, generation: Generation, body: BodyRow | undefined): void {
    const sha256 = body?.body.kind === 'blocks' ? sha256Of(body.digest) : undefined;
    if (sha256 === undefined) return;
    const row = this.#load(digestKey(sha256), decodeDigest);
    const known = row.decoded as DigestRow | undefined;
    if (known?.ino !== ino || known.generation !== generation) return;
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
    return (this.#load(xattrKey(ino, name), decodeXattrRow).decoded as XattrRow | undefined)?.value;
  }

  putXattr(ino: InodeNumber, name: Uint8Array, value: Uint8Array | undefined): void {
    const row = this.#load(xattrKey(ino, name), decodeXattrRow);
    row.decoded = value === undefined ? undefined : { birth: this.version, value };
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

  /* ------------------------------------------------------ pins and forks */

  /** The states of any versions to compare, as the state before this command has them. */
  trees(): DiffTrees {
    return new DiffTrees(this.#view, this.root);
  }

  /** The namespace as it was before this command. */
  reader(): ReadView {
    return new ReadView(this.#view, this.root);
  }

  /** The namespace at a version, as the state before this command has it. */
  past(version: Version, pinned?: PinnedRoot): PastView {
    return new PastView(this.#view, this.root, version, pinned);
  }

  /** What a moment names, for a command. */
  moment(at: VersionedAt): Moment {
    const { changesForgotten, version } = this.progress;
    return momentOf(this.#view, at, { newest: version, forgotten: changesForgotten, time: this.time });
  }

  /** A pin that is neither ended nor expired. */
  livePin(at: { readonly snapshot: PinId } | { readonly tag: string }): { readonly id: PinId; readonly row: PinRow } {
    return livePin(this.#view, at, this.time);
  }

  pin(id: PinId): PinRow | undefined {
    return this.#load(pinKey(id), decodePin).decoded as PinRow | undefined;
  }

  /** All pins by id; changes of this command included. */
  *pins(): Generator<{ readonly id: PinId; readonly row: PinRow }> {
    yield* this.#few(FAMILY.pin, decodePin, (key, row) => ({ id: readU64(key, 1) as PinId, row }));
  }

  putPin(id: PinId, pin: PinRow | undefined): void {
    const before = this.pin(id)?.state === 'live' ? 1 : 0;
    const after = pin?.state === 'live' ? 1 : 0;
    this.#put(pinKey(id), decodePin, pin);
    this.pinsDelta += after - before;
    if (before > after) this.pinsEndedDelta += 1;
    if (pin !== undefined && pin.version > this.newestPinned) this.newestPinned = pin.version;
  }

  tag(name: string): PinId | undefined {
    return this.#load(tagKey(name), decodeTag).decoded as PinId | undefined;
  }

  putTag(name: string, pin: PinId | undefined): void {
    this.#put(tagKey(name), decodeTag, pin);
  }

  fork(root: InodeNumber): ForkRow | undefined {
    return this.#load(forkKey(root), decodeFork).decoded as ForkRow | undefined;
  }

  *forks(): Generator<{ readonly root: InodeNumber; readonly row: ForkRow }> {
    yield* this.#few(FAMILY.fork, decodeFork, (key, row) => ({ root: readU64(key, 1) as InodeNumber, row }));
  }

  putFork(root: InodeNumber, fork: ForkRow | undefined): void {
    const delta = this.#put(forkKey(root), decodeFork, fork);
    this.forksDelta += delta;
    if (delta < 0) this.pinsEndedDelta += 1;
    if (fork !== undefined) this.newestPinned = Math.max(this.newestPinned, fork.version, fork.merged) as Version;
  }

  origin(directory: InodeNumber): OriginRow | undefined {
    return this.#load(originKey(directory), decodeOrigin).decoded as OriginRow | undefined;
  }

  putOrigin(directory: InodeNumber, origin: OriginRow | undefined): void {
    this.#put(originKey(directory), decodeOrigin, origin);
  }

  counterpart(fork: InodeNumber, base: InodeNumber): InodeNumber | undefined {
    return this.#load(counterpartKey(fork, base), decodeCounterpart).decoded as InodeNumber | undefined;
  }

  putCounterpart(fork: InodeNumber, base: InodeNumber, ino: InodeNumber | undefined): void {
    this.#put(counterpartKey(fork, base), decodeCounterpart, ino);
  }

  hasWhiteout(parent: InodeNumber, name: Uint8Array): boolean {
    return this.#load(whiteoutKey(parent, name), decodeNothing).decoded !== undefined;
  }

  /** Drops at most `limit` whiteouts of a directory; returns how many. */
  dropWhiteouts(directory: InodeNumber, limit: number): number {
    return this.#dropSome(FAMILY.whiteout, directory, limit);
  }

  /** Drops at most `limit` counterparts of a fork; returns how many. */
  dropCounterparts(fork: InodeNumber, limit: number): number {
    return this.#dropSome(FAMILY.counterpart, fork, limit);
  }

  #dropSome(family: Family, number: InodeNumber, limit: number): number {
    const keys: Buffer[] = [];
    for (const { key } of this.#range(family, number)) {
      keys.push(Buffer.from(key));
      if (keys.length === limit) break;
    }
    for (const key of keys) this.#put(key, decodeNothing, undefined);
    return keys.length;
  }

  policy(directory: InodeNumber): RetentionPolicy | undefined {
    return this.#load(policyKey(directory), decodePolicy).decoded as RetentionPolicy | undefined;
  }

  putPolicy(directory: InodeNumber, policy: RetentionPolicy | undefined): void {
    this.policiesDelta += this.#put(policyKey(directory), decodePolicy, policy);
  }

  /** Writes what a fork shows as rows of its own, as old as the fork: nobody sees a difference. */
  adopt({ inode, places, xattrs, body }: AdoptedRows, birth: Version): void {
    const inodeBirth = inode.birth;
    this.createInode(inode);
    inode.birth = inodeBirth;
    for (const { parent, name } of places) {
      const row = this.#entryRow(parent, name);
      row.decoded = { birth, ino: inode.ino, type: inode.type } satisfies Dentry;
      row.state = 'put';
      if (isShared(inode)) this.putLink(inode.ino, parent, name, birth);
    }
    for (const { name, value } of xattrs) {
      const row = this.#load(xattrKey(inode.ino, name), decodeXattrRow);
      row.decoded = { birth, value } satisfies XattrRow;
      row.state = 'put';
    }
    if (body !== undefined) this.#putBodyRow(inode.ino, inode.generation, body);
  }

  /** The same for what was there until directories were removed: each name until its own was, the rest until the last one. */
  adoptPast({ inode, xattrs, body }: AdoptedRows, places: readonly PastPlace[], birth: Version, removed: Version): void {
    this.adoptPastInode(inode, places, removed);
    for (const { name, value } of xattrs) this.#keep(xattrKey(inode.ino, name), removed, encodeXattr(birth, value));
    if (body !== undefined) this.#putBodyRow(inode.ino, inode.generation, body);
  }

  /** What an inode was and by which names, until `removed`. */
  adoptPastInode(inode: Inode, places: readonly PastPlace[], removed: Version): void {
    this.#keep(inodeKey(inode.ino), removed, encodeInode(inode));
    for (const place of places) {
      if (place.hasEntry)
        this.#keep(dentryKey(place.parent, place.name), place.removed, encodeDentry(place.birth, inode.ino, inode.type, undefined));
      if (isShared(inode)) this.#keep(linkKey(inode.ino, place.parent, place.name), place.removed, encodeLink(place.birth));
    }
  }

  #keep(key: Buffer, removed: Version, value: Buffer): void {
    this.history.push({ key: historyKey(key, removed), value });
  }

  /** A directory of a fork that shows nothing of its origin any more; no change that anybody could see. */
  clearLazy(directory: InodeNumber): void {
    const row = this.#inodeRow(directory);
    const inode = row.decoded as Inode | undefined;
    if (inode === undefined || !inode.isLazy) return;
    const copy = inode.clone();
    copy.isLazy = false;
    row.decoded = copy;
    if (row.state === 'read') row.state = 'refreshed';
  }

  /** Forgets what history keeps under a key of it. */
  dropHistory(key: Uint8Array): void {
    this.history.push({ key: Buffer.from(key), value: undefined });
  }

  /** Values that history keeps of a key, oldest first. */
  *historyOf(key: Buffer): Generator<{ readonly replaced: Version; readonly value: Uint8Array }> {
    const start = historyKey(key, 0 as Version);
    for (const row of this.#view.range(start, historyKey(key, Number.MAX_SAFE_INTEGER as Version))) {
      yield { replaced: replacedAt(row.key), value: row.value };
    }
  }

  /** A row of history as it is stored. */
  historyRow(key: Uint8Array): Uint8Array | undefined {
    return this.#view.get(Buffer.from(key));
  }

  /** Rows of a family that has few of them. */
  *#few<Row, Shown>(family: Family, decode: (bytes: Uint8Array) => Row, show: (key: Uint8Array, row: Row) => Shown): Generator<Shown> {
    const keys: Buffer[] = [];
    for (const { key } of this.#view.range(familyStart(family), familyEnd(family))) keys.push(Buffer.from(key));
    for (const row of this.#rows.values()) if (row.key[0] === family && !row.existed) keys.push(row.key);
    for (const key of keys.sort((a, b) => Buffer.compare(a, b))) {
      const row = this.#load(key, decode).decoded as Row | undefined;
      if (row !== undefined) yield show(key, row);
    }
  }

  /** @returns by how much the number of such rows changes. */
  #put(key: Buffer, decode: (bytes: Uint8Array) => unknown, value: unknown): number {
    const row = this.#load(key, decode);
    const delta = (value === undefined ? 0 : 1) - (row.decoded === undefined ? 0 : 1);
    row.decoded = value;
    row.state = value === undefined ? 'removed' : 'put';
    return delta;
  }

  /* ------------------------------------------------------- queue and log */

  addWork(key: Buffer, value: Buffer = EMPTY): void {
    this.blind.push({ key, value });
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
      if (row.state === 'read' || (row.state === 'removed' && !row.existed)) continue;
      if (row.existed && row.state !== 'refreshed' && hasHistory(row.key) && !this.#continues(row)) {
        const before = row.before as Uint8Array;
        this.history.push({
          key: historyKey(row.key, this.version),
          value: Buffer.from(before.buffer, before.byteOffset, before.length),
        });
      }
      row.value = row.state === 'removed' || row.decoded instanceof Inode ? undefined : this.#encode(row);
      written.push(row);
    }
    return written;
  }

  /**
   * A directory whose entries change again and again leaves no history for each change: within one second of its ctime, and while
   * no pin holds the state between, the new value takes the place of the old one from the old one's birth on. So the times, the count
   * of entries and the revision of a directory at a version that no pin holds may be those of up to a second later; its name, owner,
   * permissions and entries never are.
   */
  #continues(row: TransactionRow): boolean {
    if (row.key[0] !== FAMILY.inode || row.state !== 'put') return false;
    const inode = row.decoded as Inode;
    const before = row.decodedBefore as Inode;
    if (inode.type !== 'directory' || before.birth <= this.newestPinned || !isSameButForEntries(before, inode)) return false;
    inode.birth = before.birth;
    return true;
  }

  #repeatInodesInEntries(): void {
    for (const row of this.#rows.values()) {
      if (row.ino === undefined || row.state !== 'put') continue;
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
    const row = new TransactionRow(id, key, undefined, undefined, undefined, undefined);
    row.decoded = decoded;
    this.#rows.add(row);
    return row;
  }

  #encode(row: TransactionRow): Buffer {
    const { decoded } = row;
    switch (row.key[0]) {
      case FAMILY.dentry: {
        const { birth, ino, type } = decoded as Dentry;
        const inode = type === 'directory' ? undefined : this.inode(ino);
        return encodeDentry(birth, ino, type, inode?.nlink === 1 ? inode : undefined);
      }
      case FAMILY.link:
        return encodeLink(decoded as Version);
      case FAMILY.body:
        return encodeBody(decoded as BodyRow);
      case FAMILY.xattr:
        return encodeXattr((decoded as XattrRow).birth, (decoded as XattrRow).value);
      case FAMILY.extent:
        return encodeExtent(decoded as ExtentRow);
      case FAMILY.digest:
        return encodeDigest(decoded as DigestRow);
      case FAMILY.upload:
        return encodeUpload(decoded as UploadRow);
      case FAMILY.session:
      case FAMILY.hold:
      case FAMILY.sessionHold:
      case FAMILY.sessions:
        return encodeHeld(row.key, decoded as HeldRow);
      case FAMILY.pin:
        return encodePin(decoded as PinRow);
      case FAMILY.tag:
        return encodeTag(decoded as PinId);
      case FAMILY.fork:
        return encodeFork(decoded as ForkRow);
      case FAMILY.origin:
        return encodeOrigin(decoded as OriginRow);
      case FAMILY.counterpart:
        return encodeCounterpart(decoded as InodeNumber);
      case FAMILY.whiteout:
        return EMPTY;
      case FAMILY.policy:
        return encodePolicy(decoded as RetentionPolicy);
      default:
        throw new NokvError('internal', `family ${row.key[0]} is not written by commands`, { outcome: 'unknown' });
    }
  }

  /* ----------------------------------------------------------------- load */

  /** By number: a command asks for the same few inodes again and again. */
  #inodeRow(ino: InodeNumber): TransactionRow {
    return this.#rows.ofInode(ino) ?? this.#load(inodeKey(ino), (bytes) => decodeInode(ino, bytes), ino);
  }

  /** The row of a number that was drawn since the store was opened, and is used for the first time: the store need not be asked. */
  #freshRow(ino: InodeNumber): TransactionRow {
    const known = this.#rows.ofInode(ino);
    if (known !== undefined) return known;
    const key = inodeKey(ino);
    const id = rowId(key);
    if (this.#view.overlaid(id) !== undefined) return this.#inodeRow(ino);
    const row = new TransactionRow(id, key, ino, undefined, undefined, undefined);
    this.#rows.add(row);
    if (this.#groups !== undefined) join(this.#groups, row);
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

  #load(key: Buffer, decode: (bytes: Uint8Array) => unknown, ino?: InodeNumber): TransactionRow {
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
      row = new TransactionRow(id, key, ino, before === undefined ? undefined : decode(before), before, undefined);
    } else {
      if (overlaid.decoded === undefined && overlaid.value !== undefined) overlaid.decoded = decode(overlaid.value);
      row = new TransactionRow(id, key, ino, overlaid.decoded, undefined, overlaid);
    }
    this.#rows.add(row);
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

interface XattrRow {
  readonly birth: Version;
  readonly value: Uint8Array;
}

function decodeXattrRow(bytes: Uint8Array): XattrRow {
  return { birth: birthOf(bytes), value: copyBytes(bytes, 8, bytes.length) };
}

function decodeNothing(): true {
  return true;
}

/** Nothing differs but what every change of the entries changes, and that within one second. */
function isSameButForEntries(a: Inode, b: Inode): boolean {
  return (
    a.ctime.sec === b.ctime.sec &&
    a.parent === b.parent &&
    a.namedAt === b.namedAt &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.xattrListBytes === b.xattrListBytes &&
    a.isLazy === b.isLazy &&
    a.atime.sec === b.atime.sec &&
    a.atime.nsec === b.atime.nsec
  );
}

function isShared({ type, nlink }: Inode): boolean {
  return type !== 'directory' && nlink > 1;
}

/** A name that was there from one version to another; its entry may have a row of its own that is there still. */
export interface PastPlace {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
  readonly birth: Version;
  readonly removed: Version;
  readonly hasEntry: boolean;
}

/** What a fork takes over of its base: an inode under all its names. */
export interface AdoptedRows {
  /** Fresh, with its birth; owned by the transaction from now on. */
  readonly inode: Inode;
  readonly places: readonly { readonly parent: InodeNumber; readonly name: Uint8Array }[];
  readonly xattrs: readonly { readonly name: Uint8Array; readonly value: Uint8Array }[];
  readonly body: BodyRow | undefined;
}

/** Rows contradict each other: a bug or damage, never the caller's fault. */
export function corruptNamespace(what: string): NokvError {
  return new NokvError('corrupt', `the namespace contradicts itself: ${what}; run a check of the shard`);
}
