import { describe, expect, it } from 'vitest';
import { embeddedCoordinator, type Acquisition, type Coordinator, type Ownership } from '@nokv/control';
import { NokvError, epoch, isNokvError, shardId, type Epoch } from '@nokv/types';
import { makeLogger } from './logger.js';
import { hostShard } from './shard-host.js';

const shard = shardId(0);
const node = { id: 'a', endpoint: '127.0.0.1:1', home: 'h' };

/** A coordinator whose answers are given by hand; the last one is repeated. */
function scripted(...answers: (() => Promise<Acquisition>)[]): Coordinator & { readonly asked: () => number } {
  let asked = 0;
  return {
    description: 'scripted',
    asked: () => asked,
    acquire: () => {
      const answer = answers[Math.min(asked, answers.length - 1)];
      asked += 1;
      if (answer === undefined) throw new Error('no answer');
      return answer();
    },
    shards: async () => [],
    ownerMayHaveChanged: () => new Promise((resolve) => setImmediate(resolve)),
    close: async () => {},
  };
}

/** An ownership that ends when it is told to. */
function ownership(number: number) {
  let isHeld = true;
  let tell: (how: 'lost' | 'released') => void = () => {};
  const end = (how: 'lost' | 'released'): void => {
    isHeld = false;
    tell(how);
  };
  const held: Ownership = {
    shard,
    epoch: epoch(number),
    isValid: () => isHeld,
    noteServed: async () => {},
    ended: new Promise((resolve) => (tell = resolve)),
    release: async () => end('released'),
  };
  const acquired = async (): Promise<Acquisition> => ({ kind: 'acquired', ownership: held, hasBeenServed: true });
  return { held, acquired, lose: () => end('lost'), expireSilently: () => (isHeld = false) };
}

function host(coordinator: Coordinator, recover: (epoch: Epoch) => Promise<void> = async () => {}) {
  return hostShard({ shard, node, coordinator, log: makeLogger('silent'), dataEpoch: () => epoch(0), recover });
}

async function turns(until: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !until(); i++) await new Promise((resolve) => setImmediate(resolve));
  expect(until()).toBe(true);
}

describe('a hosted shard', () => {
  it('refuses every call until it serves, and every call after it stopped', async () => {
    const hosted = host(embeddedCoordinator({ load: async () => undefined, save: async () => {} }));
    expect(hosted.gate.refusal()).toMatchObject({ code: 'not-owner' });
    await hosted.start(1000);
    expect(hosted.gate.refusal()).toBeUndefined();
    await hosted.stop(async () => {});
    expect(hosted.gate.refusal()).toMatchObject({ code: 'draining' });
  });

  it('answers what is in flight while it drains, and gives the lease up afterwards', async () => {
    const first = ownership(1);
    const hosted = host(scripted(first.acquired));
    await hosted.start(1000);
    let isServedWhileDraining = false;
    await hosted.stop(async () => {
      isServedWhileDraining = hosted.gate.refusal() === undefined;
      expect(hosted.isServing()).toBe(false);
    });
    expect(isServedWhileDraining).toBe(true);
    expect(await first.held.ended).toBe('released');
  });

  it('refuses from the moment the lease is invalid, before anyone told it so', async () => {
    const first = ownership(1);
    const hosted = host(scripted(first.acquired, () => new Promise(() => {})));
    await hosted.start(1000);
    first.expireSilently();
    expect(hosted.gate.refusal()).toMatchObject({ code: 'lease-lost', kind: 'fenced' });
    expect(hosted.isServing()).toBe(false);
  });

  it('comes back under a higher epoch after it lost the lease', async () => {
    const first = ownership(1);
    const second = ownership(2);
    const recovered: Epoch[] = [];
    const coordinator = scripted(first.acquired, async () => ({ kind: 'held', by: node, epoch: epoch(1) }), second.acquired);
    const hosted = host(coordinator, async (number) => void recovered.push(number));
    await hosted.start(1000);
    first.lose();
    await turns(() => hosted.isServing());
    expect(recovered).toEqual([1, 2]);
    expect(hosted.epoch).toBe(2);
    await hosted.stop(async () => {});
  });

  it('does not serve what it could not recover, and tries again', async () => {
    const [first, second] = [ownership(1), ownership(2)];
    const hosted = host(scripted(first.acquired, second.acquired), async (number) => {
      if (number === 1) throw new NokvError('no-space', 'no room');
    });
    await hosted.start(1000);
    expect(hosted.epoch).toBe(2);
    expect(await first.held.ended).toBe('released');
    await hosted.stop(async () => {});
  });

  it('tells why it could not start: another holder, an unreachable coordinator, other data', async () => {
    const held = host(scripted(async () => ({ kind: 'held', by: { ...node, id: 'other' }, epoch: epoch(7) })));
    await expect(held.start(50)).rejects.toMatchObject({ code: 'not-owner', message: expect.stringContaining('other') as string });
    await held.stop(async () => {});
    const down = host(scripted(() => Promise.reject(new NokvError('control-unavailable', 'down'))));
    await expect(down.start(60_000)).rejects.toMatchObject({ code: 'control-unavailable' });
    await down.stop(async () => {});
    const foreign = host(scripted(async () => ({ kind: 'foreign', home: 'elsewhere', epoch: epoch(7) })));
    await expect(foreign.start(60_000)).rejects.toThrow(/elsewhere/);
    expect(isNokvError(await foreign.failed, 'not-owner')).toBe(true);
    await foreign.stop(async () => {});
  });

  it('gives back a shard that it gets after it was stopped', async () => {
    const late = ownership(1);
    let answer: () => void = () => {};
    const hosted = host(scripted(() => new Promise((resolve) => (answer = () => void late.acquired().then(resolve)))));
    const started = hosted.start(60_000).catch((error: unknown) => error);
    await hosted.stop(async () => {});
    answer();
    expect(await late.held.ended).toBe('released');
    expect(isNokvError(await started)).toBe(true);
  });
});
