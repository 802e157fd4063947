import type { LookupArgs, StatArgs } from '@nokv/types';
import { expect, it } from 'vitest';
import { boolean, int, object, optional } from './schema.js';
import { at } from './schemas/history-values.js';
import { entryName, inodeNumber, nodeRef } from './schemas/values.js';

it('a schema that differs from its type does not compile', () => {
  object<LookupArgs>({ parent: inodeNumber, name: entryName, at: optional(at) });
  // @ts-expect-error a field is missing
  object<LookupArgs>({ parent: inodeNumber, at: optional(at) });
  // @ts-expect-error a field is unknown
  object<LookupArgs>({ parent: inodeNumber, name: entryName, at: optional(at), extra: boolean });
  // @ts-expect-error a field has another type
  object<LookupArgs>({ parent: inodeNumber, name: int(0), at: optional(at) });
  // @ts-expect-error an inode number is not any number
  object<LookupArgs>({ parent: int<number>(0), name: entryName, at: optional(at) });
  object<StatArgs>({ node: nodeRef, follow: optional(boolean), at: optional(at) });
  // @ts-expect-error an optional field is written as a required one
  object<StatArgs>({ node: nodeRef, follow: boolean, at: optional(at) });
  // @ts-expect-error a required field is written as an optional one
  object<StatArgs>({ node: optional(nodeRef), follow: optional(boolean), at: optional(at) });
  expect(object<StatArgs>({ node: nodeRef, follow: optional(boolean), at: optional(at) }).shape).toEqual([
    ['node', nodeRef.shape],
    ['follow?', 'boolean'],
    ['at?', at.shape],
  ]);
});
