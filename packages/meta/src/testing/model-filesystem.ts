/**
 * A plain in-memory filesystem with the semantics of the namespace: what the engine is compared with. It knows nothing of rows,
 * batches or inode numbers. Each operation returns the code of its refusal, or undefined when it took effect.
 *
 * `clone` copies the whole of it, hard links included: what a snapshot or a fork is compared with.
 */
export type ModelNode =
  | (Common & { readonly type: 'directory'; readonly entries: Map<string, ModelNode> })
  | (Common & { readonly type: 'file'; text: string; nlink: number; generation: number })
  | (Common & { readonly type: 'symlink'; readonly target: string; nlink: number });

interface Common {
  /** As an inode number: stays with the node, also in copies of the whole filesystem; a copy inside it gets its own. */
  readonly id: number;
  mode: number;
  readonly xattrs: Map<string, string>;
}

export interface ModelPut {
  /** The number that the new body gets (default 0: nobody asks for it). */
  readonly generation?: number;
  readonly ifGeneration?: number;
}

type Directory = Extract<ModelNode, { type: 'directory' }>;
type Place = { readonly parent: Directory; readonly name: string; readonly node: ModelNode | undefined };

class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export class ModelFilesystem {
  readonly root: Directory;

  constructor(root: Directory = directory()) {
    this.root = root;
  }

  clone(): ModelFilesystem {
    return new ModelFilesystem(cloneNode(this.root, new Map()) as Directory);
  }

