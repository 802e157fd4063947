/** From what a caller calls a moment to the version that it names, and to what may be seen of it. */
import {
  NokvError,
  compareTimespec,
  timespecToMs,
  unreachable,
  formatTimespec,
  type At,
  type PinId,
  type Timespec,
  type Version,
} from '@nokv/types';
import { FAMILY, changeKey, familyEnd, parseChangeKey, pinKey, tagKey } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { decodeChange } from '../value-log.js';
import { decodePin, decodeTag, type PinRow } from '../value-pin.js';
import type { PinnedRoot } from './past-view.js';
import type { RowSource } from './past-rows.js';

/** A moment as commands and reads take it: times have become versions before. */
export type VersionedAt = Exclude<At, { readonly time: Timespec }>;

export interface Moment {
  readonly version: Version;
  /** What a snapshot or tag is bound to. */
  readonly pinned: PinnedRoot | undefined;
  /** Whether directories count their entries right: what a pin holds from its making on is kept change by change. */
  readonly isExact: boolean;
}

export interface MomentBounds {
  readonly newest: Version;
  /** History of this version and those before it is forgotten, but for what pins hold. */
  readonly forgotten: Version;
  readonly time: Timespec;
}

export function momentOf(source: RowSource, at: VersionedAt, bounds: MomentBounds): Moment {
  if ('version' in at) {
    checkVersion(at.version, bounds);
    return { version: at.version, pinned: undefined, isExact: false };
  }
  if ('snapshot' in at || 'tag' in at) {
    const { id, row } = livePin(source, at, bounds.time);
    // A tag of an earlier version was set when changes in between had already been told apart no longer.
    return { version: row.version, pinned: { ino: row.root, path: row.path }, isExact: row.version >= id - 1 };
  }
  return unreachable(at);
}

/** A pin by its id or a tag's name. Errors: `not-found`, `snapshot-expired`. */
export function livePin(
  source: RowSource,
  at: { readonly snapshot: PinId } | { readonly tag: string },
  time: Timespec,
): { readonly id: PinId; readonly row: PinRow } {
  const id = 'tag' in at ? tagged(source, at.tag) : at.snapshot;
  const bytes = source.get(pinKey(id));
  if (bytes === undefined)
    throw new NokvError('not-found', `there is no snapshot ${id}; list those that are there`, { details: { snapshot: id } });
  const row = decodePin(bytes);
  if (row.state === 'ended' || (row.expires !== undefined && compareTimespec(row.expires, time) <= 0)) {
    const when = row.state === 'ended' ? 'was retired' : `expired at ${formatTimespec(row.expires ?? time)}`;
    const expired = row.expires === undefined ? {} : { expiredAt: formatTimespec(row.expires) };
    throw new NokvError('snapshot-expired', `snapshot ${id} ${when}; what it showed may be gone`, {
      details: { snapshot: id, ...expired },
    });
  }
  return { id, row };
}

export function tagged(source: RowSource, name: string): PinId {
  const bytes = source.get(tagKey(name));
  if (bytes === undefined)
    throw new NokvError('not-found', `there is no tag "${name}"; list those that are there`, { details: { tag: name } });
  return decodeTag(bytes);
}

function checkVersion(version: Version, { newest, forgotten }: MomentBounds): void {
  if (version > newest) {
    throw new NokvError('invalid-argument', `version ${version} is not there yet; the newest is ${newest}`, { details: { newest } });
  }
  if (version < forgotten) {
    throw new NokvError(
      'retention-ended',
      `the namespace at version ${version} is not kept (any more): history begins at ${forgotten}; snapshots and tags last longer`,
      { details: { oldest: forgotten } },
    );
  }
}

/** The newest version that was committed at or before a time, by the change log. */
export function versionAtTime(log: KvReader, time: Timespec, newest: Version, forgotten: Version): Version {
  let low = forgotten as number;
  let high = newest as number;
  let found: number | undefined;
  // Halves the versions that are left in each turn.
  while (low < high) {
    const middle = Math.floor((low + high) / 2) + 1;
    const change = firstChange(log, middle as Version, high as Version);
    if (change !== undefined && compareTimespec(change.time, time) <= 0) {
      low = change.version;
      found = change.version;
    } else {
      high = middle - 1;
    }
  }
  if (found !== undefined) return (high > found ? high : found) as Version;
  const oldest = firstChange(log, (forgotten + 1) as Version, newest);
  // Nothing was committed before: what is there is older than the first change, or nothing is.
  if (forgotten === 0 && oldest !== undefined) return Math.max(1, oldest.version - 1) as Version;
  if (oldest === undefined) return newest;
  throw new NokvError(
    'retention-ended',
    `the namespace of ${formatTimespec(time)} is not kept (any more): history begins at ${formatTimespec(oldest.time)}`,
    { details: { oldestMs: Math.floor(timespecToMs(oldest.time)) } },
  );
}

function firstChange(log: KvReader, from: Version, to: Version): { readonly version: Version; readonly time: Timespec } | undefined {
  for (const { key, value } of log.range(changeKey(from, 0), familyEnd(FAMILY.change), { limit: 1 })) {
    const { version, ordinal } = parseChangeKey(key);
    return version > to ? undefined : { version, time: decodeChange(version, ordinal, value).time };
  }
  return undefined;
}
