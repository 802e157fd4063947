/**
 * `grep`: lines that match, over files below one or several paths, in tree order. Files are searched a few at a time and
 * reported in order; the answer stops at a bound (matches, size, bytes, time) with a cursor that goes on with the line
 * after the last one reported.
 */
import { isNokvError } from '@nokv/types';
import { z } from 'zod';
import { AnswerMeter, lines, renderCursor } from '../answer.js';
import { Stopwatch, budgetOf, checkSignal, type StopReason, type VerbContext } from '../budget.js';
import { formatCursor, parseCursor, queryDigest } from '../cursor.js';
import { formatEvidence } from '../evidence-uri.js';
import { compileGlobSet, type GlobSet } from '../pattern/glob.js';
import { compilePattern, type Pattern } from '../pattern/pattern.js';
import type { Plane, PlaneEntry } from '../plane.js';
import { compilePredicate, type Predicate } from '../predicate.js';
import { Search, type SearchMode, type SearchedFile, type ShownLine } from '../text/search-body.js';
import type { Verb } from '../verb.js';
import { verbPaths } from '../verb-path.js';
import { walk } from '../walk.js';
import { WHERE } from '../where.js';

const LIST = z.union([z.string(), z.array(z.string()).min(1).max(50)]);

const INPUT = z.strictObject({
  pattern: LIST.describe('regex'),
  path: LIST.optional(),
  glob: LIST.optional().describe('"*.py", "!tmp"'),
  where: WHERE.optional().meta({ description: 'which files, as in find' }),
  literal: z.boolean().optional(),
  ignoreCase: z.boolean().optional(),
  mode: z.enum(['content', 'files', 'count']).optional(),
  context: z.int().min(0).max(20).optional(),
  before: z.int().min(0).max(20).optional(),
  after: z.int().min(0).max(20).optional(),
  limit: z.int().min(1).max(1000).optional().describe('matches or files, default 100'),
  cursor: z.string().optional(),
});

type Input = z.output<typeof INPUT>;

const LINE = z.object({
  line: z.number(),
  text: z.string(),
  /** A line around a match. */
  context: z.boolean().optional(),
  /** Cut around the match. */
  clipped: z.boolean().optional(),
});

const FILE = z.object({
  path: z.string(),
  uri: z.string(),
  /** Matching lines: all of the file's in `count`, those shown in `content`. */
  count: z.number().optional(),
  lines: z.array(LINE).optional(),
});

const OUTPUT = z.object({
  mode: z.enum(['content', 'files', 'count']),
  files: z.array(FILE),
  /** Matching lines in this answer. */
  matches: z.number(),
  scan: z.object({
    complete: z.boolean(),
    files: z.number(),
    bytes: z.number(),
    binary: z.number().optional(),
    unreadable: z.number().optional(),
    stopped: z.enum(['entries', 'deadline', 'bytes', 'limit', 'answer']).optional(),
  }),
  cursor: z.string().optional(),
});

type Output = z.output<typeof OUTPUT>;

const STATE = z.object({
  /** Index of the path that is being searched. */
  root: z.int().min(0),
  /** Everything up to this place is done … */
  place: z.string().optional(),
  /** … except that the file at this place goes on here. */
  file: z.object({ place: z.string(), generation: z.int(), offset: z.int().min(0), line: z.int().min(1), count: z.int().min(0) }).optional(),
});

type State = z.output<typeof STATE>;

/** Files that are opened and searched at a time. */
const PARALLEL = 4;

export const grepVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'grep',
  title: 'Grep',
  description: 'Lines that match, below paths. ripgrep syntax, but hidden and ignored files take part; binary ones are skipped.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

interface Candidate {
  readonly root: number;
  readonly place: string;
  readonly path: string;
  readonly resume: State['file'];
  /** Where a call goes on that must begin with this file. */
  readonly before: State;
}

interface Query {
  readonly roots: readonly PlaneEntry[];
  readonly patterns: readonly Pattern[];
  readonly globs: GlobSet | undefined;
  readonly predicate: Predicate | undefined;
  readonly mode: SearchMode;
  readonly limit: number;
  readonly before: number;
  readonly after: number;
  readonly state: State;
}

