/**
 * What a watcher by path can know: where each directory is, kept by nothing but the events. Every event has to fit it: its path is
 * that of its directory as the events before have it, and its name.
 */
import type { LocatedChange } from '@nokv/meta';
import { ROOT_INODE } from '@nokv/types';

export class PathMirror {
  readonly #directories = new Map<number, string>([[ROOT_INODE, '']]);

  /** After a gap nothing is known but the root. */
  forget(): void {
    this.#directories.clear();
    this.#directories.set(ROOT_INODE, '');
  }

  /** Takes the next event; says what is wrong with its paths. */
  take({ change, path, fromPath }: LocatedChange): string | undefined {
    const { kind, type, ino, parent, name, fromParent, fromName } = change;
    const [shown, fromShown] = [text(path), text(fromPath)];
    const wrong = this.#wrong(
      kind === 'removed' ? 'emptied' : 'from',
      kind === 'removed' ? parent : fromParent,
      kind === 'removed' ? name : fromName,
      kind === 'removed' ? shown : fromShown,
    );
    if (type === 'directory') this.#move(kind, ino, shown, fromShown);
    return wrong ?? (kind === 'removed' ? undefined : this.#wrong('to', parent, name, shown));
  }

  #wrong(which: string, parent: number | undefined, name: Uint8Array | undefined, shown: string | undefined): string | undefined {
    const directory = parent === undefined ? undefined : this.#directories.get(parent);
    if (directory === undefined || name === undefined) return undefined;
    const expected = `${directory}/${text(name)}`;
    return shown === expected ? undefined : `${which} ${shown}, the events before it say ${expected}`;
  }

  #move(kind: string, ino: number, path: string | undefined, fromPath: string | undefined): void {
    const old = kind === 'removed' ? path : fromPath;
    if ((kind === 'removed' || kind === 'renamed') && old !== undefined) {
      for (const [each, at] of this.#directories) {
        if (each === ino || at.startsWith(`${old}/`)) this.#rename(each, kind === 'removed' ? undefined : path, at.slice(old.length));
      }
    }
    if (kind === 'rolled-back' || kind === 'cloned') {
      // What was below it is another tree now.
      for (const [each, at] of this.#directories)
        if (path !== undefined && (at === path || at.startsWith(`${path}/`))) this.#directories.delete(each);
    }
    // The root stays where it is, also where it is what a snapshot is of.
    if (path !== undefined && kind !== 'removed' && ino !== ROOT_INODE) this.#directories.set(ino, path);
  }

  #rename(ino: number, to: string | undefined, rest: string): void {
    if (to === undefined) this.#directories.delete(ino);
    else this.#directories.set(ino, to + rest);
  }
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}
