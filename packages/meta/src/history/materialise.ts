/**
 * Gives a directory of a fork entries of its own for what it shows of its origin: one entry that somebody looks for, or the next ones
 * in order. The rows are as old as the fork, so that reads at any version since then show them; for a directory that was removed
 * meanwhile they go to history. Nothing that anybody could see changes: no event, no revision, no time.
 *
 * Names of one file that lie in several directories of a fork become rows together, since they share an inode; the directories on
 * the way to them are asked for first (`Unmaterialised`).
 */
import type { InodeNumber, Version } from '@nokv/types';
import type { InternalCommand } from '../command.js';
import { NAME_AT, dentryKey, gcBodyKey } from '../key.js';
import { dueMs } from '../operations/directory.js';
import { addReferences } from '../operations/extents.js';
import { FreshInodes } from '../operations/fresh-inodes.js';
import { copyBytes } from '../row-writer.js';
import { corruptNamespace, type PastPlace, type Transaction } from '../transaction.js';
import { decodeDentry, type Inode } from '../value-inode.js';
import { encodeRetired } from '../value-log.js';
import type { ForkRow, OriginRow } from '../value-pin.js';
import { bodyToTakeOver, copyOf, countEntries, endOrigin, xattrsOf } from './fork.js';
import { birthOf } from './past-rows.js';
import { isUnder, type PastView } from './past-view.js';
import { Unmaterialised } from './unmaterialised.js';

type MaterialiseCommand = Extract<InternalCommand, { operation: 'materialise' }>;

interface Location {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
}

/** Whiteouts that go with the end of an origin at once; more take further commands. */
const WHITEOUTS_MAX = 1000;
const NO_NAME = new Uint8Array(0);

export function materialise(transaction: Transaction, command: MaterialiseCommand): void {
  const { directory, entry, limit } = command.args;
  const origin = transaction.origin(directory);
  if (origin === undefined) return;
  const taking = new Taking(transaction, command, directory, origin);
  if (entry !== undefined) {
    const found = taking.source.entry(origin.source, entry);
    if (found !== undefined) taking.take(entry, found.ino);
    return;
  }
  const last = taking.takeNext(limit);
  if (last !== undefined) transaction.putOrigin(directory, { ...origin, done: last });
  else if (transaction.dropWhiteouts(directory, WHITEOUTS_MAX) < WHITEOUTS_MAX) finish(transaction, directory);
}

function finish(transaction: Transaction, directory: InodeNumber): void {
  endOrigin(transaction, directory);
  transaction.clearLazy(directory);
}

class Taking {
  readonly source: PastView;
  readonly #transaction: Transaction;
  readonly #fresh: FreshInodes;
  readonly #directory: InodeNumber;
  readonly #origin: OriginRow;

  constructor(transaction: Transaction, command: MaterialiseCommand, directory: InodeNumber, origin: OriginRow) {
    this.#transaction = transaction;
    this.#fresh = new FreshInodes(command);
    this.#directory = directory;
    this.#origin = origin;
    this.source = transaction.past(origin.version);
  }

  /** Takes the next entries in order; returns the last one's name, or undefined when the origin has no more. */
  takeNext(limit: number): Uint8Array | undefined {
    const { source, done } = this.#origin;
    const shown = this.source.inode(source);
    if (shown === undefined) throw corruptNamespace(`inode ${source}, which directory ${this.#directory} shows, is missing`);
    let taken = 0;
    let last: Uint8Array | undefined;
    for (const { key, value } of this.source.entryRows(shown, done.length === 0 ? undefined : done)) {
      if (taken === limit) return last;
      last = copyBytes(key, NAME_AT, key.length);
      this.take(last, decodeDentry(value).ino);
      taken += 1;
    }
    return undefined;
  }

  take(name: Uint8Array, ino: InodeNumber): void {
    if (this.#isTaken(this.#directory, name)) return;
    const inode = this.source.inode(ino);
    if (inode === undefined) throw corruptNamespace(`inode ${ino}, which directory ${this.#directory} shows, is missing`);
    if (inode.type !== 'directory' && inode.nlink > 1) this.#takeShared(inode, name);
    else this.#adoptHere(inode, { parent: this.#directory, name });
  }

  #adoptHere(inode: Inode, at: Location): void {
    const { removed, born } = this.#origin;
    if (removed === 0) this.#adopt(inode, [at], []);
    else this.#adopt(inode, [], [{ ...at, birth: born, removed, hasEntry: true }]);
  }

  #isTaken(directory: InodeNumber, name: Uint8Array): boolean {
    const transaction = this.#transaction;
    if (transaction.storedEntry(directory, name) !== undefined || transaction.hasWhiteout(directory, name)) return true;
    if (transaction.origin(directory)?.removed === 0) return false;
    for (const { value } of transaction.historyOf(dentryKey(directory, name))) if (birthOf(value) === this.#origin.born) return true;
    return false;
  }

