/**
 * What a process does about one shard, as a pure function: state and event in, next state and work out. The driver
 * (`@nokv/server`) performs the work and feeds the events back.
 *
 * Invariants:
 * - the gate is open in `serving` alone, and every way out of `serving` closes it in the same step;
 * - `recovering` and `serving` carry the epoch of the acquisition they came from;
 * - `released` is final; `fenced` leads back only through a new acquisition.
 */
import { unreachable, type Epoch } from '@nokv/types';

export type OwnershipState =
  /** Nobody asked for the shard yet. */
  | { readonly name: 'unassigned' }
  /** Campaigning; `attempt` counts the tries since the last success. */
  | { readonly name: 'acquiring'; readonly attempt: number }
  /** Holds the lease; adopts the epoch and prepares the shard. */
  | { readonly name: 'recovering'; readonly epoch: Epoch }
  | { readonly name: 'serving'; readonly epoch: Epoch }
  /** Finishes what is in flight before giving the shard up. */
  | { readonly name: 'draining'; readonly epoch: Epoch }
  /** Lost the lease: whatever it says about itself may be stale. */
  | { readonly name: 'fenced'; readonly lastEpoch: Epoch }
  | { readonly name: 'released' };

export type OwnershipEvent =
  | { readonly name: 'start' }
  | { readonly name: 'acquired'; readonly epoch: Epoch }
  /** Held by another, or the coordinator did not answer. */
  | { readonly name: 'not-acquired' }
  /** The recovery under this epoch is over; a late word of an earlier one changes nothing. */
  | { readonly name: 'recovered'; readonly epoch: Epoch }
  | { readonly name: 'recovery-failed'; readonly epoch: Epoch }
  /** The ownership with this epoch ended against our will; a late word about an older one changes nothing. */
  | { readonly name: 'lost'; readonly epoch: Epoch }
  | { readonly name: 'stop' }
  | { readonly name: 'drained' };

export type OwnershipWork =
  | { readonly name: 'acquire'; readonly attempt: number }
  | { readonly name: 'recover'; readonly epoch: Epoch }
  | { readonly name: 'open-gate' }
  | { readonly name: 'close-gate' }
  | { readonly name: 'drain' }
  | { readonly name: 'release' };

export interface OwnershipStep {
  readonly state: OwnershipState;
  /** To be started in this order. */
  readonly work: readonly OwnershipWork[];
}

export const INITIAL_OWNERSHIP: OwnershipState = { name: 'unassigned' };

/** Every pair of state and event has an answer; one that means nothing in a state leaves it as it is, without work. */
export function stepOwnership(state: OwnershipState, event: OwnershipEvent): OwnershipStep {
  switch (state.name) {
    case 'unassigned':
      if (event.name === 'start') return acquire(1);
      if (event.name === 'stop') return to({ name: 'released' });
      return stay(state);
    case 'acquiring':
      if (event.name === 'acquired') {
        return to({ name: 'recovering', epoch: event.epoch }, { name: 'recover', epoch: event.epoch });
      }
      if (event.name === 'not-acquired') return acquire(state.attempt + 1);
      if (event.name === 'stop') return to({ name: 'released' }, { name: 'release' });
      return stay(state);
    case 'recovering':
      if (event.name === 'recovered' && event.epoch === state.epoch)
        return to({ name: 'serving', epoch: state.epoch }, { name: 'open-gate' });
      if (event.name === 'recovery-failed' && event.epoch === state.epoch) {
        return to({ name: 'fenced', lastEpoch: state.epoch }, { name: 'release' }, { name: 'acquire', attempt: 1 });
      }
      if (event.name === 'lost' && event.epoch === state.epoch) return fenced(state.epoch);
      if (event.name === 'stop') return to({ name: 'released' }, { name: 'release' });
      return stay(state);
    case 'serving':
      if (event.name === 'lost' && event.epoch === state.epoch) return fenced(state.epoch, { name: 'close-gate' });
      if (event.name === 'stop') return to({ name: 'draining', epoch: state.epoch }, { name: 'drain' });
      return stay(state);
    case 'draining':
      if (event.name === 'drained') return to({ name: 'released' }, { name: 'close-gate' }, { name: 'release' });
      // What is in flight may no longer be answered; there is nothing left to give up.
      if (event.name === 'lost' && event.epoch === state.epoch) return to({ name: 'released' }, { name: 'close-gate' });
      return stay(state);
    case 'fenced':
      if (event.name === 'acquired') {
        return to({ name: 'recovering', epoch: event.epoch }, { name: 'recover', epoch: event.epoch });
      }
      if (event.name === 'not-acquired') return acquire(2);
      if (event.name === 'stop') return to({ name: 'released' }, { name: 'release' });
      return stay(state);
    case 'released':
      // An acquisition that was under way when we stopped is given back.
      if (event.name === 'acquired') return to(state, { name: 'release' });
      return stay(state);
    default:
      return unreachable(state);
  }
}

/** Whether requests may be answered in this state, as far as the machine knows; the lease's own clock has the last word. */
export function servesIn(state: OwnershipState): boolean {
  return state.name === 'serving' || state.name === 'draining';
}

function acquire(attempt: number): OwnershipStep {
  return to({ name: 'acquiring', attempt }, { name: 'acquire', attempt });
}

function fenced(lastEpoch: Epoch, ...first: OwnershipWork[]): OwnershipStep {
  return to({ name: 'fenced', lastEpoch }, ...first, { name: 'acquire', attempt: 1 });
}

function to(state: OwnershipState, ...work: OwnershipWork[]): OwnershipStep {
  return { state, work };
}

function stay(state: OwnershipState): OwnershipStep {
  return { state, work: [] };
}
