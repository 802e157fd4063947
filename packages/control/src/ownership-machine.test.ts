import { describe, expect, it } from 'vitest';
import { epoch } from '@nokv/types';
import { INITIAL_OWNERSHIP, servesIn, stepOwnership, type OwnershipEvent, type OwnershipState } from './ownership-machine.js';

const e1 = epoch(1);
const e2 = epoch(2);

const states: Record<OwnershipState['name'], OwnershipState> = {
  unassigned: INITIAL_OWNERSHIP,
  acquiring: { name: 'acquiring', attempt: 3 },
  recovering: { name: 'recovering', epoch: e1 },
  serving: { name: 'serving', epoch: e1 },
  draining: { name: 'draining', epoch: e1 },
  fenced: { name: 'fenced', lastEpoch: e1 },
  released: { name: 'released' },
};

const events: Record<OwnershipEvent['name'], OwnershipEvent> = {
  start: { name: 'start' },
  acquired: { name: 'acquired', epoch: e2 },
  'not-acquired': { name: 'not-acquired' },
  recovered: { name: 'recovered', epoch: e1 },
  'recovery-failed': { name: 'recovery-failed', epoch: e1 },
  lost: { name: 'lost', epoch: e1 },
  stop: { name: 'stop' },
  drained: { name: 'drained' },
};

/** From, event, to, work. A pair that is not listed leaves the state as it is, without work. */
const table: [OwnershipState['name'], OwnershipEvent['name'], OwnershipState['name'], string[]][] = [
  ['unassigned', 'start', 'acquiring', ['acquire']],
  ['unassigned', 'stop', 'released', []],
  ['acquiring', 'acquired', 'recovering', ['recover']],
  ['acquiring', 'not-acquired', 'acquiring', ['acquire']],
  ['acquiring', 'stop', 'released', ['release']],
  ['recovering', 'recovered', 'serving', ['open-gate']],
  ['recovering', 'recovery-failed', 'fenced', ['release', 'acquire']],
  ['recovering', 'lost', 'fenced', ['acquire']],
  ['recovering', 'stop', 'released', ['release']],
  ['serving', 'lost', 'fenced', ['close-gate', 'acquire']],
  ['serving', 'stop', 'draining', ['drain']],
  ['draining', 'drained', 'released', ['close-gate', 'release']],
  ['draining', 'lost', 'released', ['close-gate']],
  ['fenced', 'acquired', 'recovering', ['recover']],
  ['fenced', 'not-acquired', 'acquiring', ['acquire']],
  ['fenced', 'stop', 'released', ['release']],
  ['released', 'acquired', 'released', ['release']],
];

describe('ownership', () => {
  for (const from of Object.keys(states) as OwnershipState['name'][]) {
    for (const event of Object.keys(events) as OwnershipEvent['name'][]) {
      const row = table.find(([f, e]) => f === from && e === event);
      const [to, work] = row === undefined ? [from, []] : [row[2], row[3]];
      it(`in ${from}, ${event} leads to ${to}${work.length === 0 ? '' : ` and ${work.join(', ')}`}`, () => {
        const step = stepOwnership(states[from], events[event]);
        expect(step.state.name).toBe(to);
        expect(step.work.map((each) => each.name)).toEqual(work);
      });
    }
  }

  it('never serves under an epoch that was not acquired', () => {
    const recovering = stepOwnership(states.acquiring, events.acquired).state;
    expect(recovering).toEqual({ name: 'recovering', epoch: e2 });
    expect(stepOwnership(recovering, { name: 'recovered', epoch: e2 }).state).toEqual({ name: 'serving', epoch: e2 });
  });

  it('ignores the end of the recovery of an earlier ownership', () => {
    const recovering: OwnershipState = { name: 'recovering', epoch: e2 };
    expect(stepOwnership(recovering, events.recovered)).toEqual({ state: recovering, work: [] });
    expect(stepOwnership(recovering, events['recovery-failed'])).toEqual({ state: recovering, work: [] });
  });

  it('ignores the loss of an earlier ownership', () => {
    const serving: OwnershipState = { name: 'serving', epoch: e2 };
    expect(stepOwnership(serving, events.lost)).toEqual({ state: serving, work: [] });
  });

  it('counts the tries to acquire', () => {
    expect(stepOwnership(states.acquiring, events['not-acquired']).state).toEqual({ name: 'acquiring', attempt: 4 });
  });

  it('closes the gate in every step that leaves the serving states', () => {
    for (const from of Object.values(states).filter(servesIn)) {
      for (const event of Object.values(events)) {
        const step = stepOwnership(from, event);
        if (servesIn(step.state)) continue;
        expect(step.work.some((work) => work.name === 'close-gate')).toBe(true);
      }
    }
  });
});
