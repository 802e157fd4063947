import { NokvError } from '@nokv/types';

/** What was written on the command line is not a command: exit 2. */
export function usageError(message: string): NokvError {
  return new NokvError('invalid-argument', message);
}
