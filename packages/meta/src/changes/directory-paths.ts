/**
 * Paths of directories as of a position in the change log.
 *
 * Told of every change in order, it knows where each directory was just before or just after any of them: what a version's
 * changes moved so far lies above the state at the version before it. Places are kept rather than paths, so that moving a
 * directory changes one of them whatever lies below it; paths are kept until a directory moves.
 *
 * Invariant: a place that is kept is the one at the present position. A directory's place changes by a change of that
 * directory alone, or below one that was rolled back or cloned, where nothing that is kept is trusted any more.
 */
import { unreachable, type ChangeRecord, type InodeNumber, type Version } from '@nokv/types';
import type { KvReader } from '../ordered-kv.js';
import { placeAt, type PastPlace } from './past-place.js';

const SLASH = 0x2f;
const ROOT_PATH = new Uint8Array(0);
/** What lies deeper has no path of 4,096 bytes. */
const DEPTH_MAX = 2048;
const NO_NAME = new Uint8Array(0);

export class DirectoryPaths {
  readonly #kv: KvReader;
  readonly #root: InodeNumber;
  readonly #keptMax: number;
  #version = 0 as Version;
  /** What changes of the present version moved so far; bounded by the changes that one version has. */
  readonly #moved = new Map<InodeNumber, PastPlace>();
  /** Oldest first, so that the oldest goes first. */
  readonly #places = new Map<InodeNumber, PastPlace>();
  readonly #paths = new Map<InodeNumber, Uint8Array>();

  constructor(kv: KvReader, root: InodeNumber, keptMax: number) {
    this.#kv = kv;
    this.#root = root;
    this.#keptMax = keptMax;
  }

  /** Begins a version; versions are begun in order, unless everything is forgotten first. */
  begin(version: Version): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#moved.clear();
  }

  /** For a position that does not follow the last one. */
  forgetAll(): void {
    this.#version = 0 as Version;
    this.#moved.clear();
    this.#places.clear();
    this.#paths.clear();
  }

  /** The change has happened. */
  advance({ kind, type, ino, parent, name }: ChangeRecord): void {
    if (type !== 'directory') return;
    switch (kind) {
      case 'created':
        // No path that is kept leads through what comes from outside the namespace.
        if (parent !== undefined && name !== undefined) this.#move(ino, { parent, name });
        return;
      case 'renamed':
        if (parent !== undefined && name !== undefined) this.#move(ino, { parent, name });
        return this.#paths.clear();
      case 'removed':
        this.#move(ino, { parent: 0 as InodeNumber, name: NO_NAME });
        return this.#paths.clear();
      case 'published':
      case 'attributes':
      case 'xattr':
      case 'linked':
      case 'snapshot':
        return;
      case 'cloned':
      case 'rolled-back':
        // Whole trees come or change at once.
        this.#places.clear();
        this.#paths.clear();
        if (parent !== undefined && name !== undefined) this.#moved.set(ino, { parent, name });
        return;
      default:
        return unreachable(kind);
    }
  }

  /** The bytes before the "/" of what lies in the directory: none for the root. Undefined where no path leads to it. */
  pathOf(directory: InodeNumber): Uint8Array | undefined {
    if (directory === this.#root) return ROOT_PATH;
    const kept = this.#paths.get(directory);
    if (kept !== undefined) return kept;
    const names: Uint8Array[] = [];
    let above: Uint8Array | undefined = ROOT_PATH;
    let bytes = 0;
    for (let at = directory; at !== this.#root;) {
      const place = this.#placeOf(at);
      if (place === undefined || place.parent === 0) return undefined;
      if (names.length === DEPTH_MAX) return undefined;
      names.push(place.name);
      bytes += place.name.length + 1;
      at = place.parent;
      above = this.#paths.get(at);
      if (above !== undefined) break;
    }
    above ??= ROOT_PATH;
    const path = new Uint8Array(above.length + bytes);
    path.set(above);
    let at = above.length;
    for (let i = names.length - 1; i >= 0; i--) {
      const name = names[i] as Uint8Array;
      path[at] = SLASH;
      path.set(name, at + 1);
      at += name.length + 1;
    }
    keep(this.#paths, directory, path, this.#keptMax);
    return path;
  }

  /** The path of an entry; undefined where no path leads to its directory. */
  entryPath(parent: InodeNumber, name: Uint8Array): Uint8Array | undefined {
    const above = this.pathOf(parent);
    if (above === undefined) return undefined;
    const path = new Uint8Array(above.length + 1 + name.length);
    path.set(above);
    path[above.length] = SLASH;
    path.set(name, above.length + 1);
    return path;
  }

  #placeOf(directory: InodeNumber): PastPlace | undefined {
    const known = this.#moved.get(directory) ?? this.#places.get(directory);
    if (known !== undefined) return known;
    // A directory that the version itself brought without a change of its own is there from its end on.
    const place = placeAt(this.#kv, directory, (this.#version - 1) as Version) ?? placeAt(this.#kv, directory, this.#version);
    if (place === undefined) return undefined;
    const found = { parent: place.parent, name: place.name };
    keep(this.#places, directory, found, this.#keptMax);
    return found;
  }

  #move(directory: InodeNumber, place: PastPlace): void {
    this.#moved.set(directory, place);
    this.#places.delete(directory);
    keep(this.#places, directory, place, this.#keptMax);
  }
}

function keep<T>(kept: Map<InodeNumber, T>, ino: InodeNumber, value: T, max: number): void {
  if (kept.size >= max) kept.delete(kept.keys().next().value as InodeNumber);
  kept.set(ino, value);
}
