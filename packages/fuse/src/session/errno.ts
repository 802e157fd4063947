/** A system call's failure, as a number of asm-generic/errno.h. Thrown often and caught at the session, so it carries no stack. */
import { ERRNO, errnoOf, toNokvError } from '@nokv/types';

export { ERRNO };

export class SystemError extends Error {
  override readonly name = 'SystemError';

  constructor(
    readonly errno: number,
    message = `errno ${errno}`,
    options?: ErrorOptions,
  ) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = limit;
  }
}

/** What the caller of the system call is told. */
export function errnoFor(error: unknown): number {
  if (error instanceof SystemError) return error.errno;
  return errnoOf(toNokvError(error));
}
