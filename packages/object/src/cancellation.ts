/** How calls end early. */
import { NokvError } from '@nokv/types';

export function cancelled(signal: AbortSignal, outcome: 'not-applied' | 'unknown'): NokvError {
  if (signal.reason instanceof NokvError) return signal.reason;
  return new NokvError('cancelled', 'the call was cancelled', { outcome, cause: signal.reason });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal, 'not-applied');
}

/** The promise's result, or `cancelled` as soon as the signal fires; the work behind the promise goes on. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancelled(signal, 'not-applied'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const settled = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(resolve, reject).then(settled, settled);
  });
}
