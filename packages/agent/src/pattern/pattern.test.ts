import { NokvError } from '@nokv/types';
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compilePattern } from './pattern.js';

const matches = (pattern: string, text: string, ignoreCase = false): boolean =>
  compilePattern(pattern, { ignoreCase, argument: 'pattern' }).test(text);

function refusal(pattern: string): string {
  try {
    compilePattern(pattern, { argument: 'pattern' });
  } catch (error) {
    if (error instanceof NokvError && error.code === 'invalid-argument') return error.message;
    throw error;
  }
  throw new Error(`${pattern} was not refused`);
}

describe('syntax', () => {
  test.each([
    ['a.c', 'abc', true],
    ['a.c', 'a\u{1f600}c', true],
    ['^.$', '\u{1f600}', true],
    ['^.{2}$', 'a\u{1f600}', true],
    ['^[^x]$', '\u{1f600}', true],
    ['^[\u{1f600}-\u{1f64f}]+$', '\u{1f601}\u{1f640}', true],
    ['[\u{1f600}-\u{1f64f}]', '\u{1f680}', false],
    ['a.c', 'a\rc', true],
    ['foo$', 'foo\r', false],
    ['^\\d{3}-\\d{4}$', '555-1234', true],
    ['\\bfoo\\b', 'a foo b', true],
    ['\\bfoo\\b', 'afoob', false],
    ['(?i)ERROR', 'error', true],
    ['a(?i)b', 'aB', true],
    ['a(?i)b', 'AB', false],
    ['a(?i:b)c', 'aBc', true],
    ['a(?i:b)c', 'aBC', false],
    ['(?i)a(?-i)b', 'AB', false],
    ['(?P<name>x+)y', 'xxy', true],
    ['(?<name>x+)y', 'xxy', true],
    ['[[:digit:]]+[[:^alpha:]]', '12-', true],
    ['[a-z&&[^aeiou]]', 'e', false],
    ['[a-z&&[^aeiou]]', 'x', true],
    ['[]a]', ']', true],
    ['[a-]', '-', true],
    ['\\x41\\u{42}\\u0043', 'ABC', true],
    ['\\pL\\p{Greek}', 'aα', true],
    ['\\PL', '1', true],
    ['\\A\\.\\z', '.', true],
    ['a{2,}', 'xaa', true],
    ['^a{20}$', 'a'.repeat(20), true],
    ['^a{20}$', 'a'.repeat(19), false],
    ['^(?:ab{2,3}){3,40}$', 'abb'.repeat(40), true],
    ['^(?:ab{2,3}){3,40}$', 'abb'.repeat(41), false],
    ['a||b', 'zzz', true],
    ['(|a)b', 'b', true],
    ['', 'anything', true],
    ['\\/\\-\\"', '/-"', true],
  ])('%s on %j is %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  test.each([
    ['straße', 'STRAßE', true],
    ['ПРИВЕТ', 'привет', true],
    ['k', '\u212a', true],
    ['[a-c]', 'B', true],
    ['[^a]', 'A', false],
    ['é', 'É', true],
  ])('without case %s on %j is %s', (pattern, text, expected) => {
    expect(matches(pattern, text, true)).toBe(expected);
  });

  test.each([
    ['(', 'never closed'],
    [')', 'unmatched'],
    ['[a', 'never closed'],
    ['*a', 'repeats nothing'],
    ['a{2', 'repetition'],
    ['a{5,2}', 'backwards'],
    ['[z-a]', 'backwards'],
    ['(?=x)', 'look-around'],
    ['(?!x)', 'look-around'],
    ['(?<=x)y', 'look-around'],
    ['(?<!x)y', 'look-around'],
    ['(a)\\1', 'backreferences'],
    ['(?P<n>a)(?P=n)', 'backreferences'],
    ['\\q', 'unknown escape'],
    ['\\p{Nope}', 'unknown Unicode property'],
    ['[[:nope:]]', 'unknown class'],
    ['(?x)a', 'flag "x"'],
    ['a\\', 'single backslash'],
    ['a{2000}', '1000'],
    ['(?:(?:a{100}){100}){100}', 'too large'],
    ['x'.repeat(9000), '8192'],
  ])('%s is refused by name', (pattern, hint) => {
    expect(refusal(pattern)).toContain(hint);
  });

  test('a required literal is one that stands in every match', () => {
    const literal = (pattern: string): string | undefined => compilePattern(pattern, { argument: 'pattern' }).literal;
    expect(literal('hello')).toBe('hello');
    expect(literal('a.*needle\\d+')).toBe('needle');
    expect(literal('(?:needle)+x')).toBe('needle');
    expect(literal('needle|pin')).toBeUndefined();
    expect(literal('(needle)?xy')).toBe('xy');
    expect(literal('(?i)needle')).toBeUndefined();
  });
});

