/**
 * Coordination inside one process. That no second process serves the same data is the data directory's lock's business;
 * here lives the epoch, which rises durably with every acquisition, so that each start has a higher one.
 */
import { NokvError, epoch, type Epoch, type ShardId } from '@nokv/types';
import type { Acquisition, Coordinator, NodeIdentity, Ownership, ShardRecord } from './coordinator.js';

/** What the coordinator remembers between two starts; the caller decides where. */
export interface EmbeddedRecords {
  /** Undefined for a shard that nobody ever owned. */
  load(shard: ShardId): Promise<EmbeddedRecord | undefined>;
  /** Durable when it resolves. */
  save(shard: ShardId, record: EmbeddedRecord): Promise<void>;
}

export interface EmbeddedRecord {
  readonly epoch: Epoch;
  readonly home: string;
}

interface Held {
  readonly node: NodeIdentity;
  readonly epoch: Epoch;
  readonly end: (how: 'lost' | 'released') => void;
}

export function embeddedCoordinator(records: EmbeddedRecords): Coordinator {
  const holders = new Map<ShardId, Held>();
  const known = new Map<ShardId, EmbeddedRecord>();
  const waiters = new Set<() => void>();
  let isClosed = false;
  /** Acquisitions take turns, so that load, raise and save are one step. */
  let turn: Promise<unknown> = Promise.resolve();

  async function acquireInTurn(shard: ShardId, node: NodeIdentity, above: Epoch): Promise<Acquisition> {
    if (isClosed) throw new NokvError('control-unavailable', 'the embedded coordinator is closed; open it again');
    const holder = holders.get(shard);
    if (holder !== undefined) return { kind: 'held', by: holder.node, epoch: holder.epoch };
    const last = await records.load(shard);
    if (last !== undefined && last.home !== node.home && last.home !== node.formerHome)
      return { kind: 'foreign', home: last.home, epoch: last.epoch };
    const raised = epoch(Math.max(last?.epoch ?? 0, above) + 1);
    await records.save(shard, { epoch: raised, home: node.home });
    known.set(shard, { epoch: raised, home: node.home });
    // The record lies with the data: where there is one, there is a shard.
    return { kind: 'acquired', ownership: hold(shard, node, raised), hasBeenServed: last !== undefined };
  }

  function hold(shard: ShardId, node: NodeIdentity, raised: Epoch): Ownership {
    let isHeld = true;
    let tell: (how: 'lost' | 'released') => void = () => {};
    const ended = new Promise<'lost' | 'released'>((resolve) => (tell = resolve));
    const end = (how: 'lost' | 'released'): void => {
      if (!isHeld) return;
      isHeld = false;
      holders.delete(shard);
      tell(how);
      for (const wake of waiters) wake();
    };
    holders.set(shard, { node, epoch: raised, end });
    return {
      shard,
      epoch: raised,
      ended,
      isValid: () => isHeld,
      noteServed: async () => {},
      release: async () => end('released'),
    };
  }

  return {
    description: 'embedded',
    acquire(shard, node, above) {
      const result = turn.then(() => acquireInTurn(shard, node, above));
      turn = result.catch(() => undefined);
      return result;
    },
    async shards(): Promise<readonly ShardRecord[]> {
      return [...known].sort(([a], [b]) => a - b).map(([shard, record]) => ({ shard, ...record, owner: holders.get(shard)?.node }));
    },
    ownerMayHaveChanged(_shard, timeoutMs, signal) {
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          waiters.delete(done);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        waiters.add(done);
        signal?.addEventListener('abort', done, { once: true });
        if (isClosed || signal?.aborted === true) done();
      });
    },
    async close() {
      isClosed = true;
      await turn;
      for (const holder of holders.values()) holder.end('released');
      for (const wake of waiters) wake();
    },
  };
}
