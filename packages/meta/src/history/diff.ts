/**
 * The differences between two nodes, each in the state of a version.
 *
 * Nothing is read that cannot differ: the same node in the same state (what a fork never touched), and directories under which the change
 * log names nothing between the two versions. What is there on one side only is matched by inode (in a fork by body) before it is called
 * added or removed: where both are found it was renamed. Beyond {@link ROWS_KEPT_MAX} rows renames are not looked for any more.
 * The work is a generator that pauses between slices.
 */
import { NokvError, type DiffRow, type Version } from '@nokv/types';
import type { KvReader } from '../ordered-kv.js';
import type { Inode } from '../value-inode.js';
import { compareNodes, diffNode } from './diff-compare.js';
import type { DiffEntry, DiffTreeNode, DiffTrees } from './diff-node.js';
import { relativePath } from './relative-path.js';
import { touchedNames, type TouchedNames } from './touched-names.js';

export interface DiffParts {
  readonly trees: DiffTrees;
  readonly log: KvReader;
  /** Changes up to this version are forgotten. */
  readonly forgotten: Version;
  /** Default true; false: what was renamed is a removal here and an addition there, each with rows for all below. */
  readonly findsRenames?: boolean;
}

type Path = readonly Uint8Array[];

/** Where the two nodes lie that are compared: the same below a directory that was not renamed. */
interface Paths {
  readonly a: Path;
  readonly b: Path;
}

/** Something that is there on one side only: with all below it, or by itself once it was taken apart. */
interface Lone {
  readonly path: Path;
  readonly node: DiffTreeNode;
  readonly inode: Inode;
  readonly isTakenApart: boolean;
}

/** Rows and unmatched nodes that are kept to find renames. */
const ROWS_KEPT_MAX = 100_000;
/** Each finds what moved inside what moved in the one before. */
const ROUNDS_MAX = 64;
const VISITS_A_SLICE = 2048;

/** Yields rows, and undefined where others may have their turn. */
export function diffNodes(parts: DiffParts, a: DiffTreeNode, b: DiffTreeNode): Generator<DiffRow | undefined> {
  return new Diff(parts).run(a, b);
}

/** A place where others may have their turn. */
type Work<Result = void> = Generator<undefined, Result>;

class Diff {
  readonly #parts: DiffParts;
  readonly #touched = new Map<string, TouchedNames | undefined>();
  readonly #rows: DiffRow[] = [];
  #removed: Lone[] = [];
  #added: Lone[] = [];
  /** Nodes that a rename accounts for already. */
  readonly #moved = new Set<string>();
  #seenVisits = 0;

  constructor(parts: DiffParts) {
    this.#parts = parts;
  }

