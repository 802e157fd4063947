/** What failed exchanges mean in the codes of the port. */
import { NokvError } from '@nokv/types';
import { TryAgain } from '../retries.js';
import { HttpFailure } from './http-call.js';

const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: start the store or correct the endpoint',
  ENOTFOUND: 'the host name does not resolve: correct the endpoint',
  EAI_AGAIN: 'the name server does not answer: check the network',
  EHOSTUNREACH: 'there is no route to the host: check the network',
  ENETUNREACH: 'there is no route to the network: check the network',
};

const UNREACHABLE_ADVICE = 'check the endpoint and its certificate (an authority of your own: ca=/file in the URL, or AWS_CA_BUNDLE)';

/**
 * @param isWrite whether a lost answer leaves the outcome unknown.
 * @returns what to throw: {@link TryAgain} where a repeat may help.
 */
export function translateHttpFailure(error: unknown, where: string, isWrite: boolean): unknown {
  if (!(error instanceof HttpFailure)) return error;
  const { kind, errno } = error;
  const outcome = isWrite && kind !== 'unreachable' ? 'unknown' : 'not-applied';
  const details = errno === undefined ? {} : { details: { errno } };
  if (kind === 'oversize')
    return new NokvError('store-unavailable', `${where}: ${error.message}; is this an object store?`, { outcome, cause: error });
  const advice = (errno === undefined ? undefined : ADVICE[errno]) ?? (kind === 'unreachable' ? UNREACHABLE_ADVICE : 'try again');
  const translated = new NokvError('store-unavailable', `${where} is not reachable: ${error.message}; ${advice}`, {
    outcome,
    cause: error,
    ...details,
  });
  return kind === 'aborted' || errno === 'ENOTFOUND' ? translated : new TryAgain(translated);
}

/** `Retry-After` in seconds or as a date, bounded: a server may not park us for an hour. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX) : undefined;
}

const RETRY_AFTER_MS_MAX = 20_000;
