/**
 * What pins and forks hold: values that were current at a pin's version, of what lay under the pin's root at that version, and nothing
 * else. A pin of one directory delays nothing in another; what was moved out of a pinned directory stays held, what was moved in later
 * is not.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { FAMILY } from '../key.js';
import { readU64 } from '../row-reader.js';
import type { HistoryView } from './history-view.js';
import { isUnder, type PastView } from './past-view.js';

interface Hold {
  readonly root: InodeNumber;
  readonly version: Version;
  readonly past: PastView;
}

export class PinCoverage {
  /** By version. */
  readonly #holds: readonly Hold[];

  constructor(view: HistoryView) {
    const holds: Hold[] = [];
    for (const { row } of view.pins()) if (row.state === 'live') holds.push(holdOf(view, row.root, row.version));
    for (const { root, row } of view.forks()) {
      holds.push(holdOf(view, row.base, row.version));
      // The next merge is decided against what the last one left on both sides.
      if (row.merged > 0) holds.push(holdOf(view, row.base, row.merged), holdOf(view, root, row.merged));
    }
    this.#holds = holds.sort((a, b) => a.version - b.version);
  }

  /** Whether a pin holds what `ino` was from version `from` until it was replaced at version `to`. */
  covers(ino: InodeNumber, from: Version, to: Version): boolean {
    for (let i = this.#firstAt(from); i < this.#holds.length; i++) {
      const { root, version, past } = this.#holds[i] as Hold;
      if (version >= to) return false;
      if (isUnder(past, ino, root)) return true;
    }
    return false;
  }

  #firstAt(version: Version): number {
    let low = 0;
    let high = this.#holds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#holds[middle] as Hold).version < version) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function holdOf(view: HistoryView, root: InodeNumber, version: Version): Hold {
  return { root, version, past: view.past(version) };
}

/** The inode by whose place it is decided whether a row is held: a directory for its entries, itself for the rest. */
export function placeOfRow(key: Uint8Array): InodeNumber {
  return readU64(key, key[0] === FAMILY.link ? 9 : 1) as InodeNumber;
}
