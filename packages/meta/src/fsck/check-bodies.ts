/** Every stored body can be decoded, and is either the current one of its inode or waits in the queue for its end. */
import type { Generation, InodeNumber } from '@nokv/types';
import { FAMILY, GC_KIND, familyEnd, familyStart, keyAfter } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeBody } from '../value-body.js';
import type { FsckContext } from './context.js';
import { undecodable } from './problem.js';

/** Superseded bodies that are looked for in the queue at once: 16 bytes each. */
const WINDOW_MAX = 500_000;
const GC_KIND_AT = 9;

export function* checkBodies(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  let window = new BodyWindow();
  let at: Uint8Array = from ?? familyStart(FAMILY.body);
  let currentOf = 0;
  let current = 0;
  for (const { key, value } of context.kv.range(at, familyEnd(FAMILY.body))) {
    const [ino, generation] = [readU64(key, 1) as InodeNumber, readU64(key, 9) as Generation];
    try {
      decodeBody(value);
    } catch (error) {
      // That of a current one is named where its inode is.
      if (context.inode(ino)?.generation !== generation) context.report(undecodable(key, `body ${generation} of inode ${ino}`, error));
    }
    if (ino !== currentOf) {
      currentOf = ino;
      current = context.inode(ino)?.generation ?? 0;
      // Nothing is said of the bodies of an inode that cannot be read.
      if (current === 0 && context.hasInode(ino) && context.inode(ino) === undefined) current = Number.NaN;
    }
    if (generation !== current && !Number.isNaN(current)) window.add(ino, generation);
    if (window.size === WINDOW_MAX) {
      yield* report(context, window);
      window = new BodyWindow();
      at = keyAfter(key);
      yield at;
    } else yield undefined;
  }
  yield* report(context, window);
}

function* report(context: FsckContext, window: BodyWindow): Generator<undefined> {
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
      ino,
      expected: 'an inode that shows it or a row in the queue',
      found: 'neither',
      fix: { kind: 'queue-body', ino, generation },
    });
    yield;
  }
}

/** A sorted table: bodies come in the order of their keys. */
class BodyWindow {
  readonly #inos: number[] = [];
  readonly #generations: number[] = [];
  readonly #marked: boolean[] = [];

  get size(): number {
    return this.#inos.length;
  }

  add(ino: number, generation: number): void {
    this.#inos.push(ino);
    this.#generations.push(generation);
    this.#marked.push(false);
  }

  mark(ino: number, generation: number): void {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = (this.#inos[middle] as number) - ino || (this.#generations[middle] as number) - generation;
      if (order === 0) {
        this.#marked[middle] = true;
        return;
      }
      if (order < 0) low = middle + 1;
      else high = middle;
    }
  }

  *unmarked(): Generator<{ readonly ino: InodeNumber; readonly generation: Generation }> {
    for (let i = 0; i < this.size; i++) {
      if (this.#marked[i] !== true) yield { ino: this.#inos[i] as InodeNumber, generation: this.#generations[i] as Generation };
    }
  }
}
