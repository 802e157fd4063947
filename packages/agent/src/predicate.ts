/**
 * Predicates over fields: `{field, op, value}` joined by `and`, `or`, `not`, or the same as text (predicate-text.ts).
 * Two-valued: a comparison with a missing value is false, and `ne` is exactly the opposite of `eq`, `not` of what it holds.
 * Whatever could match nothing by mistake (an unknown field, operator or value of a fixed set) is refused.
 */
import { NokvError, type Clock } from '@nokv/types';
import { compareValues, parseSize, parseTime, type FieldValue } from './field-value.js';
import { fieldNamed, type Field, type ScannedEntry } from './fields.js';
import { nearNames, suggestion } from './near-names.js';
import { compileGlob } from './pattern/glob.js';
import { compilePattern } from './pattern/pattern.js';
import { parsePredicateText } from './predicate-text.js';

export interface Predicate {
  readonly test: (scanned: ScannedEntry) => boolean;
  /** Fields that it reads. */
  readonly fields: ReadonlySet<Field>;
}

export interface Comparison {
  readonly field: string;
  readonly op: string;
  readonly value?: unknown;
  readonly ignoreCase?: boolean;
}

export const TEXT_OPERATORS = [
  'eq',
  'ne',
  'in',
  'prefix',
  'suffix',
  'contains',
  'regex',
  'glob',
  'gt',
  'gte',
  'lt',
  'lte',
  'between',
  'exists',
];
export const ORDER_OPERATORS = ['eq', 'ne', 'in', 'gt', 'gte', 'lt', 'lte', 'between', 'exists'];

const DEPTH_MAX = 16;
const TERMS_MAX = 500;
const SHAPE = 'expected {field, op, value} or {and: […]}, {or: […]}, {not: {…}}';

type Test = (scanned: ScannedEntry) => boolean;

/** Compiles what stands in `where`; absent means every entry. Relative times are taken from the clock once. */
export function compilePredicate(where: unknown, clock: Pick<Clock, 'nowMs'>): Predicate {
  const fields = new Set<Field>();
  if (where === undefined) return { test: () => true, fields };
  const counter = { terms: 0 };
  const tree = typeof where === 'string' ? parseText(where) : where;
  return { test: compileNode(tree, 'where', 0), fields };

  function compileNode(node: unknown, at: string, depth: number): Test {
    counter.terms += 1;
    if (depth > DEPTH_MAX) throw wrong(at, `nested deeper than ${DEPTH_MAX} levels`);
    if (counter.terms > TERMS_MAX) throw wrong(at, `more than ${TERMS_MAX} terms`);
    if (Array.isArray(node)) return compileAll(node, at, depth);
    if (node === null || typeof node !== 'object') throw wrong(at, `${SHAPE}, found ${JSON.stringify(node)}`);
    const members = node as Readonly<Record<string, unknown>>;
    const [join, ...others] = Object.keys(members).filter((key) => key === 'and' || key === 'or' || key === 'not');
    if (join === undefined) return compileComparison(members, at);
    const stray = Object.keys(members).find((key) => key !== join);
    if (others.length > 0 || stray !== undefined) throw wrong(at, `"${join}" stands alone in its object, found also "${stray}"`);
    if (join === 'not') {
      const inner = compileNode(members.not, `${at}.not`, depth + 1);
      return (scanned) => !inner(scanned);
    }
    const parts = members[join];
    if (!Array.isArray(parts) || parts.length === 0) throw wrong(`${at}.${join}`, 'expected a list of at least one predicate');
    if (join === 'and') return compileAll(parts, `${at}.and`, depth);
    const tests = parts.map((part, i) => compileNode(part, `${at}.or.${i}`, depth + 1));
    return (scanned) => tests.some((test) => test(scanned));
  }

  function compileAll(parts: readonly unknown[], at: string, depth: number): Test {
    const tests = parts.map((part, i) => compileNode(part, `${at}.${i}`, depth + 1));
    return (scanned) => tests.every((test) => test(scanned));
  }

  function compileComparison(members: Readonly<Record<string, unknown>>, at: string): Test {
    const known = ['field', 'op', 'value', 'ignoreCase'];
    const stray = Object.keys(members).find((key) => !known.includes(key));
    if (stray !== undefined) throw wrong(at, `unknown member ${JSON.stringify(stray)}; ${SHAPE}`);
    const { field: name, op = 'eq', value, ignoreCase = false } = members;
    if (typeof name !== 'string') throw wrong(at, SHAPE);
    if (typeof ignoreCase !== 'boolean') throw wrong(`${at}.ignoreCase`, 'expected true or false');
    const field = fieldNamed(name, `${at}.field`);
    fields.add(field);
    const operators = field.type === 'string' ? TEXT_OPERATORS : ORDER_OPERATORS;
    if (typeof op !== 'string' || !operators.includes(op)) {
      throw wrong(
        `${at}.op`,
        `unknown operator ${JSON.stringify(op)} for ${field.name} (${field.type}); ${suggestion(String(op), operators, 'operators')}`,
      );
    }
    if (ignoreCase && field.type !== 'string') throw wrong(`${at}.ignoreCase`, `${field.name} is a ${field.type}; only text has case`);
    return comparison(field, op, value, ignoreCase, at, clock);
  }
}

