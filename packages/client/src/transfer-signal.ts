/** One signal for a long transfer: the caller's, and its deadline if it gave one. */
import type { Clock } from '@nokv/types';
import { NokvError, isNokvError } from '@nokv/types';
import type { CallOptions } from './metadata-client.js';
import { sharedSignal } from './session/shared-signal.js';

/** A reason that exists already: making one for each transfer costs more than the rest of it. */
const FREED = new Error('the transfer has ended');

/**
 * Transfers take as long as they take: unlike a single call they have a deadline only when the caller names one. The
 * reason of the signal is the error to report. `stop` frees the timer.
 */
export function transferSignal(
  clock: Clock,
  { signal, timeoutMs }: CallOptions,
): { readonly signal: AbortSignal; readonly stop: () => void } {
  const end = new AbortController();
  // Every call in flight listens; how many there are is bounded by the jobs of the transfer.
  sharedSignal(end.signal);
  const freed = new AbortController();
  const cancel = () =>
    end.abort(
      isNokvError(signal?.reason) ? signal.reason : new NokvError('cancelled', 'the caller aborted the call', { cause: signal?.reason }),
    );
  if (signal?.aborted === true) cancel();
  else sharedSignal(signal)?.addEventListener('abort', cancel, { once: true, signal: freed.signal });
  if (timeoutMs !== undefined) {
    clock.sleep(timeoutMs, freed.signal).then(
      () => end.abort(new NokvError('deadline-exceeded', `the transfer took longer than ${timeoutMs} ms; give it more time or a signal`)),
      () => undefined,
    );
  }
  return { signal: end.signal, stop: () => freed.abort(FREED) };
}
