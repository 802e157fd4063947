/**
 * Values inside JSON bodies by JSON pointer (RFC 6901). Bodies up to 32 MiB. The literals NaN, Infinity and -Infinity,
 * which experiment trackers write, are read as text of that name.
 */
import { NokvError } from '@nokv/types';
import { nearNames } from '../near-names.js';
import { PLANE_READ_BYTES_MAX, type PlaneBody } from '../plane.js';

const JSON_BYTES_MAX = 32 * 1024 * 1024;
const OUTLINE_MEMBERS_MAX = 100;

export async function readJsonPointer(
  body: PlaneBody,
  pointer: string,
  answerBytesMax: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly value: unknown; readonly isPartial: boolean }> {
  const { path } = body.entry;
  const steps = parsePointer(pointer);
  if (body.size > JSON_BYTES_MAX) {
    throw new NokvError(
      'too-large',
      `${path}: a pointer works in JSON of at most ${JSON_BYTES_MAX} bytes, found ${body.size}; read lines or grep`,
    );
  }
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.size;) {
    const part = await body.read(at, Math.min(PLANE_READ_BYTES_MAX, body.size - at), { signal });
    if (part.length === 0) break;
    parts.push(part);
    at += part.length;
  }
  let value = parseJson(Buffer.concat(parts).toString('utf8'), path);
  for (const [i, step] of steps.entries()) value = member(value, step, `/${steps.slice(0, i).join('/')}`, path);
  return Buffer.byteLength(JSON.stringify(value)) <= answerBytesMax
    ? { value, isPartial: false }
    : { value: outline(value), isPartial: true };
}

function parsePointer(pointer: string): string[] {
  if (pointer === '' || pointer === '/') return [];
  if (!pointer.startsWith('/')) {
    throw new NokvError('invalid-argument', `pointer: expected a JSON pointer such as /a/0/b, found ${JSON.stringify(pointer)}`, {
      details: { argument: 'pointer' },
    });
  }
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function member(value: unknown, step: string, at: string, path: string): unknown {
  if (Array.isArray(value)) {
    const index = /^(?:0|[1-9]\d{0,9})$/.test(step) ? Number(step) : -1;
    if (index >= 0 && index < value.length) return value[index];
    throw missing(`${path}: ${at} is a list of ${value.length}; expected an index below that, found ${JSON.stringify(step)}`);
  }
  if (value === null || typeof value !== 'object') {
    throw missing(`${path}: ${at} is ${value === null ? 'null' : `a ${typeof value}`}, which has no member ${JSON.stringify(step)}`);
  }
  if (Object.hasOwn(value, step)) return (value as Readonly<Record<string, unknown>>)[step];
  const names = Object.keys(value);
  const near = nearNames(step, names);
  const hint =
    near.length > 0 ? `did you mean ${near.join(' or ')}?` : `members: ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`;
  throw missing(`${path}: ${at} has no member ${JSON.stringify(step)}; ${hint}`);
}

function missing(message: string): NokvError {
  return new NokvError('not-found', message, { details: { argument: 'pointer' } });
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    try {
      return JSON.parse(withoutNumberWords(text)) as unknown;
    } catch {
      throw new NokvError(
        'unsupported',
        `${path} is no JSON (${cause instanceof Error ? cause.message.slice(0, 120) : 'unreadable'}); read lines instead`,
        { cause },
      );
    }
  }
}

function withoutNumberWords(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) => (token.startsWith('"') ? token : `"${token}"`));
}

/** What a value holds, without holding it. */
function outline(value: unknown): unknown {
  if (Array.isArray(value)) return { list: value.length, first: kindOf(value[0]) };
  if (value === null || typeof value !== 'object') return typeof value === 'string' ? `${value.slice(0, 1000)}…` : value;
  const members = Object.entries(value);
  return {
    members: members.length,
    ...(members.length === 0
      ? {}
      : { first: Object.fromEntries(members.slice(0, OUTLINE_MEMBERS_MAX).map(([key, each]) => [key.slice(0, 200), kindOf(each)])) }),
  };
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return `list of ${value.length}`;
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  return `object of ${Object.keys(value).length}`;
}
