/** `catalog`: which fields can be asked about under a path, with what a bounded scan found in them. */
import { z } from 'zod';
import { cell, lines, renderScan } from '../answer.js';
import { checkSignal, type VerbContext } from '../budget.js';
import { compareValues, jsonValue, type FieldValue } from '../field-value.js';
import { FIELDS, type Field } from '../fields.js';
import type { Plane } from '../plane.js';
import { ORDER_OPERATORS, TEXT_OPERATORS } from '../predicate.js';
import { SCAN_REPORT, Scan } from '../scan.js';
import type { Verb } from '../verb.js';
import { verbPath } from '../verb-path.js';
import { isNokvError } from '@nokv/types';

const INPUT = z.strictObject({ path: z.string().optional() });

const VALUE = z.union([z.string(), z.number()]);

const OUTPUT = z.object({
  path: z.string(),
  fields: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['string', 'number', 'time']),
      about: z.string(),
      /** Share of the sample that has a value, 0 to 1. */
      coverage: z.number(),
      min: VALUE.optional(),
      max: VALUE.optional(),
      /** Different values in the sample, counted to 1,000. */
      distinct: z.number().optional(),
      top: z.array(z.object({ value: z.string(), count: z.number() })).optional(),
    }),
  ),
  operators: z.object({ string: z.array(z.string()), number: z.array(z.string()), time: z.array(z.string()) }),
  scan: SCAN_REPORT,
});

type Output = z.output<typeof OUTPUT>;

/** A catalog is a first look: it samples rather than waits. */
const SAMPLE_ENTRIES = 10_000;
const SAMPLE_TIME_MS = 2000;
/** Fields that listings lack cost a `stat` an entry: so many are asked. */
const CARD_SAMPLE = 100;
const DISTINCT_MAX = 1000;
const TOP_MAX = 5;

export const catalogVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'catalog',
  title: 'Catalog',
  description: 'Fields for find and aggregate under a path: type, operators, coverage, range, top values. Ask this first.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

interface Summary {
  seen: number;
  present: number;
  min: FieldValue | undefined;
  max: FieldValue | undefined;
  readonly counts: Map<FieldValue, number>;
}

async function run(plane: Plane, input: z.output<typeof INPUT>, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const path = verbPath(input.path, context);
  const start = await plane.stat(path, { signal: context.signal });
  const summaries = new Map<Field, Summary>();
  for (const field of FIELDS.values()) summaries.set(field, { seen: 0, present: 0, min: undefined, max: undefined, counts: new Map() });
  const listed = [...summaries].filter(([field]) => field.isOnCard !== true);
  const carded = [...summaries].filter(([field]) => field.isOnCard === true);
  const sample: string[] = [];
  const scan = new Scan(plane, context);
  const predicate = { test: () => true, fields: new Set<Field>() };
  await scan.run(start, { predicate, entriesMax: SAMPLE_ENTRIES, timeMs: SAMPLE_TIME_MS }, (match) => {
    for (const [field, summary] of listed) observe(summary, field.get(match));
    if (sample.length < CARD_SAMPLE && match.entry.card.type !== 'directory') sample.push(match.entry.path);
    return undefined;
  });
  for (let at = 0; at < sample.length; at += 25) {
    const cards = await Promise.all(
      sample.slice(at, at + 25).map((each) => plane.stat(each, { follow: false, signal: context.signal }).catch(gone)),
    );
    for (const entry of cards) {
      if (entry !== undefined) for (const [field, summary] of carded) observe(summary, field.get({ entry, depth: 0 }));
    }
  }
  return {
    path,
    fields: [...summaries].map(([field, summary]) => describeField(field, summary)),
    operators: { string: TEXT_OPERATORS, number: ORDER_OPERATORS, time: ORDER_OPERATORS },
    scan: scan.report(),
  };
}

function observe(summary: Summary, value: FieldValue | undefined): void {
  summary.seen += 1;
  if (value === undefined) return;
  summary.present += 1;
  if (summary.min === undefined || compareValues(value, summary.min) < 0) summary.min = value;
  if (summary.max === undefined || compareValues(value, summary.max) > 0) summary.max = value;
  const count = summary.counts.get(value);
  if (count !== undefined || summary.counts.size < DISTINCT_MAX) summary.counts.set(value, (count ?? 0) + 1);
}

function describeField(field: Field, summary: Summary): Output['fields'][number] {
  const { seen, present, min, max, counts } = summary;
  const base = {
    name: field.name,
    type: field.type,
    about: field.description,
    coverage: seen === 0 ? 0 : Math.round((present / seen) * 1000) / 1000,
  };
  if (present === 0) return base;
  if (field.type !== 'string') return { ...base, min: jsonValue(min) ?? '', max: jsonValue(max) ?? '' };
  const repeated = [...counts].filter(([, count]) => count > 1 || counts.size <= TOP_MAX);
  const top = repeated
    .toSorted((a, b) => b[1] - a[1] || compareValues(a[0], b[0]))
    .slice(0, TOP_MAX)
    .map(([value, count]) => ({ value: String(value).slice(0, 100), count }));
  return { ...base, distinct: counts.size, ...(top.length === 0 ? {} : { top }) };
}

function gone(error: unknown): undefined {
  if (isNokvError(error) && (error.kind === 'not-found' || error.code === 'not-directory')) return undefined;
  throw error;
}

function renderText(result: Output): string {
  const fields = result.fields.map((field) => {
    const range = field.min === undefined ? '' : ` ${cell(field.min)}..${cell(field.max)}`;
    const top = field.top === undefined ? '' : ` top: ${field.top.map(({ value, count }) => `${cell(value)} (${count})`).join(', ')}`;
    const distinct =
      field.distinct === undefined ? '' : ` distinct: ${field.distinct >= DISTINCT_MAX ? `${DISTINCT_MAX} or more` : field.distinct}`;
    return `${field.name}\t${field.type}\t${Math.round(field.coverage * 100)}%\t${field.about};${range}${distinct}${top}`;
  });
  const { string, number } = result.operators;
  return lines(
    `${cell(result.path)}: fields (name, type, coverage, about); ${renderScan(result.scan)}`,
    ...fields,
    `operators of text: ${string.join(' ')}`,
    `operators of numbers and times: ${number.join(' ')}`,
  );
}
