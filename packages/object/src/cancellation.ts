/** How calls end early. */
import { setMaxListeners } from 'node:events';
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

export interface LinkedSignal {
  readonly signal: AbortSignal;
  abort(): void;
  /** Call when the work is over, so that a long-lived parent does not keep it. */
  release(): void;
}

/** Given as the reason where nobody looks at it: a default one is made anew, with its stack, each time. */
export const WORK_OVER = new Error('nobody waits for this any more');

/** A signal for work that many calls share at once: one listener on the parent, any number on the child. */
export function linkedSignal(parent: AbortSignal | undefined): LinkedSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const onAbort = (): void => controller.abort(parent?.reason);
  if (parent?.aborted === true) onAbort();
  parent?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    abort: () => controller.abort(WORK_OVER),
    release: () => parent?.removeEventListener('abort', onAbort),
  };
}
