/** Turns what zod found wrong with arguments into one readable `invalid-argument`. */
import { NokvError } from '@nokv/types';
import type { z } from 'zod';
import { suggestion } from './near-names.js';

type Issue = z.core.$ZodIssue;

/** @param known names of the arguments that the verb has. */
export function inputError(verb: string, error: z.ZodError, known: readonly string[]): NokvError {
  const first = error.issues[0];
  if (first === undefined) return new NokvError('invalid-argument', `${verb}: the arguments are not valid`);
  // An unknown name explains more than the missing one that it was meant for.
  const issue = error.issues.find(({ code, path }) => code === 'unrecognized_keys' && path.length === 0) ?? first;
  const argument = issue.code === 'unrecognized_keys' ? (issue.keys[0] ?? '') : issue.path.join('.');
  return new NokvError('invalid-argument', `${verb}: ${describe(issue, known)}`, { details: { verb, argument } });
}

function describe(issue: Issue, known: readonly string[]): string {
  const where = issue.path.length === 0 ? 'arguments' : `argument ${issue.path.join('.')}`;
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    return issue.path.length === 0
      ? `unknown argument ${JSON.stringify(key)}; ${suggestion(key, known, 'arguments')}`
      : `${where}: unknown member ${JSON.stringify(key)}`;
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    return `${where}: expected one of ${values.join(', ')}`;
  }
  if (issue.code === 'invalid_union') {
    const expected = issue.errors.flatMap((branch) =>
      branch.map((inner) => ('expected' in inner ? String(inner.expected).replace('record', 'object') : inner.message)),
    );
    return `${where}: expected ${[...new Set(expected)].join(' or ')}`;
  }
  return `${where}: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`;
}
