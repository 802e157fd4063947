/**
 * Searches the files below several roots in tree order. A few files are searched at a time, and reported in order.
 *
 * Bounds: entries walked, bytes read, time, matches, size of the answer. Whichever is met first ends the search with the
 * state from which the next one goes on; every search gets past at least one entry or one line, so that going on ends.
 */
import { isNokvError } from '@nokv/types';
import { setMaxListeners } from 'node:events';
import { z } from 'zod';
import { AnswerMeter } from '../answer.js';
import { Stopwatch, budgetOf, type Budget, type StopReason, type VerbContext } from '../budget.js';
import { formatEvidence } from '../evidence-uri.js';
import type { GlobSet } from '../pattern/glob.js';
import type { Pattern } from '../pattern/pattern.js';
import type { Plane, PlaneEntry } from '../plane.js';
import type { Predicate } from '../predicate.js';
import { joinChild } from '../verb-path.js';
import { walk } from '../walk.js';
import { BodySearch, type Position, type SearchMode, type SearchedBody, type ShownLine } from './body-search.js';

export const TREE_STATE = z.object({
  /** Index of the root that is being searched. */
  root: z.int().min(0),
  /** Everything up to this place is done … */
  place: z.string().optional(),
  /** … except that the file at this place goes on here. */
  file: z
    .object({ place: z.string(), generation: z.int(), offset: z.int().min(0), line: z.int().min(1), count: z.int().min(0) })
    .optional(),
});

export type TreeState = z.output<typeof TREE_STATE>;

export interface TreeQuery {
  readonly roots: readonly PlaneEntry[];
  /** A line matches when one of them does. */
  readonly patterns: readonly Pattern[];
  readonly globs: GlobSet | undefined;
  readonly predicate: Predicate | undefined;
  readonly mode: SearchMode;
  /** Matches in `content`, files in the other modes. */
  readonly limit: number;
  readonly before: number;
  readonly after: number;
}

export interface FoundFile {
  readonly path: string;
  readonly uri: string;
  readonly count?: number;
  readonly lines?: ShownLine[];
}

export interface TreeFound {
  readonly files: FoundFile[];
  readonly matches: number;
  readonly scan: {
    readonly complete: boolean;
    readonly files: number;
    readonly bytes: number;
    readonly binary?: number;
    readonly unreadable?: number;
    readonly stopped?: StopReason;
  };
  readonly goOn?: TreeState;
}

/** Files that are opened and searched at a time. */
const PARALLEL = 16;
/** Calls of the plane that wait at the same time and listen to one signal. */
const LISTENERS_MAX = 64;

/** A file to search, or the place where the walk met a bound. */
type Step =
  | { readonly kind: 'file'; readonly place: string; readonly path: string; readonly resume: TreeState['file']; readonly before: TreeState }
  | { readonly kind: 'halt'; readonly reason: StopReason; readonly before: TreeState };
type FileStep = Step & { readonly kind: 'file' };

interface Running {
  readonly step: Step;
  readonly search?: BodySearch;
  readonly done?: Promise<SearchedBody | undefined>;
}

export class TreeSearch {
  readonly #plane: Plane;
  readonly #query: TreeQuery;
  readonly #budget: Budget;
  readonly #watch: Stopwatch;
  readonly #meter: AnswerMeter;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;

  readonly #files: FoundFile[] = [];
  readonly #scan = { files: 0, bytes: 0, binary: 0, unreadable: 0 };
  #entries = 0;
  #matches = 0;
  #stopped: StopReason | undefined;

