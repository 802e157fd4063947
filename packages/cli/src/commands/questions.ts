/** `catalog find aggregate read grep`: the verbs of `@nokv/agent`, so that the answers are those that agents get. */
import type { VerbResult } from '@nokv/agent';
import { NokvError } from '@nokv/types';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { columns } from '../output.js';
import type { Moment } from '../moment.js';
import { printable } from '../printable.js';
import { pathsAndMoment } from '../question-paths.js';
import type { questionCommands } from '../table/question-commands.js';
import { usageError } from '../usage-error.js';

type Rows = typeof questionCommands;
type VerbName = 'catalog' | 'find' | 'aggregate' | 'read' | 'grep';
type Question = Readonly<Record<string, unknown>>;
type Asker = Omit<Call, 'args' | 'flags'> & {
  readonly flags: { readonly query: string | undefined; readonly all?: boolean; readonly at: Moment | undefined };
};

export async function catalog(call: CallOf<Rows['catalog']>): Promise<void> {
  await ask(call, 'catalog', [call.args.path], {}, async (_result, text) => await call.output.line(text));
}

export async function find(call: CallOf<Rows['find']>): Promise<void> {
  const { where, sort, limit, cursor, fields } = call.flags;
  let rows = 0;
  await ask(call, 'find', [call.args.path], { where, sort, limit, cursor, fields }, async (result) => {
    await printTable(call, result.rows, rows === 0);
    rows += result.rows.length;
    await remark(
      call,
      `${rows} ${rows === 1 ? 'row' : 'rows'}, ${result.scan.complete ? '' : 'at least '}${result.matched} matched`,
      result,
    );
  });
}

export async function aggregate(call: CallOf<Rows['aggregate']>): Promise<void> {
  const { where, sort, limit, cursor, by, metric } = call.flags;
  const question = { where, sort, limit, cursor, by, metrics: metric.length === 0 ? undefined : metric };
  let rows = 0;
  await ask(call, 'aggregate', [call.args.path], question, async (result) => {
    await printTable(call, result.rows, rows === 0);
    rows += result.rows.length;
    const missing = Object.entries(result.missing ?? {}).map(([name, count]) => `; ${count} without ${name}`);
    await remark(call, `${rows} of ${result.groups} groups over ${result.matched} entries${missing.join('')}`, result);
  });
}

export async function grep(call: CallOf<Rows['grep']>): Promise<void> {
  const { args, flags, output } = call;
  if (flags.count && flags.filesWithMatches) throw usageError('-c and -l exclude each other; give one');
  const { limit, cursor, where, context, beforeContext: before, afterContext: after } = flags;
  // Like grep(1): where -e gives the patterns, every argument is a path.
  const [patterns, paths] = flags.regexp.length === 0 ? [[args.pattern], args.paths] : [flags.regexp, [args.pattern, ...args.paths]];
  if (patterns[0] === undefined && flags.query === undefined) throw usageError('missing PATTERN; expected: nokv grep PATTERN [PATH…]');
  const question = {
    pattern: patterns.length === 1 ? patterns[0] : [...patterns],
    glob: flags.glob.length === 0 ? undefined : [...flags.glob],
    literal: flags.fixedStrings ? true : undefined,
    ignoreCase: flags.ignoreCase ? true : undefined,
    mode: flags.filesWithMatches ? 'files' : flags.count ? 'count' : undefined,
    limit,
    cursor,
    where,
    context,
    before,
    after,
  };
  const sum = { matches: 0, files: 0 };
  await ask(call, 'grep', paths, question, async (result) => {
    sum.matches += result.matches;
    sum.files += result.files.length;
    for (const file of result.files) {
      const path = output.colors.magenta(printable(file.path));
      if (result.mode === 'files') await output.line(path);
      else if (result.mode === 'count') await output.line(`${path}:${file.count ?? 0}`);
      for (const line of file.lines ?? []) {
        const mark = line.context === true ? '-' : ':';
        await output.line(
          `${path}${mark}${output.colors.green(`${line.line}`)}${mark}${line.text}${line.clipped === true ? ' [cut]' : ''}`,
        );
      }
    }
    const { binary, unreadable } = result.scan;
    const skipped = [
      binary === undefined ? '' : `; ${binary} binary files skipped`,
      unreadable === undefined ? '' : `; ${unreadable} unreadable`,
    ].join('');
    const found = result.mode === 'files' ? `${sum.files} files match` : `${sum.matches} matching lines in ${sum.files} files`;
    await remark(call, `${found}${skipped}`, result);
  });
}

