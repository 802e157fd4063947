/** Moments as people write them: behind a path (`PATH@G`, `PATH@tag:best`) or as `--at` for a whole command. */
import {
  NokvError,
  generation,
  pinId,
  version,
  formatTimespec,
  type Generation,
  type PinId,
  type Timespec,
  type Version,
} from '@nokv/types';

export type Moment =
  /** A body by its generation; of anything else the state after the commit of that number, which is the same number. */
  | { readonly kind: 'generation'; readonly generation: Generation }
  /** A body by its number in the file's log. */
  | { readonly kind: 'ordinal'; readonly ordinal: number }
  | { readonly kind: 'snapshot'; readonly snapshot: PinId }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'version'; readonly version: Version }
  | { readonly kind: 'time'; readonly time: Timespec };

const FORMS = '42 (a generation), v3 (the third body), tag:NAME, snap:ID, version:N or a time such as 2026-01-31T12:00:00Z';

/** What may stand behind the "@" of a path. A time may not: its colons and dots are too much like a name. */
const SUFFIX = /^(.*)@(\d+|v\d+|tag:[^/@]+|snap:[^/@]*|version:[^/@]*)$/s;
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)$/;

/** `--at` and `--to`. */
export function parseMoment(text: string): Moment {
  const colon = text.indexOf(':');
  const value = text.slice(colon + 1);
  if (/^\d+$/.test(text)) return { kind: 'generation', generation: generation(number(text, 1, 'a generation', text)) };
  if (/^v\d+$/.test(text)) return { kind: 'ordinal', ordinal: number(text.slice(1), 1, 'a body such as v3', text) };
  if (text.startsWith('tag:') && value !== '') return { kind: 'tag', tag: value };
  if (text.startsWith('snap:')) return { kind: 'snapshot', snapshot: parseSnapshotId(value) };
  if (text.startsWith('version:')) return { kind: 'version', version: version(number(value, 0, 'a version such as version:42', text)) };
  const time = parseTime(text);
  if (time !== undefined) return { kind: 'time', time };
  throw new NokvError('invalid-argument', `expected a moment: ${FORMS}; found "${text}"`);
}

/** `12` or `snap:12`. */
export function parseSnapshotId(text: string): PinId {
  const digits = text.startsWith('snap:') ? text.slice('snap:'.length) : text;
  const id = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(id) || id < 1) {
    throw new NokvError('invalid-argument', `expected a snapshot id such as 12 ("nokv snapshot list" shows them), found "${text}"`);
  }
  return pinId(id);
}

/** As it is typed. */
export function formatMoment(moment: Moment): string {
  switch (moment.kind) {
    case 'generation':
      return `${moment.generation}`;
    case 'ordinal':
      return `v${moment.ordinal}`;
    case 'snapshot':
      return `snap:${moment.snapshot}`;
    case 'tag':
      return `tag:${moment.tag}`;
    case 'version':
      return `version:${moment.version}`;
    case 'time':
      return formatTimespec(moment.time);
  }
}

/** The path and the moment behind its last "@"; a name with "@" and one of these forms is written with `\x40`. */
export function splitMoment(text: string): { readonly path: string; readonly moment: Moment | undefined } {
  const [, path, suffix] = SUFFIX.exec(text) ?? [];
  if (path === undefined || suffix === undefined) return { path: text, moment: undefined };
  try {
    return { path, moment: parseMoment(suffix) };
  } catch (error) {
    if (!(error instanceof NokvError)) throw error;
    throw new NokvError(error.code, `${text}: ${error.message}; if the name holds "@", write it \\x40`, { cause: error });
  }
}

function number(text: string, least: number, what: string, whole: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < least) throw new NokvError('invalid-argument', `expected ${what}, found "${whole}"`);
  return value;
}

function parseTime(text: string): Timespec | undefined {
  const [whole, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = RFC_3339.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  // A date that does not exist is moved on to the next month instead of being refused.
  const isReal = !Number.isNaN(ms) && new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day);
  if (!isReal) throw new NokvError('invalid-argument', `expected a time that exists, such as 2026-01-31T12:00:00Z, found "${text}"`);
  return { sec: Math.floor(ms / 1000), nsec: Number(fraction.padEnd(9, '0')) };
}
