/**
 * Values of fields and their order. Numbers are ordered as numbers, text by code points (the byte order of UTF-8),
 * times by nanoseconds; what is missing comes last in every order.
 */
import { NokvError, formatTimespec, timespecFromMs, type Clock, type Timespec } from '@nokv/types';

export type FieldType = 'string' | 'number' | 'time';
/** Times are nanoseconds since the epoch as a bigint. */
export type FieldValue = string | number | bigint;
/** As it stands in answers: times are RFC 3339. */
export type JsonValue = string | number | null;

const NANOS = 1_000_000_000n;
const SIZE = /^(\d+(?:\.\d+)?)\s*(B|[KMGTP]i?B?)?$/i;
const AGO = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)(?:\s+ago)?$/;
const DATE = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.(\d{1,9})\d*)?)?(?:[Zz]|[+-]\d{2}:\d{2})?)?$/;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

export function timeValue(time: Timespec): bigint {
  return BigInt(time.sec) * NANOS + BigInt(time.nsec);
}

export function formatTime(value: bigint): string {
  const sec = value >= 0n ? value / NANOS : -((-value + NANOS - 1n) / NANOS);
  return formatTimespec({ sec: Number(sec), nsec: Number(value - sec * NANOS) });
}

export function jsonValue(value: FieldValue | undefined): JsonValue {
  if (value === undefined) return null;
  return typeof value === 'bigint' ? formatTime(value) : value;
}

/** Negative, zero or positive; both values are of the same type. */
export function compareValues(a: FieldValue, b: FieldValue): number {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The order of code points, which is the order of UTF-8 bytes. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above all others, but their units lie below U+E000.
    return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** RFC 3339, a date, `now`, or a span before now such as `24h`. */
export function parseTime(text: string, clock: Pick<Clock, 'nowMs'>, what: string): bigint {
  const span = AGO.exec(text);
  if (text === 'now') return timeValue(timespecFromMs(clock.nowMs()));
  if (span?.[1] !== undefined && span[2] !== undefined) {
    return timeValue(timespecFromMs(clock.nowMs() - Number(span[1]) * (UNIT_MS[span[2]] ?? 0)));
  }
  const date = DATE.exec(text);
  if (date !== null) {
    const fraction = date[1];
    const zoned = /[Tt ]/.test(text) ? (/(?:[Zz]|[+-]\d{2}:\d{2})$/.test(text) ? text : `${text}Z`) : `${text}T00:00:00Z`;
    const ms = Date.parse(zoned.replace(' ', 'T').replace(/\.\d+/, ''));
    if (!Number.isNaN(ms)) return BigInt(ms) * 1_000_000n + BigInt((fraction ?? '0').padEnd(9, '0'));
  }
  throw new NokvError(
    'invalid-argument',
    `${what}: expected a time as RFC 3339 (2026-01-31T12:00:00Z), a date, or a span before now (30m, 24h, 7d), found ${JSON.stringify(text)}`,
  );
}

/** `4MiB`, `10GB`, `512`: bytes. Undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const unit = (match[2] ?? 'B').toUpperCase();
  const power = 'BKMGTP'.indexOf(unit.charAt(0));
  return Math.round(Number(match[1]) * (unit.includes('I') ? 1024 : 1000) ** power);
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
