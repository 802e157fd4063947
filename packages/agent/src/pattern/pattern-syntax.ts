/**
 * Parses the regular expressions that ripgrep's default engine takes (the syntax of Rust's `regex` crate) into a tree.
 * What cannot run in linear time, backreferences and lookarounds, is refused by name.
 *
 * Differences from Rust: `\w`, `\d` and `\b` are ASCII; the set operators `--` and `~~` and the flag `x` are refused.
 */
import { NokvError } from '@nokv/types';
import { codePoints, complement, folded, propertySet, type CodePoints } from './code-points.js';

export type PatternNode =
  | { readonly kind: 'set'; readonly set: CodePoints }
  | { readonly kind: 'anchor'; readonly source: '^' | '$' | '\\b' | '\\B' }
  | { readonly kind: 'sequence'; readonly parts: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly parts: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly part: PatternNode; readonly min: number; readonly max: number; readonly isLazy: boolean };

const PATTERN_CHARS_MAX = 8192;
const DEPTH_MAX = 100;
const REPEAT_MAX = 1000;
/** Each new one costs a look at every code point. */
const PROPERTIES_MAX = 16;
const NEWLINE: CodePoints = [[10, 10]];
const DIGIT: CodePoints = [[48, 57]];
const WORD: CodePoints = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: CodePoints = [
  [9, 13],
  [32, 32],
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
];
const POSIX: Readonly<Record<string, CodePoints>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: DIGIT,
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[65, 90]],
  word: WORD,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 };

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

