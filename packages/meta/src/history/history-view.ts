/** What decisions about the past are made from: the same for a command, for background work and for a read. */
import type { Generation, InodeNumber, PinId, RetentionPolicy, Version } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, forkKey, numberEnd, numberStart, pinKey, policyKey } from '../key.js';
import type { ShardView } from '../overlay.js';
import { ReadView } from '../read-view.js';
import { readU64 } from '../row-reader.js';
import { decodeBodyHead, type BodyHead } from '../value-body.js';
import type { Inode } from '../value-inode.js';
import { decodeFork, decodePin, decodePolicy, type ForkRow, type PinRow } from '../value-pin.js';
import { PastView } from './past-view.js';

export interface HistoryView {
  inode(ino: InodeNumber): Inode | undefined;
  past(version: Version): PastView;
  pins(): Iterable<{ readonly id: PinId; readonly row: PinRow }>;
  forks(): Iterable<{ readonly root: InodeNumber; readonly row: ForkRow }>;
  policy(directory: InodeNumber): RetentionPolicy | undefined;
  links(ino: InodeNumber): Iterable<{ readonly parent: InodeNumber }>;
}

/** The history as reads and background work see it. */
export class HistoryReader implements HistoryView {
  readonly #view: ShardView;
  readonly #root: InodeNumber;
  readonly #now: ReadView;

  constructor(view: ShardView, root: InodeNumber) {
    this.#view = view;
    this.#root = root;
    this.#now = new ReadView(view, root);
  }

  inode(ino: InodeNumber): Inode | undefined {
    return this.#now.inode(ino);
  }

  links(ino: InodeNumber): Iterable<{ readonly parent: InodeNumber }> {
    return this.#now.links(ino);
  }

  past(version: Version): PastView {
    return new PastView(this.#view, this.#root, version);
  }

  *pins(after?: PinId): Generator<{ readonly id: PinId; readonly row: PinRow }> {
    const start = after === undefined ? familyStart(FAMILY.pin) : pinKey((after + 1) as PinId);
    for (const { key, value } of this.#view.range(start, familyEnd(FAMILY.pin))) {
      yield { id: readU64(key, 1) as PinId, row: decodePin(value) };
    }
  }

  *forks(after?: InodeNumber): Generator<{ readonly root: InodeNumber; readonly row: ForkRow }> {
    const start = after === undefined ? familyStart(FAMILY.fork) : forkKey((after + 1) as InodeNumber);
    for (const { key, value } of this.#view.range(start, familyEnd(FAMILY.fork))) {
      yield { root: readU64(key, 1) as InodeNumber, row: decodeFork(value) };
    }
  }

  policy(directory: InodeNumber): RetentionPolicy | undefined {
    const bytes = this.#view.get(policyKey(directory));
    return bytes === undefined ? undefined : decodePolicy(bytes);
  }

  /** Bodies of an inode, oldest first. */
  *bodyHeads(ino: InodeNumber): Generator<{ readonly generation: Generation; readonly head: BodyHead }> {
    for (const { key, value } of this.#view.range(numberStart(FAMILY.body, ino), numberEnd(FAMILY.body, ino))) {
      yield { generation: readU64(key, 9) as Generation, head: decodeBodyHead(value) };
    }
  }
}