test('patterns that explode elsewhere run in linear time', () => {
  // In a process of its own: a pattern that backtracks without end cannot be interrupted.
  const cases = [
    '(a+)+b',
    '(a|aa)+b',
    '(a*)*b',
    '(a{1,30}){1,30}b',
    '(a{0,1000})*b',
    '(?i)(A+)+b',
    '([^b]+)+b',
    '(\\u{1f600}|a+)+b',
    '(a?){50}a{50}b',
    '(.*)*.*=.*',
    '(\\w+\\s?)*!x',
  ];
  const url = new URL('../../dist/pattern/pattern.js', import.meta.url).href;
  const program = `
    import { compilePattern } from ${JSON.stringify(url)};
    for (const pattern of ${JSON.stringify(cases)}) if (compilePattern(pattern, { argument: 'p' }).test('a'.repeat(5000))) throw new Error(pattern);
    console.log('done');
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(stdout).toBe('done\n');
});

const hasRipgrep = spawnSync('rg', ['--version']).status === 0;
if (!hasRipgrep) console.warn('skipped: patterns are not compared with ripgrep, because rg is not on the PATH');

/** Patterns from a grammar, in the part where JavaScript's classes and Rust's agree (ASCII). */
const patterns: fc.Arbitrary<string> = fc.letrec<{ node: string; atom: string }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('atom'),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '*?', '+?', '{0,18}'))
      .map(([a, quantifier]) => `(${a})${quantifier}`),
  ),
  atom: fc.constantFrom(
    'a',
    'b',
    'A',
    '.',
    '[ab]',
    '[^a]',
    '[^aB]',
    '\\d',
    '\\w',
    '\\s',
    '\\W',
    '^',
    '$',
    '\\b',
    '1',
    ' ',
    '(?i:a)',
    '\\.',
    '[[:upper:]]',
  ),
})).node;
const texts = fc.array(
  fc.array(fc.constantFrom('a', 'b', 'A', 'B', '1', ' ', '.', '-'), { maxLength: 8 }).map((chars) => chars.join('')),
  { minLength: 1, maxLength: 12 },
);

test.skipIf(!hasRipgrep)('patterns match what they match in ripgrep', () => {
  fc.assert(
    fc.property(patterns, texts, fc.boolean(), (pattern, lines, ignoreCase) => {
      const input = lines.map((line) => `${line}\n`).join('');
      const { stdout, status } = spawnSync('rg', ['--no-config', '--line-number', ...(ignoreCase ? ['-i'] : []), '-e', pattern, '-'], {
        input,
        encoding: 'utf8',
      });
      if (status === 2) throw new Error(`rg refused ${pattern}`);
      const expected = [
        ...new Set(
          stdout
            .split('\n')
            .filter(Boolean)
            .map((line) => Number(line.split(':')[0])),
        ),
      ];
      const compiled = compilePattern(pattern, { ignoreCase, argument: 'pattern' });
      expect(lines.flatMap((line, i) => (compiled.test(line) ? [i + 1] : []))).toEqual(expected);
    }),
    { numRuns: 150 },
  );
});
