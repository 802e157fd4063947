/** From an inode up to the root: the path that leads to it, now or at a moment. */
import { NokvError, joinPath, type Caller, type InodeNumber } from '@nokv/types';
import { SEARCH, grants, restricted } from '../permissions.js';
import { notFound } from '../resolve.js';
import type { Inode } from '../value-inode.js';

/** What a walk up reads. */
export interface PlacesView {
  readonly root: InodeNumber;
  /** Who asks: a way through directories that they may not search is none. */
  readonly caller: Caller | undefined;
  inode(ino: InodeNumber): Inode | undefined;
  links(ino: InodeNumber): Iterable<{ readonly parent: InodeNumber; readonly name?: Uint8Array }>;
  /** Names that lead to `top`, where walks end, if that is not the root. */
  readonly spine?: readonly Uint8Array[];
  readonly top?: InodeNumber;
}

/** Names of a hard link that are tried for one that a path leads to. */
const LINKS_TRIED_MAX = 1024;

/** Any one path of an inode. Errors: `not-found` where none leads to it. */
export function pathOf(view: PlacesView, ino: InodeNumber): Uint8Array {
  const names = namesOf(view, ino);
  if (names === undefined) throw notFound({ ino }, view.inode(ino) === undefined ? undefined : 'no path leads to it');
  return joinPath(names);
}

/** The names from the root to an inode; undefined where there is no way. */
export function namesOf(view: PlacesView, ino: InodeNumber): readonly Uint8Array[] | undefined {
  if (ino === view.root) return [];
  if (ino === view.top) return view.spine ?? [];
  const inode = view.inode(ino);
  if (inode === undefined) return undefined;
  if (inode.parent !== 0 || inode.type === 'directory') {
    const above = inode.parent === 0 ? undefined : namesAbove(view, inode.parent);
    return above === undefined ? undefined : [...above, inode.name];
  }
  let tried = 0;
  for (const { parent, name } of view.links(ino)) {
    const above = namesAbove(view, parent);
    if (above !== undefined && name !== undefined) return [...above, name];
    tried += 1;
    if (tried === LINKS_TRIED_MAX) break;
  }
  return undefined;
}

/** Names from the root down to a directory; undefined where it lies in the trash or in a staged tree, or the caller may not go there. */
function namesAbove(view: PlacesView, directory: InodeNumber): Uint8Array[] | undefined {
  const names: Uint8Array[] = [];
  // Ends at a root: parents of directories form a tree.
  for (let at = directory; at !== view.root;) {
    if (at === view.top) return [...(view.spine ?? []), ...names.reverse()];
    const inode = view.inode(at);
    if (inode === undefined || inode.parent === 0 || !grants(view.caller, inode, SEARCH)) return undefined;
    names.push(inode.name);
    at = inode.parent;
  }
  const root = restricted(view.caller) === undefined ? undefined : view.inode(view.root);
  if (root !== undefined && !grants(view.caller, root, SEARCH)) return undefined;
  return names.reverse();
}

/** The path of what a command works on; it was resolved, so a way is there. */
export function mustPathOf(view: PlacesView, ino: InodeNumber): Uint8Array {
  const names = namesOf(view, ino);
  if (names === undefined) throw new NokvError('not-found', `inode ${ino} was removed`);
  return joinPath(names);
}