export async function read(call: CallOf<Rows['read']>): Promise<void> {
  const { head, tail, bytes, encoding, pointer } = call.flags;
  const question = {
    head,
    tail,
    bytes,
    encoding,
    pointer,
    ...linesOf(call),
  };
  await ask(call, 'read', call.args.paths, question, async (_result, text) => await call.output.line(text));
}

function linesOf({ flags: { lines } }: CallOf<Rows['read']>): {
  readonly offset?: number;
  readonly limit?: number;
  readonly tail?: number;
} {
  if (lines === undefined) return {};
  if ('last' in lines) return { tail: lines.last };
  if (lines.from === 0) throw usageError('--lines: lines are counted from 1, found 0');
  return { offset: lines.from, ...(lines.to === undefined ? {} : { limit: lines.to - lines.from + 1 }) };
}

/** A bound for `--all`: each answer goes on after the last, so this many are a fault. */
const ANSWERS_MAX = 1_000_000;

async function ask<Name extends VerbName>(
  call: Asker,
  verb: Name,
  paths: readonly (string | undefined)[],
  written: Question,
  show: (result: VerbResult<Name>, text: string) => Promise<void>,
): Promise<void> {
  const query = parseQuery(call.flags.query);
  const { runVerb } = await import('@nokv/agent');
  const { wirePlane } = await import('@nokv/client');
  await using client = await connectClient(call);
  const named = paths.filter((path) => path !== undefined);
  const { paths: asked, at } = await pathsAndMoment(call, client, verb, named);
  const question: Question = {
    ...query,
    ...(asked.length === 0 ? {} : { path: asked.length === 1 ? asked[0] : asked }),
    ...Object.fromEntries(Object.entries(written).filter((entry) => entry[1] !== undefined)),
  };
  const plane = wirePlane(client, { at });
  let cursor: unknown = question.cursor;
  for (let answers = 0; answers < ANSWERS_MAX; answers++) {
    const { result, text } = await runVerb(verb, plane, cursor === undefined ? question : { ...question, cursor }, {
      clock: call.io.clock,
      signal: call.signal,
    });
    if (call.output.json) await call.output.object(result);
    // The verb was asked by its name: this is its result.
    else await show(result as VerbResult<Name>, text);
    cursor = result.cursor;
    if (call.flags.all !== true || cursor === undefined) return;
  }
  throw new NokvError('internal', `${verb} handed back more than ${ANSWERS_MAX} cursors`);
}

function parseQuery(text: string | undefined): Question {
  if (text === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw usageError(`--query: expected a JSON object, found what is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw usageError(`--query: expected a JSON object such as {"where": "type = file"}, found ${text.slice(0, 40)}`);
  }
  return { ...parsed };
}

type Cell = string | number | null;

/** Lined up for people, separated by tabs in a pipe; the names of the columns stand above the first answer. */
async function printTable({ output, io }: Asker, rows: readonly Readonly<Record<string, Cell>>[], isFirst: boolean): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const names = Object.keys(first);
  const cells = rows.map((row) => names.map((name) => printable(`${row[name] ?? '-'}`)));
  const table = isFirst ? [names, ...cells] : cells;
  if (!io.stdoutIsTerminal) for (const line of table) await output.line(line.join('\t'));
  else for (const line of columns(table, numberColumns(names, rows))) await output.line(line);
}

function numberColumns(names: readonly string[], rows: readonly Readonly<Record<string, Cell>>[]): number[] {
  return names.flatMap((name, i) => (rows.every((row) => row[name] === null || typeof row[name] === 'number') ? [i] : []));
}

/** What a person must know about the answer: how much it covers and how to go on. */
async function remark({ output, flags, command }: Asker, summary: string, { scan, cursor }: Covered): Promise<void> {
  // With --all the last answer speaks for all of them.
  if (flags.all === true && cursor !== undefined) return;
  // Standard error is not buffered: the rows go first.
  await output.flush();
  output.note(`${summary}${scan.complete ? '' : `; PARTIAL: stopped at ${scan.stopped ?? 'a bound'}`}`);
  if (cursor !== undefined) output.note(`more: the same ${command} with --all, or --cursor ${cursor}`);
}

interface Covered {
  readonly scan: { readonly complete: boolean; readonly stopped?: string | undefined };
  readonly cursor?: string | undefined;
}
