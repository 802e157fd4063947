/** How people write durations, sizes, modes, ranges and owners, and how they are shown to them. */
import { NokvError } from '@nokv/types';

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  pb: 1e15,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  pib: 2 ** 50,
};

/** `250ms 30s 5m 24h 7d` in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const unit = DURATION_UNITS_MS[match?.[2] ?? ''];
  if (match === null || unit === undefined) throw expected('a duration such as 250ms, 30s, 5m, 24h or 7d', text);
  return checked(Number(match[1]) * unit, 'a duration', text);
}

/** The inverse of {@link parseDuration}: `7d`, `90m`, `250ms`, in the largest unit that is exact. */
export function formatDuration(ms: number): string {
  const exact = Object.entries(DURATION_UNITS_MS).findLast(([, unit]) => ms >= unit && ms % unit === 0);
  return exact === undefined ? `${ms}ms` : `${ms / exact[1]}${exact[0]}`;
}

/** `64KiB 4MiB 10GB 512` in bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
  const unit = SIZE_UNITS[(match?.[2] ?? '?').toLowerCase()];
  if (match === null || unit === undefined) throw expected('a size such as 512, 64KiB, 4MiB or 10GB', text);
  return checked(Number(match[1]) * unit, 'a size', text);
}

/** A whole number from `least` to `most`. */
export function parseInteger(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number) || number < least || number > most) {
      const bounds = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      throw expected(`a whole number ${bounds}`, text);
    }
    return number;
  };
}

export const parseCount = parseInteger(0, Number.MAX_SAFE_INTEGER);

export function parseText(text: string): string {
  return text;
}

export function parseChoice<const T extends string>(...choices: readonly T[]): (text: string) => T {
  return (text) => {
    const choice = choices.find((one) => one === text);
    if (choice === undefined) throw expected(choices.join(', '), text);
    return choice;
  };
}

export function parseDigest(text: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) throw expected('a digest sha256:<64 hex digits>', text);
  return text;
}

/** `key=value`; the value may be empty and hold "=". */
export function parseLabel(text: string): readonly [key: string, value: string] {
  const at = text.indexOf('=');
  if (at < 1) throw expected('a label KEY=VALUE', text);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `A-B` (both included), `A-` (to the end) or `-N` (the last N bytes). */
export type ByteRange = { readonly from: number; readonly to: number | undefined } | { readonly last: number };

export function parseRange(text: string): ByteRange {
  const match = /^(\d*)-(\d*)$/.exec(text);
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) {
    throw expected('bytes A-B (both included), A- (to the end) or -N (the last N)', text);
  }
  if (from === '') return { last: checked(Number(to), 'a byte count', text) };
  const range = {
    from: checked(Number(from), 'a byte offset', text),
    to: to === '' ? undefined : checked(Number(to), 'a byte offset', text),
  };
  if (range.to !== undefined && range.to < range.from) throw expected('a range A-B whose B is not before A', text);
  return range;
}

/** One range or several, `0-9,20-29,-5`; `bytes=` before them, as HTTP writes it, is read over. */
export function parseRanges(text: string): readonly ByteRange[] {
  return text
    .replace(/^bytes=/, '')
    .split(',')
    .map((part) => parseRange(part.trim()));
}

/** `0644`, or changes such as `u+x,go-w` and `a=r` to what the mode is now (chmod(1); `X` as there). */
export function parseModeChange(text: string): (now: number, isDirectory: boolean) => number {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => {
    const match = /^([ugoa]*)([-+=])([rwxXst]*)$/.exec(clause);
    if (match === null) throw expected('a mode such as 0644, u+x or go-w', text);
    const [, who = '', operator = '', permissions = ''] = match;
    return { who: who === '' || who.includes('a') ? 'ugo' : who, operator, permissions };
  });
  return (now, isDirectory) => clauses.reduce((mode, clause) => applyClause(mode, clause, isDirectory), now);
}

function applyClause(mode: number, clause: { who: string; operator: string; permissions: string }, isDirectory: boolean): number {
  let bits = 0;
  let mask = 0;
  for (const who of clause.who) {
    const shift = who === 'u' ? 6 : who === 'g' ? 3 : 0;
    mask |= 0o7 << shift;
    for (const permission of clause.permissions) {
      if (permission === 'r') bits |= 4 << shift;
      if (permission === 'w') bits |= 2 << shift;
      if (permission === 'x' || (permission === 'X' && (isDirectory || (mode & 0o111) !== 0))) bits |= 1 << shift;
      if (permission === 's' && who !== 'o') bits |= who === 'u' ? 0o4000 : 0o2000;
      if (permission === 't') bits |= 0o1000;
    }
  }
  if (clause.operator === '+') return mode | bits;
  if (clause.operator === '-') return mode & ~bits;
  const special = (clause.who.includes('u') ? 0o4000 : 0) | (clause.who.includes('g') ? 0o2000 : 0);
  return (mode & ~(mask | special)) | bits;
}

/** Numeric permission bits alone. */
export function parseMode(text: string): number {
  const mode = Number.parseInt(text, 8);
  if (!/^[0-7]{1,5}$/.test(text) || mode > 0o7777) throw expected('a mode in octal such as 0755', text);
  return mode;
}

/** `UID`, `UID:GID` or `:GID`, as numbers: the namespace knows no names. */
export function parseOwner(text: string): { readonly uid: number | undefined; readonly gid: number | undefined } {
  const match = /^(\d{0,10})(?::(\d{1,10}))?$/.exec(text);
  const [, uid = '', gid = ''] = match ?? [];
  if (match === null || (uid === '' && gid === '')) throw expected('UID, UID:GID or :GID as numbers', text);
  const number = (part: string) => (part === '' ? undefined : parseInteger(0, 0xffff_fffe)(part));
  return { uid: number(uid), gid: number(gid) };
}

/** `1.5 MiB`; exact below one KiB. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  let amount = bytes;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(amount < 10 ? 2 : amount < 100 ? 1 : 0)} ${units[unit]}`;
}

/** `1:02:03` or `2:03`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (number: number) => String(number).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function checked(number: number, what: string, text: string): number {
  const whole = Math.round(number);
  if (!Number.isSafeInteger(whole)) throw expected(`${what} below 2^53`, text);
  return whole;
}

function expected(what: string, found: string): NokvError {
  return new NokvError('invalid-argument', `expected ${what}, found "${found}"`);
}
