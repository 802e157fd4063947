/** What every coordinator must do; run by the embedded one and by etcd. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epoch, shardId, type Epoch } from '@nokv/types';
import type { Acquisition, Coordinator, NodeIdentity, Ownership } from '../coordinator.js';

export interface CoordinatorHarness {
  /** One process's view; all opened from one harness share what is coordinated. */
  open(): Promise<Coordinator>;
  dispose(): Promise<void>;
}

export interface CoordinatorConformanceOptions {
  /** Where processes have views of their own: makes one die without a word, as if by kill -9. */
  readonly crash?: (coordinator: Coordinator) => Promise<void>;
}

const shard = shardId(0);
const none = epoch(0);
const home = 'home-1';

export function coordinatorConformance(
  name: string,
  makeHarness: () => Promise<CoordinatorHarness>,
  { crash }: CoordinatorConformanceOptions = {},
): void {
  describe(`coordinator: ${name}`, () => {
    let harness: CoordinatorHarness;
    let opened: Coordinator[];
    const node = (id: string): NodeIdentity => ({ id, endpoint: `127.0.0.1:${id.length}`, home });

    async function open(): Promise<Coordinator> {
      const coordinator = await harness.open();
      opened.push(coordinator);
      return coordinator;
    }

    beforeEach(async () => {
      harness = await makeHarness();
      opened = [];
    });
    afterEach(async () => {
      await Promise.all(opened.map((coordinator) => coordinator.close()));
      await harness.dispose();
    });

    it('gives a free shard away, valid from the start', async () => {
      const ownership = owned(await (await open()).acquire(shard, node('a'), none));
      expect(ownership.shard).toBe(shard);
      expect(ownership.isValid()).toBe(true);
    });

    it('has one winner of many who ask at once, and names it to the others', async () => {
      const coordinators = await Promise.all([open(), open(), open()]);
      const answers = await Promise.all(
        Array.from({ length: 9 }, (_, i) => tryToAcquire(coordinators[i % 3] as Coordinator, node(`node-${i}`))),
      );
      const winners = answers.filter((answer) => answer?.kind === 'acquired');
      expect(winners).toHaveLength(1);
      const { owner } = (await (coordinators[0] as Coordinator).shards())[0] as { owner: NodeIdentity };
      for (const answer of answers) if (answer?.kind === 'held') expect(answer.by.id).toBe(owner.id);
    });

    it('raises the epoch with every acquisition', async () => {
      const coordinator = await open();
      let last: Epoch = none;
      for (let i = 0; i < 5; i++) {
        const ownership = owned(await coordinator.acquire(shard, node(`n${i}`), none));
        expect(ownership.epoch).toBeGreaterThan(last);
        last = ownership.epoch;
        await ownership.release();
      }
    });

    it('raises the epoch above what the data has seen', async () => {
      expect(owned(await (await open()).acquire(shard, node('a'), epoch(41))).epoch).toBeGreaterThan(41);
    });

    it('raises the epoch across a reopening', async () => {
      const first = await open();
      const before = owned(await first.acquire(shard, node('a'), none)).epoch;
      await first.close();
      expect(owned(await (await open()).acquire(shard, node('a'), none)).epoch).toBeGreaterThan(before);
    });

    it('frees a released shard at once', async () => {
      const coordinator = await open();
      const ownership = owned(await coordinator.acquire(shard, node('a'), none));
      await ownership.release();
      expect(ownership.isValid()).toBe(false);
      expect(await ownership.ended).toBe('released');
      expect(owned(await coordinator.acquire(shard, node('b'), none)).isValid()).toBe(true);
    });

    it('takes a repeated release as done, and leaves the successor alone', async () => {
      const coordinator = await open();
      const first = owned(await coordinator.acquire(shard, node('a'), none));
      await first.release();
      const second = owned(await coordinator.acquire(shard, node('b'), none));
      await first.release();
      expect(second.isValid()).toBe(true);
      expect((await coordinator.acquire(shard, node('c'), none)).kind).toBe('held');
    });

    it('gives several shards to several nodes', async () => {
      const coordinator = await open();
      for (const number of [0, 1, 4095]) owned(await coordinator.acquire(shardId(number), node(`n${number}`), none));
      expect((await coordinator.shards()).map((record) => [record.shard, record.owner?.id])).toEqual([
        [0, 'n0'],
        [1, 'n1'],
        [4095, 'n4095'],
      ]);
    });

    it('lists a released shard with its epoch and without an owner', async () => {
      const coordinator = await open();
      const ownership = owned(await coordinator.acquire(shard, node('a'), none));
      await ownership.release();
      expect(await coordinator.shards()).toEqual([{ shard, epoch: ownership.epoch, home, owner: undefined }]);
    });

    it('refuses a node that holds other data', async () => {
      const coordinator = await open();
      await owned(await coordinator.acquire(shard, node('a'), none)).release();
      const answer = await coordinator.acquire(shard, { ...node('b'), home: 'home-2' }, none);
      expect(answer).toMatchObject({ kind: 'foreign', home });
      expect((await coordinator.shards())[0]?.owner).toBeUndefined();
    });

    it('takes a node whose data was known under that name before, and is under the new one from then on', async () => {
      const coordinator = await open();
      await owned(await coordinator.acquire(shard, node('a'), none)).release();
      const renamed = { ...node('b'), home: 'home-2', formerHome: home };
      await owned(await coordinator.acquire(shard, renamed, none)).release();
      expect(await coordinator.acquire(shard, node('a'), none)).toMatchObject({ kind: 'foreign', home: 'home-2' });
    });

    it('tells every later owner that the shard has been served, once that was noted', async () => {
      const coordinator = await open();
      const first = await coordinator.acquire(shard, node('a'), none);
      expect(first).toMatchObject({ kind: 'acquired', hasBeenServed: false });
      await owned(first).noteServed();
      await owned(first).noteServed();
      await owned(first).release();
      const second = await (await open()).acquire(shard, node('b'), none);
      expect(second).toMatchObject({ kind: 'acquired', hasBeenServed: true });
      expect(owned(second).isValid()).toBe(true);
    });

    it('wakes who waits for the owner to change', async () => {
      const coordinator = await open();
      const other = await open();
      const ownership = owned(await coordinator.acquire(shard, node('a'), none));
      const patience = new AbortController();
      const woken = other.ownerMayHaveChanged(shard, 20_000, patience.signal);
      await ownership.release();
      const startMs = performance.now();
      await woken;
      expect(performance.now() - startMs).toBeLessThan(10_000);
    });

    it('stops waiting when the signal fires, fired before or after', async () => {
      const coordinator = await open();
      owned(await coordinator.acquire(shard, node('a'), none));
      await coordinator.ownerMayHaveChanged(shard, 60_000, AbortSignal.abort());
      const stop = new AbortController();
      const waiting = coordinator.ownerMayHaveChanged(shard, 60_000, stop.signal);
      stop.abort();
      await waiting;
    });

    it('releases what it holds when it is closed, and refuses work afterwards', async () => {
      const coordinator = await open();
      const ownership = owned(await coordinator.acquire(shard, node('a'), none));
      await coordinator.close();
      expect(ownership.isValid()).toBe(false);
      await expect(coordinator.acquire(shard, node('a'), none)).rejects.toMatchObject({ code: 'control-unavailable' });
      expect(owned(await (await open()).acquire(shard, node('b'), none)).isValid()).toBe(true);
    });

    if (crash === undefined) return;
    it('lets a successor in after a crash, with a higher epoch and never beside a valid predecessor', async () => {
      const first = await open();
      const dead = owned(await first.acquire(shard, node('a'), none));
      await crash(first);
      const second = await open();
      for (;;) {
        const answer = await second.acquire(shard, node('b'), none);
        if (answer.kind === 'acquired') {
          expect(dead.isValid()).toBe(false);
          expect(answer.ownership.epoch).toBeGreaterThan(dead.epoch);
          return;
        }
        expect(answer.kind).toBe('held');
        await second.ownerMayHaveChanged(shard, 500);
      }
    });
  });
}

/** Losers of a race may be told that the shard changed hands under them; they would ask again. */
async function tryToAcquire(coordinator: Coordinator, node: NodeIdentity): Promise<Acquisition | undefined> {
  return coordinator.acquire(shard, node, none).catch((error: { code?: string }) => {
    expect(error.code).toBe('control-unavailable');
    return undefined;
  });
}

function owned(answer: Acquisition): Ownership {
  if (answer.kind !== 'acquired') throw new Error(`expected to acquire the shard, found it ${answer.kind}`);
  return answer.ownership;
}
