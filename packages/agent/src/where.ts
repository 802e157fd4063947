/** The argument `where` of every verb that takes one; compiled and checked by predicate.ts. */
import { z } from 'zod';

export const WHERE = z
  .union([z.string(), z.record(z.string(), z.unknown())])
  .describe('\'type=file and size>4MiB and not name~"^tmp"\' or {field,op,value}, {and|or:[…]}, {not}');
