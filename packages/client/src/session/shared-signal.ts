/** One signal may cancel any number of calls: without this Node takes the eleventh listener for a leak and warns. */
import { setMaxListeners } from 'node:events';

const known = new WeakSet<AbortSignal>();

export function sharedSignal<Signal extends AbortSignal | undefined>(signal: Signal): Signal {
  if (signal !== undefined && !known.has(signal)) {
    known.add(signal);
    setMaxListeners(0, signal);
  }
  return signal;
}
