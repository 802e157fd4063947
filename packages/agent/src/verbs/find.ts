/**
 * `find`: rows by predicate from a bounded scan.
 *
 * Without `sort` rows come in tree order and a cursor is a place in the tree. With `sort` the scan goes over a segment of
 * the tree (all of it, unless a bound stopped it) and a cursor is the segment and the last row in its order: the pages of
 * a segment are sorted together, and a further segment begins where the last one stopped, which the answer says.
 */
import { NokvError } from '@nokv/types';
import { z } from 'zod';
import { AnswerMeter, lines, renderCursor, renderRows, renderScan, type Row, cell } from '../answer.js';
import { budgetOf, checkSignal, type StopReason, type VerbContext } from '../budget.js';
import { formatCursor, parseCursor, queryDigest } from '../cursor.js';
import { jsonValue } from '../field-value.js';
import { fieldNamed, type Field } from '../fields.js';
import { KEY_VALUES, compareKeys, packKeys, parseSortKeys, unpackKeys, type KeyValues, type SortKey } from '../ordering.js';
import type { Plane, PlaneEntry } from '../plane.js';
import { compilePredicate, type Predicate } from '../predicate.js';
import { SCAN_REPORT, Scan } from '../scan.js';
import type { Verb } from '../verb.js';
import { verbPath } from '../verb-path.js';
import { comparePlaces, type WalkedEntry } from '../walk.js';
import { WHERE } from '../where.js';
import { WORD_LIST, wordList } from '../word-list.js';

const INPUT = z.strictObject({
  path: z.string().optional(),
  where: WHERE.optional(),
  sort: WORD_LIST.optional().describe('"-size,name"'),
  fields: WORD_LIST.optional(),
  limit: z.int().min(0).max(1000).optional().describe('default 50; 0 counts'),
  cursor: z.string().optional(),
});

const OUTPUT = z.object({
  path: z.string(),
  rows: z.array(z.record(z.string(), z.union([z.string(), z.number(), z.null()]))),
  /** Rows that match, over all pages; at least so many when the scan was not complete. */
  matched: z.number(),
  scan: SCAN_REPORT,
  cursor: z.string().optional(),
});

type Output = z.output<typeof OUTPUT>;

const STATE = z.object({
  /** The segment begins after this place … */
  from: z.string().optional(),
  /** … and ends with this one, where a bound stopped the scan. */
  to: z.string().optional(),
  /** The last row that was given: its place and, in a sorted query, its keys. */
  place: z.string().optional(),
  keys: KEY_VALUES.optional(),
  /** Rows that matched before `from`. */
  before: z.int(),
});

type State = z.output<typeof STATE>;

const FIELDS_DEFAULT = ['path', 'type', 'size', 'mtime', 'generation'];
const LIMIT_DEFAULT = 50;
/** With a full page the scan goes on for the exact count, so long. */
const COUNT_TIME_MS = 1500;

export const findVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'find',
  title: 'Find',
  description: 'Rows of all entries below a path that match; sorted, projected, counted.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

interface Query {
  readonly start: PlaneEntry;
  readonly predicate: Predicate;
  readonly keys: readonly SortKey[];
  readonly keyFields: readonly Field[];
  readonly fields: readonly Field[];
  readonly limit: number;
  readonly digest: string;
  readonly state: State;
}

async function run(plane: Plane, input: z.output<typeof INPUT>, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const path = verbPath(input.path, context);
  const predicate = compilePredicate(input.where, context.clock);
  const keys = parseSortKeys(wordList(input.sort));
  const fields = [...new Set((wordList(input.fields) ?? FIELDS_DEFAULT).map((name) => fieldNamed(name, 'fields')))];
  const digest = queryDigest('find', { path, where: input.where, sort: keys, fields: fields.map((field) => field.name) });
  const state = input.cursor === undefined ? { before: 0 } : parseCursor(input.cursor, digest, STATE);
  const query: Query = {
    start: await plane.stat(path, { signal: context.signal }),
    predicate,
    keys,
    keyFields: keys.map((key) => fieldNamed(key.name, 'sort')),
    fields,
    limit: input.limit ?? LIMIT_DEFAULT,
    digest,
    state,
  };
  return keys.length === 0 ? inTreeOrder(plane, query, context) : inSortOrder(plane, query, context);
}

