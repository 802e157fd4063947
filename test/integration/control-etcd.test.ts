import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { etcdCoordinator, parseControlAddress, type Coordinator } from '@nokv/control';
import { coordinatorConformance } from '@nokv/control/testing';
import { epoch, shardId, systemClock } from '@nokv/types';
import { startEtcd, type Etcd } from '../services/etcd.js';

const LEASE_TTL_MS = 2000;
const shard = shardId(0);
const node = { id: 'a', endpoint: '127.0.0.1:1', home: 'home-1' };

let etcd: Etcd;
let namespaces = 0;
/** Clients that were cut off to play dead; their timers end with the file. */
const cutOff = new Map<Coordinator, { cut: boolean }>();

beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(async () => {
  await etcd.stop();
});

function open(prefix: string, clock = systemClock): Promise<Coordinator> {
  return etcdCoordinator({ hosts: [etcd.endpoint], prefix, leaseTtlMs: LEASE_TTL_MS, clock });
}

coordinatorConformance(
  'etcd',
  async () => {
    const prefix = `/conformance-${namespaces++}`;
    return {
      async open() {
        // A crashed process renews nothing: its renewals sleep for ever, while its clock goes on.
        const life = { cut: false };
        const sleep: typeof systemClock.sleep = (ms, signal) =>
          (life.cut ? new Promise(() => {}) : systemClock.sleep(ms, signal)).then(() =>
            life.cut ? new Promise<void>(() => {}) : undefined,
          );
        const coordinator = await open(prefix, { ...systemClock, sleep });
        cutOff.set(coordinator, life);
        return coordinator;
      },
      dispose: async () => {},
    };
  },
  {
    crash: async (coordinator) => {
      const life = cutOff.get(coordinator);
      if (life === undefined) throw new Error('expected a coordinator of this harness');
      life.cut = true;
    },
  },
);

describe('etcd as the coordinator', () => {
  it('ends an ownership when etcd stands still beyond the lease, and gives it again with a higher epoch', async () => {
    const coordinator = await open('/outage');
    try {
      const first = await coordinator.acquire(shard, node, epoch(0));
      if (first.kind !== 'acquired') throw new Error(first.kind);
      etcd.pause();
      expect(await first.ownership.ended).toBe('lost');
      expect(first.ownership.isValid()).toBe(false);
      await expect(coordinator.acquire(shard, node, epoch(0))).rejects.toMatchObject({ code: 'control-unavailable' });
      etcd.resume();
      for (;;) {
        const again = await coordinator.acquire(shard, node, epoch(0)).catch(() => undefined);
        if (again?.kind === 'acquired') {
          expect(again.ownership.epoch).toBeGreaterThan(first.ownership.epoch);
          expect(first.ownership.isValid()).toBe(false);
          return;
        }
        await coordinator.ownerMayHaveChanged(shard, 200);
      }
    } finally {
      etcd.resume();
      await coordinator.close();
    }
  });

  it('keeps an ownership through an outage shorter than the lease', async () => {
    const coordinator = await open('/short-outage');
    try {
      const first = await coordinator.acquire(shard, node, epoch(0));
      if (first.kind !== 'acquired') throw new Error(first.kind);
      etcd.pause();
      await systemClock.sleep(LEASE_TTL_MS / 4);
      etcd.resume();
      // Beyond the term that was granted before the outage, it is valid by renewals after it.
      await systemClock.sleep(LEASE_TTL_MS * 1.5);
      expect(first.ownership.isValid()).toBe(true);
    } finally {
      etcd.resume();
      await coordinator.close();
    }
  });

  it('says which etcd did not answer', async () => {
    const address = parseControlAddress('etcd://127.0.0.1:1/ns');
    if (address.kind !== 'etcd') throw new Error('expected an etcd address');
    const coordinator = await etcdCoordinator({ ...address, leaseTtlMs: LEASE_TTL_MS, clock: systemClock });
    await expect(coordinator.acquire(shard, node, epoch(0))).rejects.toThrow(/127\.0\.0\.1:1/);
    await coordinator.close();
  });

  it('refuses a lease that etcd would not keep short', async () => {
    await expect(etcdCoordinator({ hosts: [etcd.endpoint], prefix: '/x', leaseTtlMs: 500, clock: systemClock })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
  });
});
