/** How the object store answers, as numbers and for `server-info`. */
import type { ObjectStore, StoreHealth } from '@nokv/object';
import { CIRCUIT_STATES } from '@nokv/types';
import type { Metrics } from './metrics.js';

/** A store with nothing between it and us (a directory) has no circuit that could open. */
const ALWAYS_CLOSED: StoreHealth = { circuit: 'closed', circuitMs: 0, retries: 0, opened: 0 };

export function healthOf(store: ObjectStore): StoreHealth {
  return store.health?.() ?? ALWAYS_CLOSED;
}

export function addStoreMetrics(metrics: Metrics, store: ObjectStore): void {
  metrics.add('gauge', 'nokv_store_circuit', 'State of the circuit to the object store: 1 for the one it is in.', () => {
    const { circuit } = healthOf(store);
    return CIRCUIT_STATES.map((state) => [{ state }, state === circuit ? 1 : 0] as const);
  });
  metrics.add(
    'counter',
    'nokv_store_circuit_opened_total',
    'How often the circuit to the object store opened.',
    () => healthOf(store).opened,
  );
  metrics.add('counter', 'nokv_store_retries_total', 'Requests to the object store that were repeats.', () => healthOf(store).retries);
}
