/**
 * `grep`: lines that match, over files below one or several paths, in tree order. The answer stops at a bound (matches,
 * size, bytes, time) with a cursor that goes on with the line after the last one reported.
 */
import { z } from 'zod';
import { lines, renderCursor } from '../answer.js';
import { checkSignal, type VerbContext } from '../budget.js';
import { formatCursor, parseCursor, queryDigest } from '../cursor.js';
import { compileGlobSet } from '../pattern/glob.js';
import { compilePattern } from '../pattern/pattern.js';
import type { Plane } from '../plane.js';
import { compilePredicate } from '../predicate.js';
import { TREE_STATE, TreeSearch } from '../search/tree-search.js';
import type { Verb } from '../verb.js';
import { verbPaths } from '../verb-path.js';
import { WHERE } from '../where.js';

const LIST = z.union([z.string(), z.array(z.string()).min(1).max(50)]);

const INPUT = z.strictObject({
  pattern: LIST.describe('regex'),
  path: LIST.optional(),
  glob: LIST.optional().describe('"*.py", "!tmp"'),
  where: WHERE.optional().meta({ description: 'which files, as in find' }),
  literal: z.boolean().optional(),
  ignoreCase: z.boolean().optional(),
  mode: z.enum(['content', 'files', 'count']).optional(),
  context: z.int().min(0).max(20).optional(),
  before: z.int().min(0).max(20).optional(),
  after: z.int().min(0).max(20).optional(),
  limit: z.int().min(1).max(1000).optional().describe('matches or files, default 100'),
  cursor: z.string().optional(),
});

type Input = z.output<typeof INPUT>;

const LINE = z.object({
  line: z.number(),
  text: z.string(),
  /** A line around a match. */
  context: z.boolean().optional(),
  /** Cut around the match. */
  clipped: z.boolean().optional(),
});

const FILE = z.object({
  path: z.string(),
  uri: z.string(),
  /** Matching lines: all of the file's in `count`, those shown in `content`. */
  count: z.number().optional(),
  lines: z.array(LINE).optional(),
});

const OUTPUT = z.object({
  mode: z.enum(['content', 'files', 'count']),
  files: z.array(FILE),
  /** Matching lines in this answer. */
  matches: z.number(),
  scan: z.object({
    complete: z.boolean(),
    files: z.number(),
    bytes: z.number(),
    binary: z.number().optional(),
    unreadable: z.number().optional(),
    stopped: z.enum(['entries', 'deadline', 'bytes', 'limit', 'answer']).optional(),
  }),
  cursor: z.string().optional(),
});

type Output = z.output<typeof OUTPUT>;

export const grepVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'grep',
  title: 'Grep',
  description: 'Lines that match, below paths. ripgrep syntax, but hidden and ignored files take part; binary ones are skipped.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

async function run(plane: Plane, input: Input, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const paths = verbPaths(input.path, context);
  const { pattern, literal = false, ignoreCase = false, mode = 'content' } = input;
  const around = input.context ?? 0;
  const shape = { before: input.before ?? around, after: input.after ?? around };
  const patterns = asList(pattern).map((text) => compilePattern(text, { isLiteral: literal, ignoreCase, argument: 'pattern' }));
  const globs = input.glob === undefined ? undefined : compileGlobSet(asList(input.glob), 'glob');
  const predicate = input.where === undefined ? undefined : compilePredicate(input.where, context.clock);
  const digest = queryDigest('grep', { paths, pattern, literal, ignoreCase, mode, glob: input.glob, where: input.where });
  const state = input.cursor === undefined ? { root: 0 } : parseCursor(input.cursor, digest, TREE_STATE);
  const roots = await Promise.all(paths.map((path) => plane.stat(path, { signal: context.signal })));
  const search = new TreeSearch(plane, { roots, patterns, globs, predicate, mode, limit: input.limit ?? 100, ...shape }, context);
  const { goOn, ...found } = await search.run(state);
  return { mode, ...found, ...(goOn === undefined ? {} : { cursor: formatCursor(digest, goOn) }) };
}

function asList(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}

function renderText(result: Output): string {
  const { mode, files, matches, scan } = result;
  const skipped = [
    scan.binary === undefined ? '' : `, ${scan.binary} binary skipped`,
    scan.unreadable === undefined ? '' : `, ${scan.unreadable} unreadable`,
  ].join('');
  const found = mode === 'files' ? `${files.length} files match` : `${matches} matching lines in ${files.length} files`;
  const state = scan.complete ? 'complete' : `PARTIAL: stopped at ${scan.stopped}`;
  return lines(
    `${found}; ${state}: ${scan.files} files, ${scan.bytes} bytes searched${skipped}`,
    ...files.map((file) => {
      if (mode === 'files') return file.uri;
      if (mode === 'count') return `${file.count}\t${file.uri}`;
      return [
        file.uri,
        ...(file.lines ?? []).map(
          (line) => `${line.line}${line.context === true ? '-' : ':'}${line.text}${line.clipped === true ? ' [cut]' : ''}`,
        ),
      ].join('\n');
    }),
    renderCursor(result.cursor),
  );
}
