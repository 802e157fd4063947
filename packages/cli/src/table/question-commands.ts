/** The verbs that agents have, in the words of a shell. */
import { any, command, many, optional, toggle, value, values } from '../command.js';
import { parseChoice, parseInteger, parseRange, parseText } from '../quantities.js';
import { momentFlags } from './shared-flags.js';

/** Fields in one word: `path,size`. */
const parseNames = (text: string): readonly string[] => text.split(',').filter((name) => name !== '');

const WHERE_NOTES = [
  'A predicate compares fields: type = file and size > 4MiB and not name ~ "^\\\\." and mtime > 2026-01-01.',
  'Operators: = != > >= < <= ~ (regex), in prefix suffix contains glob between exists; joined by and, or, not and brackets.',
  '"nokv catalog PATH" shows the fields.',
];

const scanFlags = {
  where: value('PREDICATE', 'Only entries that match', parseText, 'w'),
  sort: value('FIELDS', 'Order by these, "-" for descending, such as --sort=-size,name', parseNames),
  limit: value('N', 'Rows in one answer, at most 1000 (default 50)', parseInteger(0, 1000)),
  cursor: value('C', 'Go on where an earlier answer stopped', parseText),
  all: toggle('Follow the cursors to the end'),
  query: value('JSON', 'The whole question as JSON, as agents write it; other flags add to it', parseText),
  ...momentFlags,
};

const catalog = command({
  name: 'catalog',
  group: 'questions',
  summary: 'show what can be asked about what is below a directory',
  args: { path: optional('PATH', 'remote directory, or PATH@…; default /') },
  flags: { query: scanFlags.query, ...momentFlags },
  example: 'nokv catalog /runs',
  schema: 'catalog',
});

const find = command({
  name: 'find',
  group: 'questions',
  summary: 'find entries by what is known about them',
  notes: WHERE_NOTES,
  args: { path: optional('PATH', 'remote directory, or PATH@…; default /') },
  flags: { ...scanFlags, fields: value('FIELDS', 'Columns, such as path,size,digest', parseNames) },
  example: "nokv find /runs --where 'size > 10MB and name suffix .json' --sort=-size",
  schema: 'find',
});

const aggregate = command({
  name: 'aggregate',
  group: 'questions',
  summary: 'count and sum up entries by group',
  notes: WHERE_NOTES,
  args: { path: optional('PATH', 'remote directory, or PATH@…; default /') },
  flags: {
    ...scanFlags,
    by: value('FIELDS', 'Groups, such as type,extension', parseNames),
    metric: values('METRIC', 'count, or sum, avg, min, max, distinct or p95 of a field, such as sum(size); repeatable', parseText),
  },
  example: "nokv aggregate /runs --by extension --metric count --metric 'sum(size)' --sort=-count",
  schema: 'aggregate',
});

const grep = command({
  name: 'grep',
  group: 'questions',
  summary: 'find lines that match, below paths',
  notes: [
    'Patterns are regular expressions as ripgrep has them. Binary files are skipped, and said to be.',
    'Nothing found is an answer, not an error: exit code 0.',
  ],
  args: {
    pattern: optional('PATTERN', 'regular expression; with -e the first PATH'),
    paths: any('PATH', 'remote file or directory, or PATH@…; default /'),
  },
  flags: {
    regexp: values('PATTERN', 'A pattern, also one that begins with "-"; repeatable', parseText, 'e'),
    glob: values('GLOB', 'Files whose path matches, "!" for those that do not; repeatable', parseText, 'g'),
    fixedStrings: toggle('The pattern is plain text', 'F'),
    ignoreCase: toggle('Upper and lower case are the same', 'i'),
    filesWithMatches: toggle('Paths only', 'l'),
    count: toggle('Matching lines of each file, as a number', 'c'),
    afterContext: value('N', 'Lines after each match, at most 20', parseInteger(0, 20), 'A'),
    beforeContext: value('N', 'Lines before each match, at most 20', parseInteger(0, 20), 'B'),
    context: value('N', 'Lines before and after each match, at most 20', parseInteger(0, 20), 'C'),
    where: scanFlags.where,
    limit: value('N', 'Matches in one answer, at most 1000 (default 100)', parseInteger(1, 1000)),
    cursor: scanFlags.cursor,
    all: scanFlags.all,
    query: scanFlags.query,
    ...momentFlags,
  },
  example: "nokv grep -i 'out of memory' /runs --glob '*.log'",
  schema: 'grep',
});

const read = command({
  name: 'read',
  group: 'questions',
  summary: 'show part of files: lines, head, tail, bytes or a JSON value',
  args: { paths: many('PATH', 'remote file, PATH@…, or nokv:///path@generation#L1-L9') },
  flags: {
    lines: value('A-B', 'Lines A to B, counted from 1', parseRange),
    head: value('N', 'The first N lines', parseInteger(1, 10_000)),
    tail: value('N', 'The last N lines', parseInteger(1, 10_000)),
    bytes: value('A-B', 'Bytes A to B, both included, or -N for the last N', parseText),
    encoding: value('FORM', 'text or base64, for bytes', parseChoice('text', 'base64')),
    pointer: value('POINTER', 'A value inside a JSON file, such as /metrics/loss', parseText),
    query: scanFlags.query,
    ...momentFlags,
  },
  example: 'nokv read /runs/7/train.log --tail 20',
  schema: 'read',
});

const mcp = command({
  name: 'mcp',
  group: 'questions',
  summary: 'serve the seven verbs to an agent over standard input and output (MCP)',
  args: {},
  flags: { root: value('PATH', 'Show nothing outside this directory (default /)', parseText) },
  example: 'nokv mcp --root /runs',
});

export const questionCommands = { catalog, find, aggregate, grep, read, mcp };
