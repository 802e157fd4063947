/**
 * Lines of a body without holding the body: forward from a line number, or the last ones read from the end. A line ends
 * at LF; a last line without one counts. Bytes that are not UTF-8 become U+FFFD and are said to have.
 */
import { NokvError } from '@nokv/types';
import type { Stopwatch } from '../budget.js';
import type { PlaneBody } from '../plane.js';

export interface TextLines {
  readonly lines: string[];
  /** Number of the first line; absent when the lines were read from the end and their number is not known. */
  readonly firstLine?: number;
  /** Known when the end was reached by counting. */
  readonly totalLines?: number;
  /** Bytes [first, end) that the lines take, with their line ends. */
  readonly firstByte: number;
  readonly endByte: number;
  /** True when lines follow. */
  readonly hasMore: boolean;
  /** Indexes into `lines` of those that were cut at `lineCharsMax`. */
  readonly clipped: readonly number[];
  readonly isLossy: boolean;
  /** A NUL stands in the first 8 KiB: nothing was read. */
  readonly isBinary: boolean;
}

export interface ForwardOptions {
  readonly first: number;
  readonly count: number;
  /** JSON bytes that the lines may take; at least one line comes back whatever its length. */
  readonly bytesMax: number;
  /** When it is over, the lines found so far come back; before the first one it is `deadline-exceeded`. */
  readonly watch: Stopwatch;
}

export const LINE_CHARS_MAX = 4000;
const PROBE_BYTES = 8192;
const TAIL_STEP_BYTES = 64 * 1024;
/** A longer line is not kept whole; only its beginning can be shown anyway. */
const KEPT_LINE_BYTES = LINE_CHARS_MAX * 4;
const LF = 10;

export async function readLines(body: PlaneBody, { first, count, bytesMax, watch }: ForwardOptions): Promise<TextLines> {
  const { signal } = watch;
  if (await startsBinary(body, signal)) return binary();
  const taken = new Collector(bytesMax, count);
  let number = 1;
  let offset = 0;
  let lineStart = 0;
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let firstByte = 0;
  let isFull = count === 0;
  for await (const piece of body.stream(0, { signal })) {
    const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    await watch.pause();
    if (offset > 0 && watch.isOver()) {
      if (taken.lines.length === 0) throw tooFar(body, first, number, lineStart);
      break;
    }
    let at = 0;
    while (at < chunk.length && !isFull) {
      const lf = chunk.indexOf(LF, at);
      const end = lf < 0 ? chunk.length : lf;
      if (number >= first && keptBytes < KEPT_LINE_BYTES && end > at) {
        const part = Buffer.from(chunk.subarray(at, Math.min(end, at + KEPT_LINE_BYTES - keptBytes)));
        kept.push(part);
        keptBytes += part.length;
      }
      at = end + 1;
      if (lf < 0) break;
      if (number >= first) {
        isFull = !taken.add(Buffer.concat(kept), offset + lf - lineStart);
        if (isFull) break;
      }
      kept = [];
      keptBytes = 0;
      number += 1;
      lineStart = offset + lf + 1;
      if (number === first) firstByte = lineStart;
      isFull = taken.lines.length >= count;
    }
    offset += chunk.length;
    if (isFull) break;
  }
  if (!isFull && offset >= body.size && lineStart < body.size) {
    if (number >= first) isFull = !taken.add(Buffer.concat(kept), body.size - lineStart);
    if (!isFull) {
      number += 1;
      lineStart = body.size;
    }
  }
  const hasMore = lineStart < body.size;
  return {
    lines: taken.lines,
    firstLine: first,
    firstByte: taken.lines.length === 0 ? lineStart : firstByte,
    endByte: lineStart,
    hasMore,
    clipped: taken.clipped,
    isLossy: taken.isLossy,
    isBinary: false,
    ...(hasMore ? {} : { totalLines: number - 1 }),
  };
}

