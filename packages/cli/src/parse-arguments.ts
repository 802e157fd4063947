/**
 * The command line against the table: finds the command, has the words read and gathered, gives each argument its words
 * and each flag its values. Texts stay as they were written until the row's own reader takes them.
 */
import { NokvError } from '@nokv/types';
import { type AnyCommand, type Arguments, type Flags, flagName, toggle } from './command.js';
import { didYouMean } from './did-you-mean.js';
import { type GatheredWords, gatherWords, matchCommand } from './parse-arguments-cac.js';
import { nameOf, readWords, writtenNames } from './parse-arguments-words.js';
import { parseText } from './quantities.js';
import { CLIENT_SETTINGS, settingFlags } from './settings.js';
import { usageError } from './usage-error.js';
import { value } from './command.js';

/** Understood before and after the name of every command. */
export const GLOBAL_FLAGS = {
  ...settingFlags(CLIENT_SETTINGS),
  config: value('FILE', 'Configuration file, JSON (NOKV_CONFIG)', parseText),
  json: toggle('Print JSON: one object, or one a line for lists'),
  quiet: toggle('Leave out reports and remarks'),
  verbose: toggle('Say more on stderr', 'v'),
  help: toggle('Show help', 'h'),
} satisfies Flags;

export interface ParsedLine {
  readonly command: AnyCommand;
  readonly args: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly global: GlobalTexts;
}

type GlobalText = keyof typeof CLIENT_SETTINGS | 'config';

export interface GlobalTexts extends Readonly<Partial<Record<GlobalText, string>>> {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly help: boolean;
}

type Written = GatheredWords['written'];

/** What stands before the command, its row and the words that follow; no row: nothing but flags was written. */
export interface FoundCommand {
  readonly command: AnyCommand | undefined;
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly version: boolean;
}

/** Finds the command's name among the words; flags before it are the global ones. */
export function findCommand(words: readonly string[], table: readonly AnyCommand[]): FoundCommand {
  const known = writtenNames(GLOBAL_FLAGS);
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--version') return { command: undefined, before: words.slice(0, at), after: [], version: true };
    if (!word.startsWith('-') || word === '-') break;
    const flag = known.get(nameOf(word));
    if (flag === undefined) {
      throw usageError(`unknown flag ${word}${didYouMean(word, known.keys())}; flags of a command follow its name, see "nokv help"`);
    }
    if (GLOBAL_FLAGS[flag as keyof typeof GLOBAL_FLAGS].label !== undefined && !word.includes('=')) at += 1;
  }
  const before = words.slice(0, at);
  const [first, second] = words.slice(at);
  if (first === undefined) return { command: undefined, before, after: [], version: false };
  const two = matchCommand(`${first} ${second ?? ''}`, table);
  if (two !== undefined) return { command: two, before, after: words.slice(at + 2), version: false };
  const command = matchCommand(first, table);
  if (command === undefined) throw unknownCommand(first, second, table);
  return { command, before, after: words.slice(at + 1), version: false };
}

/** Parses what surrounds the command's name. Every error is `invalid-argument`. */
export function parseArguments({ command, before, after }: FoundCommand & { command: AnyCommand }): ParsedLine {
  const { written, positionals } = split([...before, ...after], command);
  const global = globalTexts(written);
  if (global.help) return { command, args: {}, flags: {}, global };
  return {
    command,
    args: bindArguments(command.args, positionals, command.name),
    flags: readFlags(command.flags, written, command.name),
    global,
  };
}

/** The global flags alone, for a line whose command is not known. */
export function parseGlobals(words: readonly string[]): GlobalTexts {
  return globalTexts(split(words, undefined).written);
}

function split(words: readonly string[], row: AnyCommand | undefined): GatheredWords {
  const flags: Flags = { ...GLOBAL_FLAGS, ...row?.flags };
  return gatherWords(readWords(words, flags, row?.name), GLOBAL_FLAGS, row);
}

function readFlags(flags: Flags, written: Written, command: string): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(flags)) {
    try {
      values[key] = flag.read(written.get(key) ?? []);
    } catch (error) {
      if (error instanceof NokvError) throw usageError(`--${flagName(key)}: ${error.message}; see "nokv help ${command}"`);
      throw error;
    }
  }
  return values;
}

/** Gives each argument its words: those that take one first, from both ends, and the rest to the one that takes many. */
export function bindArguments(
  args: Arguments,
  words: readonly string[],
  command: string,
): Record<string, string | readonly string[] | undefined> {
  const rows = Object.entries(args);
  const least = rows.filter(([, { arity }]) => arity === 'one' || arity === 'many').length;
  const isBounded = !rows.some(([, { arity }]) => arity === 'many' || arity === 'any');
  const form = argumentForm(args);
  if (words.length < least) {
    const missing = rows.filter(([, { arity }]) => arity === 'one' || arity === 'many')[words.length]?.[1].label ?? '';
    throw usageError(`missing ${missing}; expected: nokv ${command}${form}`);
  }
  if (isBounded && words.length > rows.length) {
    throw usageError(`unexpected argument "${words[rows.length] ?? ''}"; expected: nokv ${command}${form}`);
  }
  const bound: Record<string, string | readonly string[] | undefined> = {};
  let at = 0;
  let spare = words.length - least;
  rows.forEach(([key, { arity }]) => {
    if (arity === 'one') bound[key] = words[at++];
    else if (arity === 'optional') {
      bound[key] = spare > 0 ? words[at++] : undefined;
      spare -= spare > 0 ? 1 : 0;
    } else {
      const take = spare + (arity === 'many' ? 1 : 0);
      bound[key] = words.slice(at, at + take);
      at += take;
      spare = 0;
    }
  });
  return bound;
}

/** ` SRC… DST`, with a leading space for each. */
export function argumentForm(args: Arguments): string {
  return Object.values(args)
    .map(({ arity, label }) => ({ one: ` ${label}`, optional: ` [${label}]`, many: ` ${label}…`, any: ` [${label}…]` })[arity])
    .join('');
}

function globalTexts(written: Written): GlobalTexts {
  const given: Partial<Record<GlobalText, string>> = {};
  for (const key of [...Object.keys(CLIENT_SETTINGS), 'config'] as GlobalText[]) {
    const last = written.get(key)?.at(-1);
    if (last !== undefined) given[key] = last;
  }
  return { ...given, json: written.has('json'), quiet: written.has('quiet'), verbose: written.has('verbose'), help: written.has('help') };
}

function unknownCommand(first: string, second: string | undefined, table: readonly AnyCommand[]): NokvError {
  const below = table.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (below.length > 0) {
    const found = second === undefined ? 'nothing' : `"${second}"`;
    return usageError(`expected ${below.join(', ')}; found ${found} behind ${first}`);
  }
  return usageError(
    `unknown command "${first}"${didYouMean(
      first,
      table.map(({ name }) => name),
    )}; "nokv help" lists all`,
  );
}