async function run(plane: Plane, input: Input, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const paths = verbPaths(input.path, context);
  const { pattern, literal = false, ignoreCase = false, mode = 'content' } = input;
  const around = input.context ?? 0;
  const shape = { before: input.before ?? around, after: input.after ?? around };
  const patterns = asList(pattern).map((text) => compilePattern(text, { isLiteral: literal, ignoreCase, argument: 'pattern' }));
  const globs = input.glob === undefined ? undefined : compileGlobSet(asList(input.glob), 'glob');
  const predicate = input.where === undefined ? undefined : compilePredicate(input.where, context.clock);
  const digest = queryDigest('grep', { paths, pattern, literal, ignoreCase, mode, glob: input.glob, where: input.where });
  const state = input.cursor === undefined ? { root: 0 } : parseCursor(input.cursor, digest, STATE);
  const roots = await Promise.all(paths.map((path) => plane.stat(path, { signal: context.signal })));
  return search(plane, { roots, patterns, globs, predicate, mode, limit: input.limit ?? 100, ...shape, state }, digest, context);
}

async function search(plane: Plane, query: Query, digest: string, context: VerbContext): Promise<Output> {
  const budget = budgetOf(context);
  const watch = new Stopwatch(context, budget.timeMs);
  const meter = new AnswerMeter(budget.answerBytes);
  const abort = new AbortController();
  const signal = context.signal === undefined ? abort.signal : AbortSignal.any([context.signal, abort.signal]);
  const files: Output['files'][number][] = [];
  const scan = { files: 0, bytes: 0, binary: 0, unreadable: 0 };
  let matches = 0;
  let stopped: StopReason | undefined;
  let goOn: State | undefined;
  let entries = 0;

  const onUnreadable = (): void => {
    scan.unreadable += 1;
  };
  const onEntry = (): void => {
    entries += 1;
  };
  const candidates = candidatesOf(plane, query, context, onUnreadable, onEntry);
  const running: { readonly candidate: Candidate; readonly search: Search; readonly done: Promise<SearchedFile | undefined> }[] = [];
  let isDrained = false;
  try {
    for (;;) {
      while (!isDrained && stopped === undefined && running.length < PARALLEL) {
        const next = await candidates.next();
        if (next.done === true) {
          isDrained = true;
          break;
        }
        running.push(begin(next.value));
      }
      const first = running.shift();
      if (first === undefined) break;
      const found = await first.done;
      await watch.pause();
      scan.files += 1;
      scan.bytes += first.search.bytes;
      if (found === undefined) scan.unreadable += 1;
      else {
        if (found.isBinary) scan.binary += 1;
        goOn = report(first.candidate, found);
      }
      const done: State = { root: first.candidate.root, place: first.candidate.place };
      if (stopped === undefined) {
        if (entries >= budget.entries) stopped = 'entries';
        else if (scan.bytes >= budget.searchBytes) stopped = 'bytes';
        else if (watch.isOver()) stopped = 'deadline';
      }
      if (stopped === undefined) continue;
      if (stopped === 'limit' && goOn === undefined && running.length === 0) {
        // The last match may have been the last one there is.
        isDrained ||= (await candidates.next()).done === true;
        if (isDrained) stopped = undefined;
      }
      goOn ??= done;
      break;
    }
  } finally {
    abort.abort();
    await candidates.return(undefined);
    await Promise.allSettled(running.map(({ done }) => done));
  }
  const isOver = stopped === undefined;
  return {
    mode: query.mode,
    files,
    matches,
    scan: {
      complete: isOver,
      files: scan.files,
      bytes: scan.bytes,
      ...(scan.binary === 0 ? {} : { binary: scan.binary }),
      ...(scan.unreadable === 0 ? {} : { unreadable: scan.unreadable }),
      ...(stopped === undefined ? {} : { stopped }),
    },
    ...(isOver || goOn === undefined ? {} : { cursor: formatCursor(digest, goOn) }),
  };

  function begin(candidate: Candidate): (typeof running)[number] {
    const one = new Search(plane, {
      patterns: query.patterns,
      mode: query.mode,
      before: query.before,
      after: query.after,
      limit: query.limit - (query.mode === 'content' ? matches : 0),
      isOver: () => watch.isOver(),
      pause: () => watch.pause(),
      bytesMax: budget.searchBytes,
      signal,
    });
    const done = one.run(candidate.path, candidate.resume).catch(unreadable);
    // Awaited in order; until then a failure must not count as unhandled.
    done.catch(() => undefined);
    return { candidate, search: one, done };
  }

  /** Puts a file's matches into the answer; where a bound is met, says where to go on. */
  function report(candidate: Candidate, found: SearchedFile): State | undefined {
    const { root, place } = candidate;
    const inFile = (at: { readonly offset: number; readonly line: number }, count: number): State => ({
      ...candidate.before,
      root,
      file: { place, generation: found.generation, offset: at.offset, line: at.line, count },
    });
    const base = { path: found.path, uri: formatEvidence({ path: found.path, generation: found.generation }) };
    if (query.mode !== 'content') {
      const count = found.count + (candidate.resume?.count ?? 0);
      if (found.stoppedAt !== undefined) {
        stopped = found.stopped ?? 'deadline';
        return inFile(found.stoppedAt, count);
      }
      if (count === 0) return undefined;
      const row = query.mode === 'count' ? { ...base, count } : base;
      if (!meter.take(row)) {
        stopped = 'answer';
        return candidate.before;
      }
      files.push(row);
      matches += query.mode === 'count' ? count : 0;
      if (files.length >= query.limit) stopped = 'limit';
      return undefined;
    }
    const shown: ShownLine[] = [];
    let count = 0;
    let resume: { readonly offset: number; readonly line: number } | undefined;
    if (found.groups.length > 0 && !meter.take(base)) {
      stopped = 'answer';
      return candidate.before;
    }
    for (const group of found.groups) {
      if (matches >= query.limit) {
        stopped = 'limit';
        break;
      }
      if (!meter.take(group.lines) && (files.length > 0 || shown.length > 0)) {
        stopped = 'answer';
        break;
      }
      shown.push(...group.lines);
      count += 1;
      matches += 1;
      resume = group.next;
    }
    if (count > 0) files.push({ ...base, count, lines: shown });
    const isWhole = count === found.groups.length;
    if (isWhole && found.stoppedAt !== undefined) {
      stopped ??= found.stopped ?? 'limit';
      return inFile(found.stoppedAt, 0);
    }
    if (!isWhole) return resume === undefined ? candidate.before : inFile(resume, 0);
    if (matches >= query.limit) stopped = 'limit';
    return undefined;
  }
}