async function inTreeOrder(plane: Plane, query: Query, context: VerbContext): Promise<Output> {
  const { start, predicate, fields, limit, digest, state } = query;
  const { answerBytes, timeMs } = budgetOf(context);
  const meter = new AnswerMeter(answerBytes);
  const scan = new Scan(plane, context);
  const rows: Row[] = [];
  let last: string | undefined;
  let count = 0;
  let isFull = limit === 0;
  let countUntilMs = Number.POSITIVE_INFINITY;
  await scan.run(start, { predicate, fields, after: state.place }, (match) => {
    if (!isFull) {
      const row = rowOf(match, fields);
      if (meter.take(row)) {
        rows.push(row);
        last = match.place;
      } else if (rows.length === 0) throw rowTooLarge(match);
      else isFull = true;
      isFull ||= rows.length >= limit;
      if (isFull && limit > 0) countUntilMs = context.clock.monotonicMs() + Math.min(COUNT_TIME_MS, timeMs);
    }
    count += 1;
    return context.clock.monotonicMs() > countUntilMs ? 'limit' : undefined;
  });
  const goesOn = scan.stopped !== undefined || (limit > 0 && count > rows.length);
  // A call that only counts goes on where it stopped; a page, after its last row.
  const isPage = limit > 0 && count > rows.length;
  const place = isPage ? last : scan.place;
  const before = state.before + (isPage ? rows.length : count);
  return {
    path: start.path,
    rows,
    matched: state.before + count,
    scan: scan.report(),
    ...(goesOn && place !== undefined ? { cursor: formatCursor(digest, { place, before }) } : {}),
  };
}

interface Candidate {
  readonly keys: KeyValues;
  readonly match: WalkedEntry;
}

async function inSortOrder(plane: Plane, query: Query, context: VerbContext): Promise<Output> {
  const { start, predicate, fields, keys, keyFields, limit, digest, state } = query;
  const order = (a: Candidate, b: { readonly keys: KeyValues; readonly match: { readonly place: string } }): number =>
    compareKeys(a.keys, b.keys, keys) || comparePlaces(a.match.place, b.match.place);
  const given = state.place === undefined ? undefined : { keys: unpackKeys(state.keys ?? []), match: { place: state.place } };
  const scan = new Scan(plane, context);
  const best: Candidate[] = [];
  let count = 0;
  let remaining = 0;
  const wanted = [...fields, ...keyFields];
  const onMatch = (match: WalkedEntry): StopReason | undefined => {
    count += 1;
    const candidate = { keys: keyFields.map((field) => field.get(match)), match };
    if (given !== undefined && order(candidate, given) <= 0) return undefined;
    remaining += 1;
    insert(best, candidate, limit, order);
    return undefined;
  };
  await scan.run(start, { predicate, fields: wanted, after: state.from, until: state.to }, onMatch);
  const to = state.to ?? (scan.stopped === undefined ? undefined : scan.place);
  if (state.to !== undefined) scan.stopped = 'entries';

  const meter = new AnswerMeter(budgetOf(context).answerBytes);
  const rows: Row[] = [];
  let last = given === undefined ? undefined : { place: given.match.place, keys: state.keys };
  for (const candidate of best) {
    const row = rowOf(candidate.match, fields);
    if (!meter.take(row)) {
      if (rows.length === 0) throw rowTooLarge(candidate.match);
      break;
    }
    rows.push(row);
    last = { place: candidate.match.place, keys: packKeys(candidate.keys) };
  }
  const next: State | undefined =
    limit > 0 && remaining > rows.length
      ? { ...state, ...(to === undefined ? {} : { to }), ...last }
      : to === undefined
        ? undefined
        : { from: to, before: state.before + count };
  return {
    path: start.path,
    rows,
    matched: state.before + count,
    scan: scan.report(),
    ...(next === undefined ? {} : { cursor: formatCursor(digest, next) }),
  };
}

/** Keeps the first `limit` of all candidates, in order. */
function insert(best: Candidate[], candidate: Candidate, limit: number, order: (a: Candidate, b: Candidate) => number): void {
  const worst = best.at(-1);
  if (limit === 0 || (best.length >= limit && worst !== undefined && order(candidate, worst) >= 0)) return;
  let low = 0;
  let high = best.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = best[middle];
    if (other !== undefined && order(other, candidate) <= 0) low = middle + 1;
    else high = middle;
  }
  best.splice(low, 0, candidate);
  if (best.length > limit) best.pop();
}

function rowOf(match: WalkedEntry, fields: readonly Field[]): Row {
  return Object.fromEntries(fields.map((field) => [field.name, jsonValue(field.get(match))]));
}

function rowTooLarge({ entry }: WalkedEntry): NokvError {
  return new NokvError('too-large', `one row (${entry.path}) does not fit into an answer; ask for fewer fields`);
}

function renderText(result: Output): string {
  const { rows, matched, scan } = result;
  const count = scan.complete ? `${matched} matched` : `at least ${matched} matched`;
  return lines(`${cell(result.path)}: ${rows.length} rows, ${count}; ${renderScan(scan)}`, renderRows(rows), renderCursor(result.cursor));
}
