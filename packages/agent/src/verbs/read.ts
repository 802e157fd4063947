/** `read`: a part of one or several bodies, as numbered lines, as bytes, or as a JSON value. */
import { NokvError, toNokvError } from '@nokv/types';
import { z } from 'zod';
import { cell, oneLine } from '../answer.js';
import { Stopwatch, budgetOf, checkSignal, type VerbContext } from '../budget.js';
import { ITEM_ERROR, itemError } from '../card.js';
import { isEvidenceUri, formatEvidence, parseEvidence, type EvidencePart } from '../evidence-uri.js';
import type { Plane, PlaneBody } from '../plane.js';
import { parseByteRange, readBytes } from '../text/read-bytes.js';
import { readJsonPointer } from '../text/json-pointer.js';
import { readLastLines, readLines, type TextLines } from '../text/read-lines.js';
import type { Verb } from '../verb.js';
import { verbPath } from '../verb-path.js';

const PATHS_MAX = 50;
const LINES_DEFAULT = 500;
const LINES_MAX = 10_000;

const INPUT = z.strictObject({
  path: z.union([z.string(), z.array(z.string()).min(1).max(PATHS_MAX)]).describe('or nokv:// uri'),
  offset: z.int().min(1).optional().describe('first line'),
  limit: z.int().min(1).max(LINES_MAX).optional().describe('lines, default 500'),
  tail: z.int().min(1).max(LINES_MAX).optional().describe('last lines'),
  head: z.int().min(1).max(LINES_MAX).optional(),
  bytes: z.string().optional().describe('"0-65535", "-100"'),
  encoding: z.enum(['text', 'base64']).optional(),
  pointer: z.string().optional().describe('JSON pointer'),
});

type Input = z.output<typeof INPUT>;

const ITEM = z.object({
  path: z.string(),
  generation: z.number().optional(),
  size: z.number().optional(),
  /** Cites exactly what is here. */
  uri: z.string().optional(),
  view: z.enum(['lines', 'bytes', 'json']).optional(),
  firstLine: z.number().optional(),
  totalLines: z.number().optional(),
  lines: z.array(z.string()).optional(),
  /** Numbers of lines (without firstLine: counted from 1 here) that were cut at 4,000 characters. */
  clipped: z.array(z.number()).optional(),
  firstByte: z.number().optional(),
  lastByte: z.number().optional(),
  encoding: z.enum(['text', 'base64']).optional(),
  text: z.string().optional(),
  base64: z.string().optional(),
  pointer: z.string().optional(),
  value: z.unknown().optional(),
  /** True when bytes were no UTF-8 and are shown as U+FFFD. */
  lossy: z.boolean().optional(),
  /** True when more was asked for, or is there, than stands here; `next` says how to go on. */
  partial: z.boolean().optional(),
  next: z.string().optional(),
  error: ITEM_ERROR.optional(),
});

type Item = z.output<typeof ITEM>;

const OUTPUT = z.object({ items: z.array(ITEM) });
type Output = z.output<typeof OUTPUT>;

export const readVerb: Verb<typeof INPUT, typeof OUTPUT> = {
  name: 'read',
  title: 'Read',
  description: 'Part of files: numbered lines, head, tail, bytes, JSON pointer; a cited uri gives the same bytes again.',
  input: INPUT,
  output: OUTPUT,
  run,
  renderText,
};

type View =
  | { readonly kind: 'lines'; readonly first: number; readonly count: number; readonly isAsked: boolean }
  | { readonly kind: 'tail'; readonly count: number }
  | { readonly kind: 'bytes'; readonly range: string }
  | { readonly kind: 'json'; readonly pointer: string };

async function run(plane: Plane, input: Input, context: VerbContext): Promise<Output> {
  checkSignal(context.signal);
  const asked = viewOf(input);
  const isSingle = typeof input.path === 'string';
  const paths = typeof input.path === 'string' ? [input.path] : input.path;
  let bytesLeft = budgetOf(context).answerBytes - 1000;
  const items: Item[] = [];
  // One after the other, so that what an early path leaves over serves the later ones.
  for (const [i, path] of paths.entries()) {
    const share = Math.max(500, Math.floor(bytesLeft / (paths.length - i)) - 600);
    const item = await itemOrError(plane, path, asked, input.encoding, share, context, isSingle);
    bytesLeft -= Buffer.byteLength(JSON.stringify(item)) + 1;
    items.push(item);
  }
  return { items };
}

