/**
 * Predicates as people type them: `type = file and size > 4MiB and not (name prefix "." or mtime < 7d)`.
 *
 *   expression = term { "or" term } ; term = factor { "and" factor }
 *   factor     = "not" factor | "(" expression ")" | field operator value | field "exists"
 *   operator   = "=" "!=" ">" ">=" "<" "<=" "~" (regex) and the named ones; a final "i" on "=" "!=" "~" ignores case
 *   value      = "quoted" | 'quoted' | word | "(" value { "," value } ")" for `in` and `between`
 *
 * The result is the object form, checked by predicate.ts.
 */
import { NokvError } from '@nokv/types';

const TOKEN = /\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(>=|<=|(?:!=|==?|~)(?:i(?=[\s"'(]))?|>|<|\(|\)|,)|([^\s()<>=!~,"']+))/y;
const SYMBOLS: Readonly<Record<string, string>> = {
  '=': 'eq',
  '==': 'eq',
  '!=': 'ne',
  '>': 'gt',
  '>=': 'gte',
  '<': 'lt',
  '<=': 'lte',
  '~': 'regex',
};
const TEXT_CHARS_MAX = 16_384;
const DEPTH_MAX = 32;

interface Token {
  readonly kind: 'quoted' | 'symbol' | 'word';
  readonly text: string;
  readonly at: number;
}

export function parsePredicateText(text: string): unknown {
  const tokens = tokenize(text);
  let next = 0;
  const result = expression(0);
  const rest = tokens[next];
  if (rest !== undefined) throw wrong(text, rest, 'expected "and", "or" or the end');
  return result;

  function expression(depth: number): unknown {
    if (depth > DEPTH_MAX) throw wrong(text, tokens[next], `nested deeper than ${DEPTH_MAX} levels`);
    const parts = [term(depth)];
    while (takeWord('or')) parts.push(term(depth));
    return parts.length === 1 ? parts[0] : { or: parts };
  }

  function term(depth: number): unknown {
    const parts = [factor(depth)];
    while (takeWord('and')) parts.push(factor(depth));
    return parts.length === 1 ? parts[0] : { and: parts };
  }

  function factor(depth: number): unknown {
    if (depth > DEPTH_MAX) throw wrong(text, tokens[next], `nested deeper than ${DEPTH_MAX} levels`);
    if (takeWord('not')) return { not: factor(depth + 1) };
    if (takeSymbol('(')) {
      const inner = expression(depth + 1);
      if (!takeSymbol(')')) throw wrong(text, tokens[next], 'expected ")"');
      return inner;
    }
    const field = take('a field');
    if (field.kind !== 'word') throw wrong(text, field, 'expected a field');
    const operator = take('an operator');
    const ignoreCase = operator.kind === 'symbol' && operator.text.endsWith('i');
    const symbol = ignoreCase ? operator.text.slice(0, -1) : operator.text;
    const op = operator.kind === 'word' ? operator.text : SYMBOLS[symbol];
    if (op === undefined) throw wrong(text, operator, 'expected an operator');
    const base = { field: field.text, op, ...(ignoreCase ? { ignoreCase } : {}) };
    return op === 'exists' ? base : { ...base, value: value() };
  }

  function value(): unknown {
    if (!takeSymbol('(')) return scalar();
    const values = [scalar()];
    while (takeSymbol(',')) values.push(scalar());
    if (!takeSymbol(')')) throw wrong(text, tokens[next], 'expected "," or ")"');
    return values;
  }

  function scalar(): string {
    const token = take('a value');
    if (token.kind === 'symbol') throw wrong(text, token, 'expected a value');
    return token.kind === 'quoted' ? token.text.slice(1, -1).replaceAll(/\\(["'\\])/g, '$1') : token.text;
  }

  function take(what: string): Token {
    const token = tokens[next];
    if (token === undefined) throw wrong(text, undefined, `expected ${what}`);
    next += 1;
    return token;
  }

  function takeWord(word: string): boolean {
    const token = tokens[next];
    const isIt = token?.kind === 'word' && token.text.toLowerCase() === word;
    if (isIt) next += 1;
    return isIt;
  }

  function takeSymbol(symbol: string): boolean {
    const token = tokens[next];
    const isIt = token?.kind === 'symbol' && token.text === symbol;
    if (isIt) next += 1;
    return isIt;
  }
}

function tokenize(text: string): Token[] {
  if (text.length > TEXT_CHARS_MAX)
    throw new NokvError('invalid-argument', `where: at most ${TEXT_CHARS_MAX} characters, found ${text.length}`);
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null)
      throw new NokvError('invalid-argument', `where: cannot read ${JSON.stringify(text.slice(at, at + 20))} at character ${at + 1}`);
    const [, quoted, symbol, word] = match;
    if (quoted !== undefined) tokens.push({ kind: 'quoted', text: quoted, at });
    else if (symbol !== undefined) tokens.push({ kind: 'symbol', text: symbol, at });
    else tokens.push({ kind: 'word', text: word ?? '', at });
  }
  return tokens;
}

function wrong(text: string, token: Token | undefined, message: string): NokvError {
  const found = token === undefined ? 'the end' : `${JSON.stringify(token.text)} at character ${token.at + 1}`;
  return new NokvError(
    'invalid-argument',
    `where: ${message}, found ${found}; for example: type = file and size > 4MiB and name ~ "\\.log$"`,
    {
      details: { argument: 'where', where: text.slice(0, 200) },
    },
  );
}
