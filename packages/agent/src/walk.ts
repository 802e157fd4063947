/**
 * Walks a tree in order: a directory before what it holds, names in byte order. Symlinks are met, never followed, except
 * where the walk begins. The place of an entry is its path relative to the start; a walk can begin after any place,
 * whether or not that entry is still there, so that cursors survive changes of the tree.
 *
 * Listings of the directories that come next are fetched ahead, a few at a time: memory is bounded by
 * `AHEAD_MAX` pages and the open path.
 */
import { NokvError, isNokvError } from '@nokv/types';
import { compareText } from './field-value.js';
import type { ScannedEntry } from './fields.js';
import type { Plane, PlaneEntry, PlanePage } from './plane.js';
import { joinChild } from './verb-path.js';

export interface WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Begin strictly after this place. */
  readonly after?: string | undefined;
  /** False leaves out what a directory holds. */
  readonly takesDirectory?: ((place: string) => boolean) | undefined;
  /** Counts directories that vanished or refused while the walk went on. */
  readonly onUnreadable?: ((path: string, error: NokvError) => void) | undefined;
}

export interface WalkedEntry extends ScannedEntry {
  /** The path below the start; empty for a start that is no directory. */
  readonly place: string;
}

const PAGE_ENTRIES = 1000;
const AHEAD_MAX = 8;

interface Frame {
  readonly path: string;
  readonly place: string;
  readonly depth: number;
  entries: readonly PlaneEntry[];
  next: number;
  more: boolean;
}

type Listing = Promise<PlanePage | NokvError>;

export async function* walk(plane: Plane, start: PlaneEntry, options: WalkOptions = {}): AsyncGenerator<WalkedEntry> {
  if (start.card.type !== 'directory') {
    if (options.after === undefined) yield { entry: start, depth: 0, place: '' };
    return;
  }
  const ahead = new Map<string, Listing>();
  const stack: Frame[] = [];
  const resume = options.after === undefined ? [] : options.after.split('/');
  await openResumed();

  for (;;) {
    const frame = stack.at(-1);
    if (frame === undefined) return;
    const entry = frame.entries[frame.next];
    if (entry === undefined) {
      if (!frame.more) {
        stack.pop();
        continue;
      }
      const page = await list(frame.path, frame.entries.at(-1)?.name);
      frame.entries = page?.entries ?? [];
      frame.more = page?.more ?? false;
      frame.next = 0;
      continue;
    }
    frame.next += 1;
    const place = frame.place === '' ? entry.name : `${frame.place}/${entry.name}`;
    const isOpened = entry.card.type === 'directory' && (options.takesDirectory?.(place) ?? true);
    if (isOpened) fetchAhead(frame, entry);
    yield { entry, depth: frame.depth + 1, place };
    if (isOpened) {
      const page = await taken(entry.path);
      if (page !== undefined)
        stack.push({ path: entry.path, place, depth: frame.depth + 1, entries: page.entries, next: 0, more: page.more });
    }
  }

  /** Opens the directories on the way to the place after which the walk begins. */
  async function openResumed(): Promise<void> {
    let path = start.path;
    let place = '';
    for (let depth = 0; ; depth++) {
      const name = resume[depth];
      const page = await list(path, name);
      stack.push({ path, place, depth, entries: page?.entries ?? [], next: 0, more: page?.more ?? false });
      if (name === undefined) return;
      path = joinChild(path, name);
      place = place === '' ? name : `${place}/${name}`;
      // A symlink in place of the directory that was there is not followed.
      const there = await plane.stat(path, { follow: false, signal: options.signal }).catch(absent);
      if (there?.card.type !== 'directory' || !(options.takesDirectory?.(place) ?? true)) return;
    }
  }

  function fetchAhead(frame: Frame, current: PlaneEntry): void {
    if (!ahead.has(current.path)) ahead.set(current.path, listing(current.path));
    for (let i = frame.next; i < frame.entries.length && i < frame.next + AHEAD_MAX && ahead.size < AHEAD_MAX; i++) {
      const entry = frame.entries[i];
      if (entry?.card.type === 'directory' && entry.card.children > 0 && !ahead.has(entry.path)) ahead.set(entry.path, listing(entry.path));
    }
  }

  async function taken(path: string): Promise<PlanePage | undefined> {
    const page = await (ahead.get(path) ?? listing(path));
    ahead.delete(path);
    return readable(path, page);
  }

  async function list(path: string, after: string | undefined): Promise<PlanePage | undefined> {
    const page = await plane
      .list(path, { limit: PAGE_ENTRIES, signal: options.signal, ...(after === undefined ? {} : { after }) })
      .catch(asError);
    if (page instanceof NokvError && path === start.path) throw page;
    return readable(path, page);
  }

  function listing(path: string): Listing {
    return plane.list(path, { limit: PAGE_ENTRIES, signal: options.signal }).catch(asError);
  }

  function readable(path: string, page: PlanePage | NokvError): PlanePage | undefined {
    if (!(page instanceof NokvError)) return page;
    const isGone = page.kind === 'not-found' || page.code === 'not-directory';
    if (!isGone && page.kind !== 'denied') throw page;
    options.onUnreadable?.(path, page);
    return undefined;
  }
}

/** The order in which {@link walk} meets two places. */
export function comparePlaces(a: string, b: string): number {
  const left = a.split('/');
  const right = b.split('/');
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = compareText(left[i] ?? '', right[i] ?? '');
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function asError(error: unknown): NokvError {
  if (error instanceof NokvError) return error;
  throw error;
}

function absent(error: unknown): undefined {
  if (isNokvError(error) && (error.kind === 'not-found' || error.code === 'not-directory')) return undefined;
  throw error;
}