async function itemOrError(
  plane: Plane,
  path: string,
  asked: View | undefined,
  encoding: Input['encoding'],
  bytesMax: number,
  context: VerbContext,
  isSingle: boolean,
): Promise<Item> {
  try {
    return await itemOf(plane, path, asked, encoding, bytesMax, context);
  } catch (error) {
    const known = toNokvError(error);
    if (isSingle || known.code === 'cancelled' || known.kind === 'internal') throw known;
    return { path, error: itemError(known.toRecord()) };
  }
}

async function itemOf(
  plane: Plane,
  pathOrUri: string,
  asked: View | undefined,
  encoding: Input['encoding'],
  bytesMax: number,
  context: VerbContext,
): Promise<Item> {
  const evidence = isEvidenceUri(pathOrUri) ? parseEvidence(pathOrUri) : { path: verbPath(pathOrUri, context) };
  if (evidence.part !== undefined && asked !== undefined) {
    throw wrong('path', `the URI already says which part (${pathOrUri}); leave out the other arguments, or cut the URI at "#"`);
  }
  const view =
    evidence.part === undefined ? (asked ?? { kind: 'lines', first: 1, count: LINES_DEFAULT, isAsked: false }) : viewOfPart(evidence.part);
  if (encoding !== undefined && view.kind !== 'bytes')
    throw wrong('encoding', 'it goes with bytes; give bytes as well, for example "0-65535"');
  const { signal } = context;
  const watch = new Stopwatch(context, budgetOf(context).timeMs);
  const body = await plane.open(evidence.path, {
    signal,
    ...(evidence.generation === undefined ? {} : { generation: evidence.generation }),
  });
  const base = { path: body.entry.path, generation: body.generation, size: body.size };
  const cite = (part: EvidencePart | undefined): string =>
    formatEvidence({ path: body.entry.path, generation: body.generation, ...(part === undefined ? {} : { part }) });
  switch (view.kind) {
    case 'lines': {
      const text = await readLines(body, { first: view.first, count: view.count, bytesMax, watch });
      return { ...base, ...linesItem(body, text, cite, view) };
    }
    case 'tail':
      return { ...base, ...linesItem(body, await readLastLines(body, view.count, bytesMax, signal), cite, view) };
    case 'bytes': {
      const part = await readBytes(body, parseByteRange(view.range, body.size, 'bytes'), encoding, bytesMax, signal);
      const { lastByte, firstByte } = part;
      const next = part.isPartial ? `bytes "${lastByte + 1}-${part.lastAsked}"` : undefined;
      return {
        ...base,
        uri: cite(lastByte < firstByte ? undefined : { kind: 'bytes', first: firstByte, last: lastByte }),
        view: 'bytes',
        firstByte,
        lastByte,
        encoding: part.encoding,
        ...(part.encoding === 'text' ? { text: part.content } : { base64: part.content }),
        ...(part.isLossy ? { lossy: true } : {}),
        ...(next === undefined ? {} : { partial: true, next }),
      };
    }
    case 'json': {
      const found = await readJsonPointer(body, view.pointer, bytesMax, signal);
      return {
        ...base,
        uri: cite({ kind: 'pointer', pointer: view.pointer === '' ? '/' : view.pointer }),
        view: 'json',
        pointer: view.pointer,
        value: found.value,
        ...(found.isPartial ? { partial: true, next: 'a longer pointer: this is only an outline of the value' } : {}),
      };
    }
  }
}

