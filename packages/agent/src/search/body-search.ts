/**
 * Searches one body line by line, in constant memory: chunks are cut at line ends, lines are decoded only where a match
 * is possible (a pattern that must contain some text lets whole chunks go by). A body with a NUL in its first 64 KiB is
 * binary and skipped; a later NUL ends the search there.
 */
import type { StopReason } from '../budget.js';
import type { Pattern } from '../pattern/pattern.js';
import type { Plane, PlaneBody } from '../plane.js';

export type SearchMode = 'content' | 'files' | 'count';

export interface BodySearchOptions {
  readonly patterns: readonly Pattern[];
  readonly mode: SearchMode;
  readonly before: number;
  readonly after: number;
  /** Matches to find at most, in `content`. */
  readonly limit: number;
  readonly bytesMax: number;
  readonly isOver: () => boolean;
  /** Lets other calls have their turn. */
  readonly pause: () => Promise<void>;
  readonly signal: AbortSignal;
}

export interface Position {
  readonly offset: number;
  readonly line: number;
}

export interface ShownLine {
  readonly line: number;
  readonly text: string;
  readonly context?: boolean;
  readonly clipped?: boolean;
}

/** A matching line with what is shown around it, less what an earlier group shows. */
export interface MatchGroup {
  readonly lines: ShownLine[];
  /** The line after the match. */
  readonly next: Position;
}

export interface SearchedBody {
  readonly path: string;
  readonly generation: number;
  readonly groups: readonly MatchGroup[];
  readonly count: number;
  readonly isBinary: boolean;
  /** Where the search goes on, when a bound stopped it. */
  readonly stoppedAt?: Position;
  readonly stopped?: StopReason;
}

const LF = 10;
const EMPTY = Buffer.alloc(0);
const BINARY_PROBE_BYTES = 64 * 1024;
/** A longer line is searched in pieces of this size, each as if it were a line of that number. */
const LINE_BYTES_MAX = 1024 * 1024;
const SHOWN_CHARS_MAX = 500;
const SHOWN_BEFORE_MATCH = 100;
/** Chunks are searched in slices of this size, so that a slow pattern meets the deadline and others get their turn. */
const SLICE_BYTES = 256 * 1024;

export class BodySearch {
  /** Bytes that were looked at. */
  bytes = 0;

  readonly #plane: Plane;
  readonly #options: BodySearchOptions;
  readonly #literals: readonly Buffer[] | undefined;
  readonly #groups: MatchGroup[] = [];
  readonly #ring: ShownLine[] = [];
  #count = 0;
  #afterLeft = 0;
  #lastShown = 0;
  #line = 1;
  #offset = 0;

  constructor(plane: Plane, options: BodySearchOptions) {
    this.#plane = plane;
    this.#options = options;
    const literals = options.patterns.map((pattern) => pattern.literal);
    this.#literals = literals.every((literal) => literal !== undefined) ? literals.map((literal) => Buffer.from(literal)) : undefined;
  }

