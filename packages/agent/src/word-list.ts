/** Lists that may be written as one text with commas: `"-size,name"` or `["-size", "name"]`. */
import { z } from 'zod';

const WORDS_MAX = 40;

export const WORD_LIST = z.union([z.string(), z.array(z.string()).max(WORDS_MAX)]);

/** Undefined when there is none. */
export function wordList(value: z.output<typeof WORD_LIST> | undefined): string[] | undefined {
  if (value === undefined) return undefined;
  const words = typeof value === 'string' ? value.split(',') : value;
  const kept = words.map((word) => word.trim()).filter((word) => word !== '');
  return kept.length === 0 ? undefined : kept;
}