  constructor(plane: Plane, query: TreeQuery, context: VerbContext) {
    this.#plane = plane;
    this.#query = query;
    this.#budget = budgetOf(context);
    this.#watch = new Stopwatch(context, this.#budget.timeMs);
    this.#meter = new AnswerMeter(this.#budget.answerBytes);
    const { signal } = this.#abort;
    this.#signal = context.signal === undefined ? signal : AbortSignal.any([context.signal, signal]);
    setMaxListeners(LISTENERS_MAX, this.#signal);
  }

  /** Once for each object. */
  async run(state: TreeState): Promise<TreeFound> {
    const steps = this.#steps(state);
    const running: Running[] = [];
    let isDrained = false;
    let goOn: TreeState | undefined;
    const advance = async (): Promise<Step | undefined> => {
      const next = await steps.next();
      isDrained = next.done === true;
      return next.done === true ? undefined : next.value;
    };
    try {
      for (;;) {
        while (!isDrained && running.length < PARALLEL) {
          const step = await advance();
          if (step !== undefined) running.push(this.#begin(step));
        }
        const first = running.shift();
        if (first === undefined) break;
        goOn = await this.#finish(first);
        if (this.#stopped === undefined) continue;
        // The last match may have been the last one there is.
        const isLast = this.#stopped === 'limit' && goOn === undefined && running.length === 0;
        if (isLast && (isDrained || (await advance()) === undefined)) this.#stopped = undefined;
        goOn ??= after(first.step);
        break;
      }
    } finally {
      this.#abort.abort();
      await steps.return(undefined);
      await Promise.allSettled(running.map(({ done }) => done));
    }
    const { files, bytes, binary, unreadable } = this.#scan;
    const stopped = this.#stopped;
    return {
      files: this.#files,
      matches: this.#matches,
      scan: {
        complete: stopped === undefined,
        files,
        bytes,
        ...(binary === 0 ? {} : { binary }),
        ...(unreadable === 0 ? {} : { unreadable }),
        ...(stopped === undefined ? {} : { stopped }),
      },
      ...(stopped === undefined || goOn === undefined ? {} : { goOn }),
    };
  }

  /** What is to be done, root by root, beginning where the state says. */
  async *#steps(state: TreeState): AsyncGenerator<Step, undefined, undefined> {
    const { roots, globs } = this.#query;
    for (const [root, start] of roots.entries()) {
      if (root < state.root) continue;
      const isResumed = root === state.root;
      const resume = isResumed ? state.file : undefined;
      let previous: string | undefined = isResumed ? state.place : undefined;
      const before = (): TreeState => ({ root, ...(previous === undefined ? {} : { place: previous }) });
      if (resume !== undefined) {
        const path = resume.place === '' ? start.path : joinChild(start.path, resume.place);
        yield { kind: 'file', place: resume.place, path, resume, before: before() };
        previous = resume.place;
      }
      const walked = walk(this.#plane, start, {
        signal: this.#signal,
        after: previous,
        takesDirectory: globs === undefined ? undefined : (place) => globs.takesDirectory(place),
        onUnreadable: () => {
          this.#scan.unreadable += 1;
        },
      });
      for await (const each of walked) {
        await this.#watch.pause();
        const halt =
          this.#entries === 0
            ? undefined
            : this.#entries >= this.#budget.entries
              ? 'entries'
              : this.#watch.isOver()
                ? 'deadline'
                : undefined;
        if (halt !== undefined) {
          yield { kind: 'halt', reason: halt, before: before() };
          return;
        }
        this.#entries += 1;
        if (await this.#takes(each)) yield { kind: 'file', place: each.place, path: each.entry.path, resume: undefined, before: before() };
        previous = each.place;
      }
    }
  }

  async #takes(each: { readonly entry: PlaneEntry; readonly depth: number; readonly place: string }): Promise<boolean> {
    const { globs, predicate } = this.#query;
    if (each.entry.card.type !== 'file') return false;
    // A file that was named itself is searched whatever the globs say.
    if (each.place !== '' && globs !== undefined && !globs.takesFile(each.place)) return false;
    if (predicate === undefined) return true;
    const needsCard = [...predicate.fields].some((field) => field.isOnCard === true);
    const entry = needsCard
      ? await this.#plane.stat(each.entry.path, { follow: false, signal: this.#signal }).catch(unreadable)
      : each.entry;
    return entry !== undefined && predicate.test({ ...each, entry });
  }

  #begin(step: Step): Running {
    if (step.kind === 'halt') return { step };
    const { patterns, mode, before, after: behind, limit } = this.#query;
    const search = new BodySearch(this.#plane, {
      patterns,
      mode,
      before,
      after: behind,
      limit: mode === 'content' ? limit - this.#matches : limit,
      bytesMax: this.#budget.searchBytes,
      isOver: () => this.#watch.isOver(),
      pause: () => this.#watch.pause(),
      signal: this.#signal,
    });
    const done = search.run(step.path, step.resume).catch(unreadable);
    // Awaited in order; until then a failure must not count as unhandled.
    done.catch(() => undefined);
    return { step, search, done };
  }

  /** Reports what was found; where a bound is met, says where to go on (undefined: after this step). */
  async #finish({ step, search, done }: Running): Promise<TreeState | undefined> {
    if (step.kind === 'halt') {
      this.#stopped = step.reason;
      return step.before;
    }
    const found = await done;
    await this.#watch.pause();
    this.#scan.files += 1;
    this.#scan.bytes += search?.bytes ?? 0;
    if (found === undefined) this.#scan.unreadable += 1;
    if (found?.isBinary === true) this.#scan.binary += 1;
    const goOn =
      found === undefined ? undefined : this.#query.mode === 'content' ? this.#showLines(step, found) : this.#showFile(step, found);
    if (this.#stopped === undefined) {
      if (this.#scan.bytes >= this.#budget.searchBytes) this.#stopped = 'bytes';
      else if (this.#watch.isOver()) this.#stopped = 'deadline';
    }
    return goOn;
  }

  /** Modes `files` and `count`: one row a file, when all of it was searched. */
  #showFile(step: FileStep, found: SearchedBody): TreeState | undefined {
    const count = found.count + (step.resume?.count ?? 0);
    if (found.stoppedAt !== undefined) {
      this.#stopped = found.stopped ?? 'deadline';
      return inFile(step, found, found.stoppedAt, count);
    }
    if (count === 0) return undefined;
    const isCounted = this.#query.mode === 'count';
    const row = { ...head(found), ...(isCounted ? { count } : {}) };
    if (!this.#meter.take(row)) return this.#full(step);
    this.#files.push(row);
    if (isCounted) this.#matches += count;
    if (this.#files.length >= this.#query.limit) this.#stopped = 'limit';
    return undefined;
  }

  #showLines(step: FileStep, found: SearchedBody): TreeState | undefined {
    if (found.groups.length > 0 && !this.#meter.take(head(found))) return this.#full(step);
    const lines: ShownLine[] = [];
    let count = 0;
    let next: Position | undefined;
    for (const group of found.groups) {
      if (this.#matches >= this.#query.limit) {
        this.#stopped = 'limit';
        break;
      }
      const isFirst = this.#files.length === 0 && count === 0;
      // Surroundings that do not fit even alone are left out.
      const shown = this.#meter.take(group.lines) ? group.lines : isFirst ? group.lines.filter((line) => line.context !== true) : undefined;
      if (shown === undefined) {
        this.#stopped = 'answer';
        break;
      }
      lines.push(...shown);
      count += 1;
      this.#matches += 1;
      next = group.next;
    }
    if (count > 0) this.#files.push({ ...head(found), count, lines });
    if (count < found.groups.length) return next === undefined ? this.#full(step) : inFile(step, found, next, 0);
    if (found.stoppedAt !== undefined) {
      this.#stopped ??= found.stopped ?? 'limit';
      return inFile(step, found, found.stoppedAt, 0);
    }
    if (this.#matches >= this.#query.limit) this.#stopped = 'limit';
    return undefined;
  }

  /** Nothing of this file has room: the next answer begins with it. */
  #full(step: FileStep): TreeState {
    this.#stopped ??= 'answer';
    return step.resume === undefined ? step.before : { ...step.before, file: step.resume };
  }
}

function head({ path, generation }: SearchedBody): { readonly path: string; readonly uri: string } {
  return { path, uri: formatEvidence({ path, generation }) };
}

function inFile({ before, place }: FileStep, { generation }: SearchedBody, { offset, line }: Position, count: number): TreeState {
  return { ...before, file: { place, generation, offset, line, count } };
}

function after(step: Step): TreeState {
  return step.kind === 'halt' ? step.before : { root: step.before.root, place: step.place };
}

/** Files that vanish or refuse while the search goes on are counted, not fatal. */
function unreadable(error: unknown): undefined {
  const isPassing =
    isNokvError(error) &&
    (error.kind === 'not-found' || error.kind === 'denied' || error.code === 'not-directory' || error.code === 'is-directory');
  if (isPassing) return undefined;
  throw error;
}
