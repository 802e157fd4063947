/**
 * Changes below a place, with the paths that they had when they happened: what a watcher by path hears, and what a
 * listing of past changes shows.
 *
 * A change is named by its version and its ordinal in that version. A cursor is the last change that was seen, or a whole version.
 */
import { NokvError } from './errors.js';
import { version as checkVersion, type Generation, type InodeNumber, type Version } from './ids.js';
import type { InodeType } from './attributes.js';
import type { ChangeKind } from './operations.js';
import type { Timespec } from './time.js';

/** A change as it is seen from a root. Paths are absolute and those at the event, whatever was renamed afterwards. */
export interface PathChange {
  readonly version: Version;
  readonly ordinal: number;
  readonly kind: ChangeKind;
  readonly ino: InodeNumber;
  readonly type: InodeType;
  /**
   * Where it happened: for `removed` the place that was emptied, for `renamed` the new one. Absent for what was renamed
   * to a place outside the root.
   */
  readonly path?: Uint8Array;
  /** The old place of a rename; absent for what came from outside the root. */
  readonly fromPath?: Uint8Array;
  readonly generation?: Generation;
  readonly requestId: string;
  readonly actor: string;
  readonly time: Timespec;
}

/** The place that is watched: what lies at a path, whoever that is, or an inode, wherever it is. */
export type ChangeRoot = { readonly path: Uint8Array } | { readonly ino: InodeNumber };

/** Which changes below the root are wanted; what is absent leaves nothing out. Lists hold at most {@link CHANGE_FILTER_NAMES_MAX}. */
export interface ChangeFilter {
  readonly kinds?: readonly ChangeKind[];
  /** Names of actors, or beginnings of names before a `*` at the end, such as `cli:*`. */
  readonly actors?: readonly string[];
  readonly exceptActors?: readonly string[];
  /** Leaves out changes whose request ids begin so: those of one mount. */
  readonly exceptRequestPrefix?: string;
  /** Leaves out changes that one client made: its {@link clientMarkOf mark} is in the ids that it drew. */
  readonly exceptClient?: string;
}

export const CHANGE_FILTER_NAMES_MAX = 64;

/** Everything up to and including this change was seen. */
export interface ChangeCursor {
  readonly version: Version;
  readonly ordinal: number;
}

/** The ordinal of a cursor that has seen all of its version; versions have fewer changes. */
export const WHOLE_VERSION = 0xffff;

export function wholeVersion(version: Version): ChangeCursor {
  return { version, ordinal: WHOLE_VERSION };
}

/** `42` for all of version 42, `42.3` for its changes up to the ordinal 3. */
export function formatCursor({ version, ordinal }: ChangeCursor): string {
  return ordinal === WHOLE_VERSION ? String(version) : `${version}.${ordinal}`;
}

const CURSOR = /^(\d{1,16})(?:\.(\d{1,5}))?$/;

/** The inverse of {@link formatCursor}. */
export function parseCursor(text: string): ChangeCursor {
  const [, version, ordinal] = CURSOR.exec(text) ?? [];
  const at = ordinal === undefined ? WHOLE_VERSION : Number(ordinal);
  if (version === undefined || !Number.isSafeInteger(Number(version)) || at > WHOLE_VERSION) {
    throw new NokvError(
      'invalid-argument',
      `expected a cursor such as 42 or 42.3, as an earlier event gave it, found ${JSON.stringify(text.slice(0, 64))}`,
    );
  }
  return { version: checkVersion(Number(version)), ordinal: at };
}

/** The changes of one root in a bounded piece of the log. */
export interface PathChangesArgs {
  readonly root: ChangeRoot;
  readonly filter?: ChangeFilter;
  /** Ascending: changes after this cursor. Descending: changes of versions before its version. Absent: from that end of the window. */
  readonly from?: ChangeCursor;
  /** Newest first. */
  readonly descending?: boolean;
  /** Changes on a page, 1 to {@link PATH_CHANGES_LIMIT_MAX}. */
  readonly limit: number;
}

export const PATH_CHANGES_LIMIT_MAX = 1024;
/** Rows of the log that one page looks at, those of other places included. */
export const PATH_CHANGES_ROWS_MAX = 4096;

export interface PathChangesResult {
  readonly changes: readonly PathChange[];
  /** Ask again with this; it moves on also when nothing was found among the rows that a page looks at. */
  readonly next: ChangeCursor;
  /** The log holds more in this direction. */
  readonly more: boolean;
}

/** 12 characters of the request ids that one client draws. */
export function clientMarkOf(requestId: string): string {
  return requestId.slice(CLIENT_MARK_AT, CLIENT_MARK_AT + CLIENT_MARK_LENGTH);
}

export const CLIENT_MARK_AT = 12;
export const CLIENT_MARK_LENGTH = 12;
