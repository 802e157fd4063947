/** What a process stands on: its data directory, the object store, the shard's engine and the coordinator. */
import {
  embeddedCoordinator,
  etcdCoordinator,
  type ControlAddress,
  type EmbeddedRecords,
  type Coordinator,
  type NodeIdentity,
} from '@nokv/control';
import { openLmdbKv, openShard, originKey, readLogPosition, type LogWindow, type OrderedKv, type ShardEngine } from '@nokv/meta';
import { NokvError, type Clock, type Random, type ShardId } from '@nokv/types';
import type { Closers } from './closers.js';
import { openDataDirectory, type DataDirectory } from './data-directory.js';
import { watchDiskRoom } from './disk-room.js';
import type { HitFailpoint } from './failpoints.js';
import { heldKv } from './held-kv.js';
import { heldStore } from './held-store.js';
import { logStoreOf } from './log-store-of.js';
import type { Logger } from './logger.js';
import type { Latencies } from './metrics.js';
import { openStore, type OpenedStore } from './open-store.js';
import type { ChangeWindow, ServerConfig } from './server-config.js';
import { openHostedShard, type HostedShard } from './shared-shard.js';

export interface Foundations {
  readonly data: DataDirectory;
  readonly opened: OpenedStore;
  readonly engine: ShardEngine;
  readonly coordinator: Coordinator;
  /** Whose engine `engine` is, where the truth is the shared log. */
  readonly shared: HostedShard | undefined;
  /** How the coordinator tells this copy of the data from others. */
  readonly homes: Pick<NodeIdentity, 'home' | 'formerHome'>;
}

export interface FoundationParts {
  readonly shard: ShardId;
  readonly control: ControlAddress;
  readonly clock: Clock;
  readonly random: Random;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly storeLatencies: Latencies;
  readonly failpoint: HitFailpoint;
  readonly isServing: () => boolean;
  readonly log: Logger;
}

/**
 * Results of requests and changes are kept by age and by versions. Every start skips up to 2^20 versions, so that the
 * bound in versions has to be many starts wide: a repeat after a crash loop must still find its first result.
 */
const WINDOW = { requestMs: 3600 * 1000, requestVersionsMax: 32 * 2 ** 20, changeVersionsMax: 128 * 2 ** 20 };

/** A result of a request is found by its change: it goes no later. */
function logWindow({ ms, bytes, versions = WINDOW.changeVersionsMax }: ChangeWindow = {}): Partial<LogWindow> {
  return {
    requestVersionsMax: Math.min(WINDOW.requestVersionsMax, versions),
    changeVersionsMax: versions,
    ...(ms === undefined ? {} : { requestMs: Math.min(WINDOW.requestMs, ms), changeMs: ms }),
    ...(bytes === undefined ? {} : { changeBytesMax: bytes }),
  };
}

export async function openFoundations(config: ServerConfig, parts: FoundationParts, closers: Closers): Promise<Foundations> {
  const { random } = parts;
  const isShared = config.durability !== 'local';
  const data = closers.add(await openDataDirectory(config.data, random), (each) => each.close());
  const stored = closers.add(await openStore(config.object, { ...parts, data, latencies: parts.storeLatencies, isShared }), ({ store }) =>
    store.close(),
  );
  const { failpoint, isServing } = parts;
  const opened = failpoint === undefined ? stored : { ...stored, store: heldStore(stored.store, failpoint, isServing) };
  if (isShared) {
    const shared = closers.add(await openShared(config, parts, data, opened), (each) => each.close());
    const coordinator = closers.add(await openCoordinator(config, parts, SHARED_RECORDS), (each) => each.close());
    // Any node with this store holds the same shard; what a node served before from its own disk becomes the log's.
    const homes = { home: `shared:${opened.marker}`, formerHome: data.home };
    return { data, opened, engine: shared.engine, coordinator, shared, homes };
  }
  await refuseLoggedStore(opened, parts.shard);
  const engine = closers.add(await openLocal(config, parts, data), (each) => each.close());
  const coordinator = closers.add(await openCoordinator(config, parts, localRecords(engine, data)), (each) => each.close());
  return { data, opened, engine, coordinator, shared: undefined, homes: { home: data.home } };
}

/** Two that serve from one store, one by its log and one past it, would each remove the bodies of the other. */
async function refuseLoggedStore({ store }: OpenedStore, shard: ShardId): Promise<void> {
  if ((await store.head(originKey(shard))) === undefined) return;
  throw new NokvError(
    'bad-configuration',
    `${store.description} carries the log of shard ${shard}, whose owner may be serving; start with --durability shared, or give another --object`,
  );
}

async function openLocal(config: ServerConfig, parts: FoundationParts, data: DataDirectory): Promise<ShardEngine> {
  const kv = await openKv(parts, data);
  try {
    if (readLogPosition(kv) !== undefined) {
      throw new NokvError(
        'bad-configuration',
        `the shard in ${data.path} is part of a shared log, which a local commit would leave behind; start with --durability shared`,
      );
    }
    return await openShard({ kv, ...shardOptions(config, parts, data) });
  } catch (error) {
    await kv.close();
    throw error;
  }
}

async function openShared(config: ServerConfig, parts: FoundationParts, data: DataDirectory, { store }: OpenedStore): Promise<HostedShard> {
  const { isServing, log } = parts;
  return openHostedShard({
    ...shardOptions(config, parts, data),
    store: logStoreOf(store),
    kv: await openKv(parts, data),
    images: config.images,
    mode: config.durability === 'async' ? 'async' : 'shared',
    isServing,
    log,
  });
}

async function openKv({ clock, failpoint, isServing }: FoundationParts, data: DataDirectory): Promise<OrderedKv> {
  const stored = await openLmdbKv({ directory: data.metaDirectory, clock });
  return failpoint === undefined ? stored : heldKv(stored, failpoint, isServing);
}

function shardOptions(config: ServerConfig, { shard, clock, random }: FoundationParts, data: DataDirectory) {
  const retention = config.uploadGraceMs === undefined ? {} : { retention: { uploadMs: config.uploadGraceMs } };
  const isRoomScarce = watchDiskRoom(data.path, clock);
  return { shard, clock, random, window: logWindow(config.changeWindow), isRoomScarce, ...retention };
}

async function openCoordinator(config: ServerConfig, { control, clock }: FoundationParts, records: EmbeddedRecords): Promise<Coordinator> {
  if (control.kind === 'etcd') return etcdCoordinator({ ...control, leaseTtlMs: config.leaseTtlMs, clock });
  return embeddedCoordinator(records);
}

/** The shard's own environment remembers its epoch: adopting it is what makes it durable. */
function localRecords(engine: ShardEngine, data: DataDirectory): EmbeddedRecords {
  return {
    load: async () => (engine.epoch > 0 ? { epoch: engine.epoch, home: data.home } : undefined),
    save: async (_shard, record) => engine.adoptEpoch(record.epoch),
  };
}

/** The log remembers the epoch, and that the shard has been served: a recovery sees both. */
const SHARED_RECORDS: EmbeddedRecords = { load: async () => undefined, save: async () => {} };