function linesItem(
  body: PlaneBody,
  text: TextLines,
  cite: (part: EvidencePart | undefined) => string,
  view: View & { readonly kind: 'lines' | 'tail' },
): Omit<Item, 'path'> {
  if (text.isBinary) {
    throw new NokvError(
      'unsupported',
      `${body.entry.path} is binary (${body.size} bytes); read it with bytes "0-65535" and encoding base64`,
    );
  }
  const { lines, firstLine, totalLines } = text;
  if (lines.length === 0 && view.kind === 'lines' && view.first > 1) {
    throw wrong('offset', `${body.entry.path} has ${totalLines ?? 0} lines, found offset ${view.first}; use tail for its end`);
  }
  const part: EvidencePart | undefined =
    lines.length === 0
      ? undefined
      : firstLine === undefined
        ? { kind: 'bytes', first: text.firstByte, last: text.endByte - 1 }
        : { kind: 'lines', first: firstLine, last: firstLine + lines.length - 1 };
  const isShort = view.kind === 'tail' && lines.length < view.count && text.firstByte > 0;
  const next = text.hasMore
    ? `offset ${(firstLine ?? 1) + lines.length}`
    : isShort
      ? `bytes "0-${text.firstByte - 1}" holds what comes before`
      : undefined;
  return {
    uri: cite(part),
    view: 'lines',
    ...(firstLine === undefined ? { firstByte: text.firstByte, lastByte: text.endByte - 1 } : { firstLine }),
    ...(totalLines === undefined ? {} : { totalLines }),
    lines,
    ...(text.clipped.length === 0 ? {} : { clipped: text.clipped.map((index) => index + (firstLine ?? 1)) }),
    ...(text.isLossy ? { lossy: true } : {}),
    ...(next === undefined ? {} : { partial: true, next }),
  };
}

/** Which part the arguments ask for; undefined when they leave it open. Two ways at once are refused. */
function viewOf(input: Input): View | undefined {
  const ways = (['head', 'tail', 'bytes', 'pointer'] as const).filter((name) => input[name] !== undefined);
  const isPaged = input.offset !== undefined || input.limit !== undefined;
  const [way, other] = isPaged ? [...ways, 'offset/limit'] : ways;
  if (other !== undefined) throw wrong(other, `give one of offset/limit, head, tail, bytes, pointer; found ${way} and ${other}`);
  if (input.pointer !== undefined) return { kind: 'json', pointer: input.pointer };
  if (input.bytes !== undefined) return { kind: 'bytes', range: input.bytes };
  if (input.tail !== undefined) return { kind: 'tail', count: input.tail };
  if (input.head !== undefined) return { kind: 'lines', first: 1, count: input.head, isAsked: true };
  return isPaged ? { kind: 'lines', first: input.offset ?? 1, count: input.limit ?? LINES_DEFAULT, isAsked: true } : undefined;
}

function viewOfPart(part: EvidencePart): View {
  switch (part.kind) {
    case 'lines':
      return { kind: 'lines', first: part.first, count: part.last - part.first + 1, isAsked: true };
    case 'bytes':
      return { kind: 'bytes', range: `${part.first}-${part.last}` };
    case 'pointer':
      return { kind: 'json', pointer: part.pointer };
  }
}

function wrong(argument: string, message: string): NokvError {
  return new NokvError('invalid-argument', `read: ${argument}: ${message}`, { details: { argument } });
}

function renderText(result: Output): string {
  return result.items.map(renderItem).join('\n\n');
}

function renderItem(item: Item): string {
  if (item.error !== undefined) return `${cell(item.path)}: ${item.error.code}: ${oneLine(item.error.message)}`;
  const facts = [
    item.view === 'lines' && item.firstLine === undefined ? `last lines, bytes ${item.firstByte}-${item.lastByte}` : undefined,
    item.view === 'bytes' ? `${item.encoding} of bytes ${item.firstByte}-${item.lastByte}` : undefined,
    item.view === 'json' ? `value at ${JSON.stringify(item.pointer)}` : undefined,
    item.totalLines === undefined ? undefined : `${item.totalLines} lines`,
    `${item.size} bytes`,
    item.lossy === true ? 'not UTF-8: some bytes shown as U+FFFD' : undefined,
    item.clipped === undefined ? undefined : `lines cut at 4000 characters: ${item.clipped.join(', ')}`,
    item.partial === true ? `PARTIAL, go on with ${item.next}` : undefined,
  ].filter((fact) => fact !== undefined);
  const head = `${item.uri} (${facts.join('; ')})`;
  const first = item.firstLine;
  const body =
    item.lines?.map((line, i) => (first === undefined ? line : `${first + i}\t${line}`)).join('\n') ??
    item.text ??
    item.base64 ??
    JSON.stringify(item.value);
  return `${head}\n${body}`;
}
