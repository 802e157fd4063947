import { nearNames } from '@nokv/agent/near-names';

/** ` (did you mean --a or --b?)`, or nothing. */
export function didYouMean(wrong: string, names: Iterable<string>): string {
  const near = nearNames(wrong, names);
  return near.length === 0 ? '' : ` (did you mean ${near.join(' or ')}?)`;
}