/** Text, or the object form that a caller wrote out as JSON. */
function parseText(where: string): unknown {
  if (!where.trimStart().startsWith('{')) return parsePredicateText(where);
  try {
    return JSON.parse(where) as unknown;
  } catch (cause) {
    throw new NokvError('invalid-argument', `where: ${SHAPE}, found what is neither JSON nor an expression`, {
      cause,
      details: { argument: 'where' },
    });
  }
}

function comparison(field: Field, op: string, value: unknown, ignoreCase: boolean, at: string, clock: Pick<Clock, 'nowMs'>): Test {
  const fold = (text: FieldValue): FieldValue => (ignoreCase && typeof text === 'string' ? text.toLowerCase() : text);
  const operand = (raw: unknown, exact: boolean): FieldValue => fold(parseOperand(field, raw, exact, ignoreCase, `${at}.value`, clock));
  const on = (test: (actual: FieldValue) => boolean): Test => {
    return (scanned) => {
      const actual = field.get(scanned);
      return actual !== undefined && test(fold(actual));
    };
  };
  const onText = (test: (actual: string) => boolean): Test => on((actual) => typeof actual === 'string' && test(actual));

  switch (op) {
    case 'exists': {
      if (value !== undefined && typeof value !== 'boolean') throw wrong(`${at}.value`, 'exists takes true or false');
      return (scanned) => (field.get(scanned) !== undefined) === (value ?? true);
    }
    case 'eq':
    case 'ne': {
      const wanted = operand(value, true);
      const isEqual = on((actual) => compareValues(actual, wanted) === 0);
      return op === 'eq' ? isEqual : (scanned) => !isEqual(scanned);
    }
    case 'in': {
      if (!Array.isArray(value) || value.length === 0 || value.length > 1000)
        throw wrong(`${at}.value`, 'in takes a list of 1 to 1,000 values');
      const wanted = new Set(value.map((each) => operand(each, true)));
      return on((actual) => wanted.has(actual));
    }
    case 'between': {
      if (!Array.isArray(value) || value.length !== 2) throw wrong(`${at}.value`, 'between takes [low, high], both included');
      const low = operand(value[0], false);
      const high = operand(value[1], false);
      if (compareValues(low, high) > 0)
        throw wrong(`${at}.value`, 'between takes [low, high], found low above high, which matches nothing');
      return on((actual) => compareValues(actual, low) >= 0 && compareValues(actual, high) <= 0);
    }
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const bound = operand(value, false);
      if (op === 'gt') return on((actual) => compareValues(actual, bound) > 0);
      if (op === 'gte') return on((actual) => compareValues(actual, bound) >= 0);
      if (op === 'lt') return on((actual) => compareValues(actual, bound) < 0);
      return on((actual) => compareValues(actual, bound) <= 0);
    }
    case 'regex': {
      const pattern = compilePattern(textOperand(value, at), { ignoreCase, argument: `${at}.value` });
      return (scanned) => {
        const actual = field.get(scanned);
        return typeof actual === 'string' && pattern.test(actual);
      };
    }
    case 'glob': {
      const glob = compileGlob(textOperand(value, at), { ignoreCase, argument: `${at}.value` });
      return (scanned) => {
        const actual = field.get(scanned);
        return typeof actual === 'string' && glob.test(actual);
      };
    }
    default: {
      const wanted = String(fold(textOperand(value, at)));
      if (op === 'prefix') return onText((actual) => actual.startsWith(wanted));
      if (op === 'suffix') return onText((actual) => actual.endsWith(wanted));
      return onText((actual) => actual.includes(wanted));
    }
  }
}

