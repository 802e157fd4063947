/**
 * Two bodies as `diff -u` shows them (GNU diffutils, "Detailed Description of Unified Format"): three lines around each change,
 * changes with at most six lines between them in one hunk. Bytes that are no UTF-8 pass through.
 */
import type { Timespec } from '@nokv/types';
import { formatTimespec } from '@nokv/types';
import { type Edit, editScript } from './edit-script.js';

export interface TextSide {
  readonly name: string;
  /** Of an absent file: the epoch, as `diff -N` writes it and patch(1) understands it. */
  readonly mtime: Timespec | undefined;
  readonly bytes: Uint8Array;
}

const CONTEXT = 3;
/** diff(1) looks for a NUL in the first block of a file. */
const SNIFFED_BYTES = 4096;
const EPOCH: Timespec = { sec: 0, nsec: 0 };
const NO_NEWLINE = '\\ No newline at end of file\n';

/** Nothing for equal bodies. */
export function unifiedDiff(a: TextSide, b: TextSide): Buffer {
  if (Buffer.compare(a.bytes, b.bytes) === 0) return Buffer.alloc(0);
  if (isBinary(a.bytes) || isBinary(b.bytes)) return Buffer.from(`Binary files ${a.name} and ${b.name} differ\n`);
  const [aLines, bLines] = [linesOf(a.bytes), linesOf(b.bytes)];
  const numbers = new Map<string, number>();
  const edits = editScript(numbered(aLines, numbers), numbered(bLines, numbers));
  const parts = [Buffer.from(header('---', a) + header('+++', b))];
  for (const hunk of hunksOf(edits)) parts.push(Buffer.from(showHunk(hunk, aLines, bLines), 'latin1'));
  return Buffer.concat(parts);
}

export function isBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, SNIFFED_BYTES).includes(0);
}

function header(mark: string, { name, mtime = EPOCH }: TextSide): string {
  const time = formatTimespec(mtime).replace('T', ' ').replace('Z', '');
  return `${mark} ${name}\t${time} +0000\n`;
}

/** Each with its newline; one character a byte. */
function linesOf(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const lines: string[] = [];
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const to = newline < 0 ? text.length : newline + 1;
    lines.push(text.slice(from, to));
    from = to;
  }
  return lines;
}

function numbered(lines: readonly string[], numbers: Map<string, number>): Int32Array {
  return Int32Array.from(lines, (line) => {
    const known = numbers.get(line);
    if (known !== undefined) return known;
    numbers.set(line, numbers.size);
    return numbers.size - 1;
  });
}

function* hunksOf(edits: readonly Edit[]): Generator<readonly Edit[]> {
  let hunk: Edit[] = [];
  for (const edit of edits) {
    const before = hunk.at(-1);
    if (before !== undefined && edit.aStart - (before.aStart + before.removed) > 2 * CONTEXT) {
      yield hunk;
      hunk = [];
    }
    hunk.push(edit);
  }
  if (hunk.length > 0) yield hunk;
}

function showHunk(hunk: readonly Edit[], aLines: readonly string[], bLines: readonly string[]): string {
  const [first, last] = [hunk[0] as Edit, hunk.at(-1) as Edit];
  const lead = Math.min(CONTEXT, first.aStart);
  const aFrom = first.aStart - lead;
  const bFrom = first.bStart - lead;
  const lastEnd = last.aStart + last.removed;
  const trail = Math.min(CONTEXT, aLines.length - lastEnd);
  const aTo = lastEnd + trail;
  const bTo = last.bStart + last.added + trail;
  let text = `@@ -${range(aFrom, aTo)} +${range(bFrom, bTo)} @@\n`;
  const show = (mark: string, line: string | undefined) => {
    text += `${mark}${line}${line?.endsWith('\n') === true ? '' : `\n${NO_NEWLINE}`}`;
  };
  let at = aFrom;
  for (const { aStart, removed, bStart, added } of hunk) {
    for (; at < aStart; at++) show(' ', aLines[at]);
    for (; at < aStart + removed; at++) show('-', aLines[at]);
    for (let j = bStart; j < bStart + added; j++) show('+', bLines[j]);
  }
  for (; at < aTo; at++) show(' ', aLines[at]);
  return text;
}

/** `line,count`: counted from 1; the count is left out for one line, and an empty range names the line before it. */
function range(from: number, to: number): string {
  const count = to - from;
  if (count === 0) return `${from},0`;
  return count === 1 ? `${from + 1}` : `${from + 1},${count}`;
}
