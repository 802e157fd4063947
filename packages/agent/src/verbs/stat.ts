import { NokvError, toNokvError } from '@nokv/types';
import { z } from 'zod';
import { AnswerMeter, cell, oneLine } from '../answer.js';
import { Stopwatch, budgetOf, checkSignal, type VerbContext } from '../budget.js';
import { CARD, ITEM_ERROR, cardOf, itemError } from '../card.js';
import type { Plane } from '../plane.js';
import { readLines } from '../text/read-lines.js';
import type { Verb } from '../verb.js';
import { verbPaths } from '../verb-path.js';

const PATHS_MAX = 100;

const INPUT = z.strictObject({
  path: z.union([z.string(), z.array(z.string()).min(1).max(PATHS_MAX)]),
  follow: z.boolean().optional().describe('symlinks; default true'),
  lines: z.int().min(0).max(50).optional().describe('first lines too'),
});

const ITEM = CARD.partial().extend({
  path: z.string(),
  firstLines: z.array(z.string()).optional(),
  error: ITEM_ERROR.optional(),
});

const OUTPUT = z.object({ items: z.array(ITEM) });
type Item = z.output<typeof ITEM>;
type Output = z.output<typeof OUTPUT>;

export const statVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'stat',
  title: 'Stat',
  description: 'Card of each path: type, size, mode, times, generation, digest, citable uri. Reads no body.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

async function run(plane: Plane, input: z.output<typeof INPUT>, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const isSingle = typeof input.path === 'string';
  const items = await Promise.all(
    verbPaths(input.path, context).map(async (path): Promise<Item> => {
      try {
        return await itemOf(plane, path, input, context);
      } catch (error) {
        const known = toNokvError(error);
        if (isSingle || known.code === 'cancelled' || known.kind === 'internal') throw known;
        return { path, error: itemError(known.toRecord()) };
      }
    }),
  );
  const meter = new AnswerMeter(budgetOf(context).answerBytes);
  const excess = items.findIndex((item) => !meter.take(item));
  if (excess < 0) return { items };
  throw new NokvError('too-large', `the cards of ${items.length} paths do not fit into one answer; ask for ${excess} at a time`);
}

async function itemOf(plane: Plane, path: string, input: z.output<typeof INPUT>, context: VerbContext): Promise<Item> {
  const { signal } = context;
  const entry = await plane.stat(path, { signal, follow: input.follow ?? true });
  const card = cardOf(entry);
  if (input.lines === undefined || input.lines === 0 || entry.card.type !== 'file') return card;
  const body = await plane.open(path, { signal });
  const part = await readLines(body, {
    first: 1,
    count: input.lines,
    bytesMax: 8192,
    watch: new Stopwatch(context, budgetOf(context).timeMs),
  });
  return part.isBinary ? card : { ...card, firstLines: part.lines };
}

function renderText(result: Output): string {
  return result.items
    .map((item) => {
      const { path, firstLines = [], error, ...facts } = item;
      if (error !== undefined) return `${cell(path)}\n  ${error.code}: ${oneLine(error.message)}`;
      const parts = Object.entries(facts).map(
        ([name, value]) => `${name}=${Array.isArray(value) ? value.map(cell).join(',') : cell(value)}`,
      );
      return [cell(path), `  ${parts.join(' ')}`, ...firstLines.map((line, i) => `  ${i + 1}\t${line}`)].join('\n');
    })
    .join('\n');
}
