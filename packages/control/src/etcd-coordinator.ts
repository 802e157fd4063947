/**
 * Coordination through etcd. Two keys a shard, small whatever the traffic:
 *
 *   <prefix>/shards/<4 digits>/owner   {"id","endpoint","home","epoch"}, bound to the owner's lease
 *   <prefix>/shards/<4 digits>/record  {"format":1,"epoch","home","served"}, stays; without "served" it counts as served
 *
 * Taking a shard is one transaction: the owner key is absent, the record is as it was read, put both with the epoch
 * raised. An answer that got lost is followed by revoking the lease, so that a taken key never outlives an owner who
 * does not know of it; the next try raises the epoch again.
 */
import { NokvError, epoch, isNokvError, shardId, type Clock, type Epoch, type ShardId } from '@nokv/types';
import type { Acquisition, Coordinator, NodeIdentity, Ownership, ShardRecord } from './coordinator.js';
import { openEtcdClient, type EtcdClient, type EtcdEntry } from './etcd-client.js';
import { holdLease, type HeldLease } from './lease.js';

export interface EtcdCoordinatorOptions {
  /** `host:port` each. */
  readonly hosts: readonly string[];
  /** Begins with `/`; namespaces that share an etcd differ in it. */
  readonly prefix: string;
  /** 2,000 or more: etcd grants no shorter leases than its own election time allows. */
  readonly leaseTtlMs: number;
  readonly clock: Clock;
}

export const ETCD_LEASE_TTL_MS_MIN = 2000;
const RECORD_FORMAT = 1;

interface StoredRecord {
  readonly format: number;
  readonly epoch: Epoch;
  readonly home: string;
  readonly served: boolean;
}

interface StoredOwner extends NodeIdentity {
  readonly epoch: Epoch;
}

interface ShardState {
  readonly owner: StoredOwner | undefined;
  readonly record: StoredRecord | undefined;
  readonly recordRevision: string;
}

/** Resolves without having talked to etcd; the first acquisition does. */
export async function etcdCoordinator(options: EtcdCoordinatorOptions): Promise<Coordinator> {
  const { clock, leaseTtlMs } = options;
  if (leaseTtlMs < ETCD_LEASE_TTL_MS_MIN) {
    throw new NokvError(
      'bad-configuration',
      `expected a lease of at least ${ETCD_LEASE_TTL_MS_MIN} ms with etcd, found ${leaseTtlMs}; give a longer --lease-ttl`,
    );
  }
  // etcd counts whole seconds; ours is the shorter of the two, so rounding up is safe.
  const ttlSec = Math.ceil(leaseTtlMs / 1000);
  const client = await openEtcdClient({ hosts: options.hosts, callTimeoutMs: Math.min(2000, leaseTtlMs / 2), clock });
  const held = new Set<Ownership>();
  let isClosed = false;

  const shardsPrefix = `${options.prefix.replace(/\/+$/, '')}/shards/`;
  const prefixOf = (shard: ShardId): string => `${shardsPrefix}${String(shard).padStart(4, '0')}/`;

  async function readShard(shard: ShardId): Promise<ShardState> {
    return parseShard(prefixOf(shard), await client.get(prefixOf(shard)));
  }

  async function acquire(shard: ShardId, node: NodeIdentity, above: Epoch): Promise<Acquisition> {
    if (isClosed) throw new NokvError('control-unavailable', 'this coordinator is closed; open it again');
    const seen = await readShard(shard);
    if (seen.record !== undefined && seen.record.home !== node.home && seen.record.home !== node.formerHome) {
      return { kind: 'foreign', home: seen.record.home, epoch: seen.record.epoch };
    }
    if (seen.owner !== undefined) return { kind: 'held', by: identityOf(seen.owner), epoch: seen.owner.epoch };

    const grantSentAtMs = clock.monotonicMs();
    const lease = await client.grant(ttlSec);
    const raised = epoch(Math.max(seen.record?.epoch ?? 0, above) + 1);
    if (!(await take(shard, node, seen, raised, lease))) {
      await client.revoke(lease).catch(() => undefined);
      const now = await readShard(shard);
      if (now.owner !== undefined) return { kind: 'held', by: identityOf(now.owner), epoch: now.owner.epoch };
      throw new NokvError('control-unavailable', `shard ${shard} changed hands while it was being taken; try again`);
    }
    const ownership = hold(shard, raised, lease, grantSentAtMs);
    if (isClosed) {
      await ownership.release();
      throw new NokvError('control-unavailable', 'this coordinator was closed while the shard was being taken');
    }
    return { kind: 'acquired', ownership, hasBeenServed: seen.record?.served ?? false };
  }

  async function take(shard: ShardId, node: NodeIdentity, seen: ShardState, raised: Epoch, lease: string): Promise<boolean> {
    const ownerKey = `${prefixOf(shard)}owner`;
    const recordKey = `${prefixOf(shard)}record`;
    const owner: StoredOwner = { ...identityOf(node), epoch: raised };
    const record: StoredRecord = { format: RECORD_FORMAT, epoch: raised, home: node.home, served: seen.record?.served ?? false };
    try {
      return await client.transaction(
        [
          { key: ownerKey, modRevision: '0' },
          { key: recordKey, modRevision: seen.recordRevision },
        ],
        [
          { key: ownerKey, value: JSON.stringify(owner), lease },
          { key: recordKey, value: JSON.stringify(record) },
        ],
      );
    } catch (error) {
      void revokeLease(lease);
      throw error;
    }
  }

  /** As long as the record is that of this ownership; a later owner notes it himself. */
  async function noteServed(shard: ShardId, raised: Epoch): Promise<void> {
    const { record, recordRevision } = await readShard(shard);
    if (record === undefined || record.epoch !== raised || record.served) return;
    const key = `${prefixOf(shard)}record`;
    await client.transaction([{ key, modRevision: recordRevision }], [{ key, value: JSON.stringify({ ...record, served: true }) }]);
  }

  function hold(shard: ShardId, raised: Epoch, lease: string, grantSentAtMs: number): Ownership {
    const term: HeldLease = holdLease({ ttlMs: leaseTtlMs, clock, grantSentAtMs, renew: () => client.keepAlive(lease) });
    let releasing: Promise<void> | undefined;
    const ownership: Ownership = {
      shard,
      epoch: raised,
      isValid: term.isValid,
      ended: term.ended,
      noteServed: () => noteServed(shard, raised),
      release() {
        term.end('released');
        releasing ??= revokeLease(lease);
        return releasing;
      },
    };
    held.add(ownership);
    // A lost lease may still stand in etcd when it comes back: it is in the way of every successor, ourselves included.
    void term.ended.then((how) => {
      held.delete(ownership);
      if (how === 'lost') void revokeLease(lease);
    });
    return ownership;
  }

  /** Resolves after the first try; where etcd does not answer, tries go on behind it until the lease has run out by itself. */
  async function revokeLease(lease: string): Promise<void> {
    if (await revoked(lease)) return;
    void revokeUntilGone(lease);
  }

  async function revokeUntilGone(lease: string): Promise<void> {
    const giveUpAtMs = clock.monotonicMs() + ttlSec * 1000;
    while (!isClosed && clock.monotonicMs() < giveUpAtMs) {
      await clock.sleep(200);
      if (await revoked(lease)) return;
    }
  }

  async function revoked(lease: string): Promise<boolean> {
    try {
      await client.revoke(lease);
      return true;
    } catch (error) {
      if (isNokvError(error, 'control-unavailable')) return false;
      throw error;
    }
  }

  return {
    description: `etcd://${options.hosts.join(',')}${options.prefix}`,
    acquire,
    async shards() {
      const entries = await client.get(shardsPrefix);
      const numbers = new Set(entries.map((entry) => entry.key.slice(shardsPrefix.length, shardsPrefix.length + 4)));
      const records: ShardRecord[] = [];
      for (const digits of numbers) {
        const shard = shardId(Number(digits));
        const state = parseShard(prefixOf(shard), entries);
        if (state.record === undefined) continue;
        const owner = state.owner === undefined ? undefined : identityOf(state.owner);
        records.push({ shard, epoch: state.record.epoch, home: state.record.home, owner });
      }
      return records;
    },
    ownerMayHaveChanged(shard, timeoutMs, signal) {
      return waitForHint(client, `${prefixOf(shard)}owner`, timeoutMs, signal);
    },
    async close() {
      if (isClosed) return;
      const releases = [...held].map((ownership) => ownership.release());
      isClosed = true;
      await Promise.all(releases);
      client.close();
    },
  };
}

