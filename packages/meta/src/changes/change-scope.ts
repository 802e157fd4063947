/** Which changes are seen from a root, through a filter, and how. */
import {
  clientMarkOf,
  compareBytes,
  joinPath,
  splitPath,
  unreachable,
  type ChangeFilter,
  type ChangeKind,
  type ChangeRecord,
  type ChangeRoot,
  type PathChange,
} from '@nokv/types';
import type { DirectoryPaths } from './directory-paths.js';

const SLASH = 0x2f;

/** A change with its paths, before anybody's root is looked at. */
export interface LocatedChange {
  readonly change: ChangeRecord;
  readonly path: Uint8Array | undefined;
  readonly fromPath: Uint8Array | undefined;
  /** Of a file with several names, where the change concerns them all: the names beside `path`. */
  readonly otherPaths: readonly Uint8Array[];
  /** The change as those see it who see both of its places; made once for all of them. */
  readonly whole: PathChange;
}

/** Decides for one change at a time, in order: it remembers where the root was. */
export interface ChangeScope {
  readonly root: ChangeRoot;
  /** Undefined where the change is not seen. */
  see(located: LocatedChange, paths: DirectoryPaths): PathChange | undefined;
}

export function changeScope(root: ChangeRoot, filter: ChangeFilter): ChangeScope {
  const wants = changeFilter(filter);
  const path = 'path' in root ? joinPath(splitPath(root.path)) : undefined;
  let lastRootPath: Uint8Array | undefined;
  return {
    root,
    see(located, paths) {
      const { change } = located;
      if (!wants(change)) return undefined;
      if (path !== undefined) return seenFrom(path, located);
      if (!('ino' in root) || change.ino === root.ino) return located.whole;
      const before = lastRootPath;
      const after = paths.pathOf(root.ino);
      lastRootPath = after;
      const rootPath = after ?? before;
      if (rootPath === undefined) return undefined;
      const seen = seenFrom(rootPath.length === 0 ? ROOT : rootPath, located);
      // Its old place was above where the root was, which is no longer above where it is.
      return seen !== undefined && change.kind === 'renamed' && hasMoved(before, after) ? located.whole : seen;
    },
  };
}

const ROOT = Uint8Array.of(SLASH);

function hasMoved(before: Uint8Array | undefined, after: Uint8Array | undefined): boolean {
  return before === undefined || after === undefined ? before !== after : compareBytes(before, after) !== 0;
}

function changeFilter(filter: ChangeFilter): (change: ChangeRecord) => boolean {
  const kinds = filter.kinds === undefined ? undefined : new Set<ChangeKind>(filter.kinds);
  const isActor = filter.actors === undefined ? () => true : nameMatcher(filter.actors);
  const isExcepted = nameMatcher(filter.exceptActors ?? []);
  const { exceptRequestPrefix: prefix, exceptClient: client } = filter;
  return ({ kind, actor, requestId }) =>
    (kinds === undefined || kinds.has(kind)) &&
    isActor(actor) &&
    !isExcepted(actor) &&
    (prefix === undefined || prefix === '' || !requestId.startsWith(prefix)) &&
    (client === undefined || client === '' || clientMarkOf(requestId) !== client);
}

/** Names, and beginnings of names before a `*` at the end. */
function nameMatcher(names: readonly string[]): (name: string) => boolean {
  const whole = new Set(names.filter((name) => !name.endsWith('*')));
  const beginnings = names.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1));
  return (name) => whole.has(name) || beginnings.some((beginning) => name.startsWith(beginning));
}

function seenFrom(root: Uint8Array, located: LocatedChange): PathChange | undefined {
  const { path, fromPath, otherPaths, change, whole } = located;
  const isHere = path !== undefined && isBelow(path, root);
  const wasHere = fromPath !== undefined && isBelow(fromPath, root);
  if (isHere && (wasHere || fromPath === undefined)) return whole;
  if (isHere) return withPaths(whole, path, undefined);
  if (wasHere) return withPaths(whole, undefined, fromPath);
  const other = otherPaths.find((each) => isBelow(each, root));
  if (other !== undefined) return withPaths(whole, other, undefined);
  if (!movesWhatIsBelow(change)) return undefined;
  // A directory above the root came, went or moved, and with it all that is watched.
  const cameAbove = path !== undefined && isBelow(root, path);
  const wentAbove = fromPath !== undefined && isBelow(root, fromPath);
  if (!cameAbove && !wentAbove) return undefined;
  return withPaths(whole, cameAbove ? path : undefined, wentAbove ? fromPath : undefined);
}

function movesWhatIsBelow({ kind, type }: ChangeRecord): boolean {
  if (type !== 'directory') return false;
  switch (kind) {
    case 'attributes':
    case 'xattr':
    case 'published':
    case 'linked':
    case 'snapshot':
      return false;
    case 'created':
    case 'removed':
    case 'renamed':
    case 'cloned':
    case 'rolled-back':
      return true;
    default:
      return unreachable(kind);
  }
}

function withPaths(whole: PathChange, path: Uint8Array | undefined, fromPath: Uint8Array | undefined): PathChange {
  const { path: _path, fromPath: _fromPath, ...rest } = whole;
  return { ...rest, ...(path === undefined ? {} : { path }), ...(fromPath === undefined ? {} : { fromPath }) };
}

/** At the root or below it; both are absolute and in normal form. */
function isBelow(path: Uint8Array, root: Uint8Array): boolean {
  const length = root.length;
  if (length === 1) return true;
  if (path.length < length || (path.length > length && path[length] !== SLASH)) return false;
  // Paths below one directory differ at their ends.
  for (let i = length - 1; i > 0; i--) if (path[i] !== root[i]) return false;
  return true;
}