  /** A file with several names: those inside the base all become rows now. */
  #takeShared(inode: Inode, name: Uint8Array): void {
    const transaction = this.#transaction;
    const { base } = this.#fork();
    const here: Location[] = [];
    const gone: PastPlace[] = [];
    for (const link of this.source.links(inode.ino)) {
      if (!isUnder(this.source, link.parent, base)) continue;
      const at = { parent: this.#counterpart(link.parent), name: link.name };
      const origin = transaction.origin(at.parent);
      if (origin === undefined) continue;
      if (origin.removed === 0) here.push(at);
      else gone.push({ ...at, birth: origin.born, removed: origin.removed, hasEntry: true });
    }
    if (here.length === 0 && gone.length === 0) {
      throw corruptNamespace(`inode ${inode.ino} has lost the row of its link ${Buffer.from(name).toString('hex')}`);
    }
    this.#adopt(inode, here, gone);
  }

  /** Gives a node rows: names that are there still, and names whose directories were removed since. */
  #adopt(source: Inode, here: readonly Location[], gone: readonly PastPlace[]): void {
    const transaction = this.#transaction;
    const { fork, version, born } = this.#origin;
    const ino = this.#fresh.take();
    const body = bodyToTakeOver(this.source, source, this.#fork().isExact);
    if (body !== undefined) addReferences(transaction, body.body);
    const rows = { inode: this.#copy(source, ino, [...here, ...gone]), places: here, xattrs: xattrsOf(this.source, source), body };
    const removals = gone.map(({ removed }) => removed as number);
    if (here.length === 0) {
      const removed = Math.max(...removals) as Version;
      transaction.adoptPast(rows, gone, born, removed);
      if (body !== undefined) {
        const retired = { version: removed, ms: dueMs(transaction, 0) };
        transaction.addWork(gcBodyKey(retired.ms, ino, source.generation), encodeRetired(retired));
      }
    } else if (gone.length === 0) {
      transaction.adopt(rows, born);
    } else {
      // Until the first of its names went it had them all.
      const since = Math.min(...removals) as Version;
      const before = here.map((at): PastPlace => ({ ...at, birth: born, removed: since, hasEntry: false }));
      transaction.adoptPastInode(rows.inode, [...(here.length === 1 ? before : []), ...gone], since);
      const now = this.#copy(source, ino, here);
      now.birth = since;
      transaction.adopt({ ...rows, inode: now }, born);
    }
    if (source.type !== 'directory') return;
    transaction.putCounterpart(fork, source.ino, ino);
    if (!rows.inode.isLazy) return;
    const removed = gone[0]?.removed ?? (0 as Version);
    transaction.putOrigin(ino, { fork, source: source.ino, version, born, removed, done: NO_NAME });
    const row = this.#fork();
    transaction.putFork(fork, { ...row, outstanding: row.outstanding + 1 });
  }

  /** The node under another number and these names, as old as the fork. */
  #copy(source: Inode, ino: InodeNumber, places: readonly Location[]): Inode {
    const copy = copyOf(source, ino);
    const { born } = this.#origin;
    copy.birth = born;
    const [only] = places;
    const isShared = places.length > 1;
    copy.parent = isShared || only === undefined ? (0 as InodeNumber) : only.parent;
    copy.name = isShared || only === undefined ? NO_NAME : only.name;
    copy.namedAt = isShared ? (0 as Version) : born;
    if (source.type !== 'directory') copy.nlink = places.length;
    else if (!this.#fork().isExact) countEntries(this.source, source, copy);
    copy.isLazy = source.type === 'directory' && copy.children > 0;
    return copy;
  }

  #fork(): ForkRow {
    const { fork } = this.#origin;
    const row = this.#transaction.fork(fork);
    if (row === undefined) throw corruptNamespace(`fork ${fork} is missing, but directory ${this.#directory} belongs to it`);
    return row;
  }

  /** The directory of the fork that stands for one of the base; asks for those on the way to it that are not there yet. */
  #counterpart(directory: InodeNumber): InodeNumber {
    const { fork } = this.#origin;
    let below: Uint8Array | undefined;
    // Ends at the base, whose counterpart is the root of the fork.
    for (let at = directory; at !== 0;) {
      const there = this.#transaction.counterpart(fork, at);
      if (there !== undefined) {
        if (below === undefined) return there;
        throw new Unmaterialised(there, below);
      }
      const inode = this.source.inode(at);
      if (inode === undefined) break;
      below = inode.name;
      at = inode.parent;
    }
    throw corruptNamespace(`directory ${directory} lies outside the base of fork ${fork}`);
  }
}