  *run(a: DiffTreeNode, b: DiffTreeNode): Generator<DiffRow | undefined> {
    yield* this.#compare({ a: [], b: [] }, a, b);
    // Ends: a round that finds no rename is the last.
    const rounds = this.#parts.findsRenames === false ? 0 : ROUNDS_MAX;
    for (let round = 0; round < rounds && (yield* this.#matchRenames()); round++);
    yield* this.#rows.sort((x, y) => Buffer.compare(x.path, y.path));
    for (const lone of this.#removed) yield* this.#expanded(lone, 'removed');
    for (const lone of this.#added) yield* this.#expanded(lone, 'added');
  }

  /* ----------------------------------------------------------- comparing */

  *#compare(paths: Paths, a: DiffTreeNode, b: DiffTreeNode): Work {
    if (isSame(a, b)) return;
    const { trees } = this.#parts;
    const inodeA = mustInode(trees, a);
    const inodeB = mustInode(trees, b);
    const { isModified, attributes } = compareNodes(a, inodeA, b, inodeB);
    const kind = isModified ? 'modified' : attributes.length > 0 ? 'attributes' : undefined;
    if (kind !== undefined) {
      this.#rows.push({ kind, path: relativePath(paths.b), a: diffNode(a, inodeA), b: diffNode(b, inodeB), attributes });
    }
    yield* this.#pause();
    const isDirectoryA = inodeA.type === 'directory';
    const isDirectoryB = inodeB.type === 'directory';
    if (isDirectoryA && isDirectoryB) return yield* this.#compareEntries(paths, a, b);
    if (isDirectoryA) for (const { name, node } of trees.entries(a)) this.#lone(this.#removed, [...paths.a, name], node);
    if (isDirectoryB) for (const { name, node } of trees.entries(b)) this.#lone(this.#added, [...paths.b, name], node);
  }

  *#compareEntries(paths: Paths, shownA: DiffTreeNode, shownB: DiffTreeNode): Work {
    const { trees } = this.#parts;
    const a = trees.canonical(shownA);
    const b = trees.canonical(shownB);
    if (isSame(a, b)) return;
    const touched = a.ino === b.ino ? yield* this.#touchedBetween(a, b) : undefined;
    if (touched !== undefined) {
      for (const name of touched.of(a.ino)) yield* this.#comparePair(paths, name, trees.entry(a, name), trees.entry(b, name));
      return;
    }
    for (const { name, a: nodeA, b: nodeB } of zip(trees.entries(a), trees.entries(b))) yield* this.#comparePair(paths, name, nodeA, nodeB);
  }

  *#comparePair(paths: Paths, name: Uint8Array, a: DiffTreeNode | undefined, b: DiffTreeNode | undefined): Work {
    const below = { a: [...paths.a, name], b: [...paths.b, name] };
    if (a !== undefined && b !== undefined) return yield* this.#compare(below, a, b);
    if (a !== undefined) this.#lone(this.#removed, below.a, a);
    if (b !== undefined) this.#lone(this.#added, below.b, b);
    yield* this.#pause();
  }

  *#touchedBetween(a: DiffTreeNode, b: DiffTreeNode): Work<TouchedNames | undefined> {
    const [from, to] = a.view.version <= b.view.version ? [a.view, b.view] : [b.view, a.view];
    const id = `${from.version}-${to.version}`;
    if (!this.#touched.has(id)) {
      const { log, forgotten } = this.#parts;
      this.#touched.set(id, yield* touchedNames(log, from, to, forgotten));
    }
    return this.#touched.get(id);
  }

  #lone(list: Lone[], path: Path, node: DiffTreeNode): void {
    const inode = mustInode(this.#parts.trees, node);
    if (inode.type !== 'directory' && inode.nlink > 1) list.push({ path, node, inode, isTakenApart: false });
    else if (!this.#moved.has(nodeId(node))) list.push({ path, node, inode, isTakenApart: false });
  }

  /* ------------------------------------------------------------- renames */

  /** Pairs what was removed here with what was added there; returns whether it found something, which may bring up more. */
  *#matchRenames(): Work<boolean> {
    if (this.#removed.length === 0 || this.#added.length === 0) return false;
    const removed = yield* this.#takenApart(this.#removed);
    const added = removed === undefined ? undefined : yield* this.#takenApart(this.#added);
    if (removed === undefined || added === undefined) return false;
    const candidates = new Map<string, Lone>();
    for (const lone of removed) for (const id of identities(lone)) if (!candidates.has(id)) candidates.set(id, lone);
    const pairs: { readonly from: Lone; readonly to: Lone }[] = [];
    const gone = new PathsBelow();
    const come = new PathsBelow();
    const match = (to: Lone): void => {
      if (come.holds(to.path)) return;
      const from = identities(to)
        .map((id) => candidates.get(id))
        .find((lone) => lone !== undefined && lone.inode.type === to.inode.type && !gone.holds(lone.path));
      if (from === undefined) return;
      gone.add(from.path);
      come.add(to.path);
      pairs.push({ from, to });
      this.#moved.add(nodeId(from.node));
      this.#moved.add(nodeId(to.node));
    };
    // Directories first: what lies in one that moved is looked at there.
    for (const to of added) if (to.inode.type === 'directory') match(to);
    for (const to of added) if (to.inode.type !== 'directory') match(to);
    this.#removed = removed.filter(({ path }) => !gone.holds(path));
    this.#added = added.filter(({ path }) => !come.holds(path));
    for (const pair of pairs) yield* this.#renamed(pair.from, pair.to);
    return pairs.length > 0;
  }

  *#renamed(from: Lone, to: Lone): Work {
    const { attributes } = compareNodes(from.node, from.inode, to.node, to.inode);
    const sides = { a: diffNode(from.node, from.inode), b: diffNode(to.node, to.inode) };
    this.#rows.push({ kind: 'renamed', path: relativePath(to.path), fromPath: relativePath(from.path), ...sides, attributes });
    if (to.inode.type === 'directory') yield* this.#compareEntries({ a: from.path, b: to.path }, from.node, to.node);
  }

