/**
 * `aggregate`: figures over the entries that match, grouped, from a bounded scan. An answer whose scan was not complete
 * covers the part that was scanned; its cursor goes on with the part after it. A complete one pages through its groups.
 */
import { NokvError } from '@nokv/types';
import { z } from 'zod';
import { AnswerMeter, lines, renderCursor, renderRows, renderScan, type Row, cell } from '../answer.js';
import { budgetOf, checkSignal, type VerbContext } from '../budget.js';
import { formatCursor, parseCursor, queryDigest } from '../cursor.js';
import { jsonValue, type FieldValue } from '../field-value.js';
import { fieldNamed } from '../fields.js';
import { accumulator, parseMetric, type Accumulator, type Metric } from '../metrics.js';
import { suggestion } from '../near-names.js';
import { compareKeys, parseSortKeys, type KeyValues } from '../ordering.js';
import type { Plane } from '../plane.js';
import { compilePredicate } from '../predicate.js';
import { SCAN_REPORT, Scan } from '../scan.js';
import type { Verb } from '../verb.js';
import { verbPath } from '../verb-path.js';
import { WHERE } from '../where.js';
import { WORD_LIST, wordList } from '../word-list.js';

const INPUT = z.strictObject({
  path: z.string().optional(),
  where: WHERE.optional(),
  by: WORD_LIST.optional(),
  metrics: WORD_LIST.optional().describe('count, sum|avg|min|max|distinct|p95(field)'),
  sort: WORD_LIST.optional().describe('"-count"'),
  limit: z.int().min(1).max(1000).optional().describe('default 50'),
  cursor: z.string().optional(),
});

const OUTPUT = z.object({
  path: z.string(),
  rows: z.array(z.record(z.string(), z.union([z.string(), z.number(), z.null()]))),
  groups: z.number(),
  matched: z.number(),
  /** Entries that matched but have no value: left out of the metrics over that field. */
  missing: z.record(z.string(), z.number()).optional(),
  scan: SCAN_REPORT,
  cursor: z.string().optional(),
});

type Output = z.output<typeof OUTPUT>;

const STATE = z.object({
  /** The scan begins after this place … */
  from: z.string().optional(),
  /** … and ends with this one. */
  to: z.string().optional(),
  /** Groups that were given. */
  given: z.int().min(0),
});

const GROUPS_MAX = 100_000;

export const aggregateVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'aggregate',
  title: 'Aggregate',
  description: 'Figures over all matching entries below a path, by group.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

interface Group {
  readonly key: readonly (FieldValue | undefined)[];
  readonly accumulators: readonly Accumulator[];
}

async function run(plane: Plane, input: z.output<typeof INPUT>, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const path = verbPath(input.path, context);
  const predicate = compilePredicate(input.where, context.clock);
  const by = [...new Set((wordList(input.by) ?? []).map((name) => fieldNamed(name, 'by')))];
  const metrics = uniqueMetrics((wordList(input.metrics) ?? ['count']).map(parseMetric));
  const columns = [...by.map((field) => field.name), ...metrics.map((metric) => metric.name)];
  const keys = parseSortKeys(wordList(input.sort) ?? (by.length === 0 ? undefined : by.map((field) => field.name))).map((key) => {
    const column = columnNamed(key.name, columns);
    return { ...key, index: columns.indexOf(column) };
  });
  const digest = queryDigest('aggregate', { path, where: input.where, columns, sort: keys });
  const state = input.cursor === undefined ? { given: 0 } : parseCursor(input.cursor, digest, STATE);
  const limit = input.limit ?? 50;

  const start = await plane.stat(path, { signal: context.signal });
  const scan = new Scan(plane, context);
  const groups = new Map<string, Group>();
  const missing = new Map<string, number>();
  const measured = [...new Set(metrics.flatMap((metric) => (metric.field === undefined ? [] : [metric.field])))];
  let matched = 0;
  await scan.run(start, { predicate, fields: [...by, ...measured], after: state.from, until: state.to }, (match) => {
    matched += 1;
    const key = by.map((field) => field.get(match));
    const id = JSON.stringify(key.map(jsonValue));
    let group = groups.get(id);
    if (group === undefined) {
      if (groups.size >= GROUPS_MAX)
        throw new NokvError('too-large', `by: more than ${GROUPS_MAX} groups; group by a field with fewer values`);
      group = { key, accumulators: metrics.map(accumulator) };
      groups.set(id, group);
    }
    for (const each of group.accumulators) each.add(match);
    for (const field of measured) if (field.get(match) === undefined) missing.set(field.name, (missing.get(field.name) ?? 0) + 1);
    return undefined;
  });
  const to = state.to ?? (scan.stopped === undefined ? undefined : scan.place);
  if (state.to !== undefined) scan.stopped = 'entries';
  // Figures over nothing are one row too: a count of 0.
  if (by.length === 0 && groups.size === 0) groups.set('', { key: [], accumulators: metrics.map(accumulator) });

  const sorted = [...groups.values()]
    .map((group): KeyValues => [...group.key, ...group.accumulators.map((each) => each.value())])
    .toSorted(
      (a, b) =>
        compareKeys(
          keys.map(({ index }) => a[index]),
          keys.map(({ index }) => b[index]),
          keys,
        ) || compareKeys(a, b, byColumn(columns)),
    );
  const meter = new AnswerMeter(budgetOf(context).answerBytes);
  const rows: Row[] = [];
  for (const values of sorted.slice(state.given, state.given + limit)) {
    const row = Object.fromEntries(columns.map((column, i) => [column, jsonValue(values[i])]));
    if (!meter.take(row)) {
      if (rows.length === 0) throw new NokvError('too-large', 'one row does not fit into an answer; ask for fewer metrics');
      break;
    }
    rows.push(row);
  }
  const given = state.given + rows.length;
  const next = given < sorted.length ? { from: state.from, to, given } : to === undefined ? undefined : { from: to, given: 0 };
  return {
    path: start.path,
    rows,
    groups: sorted.length,
    matched,
    ...(missing.size === 0 ? {} : { missing: Object.fromEntries(missing) }),
    scan: scan.report(),
    ...(next === undefined ? {} : { cursor: formatCursor(digest, next) }),
  };
}

function uniqueMetrics(metrics: readonly Metric[]): Metric[] {
  return [...new Map(metrics.map((metric) => [metric.name, metric])).values()];
}

function columnNamed(name: string, columns: readonly string[]): string {
  if (columns.includes(name)) return name;
  const metric = /[(:]/.test(name) ? parseMetric(name).name : name;
  if (columns.includes(metric)) return metric;
  throw new NokvError('invalid-argument', `sort: unknown column ${JSON.stringify(name)}; ${suggestion(name, columns, 'columns')}`, {
    details: { argument: 'sort' },
  });
}

function byColumn(columns: readonly string[]): { readonly name: string; readonly isDescending: false }[] {
  return columns.map((name) => ({ name, isDescending: false }));
}

function renderText(result: Output): string {
  const missing = Object.entries(result.missing ?? {}).map(([name, count]) => `${count} without ${name}`);
  return lines(
    `${cell(result.path)}: ${result.rows.length} of ${result.groups} groups over ${result.matched} entries${missing.length === 0 ? '' : ` (${missing.join(', ')})`}; ${renderScan(result.scan)}`,
    !result.scan.complete && 'the figures cover this part of the tree only',
    renderRows(result.rows),
    renderCursor(result.cursor),
  );
}
