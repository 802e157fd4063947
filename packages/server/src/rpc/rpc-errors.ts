/** The refusals of a listener. */
import { NokvError } from '@nokv/types';

export function shuttingDown(): NokvError {
  return new NokvError('draining', 'this server is shutting down; connect to another or try again shortly');
}

export function tooBusy(what: string, limit: number): NokvError {
  return new NokvError('too-busy', `this connection has ${limit} ${what} already, the most allowed; wait for answers first`, {
    details: { limit },
  });
}

export function tooLarge(length: number, limit: number): NokvError {
  return new NokvError('frame-too-large', `a frame carries at most ${limit} bytes here, found ${length}; send less at a time`, {
    details: { limit, length },
  });
}
