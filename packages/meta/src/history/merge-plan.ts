/**
 * What a merge would do: each change that a fork made since it was forked, held against what the base has become. A change may be applied
 * where the base still is as it was at the fork (or as the last merge of the fork left it), it is done already where both sides came to
 * the same, and anything else is a conflict.
 */
import {
  MERGE_CHANGES_MAX,
  NokvError,
  type DiffKind,
  type Generation,
  type InodeNumber,
  type MergeConflict,
  type Version,
} from '@nokv/types';
import type { ForkRow } from '../value-pin.js';
import { compareNodes } from './diff-compare.js';
import type { DiffTreeNode, DiffTrees } from './diff-node.js';
import { diffNodes } from './diff.js';
import { relativeNames, relativePath } from './relative-path.js';

export interface MergeSides {
  readonly trees: DiffTrees;
  readonly fork: ForkRow;
  readonly forkRoot: InodeNumber;
  readonly into: InodeNumber;
  readonly now: Version;
}

export type MergeStep = {
  readonly names: readonly Uint8Array[];
  /** What the fork has there; undefined where it is to be removed. */
  readonly node: DiffTreeNode | undefined;
  readonly kind: 'remove' | 'add' | 'replace' | 'attributes';
};

export interface MergePlan {
  readonly steps: readonly MergeStep[];
  readonly conflicts: readonly MergeConflict[];
}

type Names = readonly Uint8Array[];
type Node = DiffTreeNode | undefined;

const NO_LOG = { *range(): Generator<never> {}, get: (): undefined => undefined };

export function planMerge(sides: MergeSides): MergePlan {
  const { trees, fork, forkRoot, now } = sides;
  const base = { view: trees.at(fork.version), ino: fork.base };
  // What moved with a directory has to be held against the base too: rows for each node, and no renames.
  const parts = { trees, log: NO_LOG, forgotten: Number.MAX_SAFE_INTEGER as Version, findsRenames: false };
  const planner = new Planner(sides, base);
  let changes = 0;
  for (const row of diffNodes(parts, base, { view: trees.at(now), ino: forkRoot })) {
    if (row === undefined) continue;
    changes += 1;
    if (changes > MERGE_CHANGES_MAX) {
      throw new NokvError(
        'too-large',
        `the fork has more than ${MERGE_CHANGES_MAX} changes, which is the most that one merge takes; merge parts of it with a fork of each`,
        { details: { changesMax: MERGE_CHANGES_MAX } },
      );
    }
    planner.look(row.kind, relativeNames(row.path));
  }
  return planner;
}

class Planner implements MergePlan {
  readonly steps: MergeStep[] = [];
  readonly conflicts: MergeConflict[] = [];
  readonly #trees: DiffTrees;
  readonly #base: DiffTreeNode;
  readonly #fork: DiffTreeNode;
  readonly #live: DiffTreeNode;
  /** The base as the last merge left it, and the fork at that moment. */
  readonly #merged: { readonly into: DiffTreeNode; readonly fork: DiffTreeNode } | undefined;

  constructor({ trees, fork, forkRoot, into, now }: MergeSides, base: DiffTreeNode) {
    this.#trees = trees;
    this.#base = base;
    this.#fork = { view: trees.at(now), ino: forkRoot };
    this.#live = { view: trees.at(now), ino: into };
    if (fork.merged === 0 || into !== fork.base) return;
    const view = trees.at(fork.merged);
    this.#merged = { into: { view, ino: into }, fork: { view, ino: forkRoot } };
  }

