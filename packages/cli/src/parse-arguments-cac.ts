/**
 * The library `cac`, in one file. It matches the command, gathers the values of each flag and parts flags from
 * arguments; which words are flags, values and arguments is settled before (`parse-arguments-words.ts`), because cac
 * guesses: `2` becomes a number, `--no-x` the denial of `x`, `-t a --tag b` loses `b`.
 *
 * Held here: every text goes in behind a mark that keeps cac from reading it as a number, a truth value or a flag, and
 * comes out as it was; every flag goes in under its key of the table; as many words come out as went in.
 */
import { NokvError } from '@nokv/types';
import { cac } from 'cac';
import type { AnyCommand, Flags } from './command.js';

/** No number, no space, no dash, and no argument of a process can hold it: what begins with it is text to cac. */
const MARK = '\u0000';

/** cac skips what `process.argv` begins with: the program and its script. */
const PROGRAM = ['', ''];

/** A word of the line, its meaning known. */
export type Word =
  | { readonly kind: 'argument'; readonly text: string }
  | { readonly kind: 'switch'; readonly key: string }
  | { readonly kind: 'value'; readonly key: string; readonly text: string };

export interface GatheredWords {
  /** By flag key, every occurrence in the order written; a switch has one empty text for each. */
  readonly written: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

/** The row with exactly this name. */
export function matchCommand(name: string, table: readonly AnyCommand[]): AnyCommand | undefined {
  const cli = cac('nokv');
  const rows = new Map(table.map((row) => [cli.command(MARK + row.name, row.summary), row]));
  cli.parse([...PROGRAM, MARK + name], { run: false });
  return cli.matchedCommand === undefined ? undefined : rows.get(cli.matchedCommand);
}

/** Gathers the words of one line; `row` is absent where nothing but flags of every command may stand. */
export function gatherWords(words: readonly Word[], globalFlags: Flags, row: AnyCommand | undefined): GatheredWords {
  const cli = cac('nokv');
  for (const [key, flag] of Object.entries(globalFlags)) cli.option(optionForm(key, flag.label), flag.help, AS_LIST);
  const argv = words.map(wordForCac);
  if (row !== undefined) {
    const command = cli.command(MARK + row.name, row.summary);
    for (const [key, flag] of Object.entries(row.flags)) command.option(optionForm(key, flag.label), flag.help, AS_LIST);
    argv.unshift(MARK + row.name);
  }
  const { args, options } = cli.parse([...PROGRAM, ...argv], { run: false });
  const written = new Map<string, readonly string[]>();
  let count = args.length;
  for (const [key, { label }] of Object.entries({ ...globalFlags, ...row?.flags })) {
    const found: unknown = Object.hasOwn(options, key) ? options[key] : undefined;
    if (!Array.isArray(found)) continue;
    written.set(
      key,
      found.map((text: unknown) => (label === undefined ? switched(text) : unmarked(text))),
    );
    count += found.length;
  }
  if (count !== words.length) throw new NokvError('internal', `the command line has ${words.length} words; cac returned ${count}`);
  return { written, positionals: args.map(unmarked) };
}

/** Without a conversion of its own, a type in cac says no more than that there may be several. */
const AS_LIST = { type: [] };

/**
 * Keys, not written names: cac takes `--no-replace` for the denial of `--replace`, and folds only some dashes. Short
 * forms stay out: where a short and a long form are mixed, cac copies one over the other.
 */
function optionForm(key: string, label: string | undefined): string {
  return label === undefined ? `--${key}` : `--${key} <value>`;
}

function wordForCac(word: Word): string {
  if (word.kind === 'argument') return MARK + word.text;
  return word.kind === 'switch' ? `--${word.key}` : `--${word.key}=${MARK}${word.text}`;
}

function unmarked(text: unknown): string {
  if (typeof text === 'string' && text.startsWith(MARK)) return text.slice(MARK.length);
  throw new NokvError('internal', `expected a word of the command line as it was given to cac; found ${typeof text} ${String(text)}`);
}

function switched(text: unknown): string {
  if (text === true) return '';
  throw new NokvError('internal', `expected a switch without a value from cac; found ${typeof text} ${String(text)}`);
}
