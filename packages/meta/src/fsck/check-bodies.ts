/**
 * Every stored body can be decoded and has an end: it is the current one of its inode, or an older one that goes when the next is
 * superseded; those of a removed inode go by way of the queue, where the newest of them waits for all.
 */
import type { Generation, InodeNumber } from '@nokv/types';
import { FAMILY, GC_KIND, familyEnd, familyStart } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeBody } from '../value-body.js';
import type { FsckContext } from './context.js';
import { undecodable } from './problem.js';

/** Removed inodes with bodies that are looked for in the queue at once: 17 bytes each. */
const WINDOW_MAX = 500_000;
const GC_KIND_AT = 9;

export function* checkBodies(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  let window = new RemovedInodes();
  let ino = 0 as InodeNumber;
  let isThere = false;
  let current = 0;
  let newest = 0 as Generation;
  let previous: Uint8Array | undefined;
  for (const { key, value } of context.kv.range(from ?? familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    const owner = readU64(key, 1) as InodeNumber;
    const generation = readU64(key, 9) as Generation;
    let next: Uint8Array | undefined;
    if (owner !== ino) {
      if (ino !== 0 && !isThere) window.add(ino, newest);
      if (window.size === WINDOW_MAX) {
        yield* report(context, window);
        window = new RemovedInodes();
        next = previous;
      }
      ino = owner;
      isThere = context.hasInode(ino);
      // Nothing is said of the bodies of an inode that cannot be read.
      current = context.inode(ino)?.generation ?? Number.POSITIVE_INFINITY;
    }
    newest = generation;
    if (isThere && generation > current) reportNewer(context, ino, generation, current);
    // A current one was looked at where its inode is.
    if (generation !== current) checkRow(context, ino, generation, key, value);
    yield next;
    previous = key;
  }
  if (ino !== 0 && !isThere) window.add(ino, newest);
  yield* report(context, window);
}

function checkRow(context: FsckContext, ino: InodeNumber, generation: number, key: Uint8Array, value: Uint8Array): void {
  try {
    decodeBody(value);
  } catch (error) {
    context.report(undecodable(key, `body ${generation} of inode ${ino}`, error));
  }
}

function reportNewer(context: FsckContext, ino: InodeNumber, generation: number, current: number): void {
  context.report({
    severity: 'warning',
    class: 'body-unowned',
    where: `body ${generation} of inode ${ino}`,
    ino,
    expected: `none newer than the current one, ${current}`,
    found: `${generation}`,
  });
}

function* report(context: FsckContext, window: RemovedInodes): Generator<undefined> {
  if (window.size === 0) return;
  for (const { key } of context.kv.range(familyStart(FAMILY.gc), familyEnd(FAMILY.gc))) {
    if (key[GC_KIND_AT] === GC_KIND.body && key.length === 26) window.mark(readU64(key, 10), readU64(key, 18));
    yield;
  }
  for (const { ino, generation } of window.unmarked()) {
    context.report({
      severity: 'warning',
      class: 'body-unowned',
      where: `body ${generation} of inode ${ino}`,
      expected: 'an inode that shows it or a row in the queue',
      found: 'neither',
      fix: { kind: 'queue-body', ino, generation },
    });
    yield;
  }
}

/** The newest body of each removed inode. A sorted table: bodies come in the order of their keys. */
class RemovedInodes {
  readonly #inos: number[] = [];
  readonly #generations: number[] = [];
  readonly #marked: boolean[] = [];

  get size(): number {
    return this.#inos.length;
  }

  add(ino: InodeNumber, generation: Generation): void {
    this.#inos.push(ino);
    this.#generations.push(generation);
    this.#marked.push(false);
  }

  /** What waits in the queue takes everything older along. */
  mark(ino: number, generation: number): void {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.#inos[middle] as number;
      if (found === ino) {
        if (generation >= (this.#generations[middle] as number)) this.#marked[middle] = true;
        return;
      }
      if (found < ino) low = middle + 1;
      else high = middle;
    }
  }

  *unmarked(): Generator<{ readonly ino: InodeNumber; readonly generation: Generation }> {
    for (let i = 0; i < this.size; i++) {
      if (this.#marked[i] !== true) yield { ino: this.#inos[i] as InodeNumber, generation: this.#generations[i] as Generation };
    }
  }
}