  look(kind: DiffKind, names: Names): void {
    const fork = this.#at(this.#fork, names);
    const live = this.#at(this.#live, names);
    if (this.#isSettled(names, fork)) return;
    if (fork === undefined) return this.#removed(names, live);
    if (live !== undefined && this.#isSame(live, fork)) return;
    if (kind === 'added') return this.#added(names, fork, live);
    if (live === undefined || !this.#isUntouched(names, live)) return this.#conflict(names, kind);
    if (!this.#isDirectory(fork)) this.#refuseNewBelow(names, live);
    this.steps.push({ names, node: fork, kind: kind === 'attributes' ? 'attributes' : 'replace' });
  }

  /** Whether the fork changed nothing here since its last merge, or nothing but when a file was written. */
  #isSettled(names: Names, fork: Node): boolean {
    const base = this.#at(this.#base, names);
    if (base !== undefined && fork !== undefined && this.#isSame(base, fork)) return true;
    if (this.#merged === undefined) return false;
    const before = this.#at(this.#merged.fork, names);
    return fork === undefined ? before === undefined : before !== undefined && this.#isSame(before, fork);
  }

  #removed(names: Names, live: Node): void {
    if (live === undefined) return;
    if (!this.#isUntouched(names, live)) return this.#conflict(names, 'removed');
    this.#refuseNewBelow(names, live);
    this.steps.push({ names, node: undefined, kind: 'remove' });
  }

  /** A directory that goes takes nothing along that the base got since; all else below has a change of its own. */
  #refuseNewBelow(names: Names, live: DiffTreeNode): void {
    for (const { name } of this.#entriesOf(live)) {
      const child = [...names, name];
      const isKnown = this.#at(this.#base, child) !== undefined || this.#mergedAt(child) !== undefined;
      if (!isKnown) this.#conflict(child, 'removed');
    }
  }

  #added(names: Names, fork: DiffTreeNode, live: Node): void {
    if (live === undefined) {
      if (this.#isDirectory(this.#at(this.#live, names.slice(0, -1))) || this.#isAdded(names.slice(0, -1))) {
        this.steps.push({ names, node: fork, kind: 'add' });
      } else {
        this.#conflict(names, 'added');
      }
      return;
    }
    if (this.#isDirectory(live) && this.#isDirectory(fork)) return;
    const merged = this.#mergedAt(names);
    if (merged !== undefined && this.#isSame(live, merged)) this.steps.push({ names, node: fork, kind: 'replace' });
    else this.#conflict(names, 'added');
  }

  /** Whether the fork made the directory, where the base had none: it comes as a whole. */
  #isAdded(names: Names): boolean {
    return names.length > 0 && !this.#isDirectory(this.#at(this.#base, names)) && this.#isDirectory(this.#at(this.#fork, names));
  }

  #isUntouched(names: Names, live: DiffTreeNode): boolean {
    const base = this.#at(this.#base, names);
    if (base !== undefined && this.#isSame(live, base)) return true;
    const merged = this.#mergedAt(names);
    return merged !== undefined && this.#isSame(live, merged);
  }

  /** Nothing differs but perhaps when it was written. */
  #isSame(a: DiffTreeNode, b: DiffTreeNode): boolean {
    if (a.ino === b.ino && a.view.version === b.view.version) return true;
    const inodeA = this.#trees.inode(a);
    const inodeB = this.#trees.inode(b);
    if (inodeA === undefined || inodeB === undefined) return false;
    const { isModified, attributes } = compareNodes(a, inodeA, b, inodeB);
    return !isModified && attributes.every((attribute) => attribute === 'mtime');
  }

  #conflict(names: Names, fork: DiffKind): void {
    const base = this.#at(this.#base, names);
    const live = this.#at(this.#live, names);
    this.conflicts.push({
      path: relativePath(names),
      fork,
      live: this.#liveKind(base, live),
      baseGeneration: this.#generation(base),
      liveGeneration: this.#generation(live),
      forkGeneration: this.#generation(this.#at(this.#fork, names)),
    });
  }

  #liveKind(base: Node, live: Node): DiffKind {
    if (live === undefined) return 'removed';
    const inodeA = base === undefined ? undefined : this.#trees.inode(base);
    const inodeB = this.#trees.inode(live);
    if (base === undefined || inodeA === undefined || inodeB === undefined) return 'added';
    return compareNodes(base, inodeA, live, inodeB).isModified ? 'modified' : 'attributes';
  }

  #generation(node: Node): Generation {
    return (node === undefined ? undefined : this.#trees.inode(node)?.generation) ?? (0 as Generation);
  }

  #isDirectory(node: Node): boolean {
    return node !== undefined && this.#trees.inode(node)?.type === 'directory';
  }

  #entriesOf(node: DiffTreeNode): Iterable<{ readonly name: Uint8Array }> {
    return this.#isDirectory(node) ? this.#trees.entries(node) : [];
  }

  /** What the last merge left there, where that was what the fork had: a change since is one that the fork has not seen. */
  #mergedAt(names: Names): Node {
    if (this.#merged === undefined) return undefined;
    const into = this.#at(this.#merged.into, names);
    const fork = this.#at(this.#merged.fork, names);
    return into !== undefined && fork !== undefined && this.#isSame(into, fork) ? into : undefined;
  }

  #at(root: DiffTreeNode, names: Names): Node {
    let at: Node = root;
    for (const name of names) {
      if (!this.#isDirectory(at)) return undefined;
      at = this.#trees.entry(at as DiffTreeNode, name);
    }
    return at;
  }
}