  /** The nodes and all below them, each before what it holds; undefined where that is too much. */
  *#takenApart(lones: readonly Lone[]): Work<Lone[] | undefined> {
    const all: Lone[] = [];
    for (const lone of lones) {
      for (const each of this.#walk(lone)) {
        all.push(each);
        if (all.length > ROWS_KEPT_MAX) return undefined;
        yield* this.#pause();
      }
    }
    return all;
  }

  *#walk(lone: Lone): Generator<Lone> {
    yield lone.isTakenApart ? lone : { ...lone, isTakenApart: true };
    if (lone.isTakenApart || lone.inode.type !== 'directory') return;
    const { trees } = this.#parts;
    for (const { name, node } of trees.entries(lone.node)) {
      yield* this.#walk({ path: [...lone.path, name], node, inode: mustInode(trees, node), isTakenApart: false });
    }
  }

  *#expanded(lone: Lone, kind: 'added' | 'removed'): Generator<DiffRow | undefined> {
    for (const { path, node, inode } of this.#walk(lone)) {
      yield { kind, path: relativePath(path), [kind === 'added' ? 'b' : 'a']: diffNode(node, inode), attributes: [] };
      yield* this.#pause();
    }
  }

  *#pause(): Work {
    const { trees } = this.#parts;
    if (trees.visits - this.#seenVisits < VISITS_A_SLICE) return;
    this.#seenVisits = trees.visits;
    yield undefined;
  }
}

/** Paths, and all below them. */
class PathsBelow {
  readonly #paths = new Set<string>();

  add(path: Path): void {
    this.#paths.add(pathId(path));
  }

  holds(path: Path): boolean {
    for (let length = path.length; length > 0; length--) if (this.#paths.has(pathId(path.slice(0, length)))) return true;
    return false;
  }
}

function pathId(path: Path): string {
  const bytes = relativePath(path);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).latin1Slice(0, bytes.length);
}

/** By what a node is known again on the other side: its number, else what its body was when a fork took it over. */
function identities({ node, inode }: Lone): string[] {
  const byNumber = `inode ${node.ino}`;
  return inode.type === 'file' && inode.generation > 0 && inode.size > 0
    ? [byNumber, `body ${inode.generation} of ${inode.size}`]
    : [byNumber];
}

function nodeId({ view, ino }: DiffTreeNode): string {
  return `${view.version}:${ino}`;
}

function isSame(a: DiffTreeNode, b: DiffTreeNode): boolean {
  return a.ino === b.ino && a.view.version === b.view.version;
}

/** Entries of both sides by name. */
function* zip(
  as: Iterator<DiffEntry>,
  bs: Iterator<DiffEntry>,
): Generator<{ readonly name: Uint8Array; readonly a: DiffTreeNode | undefined; readonly b: DiffTreeNode | undefined }> {
  let a = as.next();
  let b = bs.next();
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : Buffer.compare(a.value.name, b.value.name);
    const name = (order <= 0 ? a : b).value.name as Uint8Array;
    yield { name, a: order <= 0 ? a.value.node : undefined, b: order >= 0 ? b.value.node : undefined };
    if (order <= 0) a = as.next();
    if (order >= 0) b = bs.next();
  }
}

function mustInode(trees: DiffTrees, node: DiffTreeNode): Inode {
  const inode = trees.inode(node);
  if (inode !== undefined) return inode;
  throw new NokvError(
    'retention-ended',
    `inode ${node.ino} at version ${node.view.version} is not kept (any more); compare snapshots or tags, which last`,
  );
}