/** The last `count` lines; reads only from the end of the body, one step of 64 KiB or more at a time. */
export async function readLastLines(body: PlaneBody, count: number, bytesMax: number, signal?: AbortSignal): Promise<TextLines> {
  if (await startsBinary(body, signal)) return binary();
  const chunks: Buffer[] = [];
  let start = body.size;
  let lineEnds = 0;
  let bytes = 0;
  let step = TAIL_STEP_BYTES;
  while (start > 0 && lineEnds <= count && bytes <= bytesMax + step) {
    const from = Math.max(0, start - step);
    const chunk = Buffer.from(await body.read(from, start - from, { signal }));
    for (let at = chunk.lastIndexOf(LF); at >= 0; at = at === 0 ? -1 : chunk.lastIndexOf(LF, at - 1)) {
      if (from + at !== body.size - 1) lineEnds += 1;
    }
    chunks.unshift(chunk);
    bytes += chunk.length;
    start = from;
    step = Math.min(step * 2, 1024 * 1024);
  }
  const text = Buffer.concat(chunks);
  const taken = new Collector(bytesMax, count);
  let end = text.length;
  let first = end;
  let isEarliest = false;
  while (end > 0 && taken.lines.length < count) {
    const searchFrom = text[end - 1] === LF ? end - 2 : end - 1;
    const lf = searchFrom < 0 ? -1 : text.lastIndexOf(LF, searchFrom);
    const contentEnd = text[end - 1] === LF ? end - 1 : end;
    // A line that began before what was read is shown as cut.
    const lineBytes = lf < 0 && start > 0 ? Number.POSITIVE_INFINITY : contentEnd - lf - 1;
    if (!taken.add(text.subarray(lf + 1, Math.min(contentEnd, lf + 1 + KEPT_LINE_BYTES)), lineBytes)) break;
    first = lf + 1;
    end = first;
    isEarliest = lf < 0;
  }
  const firstByte = start + first;
  const whole = firstByte === 0 && (isEarliest || body.size === 0);
  const reversed = taken.lines.length - 1;
  return {
    lines: taken.lines.toReversed(),
    firstByte,
    endByte: body.size,
    hasMore: false,
    clipped: taken.clipped.map((index) => reversed - index).toReversed(),
    isLossy: taken.isLossy,
    isBinary: false,
    ...(whole ? { firstLine: 1, totalLines: taken.lines.length } : {}),
  };
}

function tooFar(body: PlaneBody, wanted: number, reached: number, byte: number): NokvError {
  return new NokvError(
    'deadline-exceeded',
    `${body.entry.path}: line ${wanted} was not reached in time; line ${reached} begins at byte ${byte}: read from there with bytes "${byte}-", or use tail or grep`,
    { details: { line: reached, byte } },
  );
}

class Collector {
  readonly lines: string[] = [];
  readonly clipped: number[] = [];
  isLossy = false;
  #left: number;
  readonly #count: number;

  constructor(bytesMax: number, count: number) {
    this.#left = bytesMax;
    this.#count = count;
  }

  /** False when there is no room; the first line is always taken. `bytes`: of the whole line. */
  add(content: Buffer, bytes: number): boolean {
    if (this.lines.length >= this.#count) return false;
    const text = content.toString('utf8');
    const isCut = bytes > content.length || text.length > LINE_CHARS_MAX;
    const shown = isCut ? whole(text.slice(0, LINE_CHARS_MAX)) : text;
    const cost = Buffer.byteLength(JSON.stringify(shown));
    if (cost > this.#left && this.lines.length > 0) return false;
    this.#left -= cost;
    if (isCut) this.clipped.push(this.lines.length);
    if (!this.isLossy && shown.includes('\ufffd') && !isUtf8(content, isCut)) this.isLossy = true;
    this.lines.push(shown);
    return true;
  }
}

/** Without half a surrogate pair or a cut sequence at the end. */
function whole(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
}

function isUtf8(content: Buffer, isCut: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(content, { stream: isCut });
    return true;
  } catch {
    return false;
  }
}

async function startsBinary(body: PlaneBody, signal: AbortSignal | undefined): Promise<boolean> {
  return (await body.read(0, PROBE_BYTES, { signal })).includes(0);
}

function binary(): TextLines {
  return { lines: [], firstByte: 0, endByte: 0, hasMore: false, clipped: [], isLossy: false, isBinary: true };
}
