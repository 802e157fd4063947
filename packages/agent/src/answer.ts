/** What answers have in common: the measure of their size, rows as text, and the words for what was cut. */
import type { JsonValue } from './field-value.js';
import type { ScanReport } from './scan.js';

export type Row = Record<string, JsonValue>;

/** Room for what stands around the rows of an answer: cursor, report, path. */
const FRAME_BYTES = 2000;

/** Counts the JSON bytes of what goes into an answer. */
export class AnswerMeter {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes - FRAME_BYTES;
  }

  get left(): number {
    return this.#left;
  }

  /** Takes the bytes of `value`; false when there is no room for it. */
  take(value: unknown): boolean {
    const bytes = Buffer.byteLength(JSON.stringify(value) ?? '') + 1;
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }
}

/** A header and one line a row, cells separated by tabs; a cell with a tab, a line break or a quote is JSON text. */
export function renderRows(rows: readonly Readonly<Record<string, JsonValue | undefined>>[]): string {
  if (rows.length === 0) return '';
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [columns.join('\t'), ...rows.map((row) => columns.map((column) => cell(row[column])).join('\t'))].join('\n');
}

export function cell(value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (typeof value !== 'string') return JSON.stringify(value);
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return value === '' || value === '-' || /[\u0000-\u001f"\u007f]/.test(value) ? JSON.stringify(value) : value;
}

/** Names in messages may hold line breaks: they are shown as escapes. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, (char) => JSON.stringify(char).slice(1, -1));
}

export function lines(...parts: readonly (string | undefined | false)[]): string {
  return parts.filter((part) => typeof part === 'string' && part !== '').join('\n');
}

const REASONS: Readonly<Record<NonNullable<ScanReport['stopped']>, string>> = {
  entries: 'the bound of entries',
  deadline: 'the deadline',
  bytes: 'the bound of bytes to search',
  limit: 'the limit',
  answer: 'the size of the answer',
};

/** `scanned 120 entries` or what stopped the scan. */
export function renderScan(scan: ScanReport): string {
  const unreadable = scan.unreadable === undefined ? '' : `; ${scan.unreadable} directories vanished or refused`;
  return scan.stopped === undefined
    ? `complete: ${scan.entries} entries scanned${unreadable}`
    : `PARTIAL: stopped at ${REASONS[scan.stopped]} after ${scan.entries} entries${unreadable}`;
}

export function renderCursor(cursor: string | undefined): string | undefined {
  return cursor === undefined ? undefined : `more: repeat the call with cursor ${cursor}`;
}
