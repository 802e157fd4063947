import { NokvError, formatName, formatTimespec } from '@nokv/types';
import { z } from 'zod';
import { AnswerMeter, lines, renderCursor, renderRows, cell } from '../answer.js';
import { budgetOf, checkSignal, type VerbContext } from '../budget.js';
import { formatCursor, parseCursor, queryDigest } from '../cursor.js';
import type { Plane, PlaneEntry } from '../plane.js';
import type { Verb } from '../verb.js';
import { verbPath } from '../verb-path.js';

const INPUT = z.strictObject({
  path: z.string().optional(),
  limit: z.int().min(1).max(1000).optional().describe('default 200'),
  cursor: z.string().optional(),
});

const ENTRY = z.object({
  name: z.string(),
  type: z.string(),
  size: z.number(),
  generation: z.number().nullable(),
  mtime: z.string(),
  /** Entries of a directory. */
  children: z.number().nullable(),
  target: z.string().optional(),
});

const OUTPUT = z.object({
  path: z.string(),
  /** Entries of the directory, of which this answer may hold a part. */
  total: z.number(),
  entries: z.array(ENTRY),
  cursor: z.string().optional(),
});

type Output = z.output<typeof OUTPUT>;

const STATE = z.object({ after: z.string() });
const PAGE_MAX = 1000;

export const lsVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'ls',
  title: 'List',
  description: 'Entries of a directory in name order.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

async function run(plane: Plane, input: z.output<typeof INPUT>, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const path = verbPath(input.path, context);
  const digest = queryDigest('ls', { path });
  const after = input.cursor === undefined ? undefined : parseCursor(input.cursor, digest, STATE).after;
  const { signal } = context;
  const start = await plane.stat(path, { signal });
  if (start.card.type !== 'directory') {
    if (after !== undefined) throw new NokvError('not-directory', `${path} is no directory any more; leave the cursor out`);
    return { path, total: 1, entries: [entryOf(start)] };
  }
  const limit = input.limit ?? 200;
  const page = await plane.list(path, { limit: Math.min(limit, PAGE_MAX), signal, ...(after === undefined ? {} : { after }) });
  const meter = new AnswerMeter(budgetOf(context).answerBytes);
  const entries: Output['entries'] = [];
  for (const each of page.entries) {
    const entry = entryOf(each);
    if (!meter.take(entry)) break;
    entries.push(entry);
  }
  const last = entries.at(-1);
  const isCut = last !== undefined && (page.more || entries.length < page.entries.length);
  return {
    path,
    total: start.card.children,
    entries,
    ...(isCut ? { cursor: formatCursor(digest, { after: last.name }) } : {}),
  };
}

function entryOf({ name, path, card }: PlaneEntry): Output['entries'][number] {
  return {
    name: name === '' ? path : name,
    type: card.type,
    size: card.size,
    generation: card.type === 'file' ? card.generation : null,
    mtime: formatTimespec(card.mtime),
    children: card.type === 'directory' ? card.children : null,
    ...(card.target === undefined ? {} : { target: formatName(card.target) }),
  };
}

function renderText(result: Output): string {
  return lines(
    `${cell(result.path)}: ${result.entries.length} of ${result.total} entries`,
    renderRows(result.entries),
    renderCursor(result.cursor),
  );
}
