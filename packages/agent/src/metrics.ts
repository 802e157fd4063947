/** Metrics of `aggregate`: how they are written, and what computes them. What is missing is left out. */
import { NokvError } from '@nokv/types';
import { compareValues, type FieldValue } from './field-value.js';
import { fieldNamed, type Field, type ScannedEntry } from './fields.js';
import { suggestion } from './near-names.js';

export type MetricKind = 'count' | 'sum' | 'avg' | 'min' | 'max' | 'distinct' | 'percentile';

export interface Metric {
  /** As it stands in answers: `count`, `sum(size)`, `p95(size)`. */
  readonly name: string;
  readonly kind: MetricKind;
  readonly field?: Field;
  /** 0 to 100, of a percentile. */
  readonly percent?: number;
}

export interface Accumulator {
  add(entry: ScannedEntry): void;
  value(): FieldValue | undefined;
}

const WORDS = ['count', 'sum', 'avg', 'min', 'max', 'distinct', 'median', 'p50', 'p90', 'p95', 'p99'];
const VALUES_MAX = 2_000_000;

/** `count`, `sum(size)` or `sum:size`, `p99.9(size)`. */
export function parseMetric(text: string): Metric {
  const match = /^\s*([A-Za-z]+\d*(?:\.\d+)?)\s*(?:[(:]\s*([^()\s]*)\s*\)?)?\s*$/.exec(text);
  const word = match?.[1]?.toLowerCase() ?? '';
  const kind = kindOf(word);
  if (match === null || kind === undefined) {
    throw wrong(
      `unknown metric ${JSON.stringify(text)}; ${suggestion(word === '' ? text : word, WORDS, 'metrics')}; for example sum(size)`,
    );
  }
  const [, , name = ''] = match;
  if (kind === 'count' && (name === '' || name === '*')) return { name: 'count', kind };
  if (name === '') throw wrong(`${word} needs a field, for example ${word}(size)`);
  const field = fieldNamed(name, 'metrics');
  if ((kind === 'sum' || kind === 'avg' || kind === 'percentile') && field.type === 'string') {
    throw wrong(`${word}(${field.name}): ${field.name} is text; ${word} takes numbers, for text there are count, min, max and distinct`);
  }
  if ((kind === 'sum' || kind === 'avg') && field.type === 'time')
    throw wrong(`${word}(${field.name}): ${field.name} is a time; use min, max or a percentile`);
  const percent = word === 'median' ? 50 : kind === 'percentile' ? Number(word.slice(1)) : undefined;
  return { name: `${word}(${field.name})`, kind, field, ...(percent === undefined ? {} : { percent }) };
}

export function accumulator({ kind, field, percent }: Metric): Accumulator {
  let count = 0;
  let sum = 0;
  let best: FieldValue | undefined;
  const values: FieldValue[] = [];
  const distinct = new Set<FieldValue>();
  const sign = kind === 'min' ? -1 : 1;
  const bounded = (size: number): void => {
    if (size > VALUES_MAX)
      throw new NokvError('too-large', `metrics: more than ${VALUES_MAX} values for one figure; narrow the path or where`);
  };
  return {
    add(entry) {
      const value = field?.get(entry);
      if (field === undefined) count += 1;
      if (value === undefined) return;
      if (field !== undefined) count += 1;
      if (kind === 'sum' || kind === 'avg') sum += Number(value);
      else if (kind === 'min' || kind === 'max') {
        if (best === undefined || sign * compareValues(value, best) > 0) best = value;
      } else if (kind === 'distinct') {
        distinct.add(value);
        bounded(distinct.size);
      } else if (kind === 'percentile') {
        values.push(value);
        bounded(values.length);
      }
    },
    value() {
      if (kind === 'count') return count;
      if (kind === 'distinct') return distinct.size;
      if (kind === 'min' || kind === 'max') return best;
      if (kind === 'percentile') return percentile(values, percent ?? 50);
      if (kind === 'sum') return sum;
      return count === 0 ? undefined : sum / count;
    },
  };
}

/** Linear interpolation between the two nearest ranks, as spreadsheets and SQL's PERCENTILE_CONT have it; times take the lower one. */
function percentile(values: readonly FieldValue[], percent: number): FieldValue | undefined {
  const sorted = values.toSorted(compareValues);
  const rank = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(rank)];
  const high = sorted[Math.ceil(rank)];
  if (typeof low !== 'number' || typeof high !== 'number') return low;
  return low + (high - low) * (rank - Math.floor(rank));
}

function kindOf(word: string): MetricKind | undefined {
  switch (word) {
    case 'count':
    case 'sum':
    case 'avg':
    case 'min':
    case 'max':
    case 'distinct':
      return word;
    case 'mean':
      return 'avg';
    case 'median':
      return 'percentile';
    default:
      return /^p\d{1,2}(?:\.\d{1,3})?$|^p100$/.test(word) ? 'percentile' : undefined;
  }
}

function wrong(message: string): NokvError {
  return new NokvError('invalid-argument', `metrics: ${message}`, { details: { argument: 'metrics' } });
}
