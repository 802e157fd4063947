/**
 * After a retention policy was set or taken away: all files below its directory, page by page, whose superseded bodies are then judged by
 * the policy that is theirs now. Only where a review is lives here; the row of the queue that asks for it stays until it is done.
 */
import type { InodeNumber } from '@nokv/types';
import { bodyKey, numberEnd, numberStart, FAMILY } from './key.js';
import { walk } from './history/prune.js';
import type { ReadView } from './read-view.js';
import { readU64 } from './row-reader.js';

/** Nodes that one page looks at, and files that it finds. */
const VISITS_MAX = 1024;
const FILES_MAX = 256;

/** A file and its newest superseded body. */
export interface ReviewedFile {
  readonly ino: InodeNumber;
  readonly generation: number;
}

export class PolicyReview {
  readonly directory: InodeNumber;
  readonly #reader: ReadView;
  #names: readonly Uint8Array[] = [];

  constructor(reader: ReadView, directory: InodeNumber) {
    this.#reader = reader;
    this.directory = directory;
  }

  /** The files of the next page that have superseded bodies; `isDone`: it was the last. */
  page(): { readonly files: readonly ReviewedFile[]; readonly isDone: boolean } {
    const files: ReviewedFile[] = [];
    if (this.#reader.inode(this.directory)?.type !== 'directory') return { files, isDone: true };
    let visits = 0;
    for (const { ino, type, names } of walk(this.#reader, this.directory, [], this.#names, false)) {
      visits += 1;
      this.#names = names;
      const generation = type === 'file' ? this.#newestSuperseded(ino) : undefined;
      if (generation !== undefined) files.push({ ino, generation });
      if (visits >= VISITS_MAX || files.length >= FILES_MAX) return { files, isDone: false };
    }
    return { files, isDone: true };
  }

  #newestSuperseded(ino: InodeNumber): number | undefined {
    const inode = this.#reader.inode(ino);
    if (inode === undefined) return undefined;
    const end = inode.generation === 0 ? numberEnd(FAMILY.body, ino) : bodyKey(ino, inode.generation);
    let newest: number | undefined;
    for (const { key } of this.#reader.view.range(numberStart(FAMILY.body, ino), end)) newest = readU64(key, 9);
    return newest;
  }
}
