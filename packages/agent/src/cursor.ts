/**
 * Cursors: opaque text bound to the verb and its query. What is inside is `base64url(JSON [digest, state])` with a
 * checksum; a cursor of another query, of another verb or with a changed byte is refused by name.
 */
import { NokvError } from '@nokv/types';
import { createHash } from 'node:crypto';
import type { z } from 'zod';

const CHECK_CHARS = 8;
const CURSOR_CHARS_MAX = 65_536;

/** Digest of a query: everything that decides which rows come in which order. */
export function queryDigest(verb: string, query: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([verb, sorted(query)]))
    .digest('base64url')
    .slice(0, 12);
}

export function formatCursor(digest: string, state: unknown): string {
  const body = Buffer.from(JSON.stringify([digest, state])).toString('base64url');
  return check(body) + body;
}

/** The state inside, or `invalid-argument` for what is not a cursor of this query. */
export function parseCursor<State>(cursor: string, digest: string, schema: z.ZodType<State>): State {
  const body = cursor.slice(CHECK_CHARS);
  if (cursor.length > CURSOR_CHARS_MAX || check(body) !== cursor.slice(0, CHECK_CHARS)) {
    throw refuse('it is damaged; pass it back exactly as it came, or leave it out to begin again');
  }
  const [owner, state] = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as [unknown, unknown];
  if (owner !== digest) throw refuse('it belongs to another query; repeat the arguments it came from, or leave it out to begin again');
  const parsed = schema.safeParse(state);
  if (!parsed.success) throw refuse('it comes from another version of nokv; leave it out to begin again');
  return parsed.data;
}

function refuse(why: string): NokvError {
  return new NokvError('invalid-argument', `cursor: ${why}`, { details: { argument: 'cursor' } });
}

function check(body: string): string {
  return createHash('sha256').update(body).digest('base64url').slice(0, CHECK_CHARS);
}

/** The same value with the members of objects in order, so that equal queries have equal digests. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
