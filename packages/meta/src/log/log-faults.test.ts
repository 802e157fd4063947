/**
 * Two nodes, one log, and everything that can go wrong with the store between them, under a seed: refusals, lost requests, lost answers,
 * requests that arrive late, crashes that keep a prefix, takeovers while the old owner still believes in itself, images and truncation.
 *
 * In the end: what was acknowledged is there, under its version, once; what was refused for certain is not; both nodes hold the same.
 */
import { describe, expect, test } from 'vitest';
import { epoch, isNokvError, requestId, shardId, type NokvError } from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import { contradictions } from '../testing/check-rows.js';
import { seeded } from '../testing/random-load.js';
import { OWNER, RunningClock, at, countingRandom } from '../testing/test-shard.js';
import { ImageKeeper } from './image-keeper.js';
import { lendKv } from './lent-kv.js';
import { MemoryLogStore, type LogFault } from './memory-log-store.js';
import { openSharedShard, type SharedShard } from './open-shared-shard.js';
import { stateDigest } from './state-digest.js';

const SHARD = shardId(0);
const STEPS = 60;
const EFFECTS = ['refuse', 'lose-request', 'lose-reply', 'hold'] as const;

interface Node {
  kv: MemoryKv;
  /** Its own view of the store: faults meet one node, not the other. */
  readonly store: MemoryLogStore;
  shared: SharedShard | undefined;
}

class World {
  readonly objects = new Map<string, Uint8Array>();
  readonly clock = new RunningClock();
  readonly draw: (below: number) => number;
  readonly nodes: Node[];
  readonly acknowledged = new Map<string, number>();
  readonly refused = new Set<string>();
  readonly underWay: Promise<unknown>[] = [];
  readonly mode: 'shared' | 'async';
  #epoch = 0;
  #sent = 0;
  takeovers = 0;
  unknown = 0;

  constructor(seed: number, mode: 'shared' | 'async') {
    this.draw = seeded(seed);
    this.mode = mode;
    this.nodes = [0, 1].map(() => ({ kv: new MemoryKv(), store: new MemoryLogStore(this.objects), shared: undefined }));
  }