/** Files in tree order, path by path, beginning where the cursor says. */
async function* candidatesOf(
  plane: Plane,
  query: Query,
  context: VerbContext,
  onUnreadable: () => void,
  onEntry: () => void,
): AsyncGenerator<Candidate, void, undefined> {
  const { roots, globs, predicate, state } = query;
  const needsCard = [...(predicate?.fields ?? [])].some((field) => field.isOnCard === true);
  for (const [root, start] of roots.entries()) {
    if (root < state.root) continue;
    const isResumed = root === state.root;
    const resume = isResumed ? state.file : undefined;
    let previous: string | undefined = isResumed ? state.place : undefined;
    if (resume !== undefined) {
      yield { root, place: resume.place, path: placePath(start, resume.place), resume, before: { root, ...(previous === undefined ? {} : { place: previous }) } };
      previous = resume.place;
    }
    const walked = walk(plane, start, {
      signal: context.signal,
      after: previous,
      onUnreadable,
      takesDirectory: globs === undefined ? undefined : (place) => globs.takesDirectory(place),
    });
    for await (const each of walked) {
      checkSignal(context.signal);
      onEntry();
      if (each.entry.card.type !== 'file') continue;
      if (each.place !== '' && globs !== undefined && !globs.takesFile(each.place)) continue;
      if (predicate !== undefined) {
        const entry = needsCard ? await plane.stat(each.entry.path, { follow: false, signal: context.signal }).catch(unreadable) : each.entry;
        if (entry === undefined || !predicate.test({ ...each, entry })) continue;
      }
      yield { root, place: each.place, path: each.entry.path, resume: undefined, before: { root, ...(previous === undefined ? {} : { place: previous }) } };
      previous = each.place;
    }
  }
}

function placePath(start: PlaneEntry, place: string): string {
  if (place === '') return start.path;
  return start.path === '/' ? `/${place}` : `${start.path}/${place}`;
}

function asList(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}

/** Files that vanish or refuse while the search goes on are counted, not fatal. */
function unreadable(error: unknown): undefined {
  if (isNokvError(error) && (error.kind === 'not-found' || error.kind === 'denied' || error.code === 'not-directory' || error.code === 'is-directory')) return undefined;
  throw error;
}

function renderText(result: Output): string {
  const { mode, files, matches, scan } = result;
  const skipped = [
    scan.binary === undefined ? '' : `, ${scan.binary} binary skipped`,
    scan.unreadable === undefined ? '' : `, ${scan.unreadable} unreadable`,
  ].join('');
  const found = mode === 'files' ? `${files.length} files match` : `${matches} matching lines in ${files.length} files`;
  const state = scan.complete ? 'complete' : `PARTIAL: stopped at ${scan.stopped}`;
  return lines(
    `${found}; ${state}: ${scan.files} files, ${scan.bytes} bytes searched${skipped}`,
    ...files.map((file) => {
      if (mode === 'files') return file.uri;
      if (mode === 'count') return `${file.count}\t${file.uri}`;
      return [file.uri, ...(file.lines ?? []).map((line) => `${line.line}${line.context === true ? '-' : ':'}${line.text}${line.clipped === true ? ' [cut]' : ''}`)].join('\n');
    }),
    renderCursor(result.cursor),
  );
}
