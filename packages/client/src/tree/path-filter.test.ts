import { describe, expect, test } from 'vitest';
import { pathFilter } from './path-filter.js';

const taken = (options: Parameters<typeof pathFilter>[0], paths: readonly string[]) => {
  const filter = pathFilter(options);
  // A path that ends in "/" stands for a directory.
  return paths.filter((path) => filter?.takes(path.replace(/\/$/, ''), path.endsWith('/')) !== false);
};
const PATHS = ['a.md', 'b.txt', 'logs/', 'logs/a.md', 'logs/b.log', 'deep/logs/', 'logs.txt', '.hidden'];

describe('a filter of paths', () => {
  test.each([
    [{}, PATHS],
    [{ exclude: ['*.md'] }, ['b.txt', 'logs/', 'logs/b.log', 'deep/logs/', 'logs.txt', '.hidden']],
    [{ exclude: ['logs/'] }, ['a.md', 'b.txt', 'logs/a.md', 'logs/b.log', 'logs.txt', '.hidden']],
    [{ exclude: ['/logs'] }, ['a.md', 'b.txt', 'logs/a.md', 'logs/b.log', 'deep/logs/', 'logs.txt', '.hidden']],
    [{ exclude: ['logs/*'] }, ['a.md', 'b.txt', 'logs/', 'deep/logs/', 'logs.txt', '.hidden']],
    [{ exclude: ['**/*.{md,log}'] }, ['b.txt', 'logs/', 'deep/logs/', 'logs.txt', '.hidden']],
    [{ include: ['*.md'] }, ['a.md', 'logs/', 'logs/a.md', 'deep/logs/']],
    [{ exclude: ['*'], include: ['*.md', 'logs'] }, ['a.md', 'logs/', 'logs/a.md', 'deep/logs/']],
  ])('%j', (options, expected) => {
    expect(taken(options, PATHS)).toEqual(expected);
  });

  test.each([[''], ['/'], ['[a'], ['{a'], ['a\\']])('refuses %j', (glob) => {
    expect(() => pathFilter({ exclude: [glob] })).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});
