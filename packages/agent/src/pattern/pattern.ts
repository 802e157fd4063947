/**
 * Compiled patterns that always run in linear time, whatever a model wrote.
 *
 * V8 has a linear-time engine that takes over from its backtracking one after too many steps back, but only for patterns
 * without the flags `i` and `u` and with counted repetitions up to 16 (nested ones multiply). So the tree of
 * pattern-syntax.ts is written out without flags: case as classes, code points as surrogate pairs, larger counts as
 * several smaller ones, and no groups that capture.
 */
import { NokvError } from '@nokv/types';
import { setFlagsFromString } from 'node:v8';
import { sourceOf } from './code-points.js';
import { parsePattern, type PatternNode } from './pattern-syntax.js';

/** V8's `RegExpFlag` limit of replication for the linear engine (src/regexp/experimental). */
const REPLICATION_MAX = 16;
/** The linear engine takes time in proportion to text times pattern. */
const SOURCE_CHARS_MAX = 32_000;

export interface Pattern {
  test(text: string): boolean;
  /** Where the first match begins; -1 for none. */
  indexIn(text: string): number;
  /** Text that every match contains, where one is known: lets a search skip what lacks it. */
  readonly literal?: string;
}

export interface PatternOptions {
  readonly ignoreCase?: boolean;
  /** The pattern is plain text. */
  readonly isLiteral?: boolean;
  /** The argument that holds it, for messages. */
  readonly argument: string;
}

let isLinear = false;

export function compilePattern(text: string, { ignoreCase = false, isLiteral = false, argument }: PatternOptions): Pattern {
  if (!isLinear) {
    setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
    isLinear = true;
  }
  const tree = parsePattern(isLiteral ? text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&') : text, ignoreCase, argument);
  const { source } = emit(tree, argument);
  const literal = requiredLiteral(tree);
  const regex = compileSource(source, argument);
  const pattern: Pattern = { test: (line) => regex.test(line), indexIn: (line) => line.search(regex) };
  return literal.length > 1 ? { ...pattern, literal } : pattern;
}

interface Emitted {
  readonly source: string;
  /** Greatest product of nested counts inside. */
  readonly replication: number;
}

function emit(node: PatternNode, argument: string): Emitted {
  switch (node.kind) {
    case 'set':
      return { source: sourceOf(node.set, false), replication: 1 };
    case 'anchor':
      return { source: node.source, replication: 1 };
    case 'sequence': {
      const parts = node.parts.map((part) => emit(part, argument));
      const source = node.parts.map((part, i) => (part.kind === 'choice' ? `(?:${parts[i]?.source})` : parts[i]?.source)).join('');
      return bounded({ source, replication: Math.max(1, ...parts.map((part) => part.replication)) }, argument);
    }
    case 'choice': {
      const parts = node.parts.map((part) => emit(part, argument));
      return bounded(
        { source: parts.map((part) => part.source).join('|'), replication: Math.max(...parts.map((part) => part.replication)) },
        argument,
      );
    }
    case 'repeat':
      return bounded(emitRepeat(node, argument), argument);
  }
}

function emitRepeat(node: PatternNode & { readonly kind: 'repeat' }, argument: string): Emitted {
  const { part, min, max, isLazy } = node;
  const isEndless = max === Number.POSITIVE_INFINITY;
  const lazy = isLazy ? '?' : '';
  // Without capturing groups, an anchor that repeats means the anchor or nothing.
  if (part.kind === 'anchor') return { source: min === 0 ? '' : part.source, replication: 1 };
  if (part.kind === 'set' && isEndless && min <= 1)
    return { source: `${sourceOf(part.set, true)}${min === 0 ? '*' : '+'}${lazy}`, replication: 1 };
  const inner = emit(part, argument);
  const body = part.kind === 'set' ? inner.source : `(?:${inner.source})`;
  const step = Math.max(1, Math.floor(REPLICATION_MAX / inner.replication));
  const pieces: string[] = [];
  for (let left = min; left > 0; left -= step) pieces.push(counted(body, Math.min(left, step), ''));
  if (isEndless) pieces.push(`${body}*${lazy}`);
  else
    for (let left = max - min; left > 0; left -= step)
      pieces.push(step === 1 ? `${body}?${lazy}` : `${body}{0,${Math.min(left, step)}}${lazy}`);
  const largest = Math.min(step, Math.max(min, isEndless ? 1 : max - min, 1));
  if (pieces.length * body.length > SOURCE_CHARS_MAX) throw tooLarge(argument);
  return { source: pieces.length === 1 ? pieces.join('') : `(?:${pieces.join('')})`, replication: inner.replication * largest };
}

function counted(body: string, count: number, lazy: string): string {
  return count === 1 ? body : `${body}{${count}}${lazy}`;
}

function bounded(emitted: Emitted, argument: string): Emitted {
  if (emitted.source.length > SOURCE_CHARS_MAX) throw tooLarge(argument);
  return emitted;
}

function compileSource(source: string, argument: string): RegExp {
  try {
    return new RegExp(source);
  } catch (cause) {
    throw new NokvError('invalid-argument', `${argument}: the regular expression cannot be compiled; simplify it`, {
      cause,
      details: { argument },
    });
  }
}

function tooLarge(argument: string): NokvError {
  return new NokvError(
    'invalid-argument',
    `${argument}: the regular expression is too large with its repetitions written out; use * or + in place of large counts`,
    {
      details: { argument },
    },
  );
}

/** The longest run of characters that stands in every match. */
function requiredLiteral(tree: PatternNode): string {
  let best = '';
  let run = '';
  const end = (): void => {
    if (run.length > best.length) best = run;
    run = '';
  };
  const visit = (node: PatternNode): void => {
    if (node.kind === 'sequence') {
      for (const part of node.parts) visit(part);
      return;
    }
    const [range, ...others] = node.kind === 'set' ? node.set : [];
    if (range !== undefined && others.length === 0 && range[0] === range[1]) run += String.fromCodePoint(range[0]);
    else if (node.kind === 'repeat' && node.min > 0) {
      end();
      visit(node.part);
      end();
    } else if (node.kind !== 'anchor') end();
  };
  visit(tree);
  end();
  return best;
}
