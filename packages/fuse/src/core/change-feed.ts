/**
 * Turns what others change into invalidations: of the core's attributes, and of the kernel's entries, attributes and pages.
 *
 * Changes of this mount are known by their request ids and skipped: the kernel updated itself. A file that others published while
 * only readers have it open here keeps its old generation for them: its node is detached, so that the next lookup makes
 * another one. A file with a writer here goes on over the new body.
 */
import type { ChangeRecord, InodeNumber } from '@nokv/types';
import type { Invalidator } from '../session/file-system.js';
import type { MountContext } from './mount-context.js';
import type { Node, NodeTable } from './node-table.js';

export class ChangeFeed {
  constructor(
    readonly context: MountContext,
    readonly table: NodeTable,
    readonly kernel: Invalidator,
  ) {}

  apply(changes: readonly ChangeRecord[]): void {
    for (const change of changes) {
      // A root that was put back has no place by which what lay in it could be told apart; whoever asked for it did so past the kernel.
      if (change.kind === 'rolled-back' && change.name === undefined) this.distrustAll();
      else if (!this.context.isOwn(change.requestId)) this.#apply(change);
    }
  }

  /** Nothing that is cached may be trusted any more. */
  distrustAll(): void {
    this.table.foreignChange();
    this.table.names.forgetAll();
    for (const node of this.table.nodes()) {
      this.table.touch(node);
      node.hasNoXattrs = false;
      this.kernel.invalidateNode(node.id, node.type === 'directory');
      const above = this.table.get(node.parent);
      if (above !== undefined && node.name !== undefined) this.kernel.invalidateEntry(above.id, node.name);
    }
  }

  #apply(change: ChangeRecord): void {
    // Answers that are on their way may be older than this change: none of them may be kept.
    this.table.foreignChange();
    const node = this.table.current(change.ino);
    this.#entryChanged(change.parent, change.name, change.kind);
    this.#entryChanged(change.fromParent, change.fromName, change.kind);
    if (node === undefined) return;
    this.table.touch(node);
    node.hasNoXattrs = false;
    switch (change.kind) {
      case 'published':
        return this.#published(node, change);
      case 'renamed':
        this.#moved(node, change);
        break;
      case 'created':
      case 'removed':
      case 'attributes':
      case 'xattr':
      case 'linked':
        break;
    }
    this.kernel.invalidateNode(node.id, false);
  }

  #entryChanged(parent: InodeNumber | undefined, name: Uint8Array | undefined, kind: ChangeRecord['kind']): void {
    const directory = parent === undefined ? undefined : this.table.current(parent);
    if (directory === undefined || name === undefined || kind === 'published' || kind === 'attributes' || kind === 'xattr') return;
    this.table.touch(directory);
    this.table.names.forget(directory.id);
    directory.misses = 0;
    this.kernel.invalidateEntry(directory.id, name);
    this.kernel.invalidateNode(directory.id, true);
  }

  #moved(node: Node, change: ChangeRecord): void {
    const above = change.parent === undefined ? undefined : this.table.current(change.parent);
    if (above === undefined) return;
    node.parent = above.id;
    node.name = change.name;
  }

  #published(node: Node, change: ChangeRecord): void {
    const hasReadersOnly = node.opens > 0 && node.file !== undefined && node.file.writers === 0 && !node.file.isBusy;
    if (!hasReadersOnly) {
      node.pageGeneration = undefined;
      node.file?.rebase(change.generation);
      return this.kernel.invalidateNode(node.id, true);
    }
    this.table.detach(node);
    const above = this.table.get(node.parent);
    if (above !== undefined && node.name !== undefined) this.kernel.invalidateEntry(above.id, node.name);
    const eventParent = change.parent === undefined ? undefined : this.table.current(change.parent);
    if (eventParent !== undefined && change.name !== undefined) this.kernel.invalidateEntry(eventParent.id, change.name);
  }
}