  /** What lies at a path, symlinks followed but the last, or undefined. */
  at(path: string): ModelNode | undefined {
    if (path === '/') return this.root;
    try {
      return this.#place(path, false, false).node;
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /** The refusal that looking a path up gives, symlinks followed. */
  lookup(path: string): string | undefined {
    return path === '/' ? undefined : attempt(() => void this.#followed(path));
  }

  mkdir(path: string, parents: boolean): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, parents, parents);
      if (node !== undefined) {
        if (!parents || node.type !== 'directory') throw new Refusal('exists');
        return;
      }
      parent.entries.set(name, directory());
    });
  }

  create(path: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, false, false);
      if (node !== undefined) throw new Refusal('exists');
      parent.entries.set(name, file('', 0));
    });
  }

  put(path: string, text: string, { generation = 0, ifGeneration }: ModelPut = {}): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, false, true);
      if (node?.type === 'directory') throw new Refusal('is-directory');
      if (node !== undefined && ifGeneration === 0) throw new Refusal('exists');
      const current = node?.type === 'file' ? node.generation : 0;
      if (ifGeneration !== undefined && ifGeneration !== current) throw new Refusal('generation-mismatch');
      if (node === undefined) parent.entries.set(name, file(text, generation));
      else if (node.type === 'file') {
        node.text = text;
        node.generation = generation;
      }
    });
  }

  /** What the file at a path holds, or the refusal to read it. */
  read(path: string): { readonly text: string } | { readonly code: string } {
    try {
      const node = this.#followed(path);
      if (node.type === 'directory') return { code: 'is-directory' };
      return node.type === 'file' ? { text: node.text } : { code: 'not-regular-file' };
    } catch (error) {
      if (error instanceof Refusal) return { code: error.code };
      throw error;
    }
  }

  setXattr(path: string, name: string, value: string, mode: 'set' | 'create' | 'replace'): string | undefined {
    return attempt(() => {
      const { xattrs } = this.#followed(path);
      if (mode === 'replace' && !xattrs.has(name)) throw new Refusal('no-xattr');
      if (mode === 'create' && xattrs.has(name)) throw new Refusal('exists');
      xattrs.set(name, value);
    });
  }

  removeXattr(path: string, name: string): string | undefined {
    return attempt(() => {
      if (!this.#followed(path).xattrs.delete(name)) throw new Refusal('no-xattr');
    });
  }

  symlink(path: string, target: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, false, false);
      if (node !== undefined) throw new Refusal('exists');
      parent.entries.set(name, { type: 'symlink', id: nextId++, mode: 0o777, xattrs: new Map(), target, nlink: 1 });
    });
  }

  link(from: string, to: string): string | undefined {
    return attempt(() => {
      const { node } = this.#existing(from);
      if (node.type === 'directory') throw new Refusal('not-permitted');
      const place = this.#place(to, false, false);
      if (place.node !== undefined) throw new Refusal('exists');
      place.parent.entries.set(place.name, node);
      node.nlink += 1;
    });
  }

  unlink(path: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#existing(path);
      if (node.type === 'directory') throw new Refusal('is-directory');
      parent.entries.delete(name);
      node.nlink -= 1;
    });
  }

  rmdir(path: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#existing(path);
      if (node.type !== 'directory') throw new Refusal('not-directory');
      if (node.entries.size > 0) throw new Refusal('not-empty');
      parent.entries.delete(name);
    });
  }

  removeTree(path: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#existing(path);
      parent.entries.delete(name);
      forget(node);
    });
  }

  rename(from: string, to: string, mode: 'replace' | 'no-replace' | 'exchange'): string | undefined {
    return attempt(() => {
      const { node, ...place } = this.#place(from, false, false);
      const b = this.#place(to, false, false);
      if (node === undefined) throw new Refusal('not-found');
      const a = { ...place, node };
      if (mode === 'exchange' && b.node === undefined) throw new Refusal('not-found');
      if (mode === 'no-replace' && b.node !== undefined) throw new Refusal('exists');
      if (a.node.type === 'directory' && holds(a.node, b.parent)) throw new Refusal('own-descendant');
      if (mode === 'exchange' && b.node !== undefined) {
        if (b.node === a.node) return;
        if (b.node.type === 'directory' && holds(b.node, a.parent)) throw new Refusal('own-descendant');
        a.parent.entries.set(a.name, b.node);
        b.parent.entries.set(b.name, a.node);
        return;
      }
      if (b.node !== undefined) {
        if (b.node.type === 'directory' && holds(b.node, a.parent)) throw new Refusal('not-empty');
        if (b.node === a.node) return;
        if (a.node.type === 'directory') {
          if (b.node.type !== 'directory') throw new Refusal('not-directory');
          if (b.node.entries.size > 0) throw new Refusal('not-empty');
        } else if (b.node.type === 'directory') {
          throw new Refusal('is-directory');
        } else {
          b.node.nlink -= 1;
        }
      }
      a.parent.entries.delete(a.name);
      b.parent.entries.set(b.name, a.node);
    });
  }

  /** A copy of what lies at `from`, here or in an earlier state of this filesystem; names of one file that both lie inside stay one file. */
  copy(from: string, to: string, source: ModelFilesystem = this): string | undefined {
    return attempt(() => {
      const { node } = source.#existing(from);
      const place = this.#place(to, false, false);
      if (place.node !== undefined) throw new Refusal('exists');
      if (node.type === 'directory' && this.#isUnder(place.parent, node.id)) throw new Refusal('own-descendant');
      place.parent.entries.set(place.name, copyNode(node));
    });
  }

  /** What lies at `path` becomes a copy of what lay there in an earlier state. */
  rollback(path: string, source: ModelFilesystem): string | undefined {
    return attempt(() => {
      const present = this.#existing(path);
      const { node } = source.#existing(path);
      forget(present.node);
      present.parent.entries.set(present.name, copyNode(node));
    });
  }

  /** Nodes below the root, those with several names as often. */
  get size(): number {
    return count(this.root) - 1;
  }

  chmod(path: string, mode: number): string | undefined {
    return attempt(() => {
      this.#followed(path).mode = mode;
    });
  }

  truncate(path: string, size: number, generation = 0): string | undefined {
    return attempt(() => {
      const node = this.#followed(path);
      if (node.type === 'directory') throw new Refusal('is-directory');
      if (node.type !== 'file') return;
      // A size that the file has already publishes nothing.
      if (size !== node.text.length) node.generation = generation;
      node.text = node.text.slice(0, size).padEnd(size, '\0');
    });
  }

  /** Whether a directory is the one of this id or lies in it. */
  #isUnder(inner: Directory, id: number): boolean {
    const find = (node: ModelNode): ModelNode | undefined => {
      if (node.id === id) return node;
      if (node.type !== 'directory') return undefined;
      for (const child of node.entries.values()) {
        const found = find(child);
        if (found !== undefined) return found;
      }
      return undefined;
    };
    const outer = find(this.root);
    return outer !== undefined && holds(outer, inner);
  }

  #existing(path: string): Place & { readonly node: ModelNode } {
    const { parent, name, node } = this.#place(path, false, false);
    if (node === undefined) throw new Refusal('not-found');
    return { parent, name, node };
  }

  #followed(path: string): ModelNode {
    const { node } = this.#place(path, false, true);
    if (node === undefined) throw new Refusal('not-found');
    return node;
  }

  #place(path: string, parents: boolean, follow: boolean): Place {
    let at = this.root;
    let symlinks = 0;
    const names = path.split('/').filter((name) => name !== '');
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const node = at.entries.get(name);
      const isLast = names.length === 0;
      if (node?.type === 'symlink' && (!isLast || follow)) {
        if (++symlinks > 40) throw new Refusal('symlink-loop');
        // Targets of the model are absolute.
        at = this.root;
        names.unshift(...node.target.split('/').filter((part) => part !== ''));
      } else if (isLast) {
        return { parent: at, name, node };
      } else if (node === undefined) {
        if (!parents) throw new Refusal('not-found');
        const made = directory();
        at.entries.set(name, made);
        at = made;
      } else if (node.type === 'directory') {
        at = node;
      } else {
        throw new Refusal('not-directory');
      }
    }
    throw new Refusal('invalid-path');
  }
}

