/**
 * Nodes to compare: an inode in the state of a version. A directory of a fork shows what it has rows for, and the nodes of its origin for
 * the rest, as they were: so what a fork never touched is the very node of its base, and nothing has to be read to know that.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { FAMILY, NAME_AT, numberEnd, numberStart, whiteoutKey } from '../key.js';
import type { ShardView } from '../overlay.js';
import { copyBytes } from '../row-writer.js';
import { decodeDentry, type Inode } from '../value-inode.js';
import type { OriginRow } from '../value-pin.js';
import { PastView, originOf } from './past-view.js';

export interface DiffTreeNode {
  readonly view: PastView;
  readonly ino: InodeNumber;
}

export interface DiffEntry {
  readonly name: Uint8Array;
  readonly node: DiffTreeNode;
}

export class DiffTrees {
  readonly #view: ShardView;
  readonly #root: InodeNumber;
  readonly #views = new Map<Version, PastView>();
  /** Nodes that were looked at; whoever walks lets others through by it. */
  visits = 0;

  constructor(view: ShardView, root: InodeNumber) {
    this.#view = view;
    this.#root = root;
  }

  at(version: Version): PastView {
    let view = this.#views.get(version);
    if (view === undefined) {
      view = new PastView(this.#view, this.#root, version);
      this.#views.set(version, view);
    }
    return view;
  }

  inode({ view, ino }: DiffTreeNode): Inode | undefined {
    this.visits += 1;
    return view.inode(ino);
  }

  /** The same directory as what it shows, where it shows nothing but its origin. */
  canonical(node: DiffTreeNode): DiffTreeNode {
    let at = node;
    // Ends: an origin is older than what shows it.
    for (;;) {
      const origin = this.#originOf(at);
      if (origin === undefined || origin.done.length > 0 || this.#hasRows(at)) return at;
      at = { view: this.at(origin.version), ino: origin.source };
    }
  }

  entry(directory: DiffTreeNode, name: Uint8Array): DiffTreeNode | undefined {
    this.visits += 1;
    const { view, ino } = directory;
    const stored = view.storedEntry(ino, name);
    if (stored !== undefined) return { view, ino: stored.ino };
    const origin = this.#originOf(directory);
    if (origin === undefined || Buffer.compare(name, origin.done) <= 0 || this.#isWhitedOut(ino, name)) return undefined;
    return this.entry({ view: this.at(origin.version), ino: origin.source }, name);
  }

  /** Entries in byte order of names. */
  *entries(directory: DiffTreeNode): Generator<DiffEntry> {
    const { view, ino } = directory;
    const stored = this.#storedEntries(view, ino);
    const origin = this.#originOf(directory);
    if (origin === undefined) return yield* stored;
    const shown = this.entries({ view: this.at(origin.version), ino: origin.source });
    let own = stored.next();
    for (const entry of shown) {
      const { name } = entry;
      let isOwn = false;
      while (own.done !== true && Buffer.compare(own.value.name, name) <= 0) {
        isOwn = Buffer.compare(own.value.name, name) === 0;
        yield own.value;
        own = stored.next();
      }
      if (!isOwn && Buffer.compare(name, origin.done) > 0 && !this.#isWhitedOut(ino, name)) yield entry;
    }
    for (; own.done !== true; own = stored.next()) yield own.value;
  }

  *#storedEntries(view: PastView, directory: InodeNumber): Generator<DiffEntry> {
    for (const { key, value } of view.storedEntryRows(directory)) {
      this.visits += 1;
      yield { name: copyBytes(key, NAME_AT, key.length), node: { view, ino: decodeDentry(value).ino } };
    }
  }

  #originOf({ view, ino }: DiffTreeNode): OriginRow | undefined {
    return view.inode(ino)?.isLazy === true ? originOf(this.#view, ino, view.version) : undefined;
  }

  #hasRows({ view, ino }: DiffTreeNode): boolean {
    for (const _ of view.storedEntryRows(ino)) return true;
    for (const _ of this.#view.range(numberStart(FAMILY.whiteout, ino), numberEnd(FAMILY.whiteout, ino))) return true;
    return false;
  }

  #isWhitedOut(directory: InodeNumber, name: Uint8Array): boolean {
    return this.#view.get(whiteoutKey(directory, name)) !== undefined;
  }
}
