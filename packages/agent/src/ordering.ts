/** Sort orders of rows: several keys, each up or down, what is missing last, ties by place in the tree. */
import { NokvError } from '@nokv/types';
import { z } from 'zod';
import { compareValues, type FieldValue } from './field-value.js';

export interface SortKey {
  readonly name: string;
  readonly isDescending: boolean;
}

/** `name`, `-size`, `size desc`, `size:desc`. */
export function parseSortKeys(sort: readonly string[] | undefined): SortKey[] {
  const keys = sort ?? [];
  if (keys.length > 8) throw new NokvError('invalid-argument', `sort: at most 8 keys, found ${keys.length}`);
  return keys.map((text) => {
    const match = /^([-+]?)(.+?)(?:[\s:]+(asc|desc))?$/i.exec(text.trim());
    if (match?.[2] === undefined)
      throw new NokvError('invalid-argument', `sort: expected a field or -field, found ${JSON.stringify(text)}`);
    const [, sign, name, word] = match;
    return { name, isDescending: (sign === '-') !== (word?.toLowerCase() === 'desc') };
  });
}

export type KeyValues = readonly (FieldValue | undefined)[];

export function compareKeys(a: KeyValues, b: KeyValues, keys: readonly SortKey[]): number {
  for (const [i, key] of keys.entries()) {
    const left = a[i];
    const right = b[i];
    if (left === undefined && right === undefined) continue;
    if (left === undefined) return 1;
    if (right === undefined) return -1;
    const order = compareValues(left, right);
    if (order !== 0) return key.isDescending ? -order : order;
  }
  return 0;
}

/** Key values in a cursor: times are bigints and travel as text with a mark. */
export const KEY_VALUES = z.array(z.union([z.string(), z.number(), z.null()])).max(8);

export function packKeys(values: KeyValues): (string | number | null)[] {
  return values.map((value) =>
    value === undefined ? null : typeof value === 'bigint' ? `t${value}` : typeof value === 'string' ? `s${value}` : value,
  );
}

export function unpackKeys(values: z.output<typeof KEY_VALUES>): KeyValues {
  return values.map((value) => {
    if (value === null) return undefined;
    if (typeof value === 'number') return value;
    return value.startsWith('t') ? BigInt(value.slice(1)) : value.slice(1);
  });
}
