/**
 * The inodes that the kernel knows, by node id.
 *
 * A node id is the inode number, except: 1 is the root of the mount, and an inode whose body was replaced from outside while
 * readers hold the old one gets a fresh id, so that old readers keep their pages and their size and new ones get theirs.
 * A node lives as long as the kernel counts lookups of it or files are open.
 */
import type { Attributes, InodeNumber, InodeType } from '@nokv/types';
import type { FileState } from './file-state.js';
import { KnownNames } from './known-names.js';

export interface Node {
  readonly id: number;
  ino: InodeNumber;
  readonly type: InodeType;
  /** Lookups that the kernel holds. */
  lookups: number;
  opens: number;
  attributes: Attributes;
  /** False: something may have changed since; ask before telling anyone. */
  isFresh: boolean;
  /** When the node was last marked as changed, on the table's clock of changes. */
  changedAt: number;
  /** No name leads here any more; what is open goes on from the mount's own state. */
  isGone: boolean;
  /** Generation that the kernel's pages show; undefined: no claim. */
  pageGeneration: number | undefined;
  /** Where it was last seen. */
  parent: number;
  name: Uint8Array | undefined;
  file: FileState | undefined;
  /** Lookups in this directory that found nothing, since it was last listed for its names. */
  misses: number;
  /** Known to have no extended attributes. */
  hasNoXattrs: boolean;
}

/** Alias ids count down from here; shard 4095 would need 2^41 inodes to meet them. */
const ALIAS_TOP = Number.MAX_SAFE_INTEGER;
export const ROOT_NODE_ID = 1;

export class NodeTable {
  readonly #byId = new Map<number, Node>();
  readonly #current = new Map<InodeNumber, Node>();
  readonly names = new KnownNames();
  #aliases = 0;
  /** Rises with every change, so that an answer can be told from what changed while it was on its way. */
  #now = 0;
  #foreignAt = 0;

  constructor(root: Attributes) {
    const node = this.#insert(ROOT_NODE_ID, root);
    node.lookups = 1;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  /** The node that new lookups of `ino` get; undefined while the kernel does not know it. */
  current(ino: InodeNumber): Node | undefined {
    return this.#current.get(ino);
  }

  nodes(): IterableIterator<Node> {
    return this.#byId.values();
  }

  /** The time on the clock of changes, to be taken before a question is asked. */
  get now(): number {
    return this.#now;
  }

  /** Nobody else changed anything since. The kernel itself keeps its own changes apart. */
  isQuietSince(since: number): boolean {
    return this.#foreignAt <= since;
  }

  isUnchangedSince(node: Node, since: number): boolean {
    return node.changedAt <= since && this.#foreignAt <= since;
  }

  /** The node of a lookup that was asked at `since`. */
  remember(attributes: Attributes, since: number): Node {
    const known = this.#current.get(attributes.ino);
    if (known === undefined) {
      const id = this.#byId.has(attributes.ino) ? ALIAS_TOP - ++this.#aliases : attributes.ino;
      const node = this.#insert(id, attributes);
      node.isFresh = this.isQuietSince(since);
      return node;
    }
    this.accept(known, attributes, since);
    return known;
  }

  /** Takes newer attributes; older ones (answers may overtake one another) are dropped. */
  accept(node: Node, attributes: Attributes, since: number): void {
    if (attributes.revision < node.attributes.revision) return;
    node.attributes = attributes;
    if (this.isUnchangedSince(node, since)) node.isFresh = true;
  }

  touch(node: Node): void {
    node.changedAt = ++this.#now;
    node.isFresh = false;
  }

  /** Someone else changed something. */
  foreignChange(): void {
    this.#foreignAt = ++this.#now;
  }

  /** The server made an inode again, under another number. */
  renumber(from: InodeNumber, to: InodeNumber): void {
    const node = this.#current.get(from);
    if (node === undefined) return;
    this.#current.delete(from);
    this.#current.set(to, node);
    node.ino = to;
    this.touch(node);
  }

  /** New lookups of the inode get another node from now on. */
  detach(node: Node): void {
    if (this.#current.get(node.ino) === node) this.#current.delete(node.ino);
  }

  /** Takes back lookups; removes the node when nobody holds it. */
  forget(node: Node, lookups: number): void {
    node.lookups = Math.max(0, node.lookups - lookups);
    this.removeIfUnused(node);
  }

  removeIfUnused(node: Node): boolean {
    if (node.lookups > 0 || node.opens > 0 || node.file?.isBusy === true || node.id === ROOT_NODE_ID) return false;
    this.#byId.delete(node.id);
    this.names.forget(node.id);
    this.detach(node);
    return true;
  }

  #insert(id: number, attributes: Attributes): Node {
    const node: Node = {
      id,
      ino: attributes.ino,
      type: attributes.type,
      lookups: 0,
      opens: 0,
      attributes,
      isFresh: true,
      changedAt: 0,
      isGone: false,
      pageGeneration: undefined,
      parent: ROOT_NODE_ID,
      name: undefined,
      file: undefined,
      misses: 0,
      hasNoXattrs: false,
    };
    this.#byId.set(id, node);
    this.#current.set(attributes.ino, node);
    return node;
  }
}
