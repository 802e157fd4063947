/** What a process stands on: its data directory, the object store, the shard's engine and the coordinator. */
import { embeddedCoordinator, etcdCoordinator, type ControlAddress, type Coordinator } from '@nokv/control';
import { openLmdbKv, openShard, type ShardEngine } from '@nokv/meta';
import type { Clock, Random, ShardId } from '@nokv/types';
import type { Closers } from './closers.js';
import { openDataDirectory, type DataDirectory } from './data-directory.js';
import type { HitFailpoint } from './failpoints.js';
import { heldKv } from './held-kv.js';
import type { Latencies } from './metrics.js';
import { openStore, type OpenedStore } from './open-store.js';
import type { ServerConfig } from './server-config.js';

export interface Foundations {
  readonly data: DataDirectory;
  readonly opened: OpenedStore;
  readonly engine: ShardEngine;
  readonly coordinator: Coordinator;
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
}

/**
 * Results of requests and changes are kept by age and by versions. Every start skips up to 2^20 versions, so that the
 * bound in versions has to be many starts wide: a repeat after a crash loop must still find its first result.
 */
const WINDOW = { requestVersionsMax: 32 * 2 ** 20, changeVersionsMax: 128 * 2 ** 20 };

export async function openFoundations(config: ServerConfig, parts: FoundationParts, closers: Closers): Promise<Foundations> {
  const { clock, random, shard } = parts;
  const data = closers.add(await openDataDirectory(config.data, random), (each) => each.close());
  const opened = closers.add(await openStore(config.object, { ...parts, data, latencies: parts.storeLatencies }), ({ store }) =>
    store.close(),
  );
  const stored = await openLmdbKv({ directory: data.metaDirectory, clock });
  const kv = parts.failpoint === undefined ? stored : heldKv(stored, parts.failpoint, parts.isServing);
  const retention = config.uploadGraceMs === undefined ? {} : { retention: { uploadMs: config.uploadGraceMs } };
  const engine = await openShard({ kv, shard, clock, random, window: WINDOW, ...retention }).catch(async (error: unknown) => {
    await kv.close();
    throw error;
  });
  closers.add(engine, (each) => each.close());
  const coordinator = closers.add(await openCoordinator(config, parts, engine, data), (each) => each.close());
  return { data, opened, engine, coordinator };
}

async function openCoordinator(
  config: ServerConfig,
  { control, clock }: FoundationParts,
  engine: ShardEngine,
  data: DataDirectory,
): Promise<Coordinator> {
  if (control.kind === 'etcd') return etcdCoordinator({ ...control, leaseTtlMs: config.leaseTtlMs, clock });
  // The shard's own environment remembers its epoch: adopting it is what makes it durable.
  return embeddedCoordinator({
    load: async () => (engine.epoch > 0 ? { epoch: engine.epoch, home: data.home } : undefined),
    save: async (_shard, record) => engine.adoptEpoch(record.epoch),
  });
}
