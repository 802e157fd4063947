/** merge: what a fork changed comes into its base, all of it in one commit, or nothing where the base changed too. */
import { MERGE_CONFLICTS_LISTED_MAX, NokvError, type InodeNumber, type MergeConflict, type MergeResult } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { FreshInodes } from '../operations/fresh-inodes.js';
import { removeWhole, takeWhole, type Taken } from '../operations/remove.js';
import { replaceBody } from '../operations/setattr.js';
import { setXattrs } from '../operations/xattr.js';
import { describe, notDirectory, resolveInode } from '../resolve.js';
import { corruptNamespace, type Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import type { ForkRow } from '../value-pin.js';
import type { DiffTreeNode } from './diff-node.js';
import { bodyOf, enterCopy } from './fork.js';
import { planMerge, type MergePlan, type MergeStep } from './merge-plan.js';
import { namesOf } from './path-of.js';

type MergeCommand = Extract<MutationCommand, { operation: 'merge' }>;

/** Of the paths of conflicts that are listed. */
const LISTED_BYTES_MAX = 512 * 1024;

export function merge(transaction: Transaction, command: MergeCommand): MergeResult {
  const { args } = command;
  const root = resolveInode(transaction, args.fork, true);
  const fork = transaction.fork(root.ino);
  if (fork === undefined || !fork.keepsBase) {
    throw new NokvError('invalid-argument', `${describe(args.fork)} is not the root of a fork; clone a directory to make one`);
  }
  const into = target(transaction, fork, args);
  const plan = planMerge({ trees: transaction.trees(), fork, forkRoot: root.ino, into, now: transaction.version });
  const { steps, conflicts } = plan;
  if (conflicts.length === 0 && args.dryRun !== true) {
    new Merging(transaction, command, fork, into).apply(plan);
    if (into === fork.base) transaction.putFork(root.ino, { ...fork, merged: transaction.version });
  }
  return {
    applied: conflicts.length === 0 && args.dryRun !== true,
    changes: steps.length,
    conflicts: listed(conflicts),
    conflictCount: conflicts.length,
  };
}

function target(transaction: Transaction, { base }: ForkRow, { fork, into }: MergeCommand['args']): InodeNumber {
  if (into !== undefined) {
    const inode = resolveInode(transaction, into, true);
    if (inode.type !== 'directory') throw notDirectory(into);
    return inode.ino;
  }
  if (transaction.inode(base) === undefined || namesOf(transaction, base) === undefined) {
    throw new NokvError('not-found', `the directory that ${describe(fork)} was made of is gone; say which one to merge into`);
  }
  return base;
}

function listed(conflicts: readonly MergeConflict[]): readonly MergeConflict[] {
  let bytes = 0;
  let count = 0;
  for (const { path } of conflicts) {
    bytes += path.length + 64;
    if (bytes > LISTED_BYTES_MAX || count === MERGE_CONFLICTS_LISTED_MAX) break;
    count += 1;
  }
  return conflicts.slice(0, count);
}

class Merging {
  readonly #transaction: Transaction;
  readonly #retention: MergeCommand['retention'];
  readonly #fresh: FreshInodes;
  readonly #fork: ForkRow;
  readonly #into: InodeNumber;

  constructor(transaction: Transaction, command: MergeCommand, fork: ForkRow, into: InodeNumber) {
    this.#transaction = transaction;
    this.#retention = command.retention;
    this.#fresh = new FreshInodes(command);
    this.#fork = fork;
    this.#into = into;
  }

  apply({ steps }: MergePlan): void {
    const isOf =
      (...kinds: readonly MergeStep['kind'][]) =>
      ({ kind }: MergeStep): boolean =>
        kinds.includes(kind);
    for (const step of topmost(steps.filter(isOf('remove')))) removeWhole(this.#transaction, this.#mustPlace(step), this.#retention);
    // What replaces a file may be a directory, which brings along what was added in it.
    for (const step of topmost(steps.filter(isOf('add', 'replace')))) if (step.kind === 'add') this.#add(step);
    for (const step of steps) if (step.kind === 'replace' || step.kind === 'attributes') this.#change(step);
  }

  #add({ names, node }: MergeStep): void {
    const { parent, name } = this.#placeOf(names);
    this.#copy(node as DiffTreeNode, parent, name);
  }

  #copy(node: DiffTreeNode, parent: InodeNumber, name: Uint8Array): void {
    const transaction = this.#transaction;
    const inode = mustInode(node);
    const isExact = node.view.version === transaction.version || this.#fork.isExact;
    const place = { parent, name, entry: undefined };
    const copy = enterCopy(transaction, { view: node.view, inode, isExact }, place, this.#fresh, { keepsBase: false });
    transaction.change('cloned', copy, { parent, name });
  }

  #change(step: MergeStep): void {
    const transaction = this.#transaction;
    const node = step.node as DiffTreeNode;
    const source = mustInode(node);
    if (step.names.length === 0) return this.#setAttributes(transaction.edit(this.#into), source, node);
    const place = this.#mustPlace(step);
    const present = transaction.inode(place.entry.ino);
    if (present === undefined) throw corruptNamespace(`an entry leads to inode ${place.entry.ino}, which is missing`);
    const isSameKind = present.type === source.type && present.type !== 'symlink' && present.rdev === source.rdev;
    if (!isSameKind) {
      takeWhole(transaction, place, this.#retention);
      transaction.change('removed', present, { parent: place.parent, name: place.name });
      return this.#copy(node, place.parent, place.name);
    }
    const inode = transaction.edit(present.ino);
    const body = step.kind === 'replace' && source.type === 'file' ? bodyOf(node.view, source) : undefined;
    if (body?.lost !== undefined) {
      throw new NokvError(
        'retention-ended',
        `a merge would bring a body of inode ${node.ino} that is not kept (any more); publish it anew`,
      );
    }
    if (step.kind === 'replace' && source.type === 'file') {
      const { digest, contentType, producer, body: bytes } = body ?? NO_BODY;
      replaceBody(transaction, inode, { digest, contentType, producer, body: bytes }, this.#retention);
      transaction.change('published', inode, { parent: place.parent, name: place.name });
    }
    this.#setAttributes(inode, source, node);
  }

  #setAttributes(inode: Inode, source: Inode, node: DiffTreeNode): void {
    const transaction = this.#transaction;
    inode.mode = source.mode;
    inode.uid = source.uid;
    inode.gid = source.gid;
    if (inode.type !== 'directory') inode.mtime = source.mtime;
    inode.ctime = transaction.time;
    setXattrs(transaction, inode, [...node.view.xattrs(node.ino)]);
    transaction.change('attributes', inode, inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name });
  }

  #mustPlace({ names }: MergeStep): Taken {
    const { parent, name } = this.#placeOf(names);
    const entry = this.#transaction.entry(parent, name);
    if (entry === undefined) throw corruptNamespace(`a merge found "${Buffer.from(name).toString()}" in directory ${parent} and lost it`);
    return { parent, name, entry };
  }

  #placeOf(names: readonly Uint8Array[]): { readonly parent: InodeNumber; readonly name: Uint8Array } {
    const name = names.at(-1);
    if (name === undefined) throw new NokvError('not-permitted', 'the roots of a merge stay where they are');
    let parent = this.#into;
    for (const each of names.slice(0, -1)) {
      const entry = this.#transaction.entry(parent, each);
      if (entry === undefined) throw corruptNamespace(`a merge lost the way to "${Buffer.from(name).toString()}"`);
      parent = entry.ino;
    }
    return { parent, name };
  }
}

const NO_BODY = {
  digest: undefined,
  contentType: undefined,
  producer: undefined,
  body: { kind: 'inline', bytes: new Uint8Array(0) },
} as const;

function mustInode({ view, ino }: DiffTreeNode): Inode {
  const inode = view.inode(ino);
  if (inode === undefined) throw corruptNamespace(`inode ${ino} of a fork is missing`);
  return inode;
}

/** Steps that no other of them takes along with a directory above. */
function topmost(steps: readonly MergeStep[]): MergeStep[] {
  const paths = new Set(steps.map(({ names }) => idOf(names)));
  return steps.filter(({ names }) => !names.some((_, length) => length > 0 && paths.has(idOf(names.slice(0, length)))));
}

function idOf(names: readonly Uint8Array[]): string {
  return names.map((name) => Buffer.from(name).toString('hex')).join('/');
}