  async run(path: string, resume?: Position & { readonly generation: number }): Promise<SearchedBody> {
    const { signal } = this.#options;
    const body = await this.#plane.open(path, { signal, ...(resume === undefined ? {} : { generation: resume.generation }) });
    const start = resume?.offset ?? 0;
    this.#offset = start;
    this.#line = resume?.line ?? 1;
    const result = (rest: Partial<SearchedBody>): SearchedBody => ({
      path: body.entry.path,
      generation: body.generation,
      groups: this.#groups,
      count: this.#count,
      isBinary: false,
      ...rest,
    });
    if (body.size === 0 || this.#options.limit <= 0) {
      return result(this.#options.limit <= 0 && body.size > 0 ? { stoppedAt: this.#position(), stopped: 'limit' } : {});
    }
    let carry: Buffer | undefined;
    for await (const slice of slices(body, this.#offset, signal)) {
      await this.#options.pause();
      // Never before a line is done: the next call would begin where this one did.
      if (this.#offset > start && this.#options.isOver()) return result({ stoppedAt: this.#position(), stopped: 'deadline' });
      if (this.#offset > start && this.bytes > this.#options.bytesMax) return result({ stoppedAt: this.#position(), stopped: 'bytes' });
      this.bytes += slice.length;
      const nul = slice.indexOf(0);
      if (nul >= 0 && this.bytes - slice.length + nul < BINARY_PROBE_BYTES) return result({ groups: [], count: 0, isBinary: true });
      let text = nul < 0 ? slice : slice.subarray(0, nul);
      if (carry !== undefined) {
        // Only the line that was cut is put together: the rest is searched where it lies.
        const end = text.indexOf(LF) + 1;
        const line: Buffer = Buffer.concat([carry, end === 0 ? text : text.subarray(0, end)]);
        carry = end === 0 ? line : undefined;
        text = end === 0 ? EMPTY : text.subarray(end);
        if (end > 0 && this.#lines(line)) return result(this.#restOf(body));
      }
      const end = text.lastIndexOf(LF) + 1;
      if (end > 0 && this.#lines(text.subarray(0, end))) return result(this.#restOf(body));
      if (nul >= 0) return result({ isBinary: true });
      // Copied, because the plane may use its buffer again.
      if (end < text.length) carry = Buffer.from(text.subarray(end));
      if (carry !== undefined && carry.length >= LINE_BYTES_MAX) {
        if (this.#one(carry.toString('utf8'), carry.length, 0)) return result(this.#restOf(body));
        carry = undefined;
      }
    }
    if (carry !== undefined) this.#lines(carry);
    return result({});
  }

  /** What a search that found enough leaves to do. */
  #restOf(body: PlaneBody): Partial<SearchedBody> {
    return this.#options.mode === 'files' || this.#offset >= body.size ? {} : { stoppedAt: this.#position(), stopped: 'limit' };
  }

  #position(): Position {
    return { offset: this.#offset, line: this.#line };
  }

  /** Whole lines; true when enough was found. */
  #lines(data: Buffer): boolean {
    const candidates = this.#literals === undefined ? undefined : new Candidates(data, this.#literals);
    const { before } = this.#options;
    let at = 0;
    while (at < data.length) {
      if (candidates !== undefined && this.#afterLeft === 0) {
        const candidate = candidates.from(at);
        // What comes before a match must have been seen, also when the match lies in what follows this data.
        const skipTo =
          before > 0 ? lineBack(data, at, candidate, before) : candidate === data.length ? candidate : lineStart(data, at, candidate);
        if (skipTo > at) {
          this.#skip(data, at, skipTo);
          at = skipTo;
          continue;
        }
      }
      const lf = data.indexOf(LF, at);
      const end = lf < 0 ? data.length : lf;
      const next = lf < 0 ? data.length : lf + 1;
      const isFull = this.#one(data.toString('utf8', at, end), next - at);
      at = next;
      if (isFull) return true;
    }
    return false;
  }

  #skip(data: Buffer, from: number, to: number): void {
    // Only lines that are shown have numbers.
    if (this.#options.mode === 'content') {
      for (let at = data.indexOf(LF, from); at >= 0 && at < to; at = data.indexOf(LF, at + 1)) this.#line += 1;
    }
    this.#offset += to - from;
    this.#ring.length = 0;
  }

  /** One line; true when enough was found. `lines`: 0 for a piece that does not end its line. */
  #one(text: string, bytes: number, lines: 0 | 1 = 1): boolean {
    const { mode, before, patterns, limit } = this.#options;
    const number = this.#line;
    const isMatch = patterns.some((pattern) => pattern.test(text));
    this.#line += lines;
    this.#offset += bytes;
    if (mode !== 'content') {
      if (isMatch) this.#count += 1;
      return isMatch && mode === 'files';
    }
    if (isMatch) {
      this.#count += 1;
      const shown = this.#ring.filter((each) => each.line > this.#lastShown);
      shown.push(this.#shown(text, number));
      this.#groups.push({ lines: shown, next: this.#position() });
      this.#lastShown = number;
      this.#afterLeft = this.#options.after;
      this.#ring.length = 0;
      return this.#groups.length >= limit && this.#afterLeft === 0;
    }
    if (this.#afterLeft > 0) {
      this.#afterLeft -= 1;
      this.#groups.at(-1)?.lines.push({ ...clip(text, 0), line: number, context: true });
      this.#lastShown = number;
      return this.#groups.length >= limit && this.#afterLeft === 0;
    }
    if (before > 0) {
      this.#ring.push({ ...clip(text, 0), line: number, context: true });
      if (this.#ring.length > before) this.#ring.shift();
    }
    return false;
  }

  #shown(text: string, line: number): ShownLine {
    if (text.length <= SHOWN_CHARS_MAX) return { line, text };
    const at = Math.min(...this.#options.patterns.map((pattern) => pattern.indexIn(text)).filter((index) => index >= 0));
    return { line, ...clip(text, Math.max(0, at - SHOWN_BEFORE_MATCH)) };
  }
}

/** Where the texts lie of which every matching line holds one; each is looked for once. */
class Candidates {
  readonly #data: Buffer;
  readonly #literals: readonly Buffer[];
  readonly #next: number[];

  constructor(data: Buffer, literals: readonly Buffer[]) {
    this.#data = data;
    this.#literals = literals;
    this.#next = literals.map(() => -1);
  }

  /** The nearest at or after `at`; the length of the data for none. `at` never goes back. */
  from(at: number): number {
    let nearest = this.#data.length;
    for (const [i, literal] of this.#literals.entries()) {
      let next = this.#next[i] ?? -1;
      if (next < at) {
        const found = this.#data.indexOf(literal, at);
        next = found < 0 ? this.#data.length : found;
        this.#next[i] = next;
      }
      nearest = Math.min(nearest, next);
    }
    return nearest;
  }
}

function clip(text: string, from: number): { readonly text: string; readonly clipped?: boolean } {
  if (text.length <= SHOWN_CHARS_MAX) return { text };
  const part = text.slice(from, from + SHOWN_CHARS_MAX);
  return { text: part.replace(/^[\udc00-\udfff]/, '').replace(/[\ud800-\udbff]$/, ''), clipped: true };
}

/** Begin of the line that holds `at`. */
function lineStart(data: Buffer, from: number, at: number): number {
  return at === 0 ? 0 : Math.max(from, data.lastIndexOf(LF, at - 1) + 1);
}

/** Begin of the line `count` lines before the one that holds `at`. */
function lineBack(data: Buffer, from: number, at: number, count: number): number {
  let start = lineStart(data, from, at);
  for (let i = 0; i < count && start > from; i++) start = lineStart(data, from, start - 1);
  return start;
}

/** The body in pieces of a bounded size; the first one is long enough to tell a binary file. */
async function* slices(body: PlaneBody, offset: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  let first: Buffer | undefined;
  let isProbed = false;
  for await (const piece of body.stream(offset, { signal })) {
    let chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    if (!isProbed) {
      if (first !== undefined || chunk.length < BINARY_PROBE_BYTES) chunk = Buffer.concat([first ?? EMPTY, chunk]);
      if (chunk.length < BINARY_PROBE_BYTES) {
        first = chunk;
        continue;
      }
      isProbed = true;
      first = undefined;
    }
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) yield chunk.subarray(at, at + SLICE_BYTES);
  }
  if (first !== undefined) yield first;
}
