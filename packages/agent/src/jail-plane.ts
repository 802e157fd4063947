/**
 * A plane that shows only what lies below a root: nothing else can be named, listed, opened or told apart from what does
 * not exist.
 *
 * Rules. Paths stay absolute in the whole namespace (the root `/runs` is `/runs`), so that evidence can be cited outside.
 * A path outside the root, after `..` is resolved, is `outside-root`. Symlinks inside the root are followed as long as
 * every step of their way stays inside; one that leads out, even if it comes back, is `outside-root`. Links are resolved
 * here, component by component, and the plane below is only asked about paths without links; an opened body is checked to
 * be the inode that was resolved.
 *
 * What it cannot see: somebody who may write below the root and puts a link in place of a directory between two steps of
 * one call. One jail serves one call, because it remembers which directories are real.
 */
import { NokvError, formatName, joinPath, parseName, parsePath, splitPath } from '@nokv/types';
import type { Plane, PlaneBody, PlaneEntry, PlaneOptions } from './plane.js';
import { joinChild } from './verb-path.js';

/** Linux's limit of links in one resolution (path_resolution(7)). */
const SYMLINKS_MAX = 40;
const REMEMBERED_MAX = 20_000;
const OPEN_ATTEMPTS = 3;

export function jailPlane(plane: Plane, root: string): Plane {
  const base = formatName(parsePath(root));
  return base === '/' ? plane : new JailPlane(plane, base);
}

/** Whether a path in normal form is the root or lies below it. */
export function isBelow(path: string, root: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`);
}

interface Resolved {
  /** Where the path leads, without links. */
  readonly path: string;
  /** What is there; absent for the root and for what was remembered. */
  readonly entry?: PlaneEntry;
}

class JailPlane implements Plane {
  readonly #plane: Plane;
  readonly #root: string;
  readonly #directories = new Set<string>();

  constructor(plane: Plane, root: string) {
    this.#plane = plane;
    this.#root = root;
  }

  async stat(path: string, options: PlaneOptions & { readonly follow?: boolean } = {}): Promise<PlaneEntry> {
    const asked = this.#inside(path);
    const resolved = await this.#resolve(asked, options.follow ?? true, options.signal);
    const entry =
      resolved.entry ?? (await this.#plane.stat(resolved.path, { signal: options.signal, follow: resolved.path === this.#root }));
    return renamed(entry, asked);
  }

  async list(path: string, options: PlaneOptions & { readonly after?: string; readonly limit: number }) {
    const asked = this.#inside(path);
    const resolved = await this.#resolve(asked, true, options.signal);
    const page = await this.#plane.list(resolved.path, options);
    const entries = page.entries.map((entry) => {
      if (entry.card.type === 'directory') this.#remember(joinChild(resolved.path, entry.name));
      return { ...entry, path: joinChild(asked, entry.name) };
    });
    return { ...page, entries };
  }

  async open(path: string, options: PlaneOptions & { readonly generation?: number } = {}): Promise<PlaneBody> {
    const asked = this.#inside(path);
    for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
      const resolved = await this.#resolve(asked, true, options.signal);
      const body = await this.#plane.open(resolved.path, options);
      // Between the two steps something else may have taken the place: then look again.
      if (resolved.entry === undefined || body.entry.card.ino === resolved.entry.card.ino) return jailedBody(body, asked);
    }
    throw new NokvError('unavailable', `${asked} is being replaced again and again; try again`);
  }

  #inside(path: string): string {
    const asked = formatName(parsePath(path));
    if (!isBelow(asked, this.#root)) throw this.#outside(asked);
    return asked;
  }

  #outside(path: string): NokvError {
    return new NokvError('outside-root', `${path} lies or leads outside of ${this.#root}; name a path below that`, {
      details: { root: this.#root },
    });
  }

  async #resolve(asked: string, follow: boolean, signal: AbortSignal | undefined): Promise<Resolved> {
    let pending = namesBelow(asked, this.#root);
    let at = this.#root;
    let entry: PlaneEntry | undefined;
    let links = 0;
    while (pending.length > 0) {
      const [name = '', ...rest] = pending;
      pending = rest;
      if (name === '.' || name === '') continue;
      if (name === '..') {
        if (at === this.#root) throw this.#outside(asked);
        at = at.slice(0, at.lastIndexOf('/'));
        entry = undefined;
        continue;
      }
      const next = joinChild(at, name);
      if (this.#directories.has(next)) {
        at = next;
        entry = undefined;
        continue;
      }
      const found = await this.#plane.stat(next, { signal, follow: false });
      const { type, target } = found.card;
      if (type !== 'symlink' || (rest.length === 0 && !follow)) {
        if (type === 'directory') this.#remember(next);
        at = next;
        entry = found;
        continue;
      }
      links += 1;
      if (links > SYMLINKS_MAX) throw new NokvError('symlink-loop', `${asked}: more than ${SYMLINKS_MAX} symlinks`);
      const text = formatName(target ?? new Uint8Array());
      if (text.startsWith('/')) {
        if (!isBelow(text.replace(/\/+$/, ''), this.#root)) throw this.#outside(asked);
        at = this.#root;
        pending = [...text.slice(this.#root.length).split('/'), ...rest];
      } else pending = [...text.split('/'), ...rest];
      entry = undefined;
    }
    return entry === undefined ? { path: at } : { path: at, entry };
  }

  #remember(path: string): void {
    if (this.#directories.size >= REMEMBERED_MAX) this.#directories.clear();
    this.#directories.add(path);
  }
}

function namesBelow(path: string, root: string): string[] {
  return splitPath(parseName(path))
    .slice(splitPath(parseName(root)).length)
    .map((name) => formatName(name));
}

function renamed(entry: PlaneEntry, path: string): PlaneEntry {
  const names = splitPath(parseName(path));
  const last = names.at(-1);
  return { ...entry, path: formatName(joinPath(names)), name: last === undefined ? '' : formatName(last) };
}

function jailedBody(body: PlaneBody, path: string): PlaneBody {
  return {
    entry: renamed(body.entry, path),
    generation: body.generation,
    size: body.size,
    read: (offset, length, options) => body.read(offset, length, options),
    stream: (offset, options) => body.stream(offset, options),
  };
}
