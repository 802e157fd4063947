/**
 * Globs as ripgrep and gitignore read them: `*` and `?` stay within a component, `**` crosses them, `[a-z]`, `[!a]`,
 * `{a,b}`, and a backslash before a special character. They run as linear-time patterns.
 */
import { NokvError } from '@nokv/types';
import { compilePattern, type Pattern } from './pattern.js';

const DEPTH_MAX = 8;

/** Matches the whole of a text. */
export function compileGlob(glob: string, options: { readonly ignoreCase?: boolean; readonly argument: string }): Pattern {
  return compilePattern(`^(?:${globSource(glob, options.argument)})$`, options);
}

export interface GlobSet {
  /** Whether a file at this path, relative to where the search began, takes part. */
  takesFile(relativePath: string): boolean;
  /** Whether what lies below a directory can take part. */
  takesDirectory(relativePath: string): boolean;
}

/**
 * A list of globs; one that begins with `!` leaves out, and the last one that matches decides. A glob without `/` means
 * the last component at any depth. A directory that is left out is left out with all that it holds.
 */
export function compileGlobSet(globs: readonly string[], argument: string): GlobSet {
  const rules = globs.map((text) => {
    const isNegative = text.startsWith('!');
    const glob = isNegative ? text.slice(1) : text;
    if (glob === '')
      throw new NokvError('invalid-argument', `${argument}: a glob needs at least one character, found ${JSON.stringify(text)}`);
    const bare = glob.replace(/\/$/, '');
    const anchored = bare.includes('/') ? bare.replace(/^\//, '') : `**/${bare}`;
    return { isNegative, pattern: compileGlob(anchored, { argument }) };
  });
  const hasPositive = rules.some((rule) => !rule.isNegative);
  const lastMatch = (path: string): boolean | undefined => rules.findLast((rule) => rule.pattern.test(path))?.isNegative;
  return {
    takesFile: (path) => lastMatch(path) === false || (!hasPositive && lastMatch(path) === undefined),
    takesDirectory: (path) => lastMatch(path) !== true,
  };
}

function globSource(glob: string, argument: string): string {
  const chars = [...glob];
  let at = 0;
  return sequence(0);

  function sequence(depth: number): string {
    if (depth > DEPTH_MAX) throw wrong(`braces nested deeper than ${DEPTH_MAX}`);
    let source = '';
    while (at < chars.length) {
      const char = chars[at] ?? '';
      if (depth > 0 && (char === ',' || char === '}')) return source;
      at += 1;
      if (char === '*') source += star();
      else if (char === '?') source += '[^/]';
      else if (char === '[') source += bracket();
      else if (char === '{') source += braces(depth);
      else if (char === '\\') {
        const next = chars[at];
        if (next === undefined) throw wrong('ends with a single backslash');
        at += 1;
        source += literal(next);
      } else source += literal(char);
    }
    return source;
  }

  function star(): string {
    if (chars[at] !== '*') return '[^/]*';
    const before = chars[at - 2];
    while (chars[at] === '*') at += 1;
    const isWhole = before === undefined || before === '/' || before === '{' || before === ',';
    if (isWhole && chars[at] === '/') {
      at += 1;
      return '(?:[^/]*/)*';
    }
    return '(?s:.*)';
  }

  function bracket(): string {
    const isNegated = chars[at] === '!' || chars[at] === '^';
    if (isNegated) at += 1;
    let inside = '';
    for (let first = true; first || chars[at] !== ']'; first = false) {
      const char = chars[at];
      if (char === undefined) throw wrong('a "[" is never closed; write \\[ for the character itself');
      at += 1;
      inside += char === '-' ? '-' : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
    }
    at += 1;
    return isNegated ? `[^/${inside}]` : `[${inside}]`;
  }

  function braces(depth: number): string {
    const branches = [sequence(depth + 1)];
    while (chars[at] === ',') {
      at += 1;
      branches.push(sequence(depth + 1));
    }
    if (chars[at] !== '}') throw wrong('a "{" is never closed; write \\{ for the character itself');
    at += 1;
    return `(?:${branches.join('|')})`;
  }

  function wrong(message: string): NokvError {
    return new NokvError('invalid-argument', `${argument}: glob ${JSON.stringify(glob)}: ${message}`, { details: { argument } });
  }
}

function literal(char: string): string {
  return /[\\^$.*+?()[\]{}|]/.test(char) ? `\\${char}` : char;
}
