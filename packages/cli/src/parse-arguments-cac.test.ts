import { cac } from 'cac';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.js';
import { any, command, runs, toggle, value, values } from './command.js';
import { GLOBAL_FLAGS, findCommand, parseArguments } from './parse-arguments.js';
import { gatherWords, matchCommand } from './parse-arguments-cac.js';

const row = command({
  name: 'take',
  group: 'files',
  summary: 'take',
  args: { words: any('WORD', '') },
  flags: {
    one: value('TEXT', '', (text) => text, 'o'),
    each: values('TEXT', '', (text) => text, 'e'),
    noReplace: toggle('', 'n'),
    s3PathStyle: toggle('', 's'),
  },
  example: 'nokv take',
});
const taking = runs(row, async () => async () => undefined);
const parse = (...words: string[]) => parseArguments({ ...findCommand(['take', ...words], [taking]), command: taking });

/** Read by cac alone as numbers, truth values, flags, or not at all. */
const TEXTS = [
  '2',
  '00123456789012345678901234',
  '0x10',
  '0b11',
  '1e3',
  '1e999',
  ' 7',
  '7 ',
  ' ',
  '',
  '.5',
  'Infinity',
  'NaN',
  'true',
  'false',
  'null',
  '\u0000',
  '\u00007',
  '\n8\n',
  '\u00a09',
  'a=b',
  '=',
  'a.b',
  '__proto__',
  'constructor',
  'take',
  'Ünïcødé',
  '日本語',
  '😀',
  '\ud83d',
];
const DASHED = ['-1', '-0', '-', '--', '---', '-x', '--no-one', '--__proto__', '-é'];

describe('every text arrives as it was written', () => {
  it.each(TEXTS)('the argument %j, also behind a switch', (text) => {
    expect(parse(text, '-n', text, '--s3-path-style', text).args).toEqual({ words: [text, text, text] });
  });

  it.each([...TEXTS, ...DASHED])('the argument %j behind "--"', (text) => {
    expect(parse('--', text, '--', text).args).toEqual({ words: [text, '--', text] });
  });

  it.each([...TEXTS, ...DASHED])('the value %j, in the next word and in the same', (text) => {
    expect(parse('--one', text, '--each', text, `--each=${text}`, '-e', text, 'rest')).toMatchObject({
      args: { words: ['rest'] },
      flags: { one: text, each: [text, text, text] },
    });
    if (text !== '') expect(parse(`-ne${text}`, `-o${text}`).flags).toMatchObject({ one: text, each: [text], noReplace: true });
  });

  it('among a hundred thousand others', () => {
    const words = Array.from({ length: 100_000 }, (_, index) => `${index}`);
    expect(parse(...words.slice(0, 10), '--', '-1').args.words).toHaveLength(11);
    const found = findCommand(['take', ...words], [taking]);
    expect(parseArguments({ ...found, command: taking }).args.words).toEqual(words);
  });
});

describe('flags are known by their exact names', () => {
  const refusal = (...words: string[]) => {
    try {
      return parse(...words);
    } catch (error) {
      return error instanceof Error ? error.message : error;
    }
  };

  it.each([
    '--__proto__',
    '--__proto__=1',
    '--constructor',
    '--constructor=1',
    '--toString',
    '--hasOwnProperty',
    '--_',
    '--one.two=3',
    '--server.port=1',
    '--no-one',
    '--no-json',
    '--replace',
    '--noReplace',
    '--s3PathStyle',
    '---one=1',
    '--o=1',
    '--=',
    '-1',
    '-',
  ])('%s', (word) => {
    if (word === '-') expect(parse(word).args).toEqual({ words: ['-'] });
    else expect(refusal(word)).toMatch(`unknown flag ${word.slice(0, (word.indexOf('=', 3) + 1 || word.length + 1) - 1)}`);
  });

  it.each(['--one', '-o', '-no'])('%s without a value has none', (word) => {
    expect(refusal(word)).toMatch('needs a value');
    expect(refusal(word, '--no-replace')).toMatch('needs a value');
    expect(refusal(word, '--json')).toMatch('needs a value');
  });

  it.each(['', 'true', 'false', '0'])('a switch refuses the value %j', (text) => {
    expect(refusal(`--no-replace=${text}`)).toBe(`--no-replace takes no value, found "${text}"; see "nokv help take"`);
  });

  it('keeps every occurrence, in order, of a flag written in both forms', () => {
    expect(parse('-e', '3', '--each=2', '-e1', '--each', '02').flags.each).toEqual(['3', '2', '1', '02']);
  });

  it('has no flags in a group behind a second dash', () => {
    expect(refusal('-n-s', 'x')).toMatch('unknown flag -n-s');
  });

  it('gives a short form that two flags have to the one of the command', () => {
    const chown = findCommand(['chown', '-h', '1', '/x'], COMMANDS);
    if (chown.command === undefined) throw new Error('no chown');
    expect(parseArguments({ ...chown, command: chown.command })).toMatchObject({ flags: { noDereference: true }, global: { help: false } });
  });
});

describe('cac', () => {
  it.each(COMMANDS.map((each) => [each.name, each] as const))('returns every flag of %s', (name, each) => {
    expect(matchCommand(name, COMMANDS)).toBe(each);
    for (const [key, { label }] of Object.entries({ ...GLOBAL_FLAGS, ...each.flags })) {
      const words =
        label === undefined ? [{ kind: 'switch', key } as const] : ['1', '', '1'].map((text) => ({ kind: 'value', key, text }) as const);
      const texts = label === undefined ? [''] : ['1', '', '1'];
      expect(gatherWords([...words, ...words], GLOBAL_FLAGS, each)).toEqual({
        written: new Map([[key, [...texts, ...texts]]]),
        positionals: [],
      });
    }
  });

  it.each(['', ' ', '2', '-', 'pu', 'put ', '@@global@@', 'constructor', '__proto__'])('matches no command to %j', (name) => {
    expect(matchCommand(name, COMMANDS)).toBeUndefined();
  });

  it('is not trusted to return what it lost', () => {
    expect(() => gatherWords([{ kind: 'value', key: 'nowhere', text: '1' }], GLOBAL_FLAGS, taking)).toThrow('1 words; cac returned 0');
  });

  it('guesses when it is handed words as they are, which is why it is not', () => {
    const cli = cac('nokv');
    cli.command('take').option('-o, --one <text>', '').option('-e, --each <text>', '').option('-s, --switch', '');
    const alone = (...words: string[]) => cli.parse(['', '', 'take', ...words], { run: false });
    const behindSwitch = ['2', '00123456789012345678901234', '0x10', '1e3', ' 7'].flatMap((text) => ['-s', text]);
    expect(alone(...behindSwitch).args).toEqual([2, 1.2345678901234569e23, 16, 1000, 7]);
    expect(alone('-s', 'true', '-s', 'false').args).toEqual([]);
    expect(alone('--one', '007').options).toMatchObject({ one: 7 });
    expect(alone('--one=').options).toMatchObject({ one: true });
    expect(alone('--one', '-1').options).toMatchObject({ one: true, 1: true });
    expect(alone('-e', 'a', '--each', 'b').options).toMatchObject({ each: 'a' });
    expect(alone('--no-one').options).toMatchObject({ one: false });
    expect(alone('--one.two=x').options).toMatchObject({ one: { two: 'x' } });
  });
});
