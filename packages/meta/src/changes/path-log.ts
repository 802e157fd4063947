/**
 * Reads the change log forwards, with the paths that changes had when they happened.
 *
 * Invariants: shows durable changes alone, each once and in order; a page is bounded in rows. A change's old place is that
 * just before it and its new one that just after it, also among the changes of one version.
 */
import {
  NokvError,
  WHOLE_VERSION,
  wholeVersion,
  type ChangeCursor,
  type ChangeRecord,
  type InodeNumber,
  type PathChange,
  type Version,
} from '@nokv/types';
import type { LocatedChange } from './change-scope.js';
import { isWatchable } from '../evaluated-batch.js';
import { DirectoryPaths } from './directory-paths.js';
import { FAMILY, changeKey, familyEnd, parseChangeKey } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { linksAt, placeAt } from './past-place.js';
import { decodeChange } from '../value-log.js';

/** What of the log may be read now. */
export interface LogBounds {
  readonly newest: Version;
  /** Changes up to this version may be gone. */
  readonly forgotten: Version;
}

export interface PathLogPage {
  readonly changes: readonly LocatedChange[];
  /** Everything that is durable was read. */
  readonly isCurrent: boolean;
}

export interface PathLogOptions {
  readonly kv: KvReader;
  readonly root: InodeNumber;
  readonly bounds: () => LogBounds;
  /** Throws while the shard may not serve. */
  readonly refuse: () => void;
  /** Directories whose places are kept. */
  readonly directoriesMax: number;
}

const NO_PATHS: readonly Uint8Array[] = [];

export class PathLog {
  /** As of the position that was read up to. */
  readonly paths: DirectoryPaths;
  readonly #options: PathLogOptions;
  #at: ChangeCursor;

  constructor(after: ChangeCursor, options: PathLogOptions) {
    this.#options = options;
    this.#at = after;
    this.paths = new DirectoryPaths(options.kv, options.root, options.directoriesMax);
    this.#refuseForgotten();
    // The changes of its version before the cursor have moved directories too.
    if (after.ordinal < WHOLE_VERSION) this.#catchUp(after);
  }

  get at(): ChangeCursor {
    return this.#at;
  }

  /** At most `rowsMax` rows of the log. Throws `cursor-too-old` once the position has left the window. */
  read(rowsMax: number): PathLogPage {
    const changes: LocatedChange[] = [];
    const isCurrent = this.scan(rowsMax, (located) => {
      changes.push(located);
      return true;
    });
    return { changes, isCurrent };
  }

  /** Goes on until `visit` says no, or to the end, which it says. At most `rowsMax` rows of the log. */
  scan(rowsMax: number, visit: (located: LocatedChange) => boolean): boolean {
    this.#options.refuse();
    this.#refuseForgotten();
    const { newest } = this.#options.bounds();
    let rows = 0;
    for (const { key, value } of this.#options.kv.range(keyAfterCursor(this.#at), familyEnd(FAMILY.change))) {
      const { version, ordinal } = parseChangeKey(key);
      if (version > newest) break;
      if (rows === rowsMax) return false;
      rows += 1;
      const change = decodeChange(version, ordinal, value);
      this.#at = { version, ordinal };
      if (isWatchable(change) && !visit(locate(change, this.paths, this.#options.kv))) return false;
    }
    if (newest >= this.#at.version) this.#at = wholeVersion(newest);
    return true;
  }

  #catchUp({ version, ordinal: last }: ChangeCursor): void {
    const end = keyAfterCursor({ version, ordinal: last });
    for (const { key, value } of this.#options.kv.range(changeKey(version, 0), end)) {
      const change = decodeChange(version, parseChangeKey(key).ordinal, value);
      if (!isWatchable(change)) continue;
      this.paths.begin(version);
      this.paths.advance(change);
    }
  }

  #refuseForgotten(): void {
    const { forgotten, newest } = this.#options.bounds();
    refuseForgotten(this.#at, forgotten, newest);
  }
}

/** A row of several is forgotten with its version. */
export function refuseForgotten({ version, ordinal }: ChangeCursor, forgotten: Version, newest: Version): void {
  if (version > forgotten || (version === forgotten && ordinal === WHOLE_VERSION)) return;
  throw new NokvError(
    'cursor-too-old',
    `changes up to version ${forgotten} are forgotten, and with them some after the cursor; read the tree again and go on from ${newest}`,
    { details: { oldest: forgotten, next: newest } },
  );
}

export function keyAfterCursor({ version, ordinal }: ChangeCursor): Uint8Array {
  return ordinal >= WHOLE_VERSION ? changeKey((version + 1) as Version, 0) : changeKey(version, ordinal + 1);
}

/** Gives a change its paths and takes the directories past it. Changes come in order. */
export function locate(change: ChangeRecord, paths: DirectoryPaths, kv: KvReader): LocatedChange {
  const { kind, parent, name, fromParent, fromName } = change;
  paths.begin(change.version);
  const isGone = kind === 'removed';
  const emptied = isGone ? entryPath(paths, parent, name) : entryPath(paths, fromParent, fromName);
  paths.advance(change);
  const path = isGone ? emptied : entryPath(paths, parent, name);
  const fromPath = isGone ? undefined : emptied;
  if (parent !== undefined || isGone) return located(change, path, fromPath, NO_PATHS);
  const [first, ...others] = namesOf(change, paths, kv);
  return located(change, first, fromPath, others);
}

/** Of a change that names no place: all the names of its inode, or the root. */
function namesOf({ ino, version }: ChangeRecord, paths: DirectoryPaths, kv: KvReader): Uint8Array[] {
  if (paths.pathOf(ino)?.length === 0) return [Uint8Array.of(0x2f)];
  const links = linksAt(kv, ino, version);
  const single = links.length === 0 ? placeAt(kv, ino, version) : undefined;
  const places = single === undefined ? links : [single];
  return places.map(({ parent, name }) => entryPath(paths, parent, name)).filter((path) => path !== undefined);
}

function entryPath(paths: DirectoryPaths, parent: InodeNumber | undefined, name: Uint8Array | undefined): Uint8Array | undefined {
  return parent === undefined || parent === 0 || name === undefined ? undefined : paths.entryPath(parent, name);
}

function located(
  change: ChangeRecord,
  path: Uint8Array | undefined,
  fromPath: Uint8Array | undefined,
  otherPaths: readonly Uint8Array[],
): LocatedChange {
  const { version, ordinal, kind, ino, type, generation, requestId, actor, time } = change;
  const whole: PathChange = {
    version,
    ordinal,
    kind,
    ino,
    type,
    ...(path === undefined ? {} : { path }),
    ...(fromPath === undefined ? {} : { fromPath }),
    ...(generation === undefined ? {} : { generation }),
    requestId,
    actor,
    time,
  };
  return { change, path, fromPath, otherPaths, whole };
}
