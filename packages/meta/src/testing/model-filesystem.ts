/**
 * A plain in-memory filesystem with the semantics of the namespace: what the engine is compared with. It knows nothing of rows,
 * batches or versions. Each operation returns the code of its refusal, or undefined when it took effect.
 */
export type ModelNode =
  | { readonly type: 'directory'; mode: number; readonly entries: Map<string, ModelNode> }
  | { readonly type: 'file'; mode: number; text: string; nlink: number }
  | { readonly type: 'symlink'; mode: number; readonly target: string; nlink: number };

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
  readonly root: Directory = directory();

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
      parent.entries.set(name, { type: 'file', mode: 0o644, text: '', nlink: 1 });
    });
  }

  put(path: string, text: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, false, true);
      if (node === undefined) parent.entries.set(name, { type: 'file', mode: 0o644, text, nlink: 1 });
      else if (node.type === 'directory') throw new Refusal('is-directory');
      else if (node.type === 'file') node.text = text;
    });
  }

  symlink(path: string, target: string): string | undefined {
    return attempt(() => {
      const { parent, name, node } = this.#place(path, false, false);
      if (node !== undefined) throw new Refusal('exists');
      parent.entries.set(name, { type: 'symlink', mode: 0o777, target, nlink: 1 });
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
      const a = this.#existing(from);
      const b = this.#place(to, false, false);
      if (a.node.type === 'directory' && holds(a.node, b.parent)) throw new Refusal('own-descendant');
      if (mode === 'exchange') {
        if (b.node === undefined) throw new Refusal('not-found');
        if (b.node === a.node) return;
        if (b.node.type === 'directory' && holds(b.node, a.parent)) throw new Refusal('own-descendant');
        a.parent.entries.set(a.name, b.node);
        b.parent.entries.set(b.name, a.node);
        return;
      }
      if (b.node !== undefined) {
        if (mode === 'no-replace') throw new Refusal('exists');
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

  chmod(path: string, mode: number): string | undefined {
    return attempt(() => {
      this.#followed(path).mode = mode;
    });
  }

  truncate(path: string, size: number): string | undefined {
    return attempt(() => {
      const node = this.#followed(path);
      if (node.type === 'directory') throw new Refusal('is-directory');
      if (node.type === 'file') node.text = node.text.slice(0, size).padEnd(size, '\0');
    });
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

function directory(): Directory {
  return { type: 'directory', mode: 0o755, entries: new Map() };
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

function forget(node: ModelNode): void {
  if (node.type === 'directory') for (const child of node.entries.values()) forget(child);
  else node.nlink -= 1;
}
