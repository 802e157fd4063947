/** Why calls fail on this side of the wire, and what that says of their outcome. */
import type { ErrorCode, ErrorOutcome } from '@nokv/types';
import { NokvError } from '@nokv/types';

export function lost(peer: string, cause: Error | undefined): NokvError {
  const why = cause === undefined ? '' : ` (${cause.message})`;
  return new NokvError('connection-lost', `the connection to ${peer} ended${why}`, cause === undefined ? {} : { cause });
}

/** For calls that were never written, and for reads. */
export function notApplied(reason: NokvError): NokvError {
  return new NokvError(lossCode(reason), reason.message, { details: reason.details, cause: reason });
}

/** For mutations that were written. */
export function unknownOutcome(reason: NokvError): NokvError {
  const message = `${reason.message}; whether the mutation took effect is unknown: ask again with the same request id`;
  return new NokvError(lossCode(reason), message, { outcome: 'unknown', details: reason.details, cause: reason });
}

export function cancelled(operation: string, outcome: ErrorOutcome): NokvError {
  return new NokvError('cancelled', `${operation} was cancelled by the caller`, { outcome });
}

export function timedOut(operation: string, peer: string, outcome: ErrorOutcome): NokvError {
  return new NokvError('deadline-exceeded', `${operation} had no answer from ${peer} before its deadline`, { outcome });
}

export function tooLarge(length: number, limit: number): NokvError {
  return new NokvError('frame-too-large', `a frame carries at most ${limit} bytes here, found ${length}; ask for less at a time`, {
    details: { limit, length },
  });
}

/** Calls fail with `connection-lost` whatever ended the connection, except where the reason tells the caller more. */
function lossCode(reason: NokvError): ErrorCode {
  return reason.code === 'draining' || reason.kind === 'denied' || reason.kind === 'fenced' ? reason.code : 'connection-lost';
}