let nextId = 1;

function directory(): Directory {
  return { type: 'directory', id: nextId++, mode: 0o755, xattrs: new Map(), entries: new Map() };
}

function file(text: string, generation: number): ModelNode {
  return { type: 'file', id: nextId++, mode: 0o644, xattrs: new Map(), text, nlink: 1, generation };
}

/** Names that shared a node share its copy. */
function cloneNode(node: ModelNode, copies: Map<ModelNode, ModelNode>): ModelNode {
  const known = copies.get(node);
  if (known !== undefined) return known;
  const xattrs = new Map(node.xattrs);
  if (node.type !== 'directory') {
    const copy = { ...node, xattrs };
    copies.set(node, copy);
    return copy;
  }
  const entries = new Map<string, ModelNode>();
  for (const [name, child] of node.entries) entries.set(name, cloneNode(child, copies));
  return { ...node, xattrs, entries };
}

function attempt(operation: () => void): string | undefined {
  try {
    operation();
    return undefined;
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

function holds(outer: ModelNode, inner: Directory): boolean {
  if (outer === inner) return true;
  return outer.type === 'directory' && [...outer.entries.values()].some((child) => holds(child, inner));
}

/** The same under new ids, with names only where the copy has them. */
function copyNode(node: ModelNode): ModelNode {
  const copies = new Map<ModelNode, ModelNode>();
  const copy = (each: ModelNode): ModelNode => {
    const xattrs = new Map(each.xattrs);
    if (each.type === 'directory') {
      return { ...each, id: nextId++, xattrs, entries: new Map([...each.entries].map(([name, child]) => [name, copy(child)])) };
    }
    const known = copies.get(each);
    if (known !== undefined && known.type !== 'directory') {
      known.nlink += 1;
      return known;
    }
    const made: ModelNode = { ...each, id: nextId++, xattrs, nlink: 1 };
    copies.set(each, made);
    return made;
  };
  return copy(node);
}

function count(node: ModelNode): number {
  if (node.type !== 'directory') return 1;
  let sum = 1;
  for (const child of node.entries.values()) sum += count(child);
  return sum;
}

function forget(node: ModelNode): void {
  if (node.type === 'directory') for (const child of node.entries.values()) forget(child);
  else node.nlink -= 1;
}