  /** Opens the shard on this node under the next epoch; a fault on the way is met by another try. */
  async takeOver(node: Node): Promise<SharedShard> {
    // As a process does: what the node had under way ends before it opens the shard anew.
    await node.shared?.engine.close();
    node.shared?.sink.stop();
    node.shared = undefined;
    for (let tries = 0; tries < 50; tries++) {
      this.#epoch += 1;
      try {
        const options = {
          kv: lendKv(node.kv),
          store: node.store,
          shard: SHARD,
          clock: this.clock,
          random: countingRandom(),
          appendTimeoutMs: 40,
          appendTrustMs: 0,
        };
        const hasBeenServed = this.acknowledged.size > 0;
        node.shared = await openSharedShard({ ...options, epoch: epoch(this.#epoch), hasBeenServed, mode: this.mode });
        this.takeovers += 1;
        return node.shared;
      } catch (error) {
        if (!isNokvError(error) || error.kind === 'corrupt' || error.kind === 'internal') throw error;
      }
    }
    throw new Error('no takeover in 50 tries');
  }

  send(node: Node): void {
    const { shared } = node;
    if (shared === undefined) return;
    this.#sent += 1;
    const name = `n${this.#sent}`;
    const context = { requestId: requestId(name), actor: 'test', acknowledgement: 'durable' as const };
    const answer = shared.engine.mutate('mkdir', { entry: at(`/${name}`), mode: 0o755, ...OWNER }, context).then(
      ({ version }) => void this.acknowledged.set(name, version),
      (error: NokvError) => {
        if (error.outcome === 'unknown') this.unknown += 1;
        else this.refused.add(name);
      },
    );
    this.underWay.push(answer);
  }

  crash(node: Node): void {
    node.shared?.sink.stop();
    node.shared = undefined;
    node.kv = node.kv.powerCut();
  }

  async image(node: Node): Promise<void> {
    const { shared, kv, store } = node;
    if (shared === undefined) return;
    const keeper = new ImageKeeper({
      kv,
      store,
      shard: SHARD,
      clock: this.clock,
      random: { bytes: (length) => Uint8Array.from({ length }, () => this.draw(256)), float: () => 0.5 },
      log: () => shared.sink.stats,
      mustOwn: () => {
        if (shared.sink.ended !== undefined) throw shared.sink.ended;
      },
      policy: { logSegments: 1, retentionMs: -1, imagesKept: 1 },
      snapshot: () => shared.sink.atSegment(() => kv.snapshot()),
    });
    await keeper.turn().catch((error: unknown) => {
      if (!isNokvError(error) || error.kind === 'corrupt' || error.kind === 'internal') throw error;
    });
  }
}

async function run(seed: number, mode: 'shared' | 'async'): Promise<World> {
  const world = new World(seed, mode);
  const { draw } = world;
  const [a, b] = world.nodes as [Node, Node];
  let owner = a;
  await world.takeOver(owner);
  for (let step = 0; step < STEPS; step++) {
    const other = owner === a ? b : a;
    switch (draw(9)) {
      case 0: {
        const fault: LogFault = { on: 'put', key: '/log/', times: 1 + draw(2), effect: EFFECTS[draw(EFFECTS.length)] ?? 'refuse' };
        owner.store.inject(fault);
        break;
      }
      case 1:
        // What was held arrives, late.
        (draw(2) === 0 ? owner : other).store.release();
        break;
      case 2:
        // The old owner is not told.
        if (mode === 'async') await owner.shared?.sink.shipped();
        await world.takeOver(other);
        owner = other;
        break;
      case 3:
        world.crash(draw(3) === 0 ? other : owner);
        if (owner.shared === undefined) await world.takeOver(owner);
        break;
      case 4:
        if (draw(3) === 0) await world.image(owner);
        break;
      case 5:
        // A client that still talks to the old owner.
        world.send(other);
        break;
      default:
        for (let i = draw(4); i >= 0; i--) world.send(owner);
    }
    if (owner.shared?.sink.ended !== undefined) await world.takeOver(owner);
    if (draw(3) === 0) await new Promise((resolve) => setTimeout(resolve, draw(8)));
    world.clock.ms += draw(50);
  }
  await Promise.all(world.underWay);
  return world;
}

describe('a log over a store that fails', () => {
  test.each(Array.from({ length: 24 }, (_, i) => i + 1))('keeps every acknowledgement and every refusal, seed %i', async (seed) => {
    const world = await run(seed, 'shared');
    for (const { store } of world.nodes) store.release();
    const fresh: Node = { kv: new MemoryKv(), store: new MemoryLogStore(world.objects), shared: undefined };
    const last = await world.takeOver(fresh);
    const { entries } = await last.engine.read('list', { node: at('/'), limit: 1000, attributes: false }, { visible: false });
    const found = new Set(entries.map(({ name }) => Buffer.from(name).toString()));
    expect([...world.acknowledged.keys()].filter((name) => !found.has(name))).toEqual([]);
    expect([...world.refused].filter((name) => found.has(name))).toEqual([]);
    for (const [name, version] of world.acknowledged) {
      const context = { requestId: requestId(name), actor: 'test', acknowledgement: 'durable' as const };
      expect((await last.engine.mutate('mkdir', { entry: at(`/${name}`), mode: 0o755, ...OWNER }, context)).version).toBe(version);
    }
    expect(contradictions(fresh.kv)).toEqual([]);
    expect(world.takeovers).toBeGreaterThan(3);
    // A node that lived through all of it comes to the same state.
    const survivor = world.nodes[seed % 2] as Node;
    const clean: Node = { kv: survivor.kv, store: new MemoryLogStore(world.objects), shared: undefined };
    await world.takeOver(clean);
    await fresh.kv.commit([{ key: Uint8Array.of(1, 2), value: Uint8Array.from(clean.kv.get(Uint8Array.of(1, 2)) ?? []) }]).flushed;
    expect(await stateDigest(clean.kv)).toBe(await stateDigest(fresh.kv));
  });

  test('in asynchronous durability recovers whatever was shipped, and never contradicts itself', async () => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const world = await run(seed, 'async');
      for (const { store } of world.nodes) store.release();
      const fresh: Node = { kv: new MemoryKv(), store: new MemoryLogStore(world.objects), shared: undefined };
      const last = await world.takeOver(fresh);
      expect(contradictions(fresh.kv)).toEqual([]);
      const { entries } = await last.engine.read('list', { node: at('/'), limit: 1000, attributes: false }, { visible: false });
      const found = new Set(entries.map(({ name }) => Buffer.from(name).toString()));
      expect([...world.refused].filter((name) => found.has(name))).toEqual([]);
      const survivor = world.nodes[seed % 2] as Node;
      const clean: Node = { kv: survivor.kv, store: new MemoryLogStore(world.objects), shared: undefined };
      await last.sink.shipped();
      const next = await world.takeOver(clean);
      await next.sink.shipped();
      await fresh.kv.commit([{ key: Uint8Array.of(1, 2), value: Uint8Array.from(clean.kv.get(Uint8Array.of(1, 2)) ?? []) }]).flushed;
      expect(await stateDigest(clean.kv)).toBe(await stateDigest(fresh.kv));
    }
  });
});
