/**
 * Which names of which directories can differ between two versions, by the change log: those that an event names, and those on the way to
 * them from the root. What no event names between two versions is the same in both.
 */
import type { InodeNumber, Version } from '@nokv/types';
import { FAMILY, changeKey, familyEnd, parseChangeKey } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { decodeChange } from '../value-log.js';
import type { PastView } from './past-view.js';

/** Events that are read for one comparison; a walk costs less than more. */
const EVENTS_MAX = 200_000;
/** Events between two turns of the event loop. */
const EVENTS_A_TURN = 4096;

export class TouchedNames {
  readonly #byDirectory = new Map<InodeNumber, Map<string, Uint8Array>>();

  /** Names in byte order; none for a directory under which nothing changed. */
  of(directory: InodeNumber): Uint8Array[] {
    const names = this.#byDirectory.get(directory);
    return names === undefined ? [] : [...names.values()].sort((a, b) => Buffer.compare(a, b));
  }

  /** @returns false where the name is noted already. */
  add(directory: InodeNumber, name: Uint8Array): boolean {
    const id = Buffer.from(name).latin1Slice(0, name.length);
    const names = this.#byDirectory.get(directory);
    if (names?.has(id) === true) return false;
    if (names === undefined) this.#byDirectory.set(directory, new Map([[id, name]]));
    else names.set(id, name);
    return true;
  }
}

/** Pauses between slices. Undefined where the log does not reach back so far, or names too much. */
export function* touchedNames(
  log: KvReader,
  from: PastView,
  to: PastView,
  forgotten: Version,
): Generator<undefined, TouchedNames | undefined> {
  if (from.version < forgotten) return undefined;
  const touched = new TouchedNames();
  const views = [from, to];
  let events = 0;
  for (const { key, value } of log.range(changeKey((from.version + 1) as Version, 0), familyEnd(FAMILY.change))) {
    const { version, ordinal } = parseChangeKey(key);
    if (version > to.version) break;
    events += 1;
    if (events > EVENTS_MAX) return undefined;
    const { kind, ino, parent, name, fromParent, fromName } = decodeChange(version, ordinal, value);
    if (kind === 'request' || kind === 'snapshot') continue;
    if (parent !== undefined && name !== undefined) note(touched, views, parent, name);
    if (fromParent !== undefined && fromName !== undefined) note(touched, views, fromParent, fromName);
    // A file with several names: all of them show the change. A file that had one and has others, too.
    for (const view of views) noteNames(touched, views, view, ino);
    if (events % EVENTS_A_TURN === 0) yield undefined;
  }
  return touched;
}

function noteNames(touched: TouchedNames, views: readonly PastView[], view: PastView, ino: InodeNumber): void {
  const inode = view.inode(ino);
  if (inode === undefined) return;
  if (inode.parent !== 0) note(touched, views, inode.parent, inode.name);
  else if (inode.type !== 'directory') for (const { parent, name } of view.links(ino)) note(touched, views, parent, name);
}

/** Notes a name and, in both states, the way to it. */
function note(touched: TouchedNames, views: readonly PastView[], parent: InodeNumber, name: Uint8Array): void {
  if (!touched.add(parent, name)) return;
  for (const view of views) {
    const directory = view.inode(parent);
    if (directory !== undefined && directory.parent !== 0) note(touched, views, directory.parent, directory.name);
  }
}
