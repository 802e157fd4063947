import { isNokvError } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { any, command, many, one, optional, runs, switchOrValue, toggle, value, values } from './command.js';
import { bindArguments, findCommand, parseArguments } from './parse-arguments.js';
import { parseCount, parseText } from './quantities.js';

const row = command({
  name: 'put',
  group: 'files',
  summary: 'store',
  args: { sources: many('SRC', ''), destination: one('DST', '') },
  flags: {
    ifGeneration: value('G', '', parseCount),
    requestId: value('ID', '', parseText),
    tag: values('K=V', '', parseText, 't'),
    recursive: toggle('', 'r'),
    parents: toggle('', 'p'),
    compress: switchOrValue('CODEC', '', 'brotli', parseText),
  },
  example: 'nokv put a /b',
});
const none = async () => async () => undefined;
const table = [
  runs(row, none),
  runs({ ...row, name: 'mount', args: { directory: one('DIR', '') } }, none),
  runs({ ...row, name: 'mount list', args: {} }, none),
];

const parse = (...words: string[]) => {
  const found = findCommand(words, table);
  if (found.command === undefined) throw new Error('no command');
  return parseArguments({ ...found, command: found.command });
};
const refused = (...words: string[]) => {
  try {
    parse(...words);
  } catch (error) {
    if (isNokvError(error, 'invalid-argument')) return error.message;
    throw error;
  }
  return 'accepted';
};

describe('the command line', () => {
  it('a switch that may have a value takes it behind "=" only', () => {
    expect(parse('put', '--compress', 'a', '/b')).toMatchObject({
      args: { sources: ['a'], destination: '/b' },
      flags: { compress: 'brotli' },
    });
    expect(parse('put', '--compress=gzip', 'a', '/b').flags).toMatchObject({ compress: 'gzip' });
    expect(parse('put', 'a', '/b').flags).toMatchObject({ compress: undefined });
  });

  it('takes flags anywhere, joined or apart, and never turns text into numbers', () => {
    const { args, flags, global } = parse(
      '--json',
      '--server=h:1',
      'put',
      '-rp',
      '007',
      '--request-id',
      '00123456789012345678901234',
      '1e5',
      '/x',
      '-t',
      'a=1',
      '--tag=b=2',
    );
    expect(args).toEqual({ sources: ['007', '1e5'], destination: '/x' });
    expect(flags).toEqual({
      ifGeneration: undefined,
      requestId: '00123456789012345678901234',
      tag: ['a=1', 'b=2'],
      recursive: true,
      parents: true,
    });
    expect(global).toMatchObject({ json: true, server: 'h:1', quiet: false });
  });

  it('takes "-" and what follows "--" as they are', () => {
    expect(parse('put', '-', '/x').args).toEqual({ sources: ['-'], destination: '/x' });
    expect(parse('put', '--', '-r', '--json', '/x').args).toEqual({ sources: ['-r', '--json'], destination: '/x' });
  });

  it('prefers a command of two words', () => {
    expect(parse('mount', 'list').command.name).toBe('mount list');
    expect(parse('mount', './list').args).toEqual({ directory: './list' });
  });

  it('lets the last of a repeated flag count', () => {
    expect(parse('put', 'a', '/b', '--if-generation', '1', '--if-generation', '2').flags).toMatchObject({ ifGeneration: 2 });
  });

  it.each([
    [['put', 'a', '/b', '--if-generaton', '3'], 'unknown flag --if-generaton (did you mean --if-generation?); see "nokv help put"'],
    [['put', 'a', '/b', '--zzzzzz'], 'unknown flag --zzzzzz; see "nokv help put"'],
    [['put', 'a', '/b', '-x'], /^unknown flag -x/],
    [['--jsn', 'put', 'a', '/b'], 'unknown flag --jsn (did you mean --json or --as?); flags of a command follow its name, see "nokv help"'],
    [['put', 'a', '/b', '--if-generation'], '--if-generation needs a value: --if-generation G; see "nokv help put"'],
    [['put', 'a', '/b', '--if-generation', '--json'], '--if-generation needs a value: --if-generation G; see "nokv help put"'],
    [['put', 'a', '/b', '--if-generation', 'x'], '--if-generation: expected a whole number of at least 0, found "x"; see "nokv help put"'],
    [['put', 'a', '/b', '--recursive=yes'], '--recursive takes no value, found "yes"; see "nokv help put"'],
    [['put', '/b'], 'missing DST; expected: nokv put SRC… DST'],
    [['put'], 'missing SRC; expected: nokv put SRC… DST'],
    [['mount', 'a', 'b'], 'unexpected argument "b"; expected: nokv mount DIR'],
    [['pu'], 'unknown command "pu" (did you mean put?); "nokv help" lists all'],
    [['quux'], 'unknown command "quux"; "nokv help" lists all'],
  ])('refuses %j', (words, message) => {
    if (typeof message === 'string') expect(refused(...words)).toBe(message);
    else expect(refused(...words)).toMatch(message);
  });

  it('shares out arguments from both ends', () => {
    const shape = { first: one('A', ''), maybe: optional('B', ''), rest: any('C', '') };
    expect(bindArguments(shape, ['1'], 'x')).toEqual({ first: '1', maybe: undefined, rest: [] });
    expect(bindArguments(shape, ['1', '2', '3', '4'], 'x')).toEqual({ first: '1', maybe: '2', rest: ['3', '4'] });
    expect(bindArguments({ all: many('A', ''), last: one('B', '') }, ['1', '2', '3'], 'x')).toEqual({ all: ['1', '2'], last: '3' });
  });
});
