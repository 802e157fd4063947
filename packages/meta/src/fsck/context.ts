/** What the passes share: one stable state of the rows, the time, and a place to report to. */
import type { FsckPass, InodeNumber } from '@nokv/types';
import { inodeKey } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { decodeInode, type Inode } from '../value-inode.js';
import type { Problem } from './problem.js';

/**
 * Inodes whose names must be counted by a scan of all entries. More than these are left to the next check: a shard with so much
 * damage is mended in several rounds anyway.
 */
const SUSPECTS_MAX = 65_536;

/** Yields after each row: its key where a later check may go on behind it, else undefined. */
export type Pass = (context: FsckContext, from: Uint8Array | undefined) => Generator<Uint8Array | undefined>;

export class FsckContext {
  kv: KvReader;
  /** The rows as they are now, for what is compared with the store. */
  readonly live: KvReader;
  readonly nowMs: () => number;
  /** Inodes that no entry leads to by design. */
  readonly roots: ReadonlySet<number>;
  readonly problems: Problem[] = [];
  readonly suspects = new Set<InodeNumber>();

  constructor(kv: KvReader, live: KvReader, roots: Iterable<number>, nowMs: () => number) {
    this.kv = kv;
    this.live = live;
    this.roots = new Set(roots);
    this.nowMs = nowMs;
  }

  report(problem: Problem): void {
    this.problems.push(problem);
  }

  suspect(ino: InodeNumber): void {
    if (this.suspects.size < SUSPECTS_MAX) this.suspects.add(ino);
  }

  /** Undefined also for a row that cannot be decoded: the pass over inodes names it. */
  inode(ino: InodeNumber): Inode | undefined {
    const bytes = this.kv.get(inodeKey(ino));
    if (bytes === undefined) return undefined;
    try {
      return decodeInode(ino, bytes);
    } catch {
      return undefined;
    }
  }

  hasInode(ino: InodeNumber): boolean {
    return this.kv.get(inodeKey(ino)) !== undefined;
  }
}

export interface NamedPass {
  readonly name: FsckPass;
  readonly run: Pass;
}
