import { describe, expect, test } from 'vitest';
import { compileGlob, compileGlobSet } from './glob.js';

describe('a glob', () => {
  test.each([
    ['*.py', 'a.py', true],
    ['*.py', 'd/a.py', false],
    ['**/*.py', 'a.py', true],
    ['**/*.py', 'd/e/a.py', true],
    ['/runs/**/x.log', '/runs/x.log', true],
    ['/runs/**/x.log', '/runs/1/2/x.log', true],
    ['/runs/**', '/runs/1/2', true],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[!a-c]x', '/x', false],
    ['[]]', ']', true],
    ['{a,b*}.txt', 'bcd.txt', true],
    ['{a,{b,c}}', 'c', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['.*', '.hidden', true],
    ['*', '.hidden', true],
    ['a+(b)', 'a+(b)', true],
  ])('%s on %j is %s', (glob, path, expected) => {
    expect(compileGlob(glob, { argument: 'glob' }).test(path)).toBe(expected);
  });

  test.each(['[a', '{a', 'a\\'])('%s is refused', (glob) => {
    expect(() => compileGlob(glob, { argument: 'glob' })).toThrow(/glob/);
  });
});

describe('a set of globs', () => {
  test('without a slash it means the last component, with one the whole path', () => {
    expect(compileGlobSet(['*.py'], 'glob').takesFile('d/a.py')).toBe(true);
    expect(compileGlobSet(['d/*.py'], 'glob').takesFile('d/a.py')).toBe(true);
    expect(compileGlobSet(['d/*.py'], 'glob').takesFile('e/d/a.py')).toBe(false);
    expect(compileGlobSet(['/a.py'], 'glob').takesFile('d/a.py')).toBe(false);
  });

  test('the last match decides, and a set of exceptions takes the rest', () => {
    const set = compileGlobSet(['*.py', '!test_*', 'test_keep.py'], 'glob');
    expect([set.takesFile('a.py'), set.takesFile('test_a.py'), set.takesFile('test_keep.py'), set.takesFile('a.txt')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(compileGlobSet(['!*.bin'], 'glob').takesFile('a.txt')).toBe(true);
  });

  test('a directory that is left out is not entered', () => {
    const set = compileGlobSet(['!node_modules', '*.js'], 'glob');
    expect([set.takesDirectory('node_modules'), set.takesDirectory('a/node_modules'), set.takesDirectory('src')]).toEqual([
      false,
      false,
      true,
    ]);
  });
});
