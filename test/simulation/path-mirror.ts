/**
 * What a watcher by path can know: where each directory is, kept by nothing but the events. Every event has to fit it: its path is
 * that of its directory as the events before have it, and its name.
 */
import type { LocatedChange } from '@nokv/meta';
import { ROOT_INODE } from '@nokv/types';

export class PathMirror {
  /** Where each directory is, by its parent: two that change places take what is below them along. */
  readonly #places = new Map<number, { readonly parent: number; readonly name: string }>();

  /** After a gap nothing is known but the root. */
  forget(): void {
    this.#places.clear();
  }

  /** Takes the next event; says what is wrong with its paths. */
  take({ change, path, fromPath }: LocatedChange): string | undefined {
    const { kind, type, ino, parent, name, fromParent, fromName } = change;
    const [shown, fromShown] = [text(path), text(fromPath)];
    const isRemoval = kind === 'removed';
    const wrong = isRemoval ? this.#wrong('emptied', parent, name, shown) : this.#wrong('from', fromParent, fromName, fromShown);
    // The root stays where it is, also where it is what a snapshot is of.
    if (type === 'directory' && ino !== ROOT_INODE) {
      if (isRemoval) this.#places.delete(ino);
      else if (parent !== undefined && name !== undefined) this.#places.set(ino, { parent, name: text(name) ?? '' });
    }
    return wrong ?? (isRemoval ? undefined : this.#wrong('to', parent, name, shown));
  }

  #wrong(which: string, parent: number | undefined, name: Uint8Array | undefined, shown: string | undefined): string | undefined {
    const directory = parent === undefined ? undefined : this.#pathOf(parent);
    if (directory === undefined || name === undefined) return undefined;
    const expected = `${directory}/${text(name)}`;
    return shown === expected ? undefined : `${which} ${shown}, the events before it say ${expected}`;
  }

  /** Undefined where the events do not say it. */
  #pathOf(directory: number): string | undefined {
    let path = '';
    let at = directory;
    // Ends: directories form a tree, and so do their places in the order of events.
    for (let depth = 0; at !== ROOT_INODE && depth < DEPTH_MAX; depth++) {
      const place = this.#places.get(at);
      if (place === undefined) return undefined;
      path = `/${place.name}${path}`;
      at = place.parent;
    }
    return at === ROOT_INODE ? path : undefined;
  }
}

/** Deeper than the trees of a simulation; between the two events of an exchange places may form a circle. */
const DEPTH_MAX = 100;

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}