function textOperand(value: unknown, at: string): string {
  if (typeof value !== 'string') throw wrong(`${at}.value`, `expected text, found ${JSON.stringify(value) ?? 'nothing'}`);
  return value;
}

/** @param exact for eq, ne and in: a value that no entry can have is refused rather than matching nothing. */
function parseOperand(
  field: Field,
  raw: unknown,
  exact: boolean,
  ignoreCase: boolean,
  at: string,
  clock: Pick<Clock, 'nowMs'>,
): FieldValue {
  if (field.type === 'time') {
    if (typeof raw === 'string') return parseTime(raw, clock, at);
    throw wrong(
      at,
      `${field.name} is a time: expected text such as "2026-01-31T12:00:00Z" or "24h", found ${JSON.stringify(raw) ?? 'nothing'}`,
    );
  }
  if (field.type === 'number') {
    if (typeof raw === 'number' && Number.isFinite(raw)) return raw;
    const size = typeof raw === 'string' ? (field.notation === 'bytes' ? parseSize(raw) : numberOf(raw)) : undefined;
    if (size !== undefined) return size;
    const example = field.notation === 'bytes' ? '4096 or "4KiB"' : '7';
    throw wrong(at, `${field.name} is a number: expected for example ${example}, found ${JSON.stringify(raw) ?? 'nothing'}`);
  }
  const text = typeof raw === 'number' && field.notation === 'octal' ? String(raw) : raw;
  if (typeof text !== 'string') throw wrong(at, `${field.name} is text, found ${JSON.stringify(raw) ?? 'nothing'}`);
  if (field.notation === 'octal') {
    if (!/^0?o?[0-7]{1,4}$/.test(text)) throw wrong(at, `${field.name} is an octal mode such as "0644", found ${JSON.stringify(raw)}`);
    return text.replace(/^0?o/, '').slice(-4).padStart(4, '0');
  }
  if (field.notation === 'extension' && exact) return text.replace(/^\./, '');
  if (field.values !== undefined && exact) {
    const known = field.values.find((each) => each === text || (ignoreCase && each === text.toLowerCase()));
    if (known !== undefined) return known;
    const near = TYPE_WORDS[text] ?? nearNames(text, field.values)[0];
    throw wrong(
      at,
      `${field.name} is never ${JSON.stringify(text)}${near === undefined ? '' : `; did you mean "${near}"`}; values: ${field.values.join(', ')}`,
    );
  }
  return text;
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  f: 'file',
  d: 'directory',
  dir: 'directory',
  folder: 'directory',
  l: 'symlink',
  link: 'symlink',
};

function numberOf(text: string): number | undefined {
  const value = Number(text);
  return text.trim() !== '' && Number.isFinite(value) ? value : undefined;
}

function wrong(argument: string, message: string): NokvError {
  return new NokvError('invalid-argument', `${argument}: ${message}`, { details: { argument } });
}