export function parsePattern(text: string, ignoreCase: boolean, argument: string): PatternNode {
  if (text.length > PATTERN_CHARS_MAX) throw wrong(`at most ${PATTERN_CHARS_MAX} characters, found ${text.length}`);
  const chars = [...text];
  let at = 0;
  const properties = new Set<string>();
  const result = choice({ ignoreCase, dotAll: false }, 0);
  if (at < chars.length) throw wrong(`unmatched ")" at character ${at + 1}; write \\) for the character itself`);
  return result;

  function choice(outer: Flags, depth: number): PatternNode {
    if (depth > DEPTH_MAX) throw wrong(`groups nested deeper than ${DEPTH_MAX}`);
    let flags = outer;
    const branches: PatternNode[] = [];
    let parts: PatternNode[] = [];
    while (at < chars.length && chars[at] !== ')') {
      const char = chars[at];
      if (char === '|') {
        at += 1;
        branches.push({ kind: 'sequence', parts });
        parts = [];
      } else if (char === '(' && chars[at + 1] === '?') {
        const opened = special(flags, depth);
        if (opened.node === undefined) flags = opened.flags;
        else parts.push(repeated(opened.node));
      } else parts.push(repeated(atom(flags, depth)));
    }
    branches.push({ kind: 'sequence', parts });
    return branches.length === 1 ? { kind: 'sequence', parts } : { kind: 'choice', parts: branches };
  }

  /** `(?…`: flags, groups that do not capture, named groups; lookarounds are refused. */
  function special(flags: Flags, depth: number): { readonly node?: PatternNode; readonly flags: Flags } {
    const rest = chars.slice(at, at + 80).join('');
    if (/^\(\?<?[=!]/.test(rest)) {
      throw wrong(
        `look-around ("${rest.slice(0, rest[2] === '<' ? 4 : 3)}") is not supported, because it cannot be searched in linear time; match the text around it and read the lines instead`,
      );
    }
    const named = /^\(\?P?<[A-Za-z_][A-Za-z0-9_.[\]]*>/.exec(rest);
    if (named !== null) {
      at += named[0].length;
      return { node: closed(flags, depth), flags };
    }
    if (rest.startsWith('(?P=')) throw wrong('backreferences ("(?P=") are not supported, because they cannot be searched in linear time');
    const switched = /^\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])/.exec(rest);
    if (switched === null) throw wrong(`cannot read the group "${rest.slice(0, 6)}" at character ${at + 1}`);
    const [whole, on = '', off = '', end] = switched;
    const stray = [...on, ...off].find((flag) => !'imsuU'.includes(flag) || flag === 'U');
    if (stray !== undefined) throw wrong(`the flag "${stray}" is not supported; flags: i, m, s, u`);
    at += whole.length;
    const next = {
      ignoreCase: on.includes('i') || (flags.ignoreCase && !off.includes('i')),
      dotAll: on.includes('s') || (flags.dotAll && !off.includes('s')),
    };
    return end === ')' ? { flags: next } : { node: closed(next, depth), flags };
  }

  function closed(flags: Flags, depth: number): PatternNode {
    const inner = choice(flags, depth + 1);
    if (chars[at] !== ')') throw wrong('a "(" is never closed; write \\( for the character itself');
    at += 1;
    return inner;
  }

  function atom(flags: Flags, depth: number): PatternNode {
    const char = chars[at] ?? '';
    at += 1;
    if (char === '(') return closed(flags, depth);
    if (char === '[') return { kind: 'set', set: bracket(flags, 0) };
    if (char === '.') return { kind: 'set', set: flags.dotAll ? complement([]) : complement(NEWLINE) };
    if (char === '^' || char === '$') return { kind: 'anchor', source: char };
    if (char === '*' || char === '+' || char === '?')
      throw wrong(`"${char}" at character ${at} repeats nothing; write \\${char} for the character itself`);
    if (char === '\\') return escape(flags);
    return { kind: 'set', set: cased([[codeOf(char), codeOf(char)]], flags) };
  }

  function escape(flags: Flags): PatternNode {
    const char = chars[at] ?? '';
    if (char === 'b' || char === 'B') {
      at += 1;
      if (chars[at] === '{') throw wrong('"\\b{…}" is not supported; use \\b');
      return { kind: 'anchor', source: char === 'b' ? '\\b' : '\\B' };
    }
    if (char === 'A' || char === 'z') {
      at += 1;
      return { kind: 'anchor', source: char === 'A' ? '^' : '$' };
    }
    return { kind: 'set', set: escapedSet(flags) };
  }

  /** What stands after a backslash, outside or inside of brackets. */
  function escapedSet(flags: Flags): CodePoints {
    const char = chars[at];
    at += 1;
    if (char === undefined) throw wrong('ends with a single backslash; write \\\\ for the character itself');
    if (char === 'd' || char === 'D') return char === 'd' ? DIGIT : complement(DIGIT);
    if (char === 'w' || char === 'W') return char === 'w' ? WORD : complement(WORD);
    if (char === 's' || char === 'S') return char === 's' ? SPACE : complement(SPACE);
    if (char === 'p' || char === 'P') return property(char === 'P');
    if (char === 'x' || char === 'u' || char === 'U') return hex(char, flags);
    if (/[1-9k]/.test(char)) throw wrong(`backreferences ("\\${char}") are not supported, because they cannot be searched in linear time`);
    const control = Object.hasOwn(CONTROLS, char) ? CONTROLS[char] : undefined;
    if (control !== undefined) return [[control, control]];
    if (/[A-Za-z0-9<>]/.test(char)) throw wrong(`unknown escape "\\${char}"`);
    return cased([[codeOf(char), codeOf(char)]], flags);
  }

  function property(isNegated: boolean): CodePoints {
    const match = /^(?:\{(\^?)([^}]{1,40})\}|([A-Z]))/.exec(chars.slice(at, at + 44).join(''));
    if (match === null) throw wrong('expected \\p{Name} or \\pL');
    at += [...match[0]].length;
    const name = match[2] ?? match[3] ?? '';
    properties.add(name);
    if (properties.size > PROPERTIES_MAX) throw wrong(`at most ${PROPERTIES_MAX} different Unicode properties`);
    const set = propertySet(name);
    if (set === undefined) throw wrong(`unknown Unicode property "${name}"; for example L, Lu, Nd, Greek, Alphabetic`);
    return isNegated !== (match[1] === '^') ? complement(set) : set;
  }

  function hex(kind: string, flags: Flags): CodePoints {
    const digits = kind === 'x' ? 2 : kind === 'u' ? 4 : 8;
    const match = new RegExp(`^(?:\\{([0-9a-fA-F]{1,6})\\}|([0-9a-fA-F]{${digits}}))`).exec(chars.slice(at, at + 10).join(''));
    const code = Number.parseInt(match?.[1] ?? match?.[2] ?? '', 16);
    if (match === null || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      throw wrong(`expected \\${kind} with ${digits} hex digits of a code point, or \\${kind}{…}`);
    at += match[0].length;
    return cased([[code, code]], flags);
  }

  function bracket(flags: Flags, depth: number): CodePoints {
    if (depth > 10) throw wrong('brackets nested deeper than 10');
    const isNegated = chars[at] === '^';
    if (isNegated) at += 1;
    const ranges: (readonly [number, number])[] = [];
    let first = true;
    for (;;) {
      const char = chars[at];
      if (char === undefined) throw wrong('a "[" is never closed; write \\[ for the character itself');
      if (char === ']' && !first) break;
      first = false;
      const two = chars.slice(at, at + 2).join('');
      if (two === '&&') {
        at += 2;
        const left = cased(codePoints(ranges), flags);
        const right = operand(flags, depth);
        const both = complement(codePoints([...complement(left), ...complement(right)]));
        return isNegated ? complement(both) : both;
      }
      if (two === '--' || two === '~~') throw wrong(`the set operator "${two}" is not supported; use && with a negated class`);
      const low = item(flags, depth);
      const [single] = low;
      const isSingle = low.length === 1 && single !== undefined && single[0] === single[1];
      if (chars[at] === '-' && chars[at + 1] !== ']' && chars[at + 1] !== undefined && chars[at + 1] !== '-') {
        at += 1;
        const high = item({ ...flags, ignoreCase: false }, depth);
        const end = high[0]?.[1] ?? 0;
        const begin = single?.[0] ?? 0;
        if (!isSingle || high.length !== 1 || high[0]?.[0] !== end) throw wrong('a range in brackets goes from one character to another');
        if (end < begin) throw wrong(`the range "${String.fromCodePoint(begin)}-${String.fromCodePoint(end)}" is backwards`);
        ranges.push([begin, end]);
      } else ranges.push(...low);
    }
    at += 1;
    const set = cased(codePoints(ranges), flags);
    return isNegated ? complement(set) : set;
  }

  /** The right side of `&&`, up to the closing bracket. */
  function operand(flags: Flags, depth: number): CodePoints {
    const ranges: (readonly [number, number])[] = [];
    while (chars[at] !== ']') {
      if (chars[at] === undefined) throw wrong('a "[" is never closed; write \\[ for the character itself');
      ranges.push(...item(flags, depth));
    }
    at += 1;
    return cased(codePoints(ranges), flags);
  }

  /** One member of a bracket; not folded, so that it can begin a range. */
  function item(flags: Flags, depth: number): CodePoints {
    const char = chars[at] ?? '';
    const posix = char === '[' ? /^\[:(\^?)([a-z]+):\]/.exec(chars.slice(at, at + 14).join('')) : null;
    if (posix !== null) {
      const set = POSIX[posix[2] ?? ''];
      if (set === undefined) throw wrong(`unknown class "${posix[0]}"; classes: ${Object.keys(POSIX).join(', ')}`);
      at += posix[0].length;
      return posix[1] === '^' ? complement(set) : set;
    }
    at += 1;
    if (char === '[') return bracket(flags, depth + 1);
    if (char === '\\') return escapedSet({ ...flags, ignoreCase: false });
    return [[codeOf(char), codeOf(char)]];
  }

  function repeated(node: PatternNode): PatternNode {
    let part = node;
    for (let times = 0; ; times++) {
      const bounds = quantifier();
      if (bounds === undefined) return part;
      if (times > 3) throw wrong('more than three quantifiers in a row');
      const isLazy = chars[at] === '?';
      if (isLazy) at += 1;
      part = { kind: 'repeat', part, ...bounds, isLazy };
    }
  }

  function quantifier(): { readonly min: number; readonly max: number } | undefined {
    const char = chars[at];
    if (char === '*' || char === '+' || char === '?') {
      at += 1;
      return { min: char === '+' ? 1 : 0, max: char === '?' ? 1 : Number.POSITIVE_INFINITY };
    }
    if (char !== '{') return undefined;
    const match = /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(chars.slice(at, at + 16).join(''));
    if (match === null)
      throw wrong(`"{" at character ${at + 1} begins no repetition such as {3} or {2,5}; write \\{ for the character itself`);
    at += match[0].length;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (max < min) throw wrong(`the repetition "${match[0]}" is backwards`);
    if (min > REPEAT_MAX || (max !== Number.POSITIVE_INFINITY && max > REPEAT_MAX))
      throw wrong(`a repetition counts to ${REPEAT_MAX} at most, found "${match[0]}"`);
    return { min, max };
  }

  function cased(set: CodePoints, flags: Flags): CodePoints {
    return flags.ignoreCase ? folded(set) : set;
  }

  function wrong(message: string): NokvError {
    return new NokvError('invalid-argument', `${argument}: regular expression ${JSON.stringify(text.slice(0, 100))}: ${message}`, {
      details: { argument },
    });
  }
}

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}