/** Resolves when the owner key is gone or changed; what happened before the watch began to see is read once it does. */
async function waitForHint(client: EtcdClient, key: string, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  let stopWatching = (): void => {};
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    signal?.addEventListener('abort', done, { once: true });
    stopWatching = client.watch(key, (hint) => {
      if (hint === 'changed') return done();
      client.get(key).then((entries) => entries.length === 0 && done(), done);
    });
  });
  stopWatching();
}

function parseShard(prefix: string, entries: readonly EtcdEntry[]): ShardState {
  const owner = entries.find((entry) => entry.key === `${prefix}owner`);
  const record = entries.find((entry) => entry.key === `${prefix}record`);
  return {
    owner: owner === undefined ? undefined : parseOwner(owner),
    record: record === undefined ? undefined : parseRecord(record),
    recordRevision: record?.modRevision ?? '0',
  };
}

function parseRecord(entry: EtcdEntry): StoredRecord {
  const value = parseJson(entry);
  if (value['format'] !== RECORD_FORMAT) {
    throw new NokvError(
      'unsupported-format',
      `expected format ${RECORD_FORMAT} of the shard record ${entry.key}, found ${JSON.stringify(value['format'])}; use the version of nokv that wrote it`,
    );
  }
  const { served = true } = value;
  if (typeof served !== 'boolean') throw corrupt(entry);
  return { format: RECORD_FORMAT, epoch: parseEpoch(entry, value['epoch']), home: parseText(entry, value['home']), served };
}

function parseOwner(entry: EtcdEntry): StoredOwner {
  const value = parseJson(entry);
  return {
    id: parseText(entry, value['id']),
    endpoint: parseText(entry, value['endpoint']),
    home: parseText(entry, value['home']),
    epoch: parseEpoch(entry, value['epoch']),
  };
}

function parseJson(entry: EtcdEntry): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(entry.value);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, with the key.
  }
  throw corrupt(entry);
}

function parseText(entry: EtcdEntry, value: unknown): string {
  if (typeof value !== 'string') throw corrupt(entry);
  return value;
}

function parseEpoch(entry: EtcdEntry, value: unknown): Epoch {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw corrupt(entry);
  return epoch(value);
}

function corrupt(entry: EtcdEntry): NokvError {
  return new NokvError(
    'corrupt',
    `the etcd key ${entry.key} does not hold what nokv writes there; check who else writes under this prefix`,
  );
}

function identityOf(node: NodeIdentity): NodeIdentity {
  return { id: node.id, endpoint: node.endpoint, home: node.home };
}
