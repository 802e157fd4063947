/** What a key may be: the rules that every store we met keeps, checked before any I/O. */
import { NokvError } from '@nokv/types';

export const KEY_BYTES_MAX = 900;
export const KEY_PART_BYTES_MAX = 200;

const PART = /^[\x21-\x7e]{1,200}$/;

/** Refuses what the port's comment rules out; returns the key's parts. */
export function checkKey(key: string): readonly string[] {
  const parts = key.split('/');
  if (key.length > KEY_BYTES_MAX || !parts.every((part) => PART.test(part) && part !== '.' && part !== '..')) {
    throw new NokvError(
      'invalid-argument',
      `expected an object key of 1 to ${KEY_BYTES_MAX} printable ASCII bytes in parts of 1 to ${KEY_PART_BYTES_MAX}, found ${JSON.stringify(key.slice(0, 100))}`,
    );
  }
  return parts;
}

/** A prefix is empty or the start of a valid key, with or without its final slash. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

export function checkListLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_KEYS_MAX) {
    throw new NokvError('invalid-argument', `expected a list limit of 1 to ${LIST_KEYS_MAX}, found ${limit}`);
  }
}

/** What every S3 server serves in one page and deletes in one call. */
export const LIST_KEYS_MAX = 1000;

export function checkRange(offset: number | undefined, length: number | undefined): void {
  const valid = (value: number | undefined): boolean => value === undefined || (Number.isSafeInteger(value) && value >= 0);
  if (!valid(offset) || !valid(length)) {
    throw new NokvError('invalid-argument', `expected a range of non-negative integers, found offset ${offset}, length ${length}`);
  }
}

/** A get that found fewer bytes than it was asked for: the object is not what its writer acknowledged. */
export function shortObject(key: string, expected: string, found: number): NokvError {
  return new NokvError(
    'corrupt',
    `object ${key}: expected ${expected}, found ${found} bytes; restore the object or the file that uses it`,
    {
      details: { key },
    },
  );
}

export function noObject(key: string, where: string): NokvError {
  return new NokvError('no-object', `no object ${key} in ${where}`, { details: { key } });
}

/** Byte order, which for ASCII is the order of UTF-16 units. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
