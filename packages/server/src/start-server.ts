/**
 * One nokv process. What opens here closes here, in reverse order, whether the start failed half-way or the server is
 * stopped: foundations (data directory, store, shard, coordinator), doors, ownership, background work.
 */
import { parseControlAddress } from '@nokv/control';
import type { ShardEngine } from '@nokv/meta';
import type { ObjectStore } from '@nokv/object';
import type { StoreStatus } from '@nokv/protocol';
import { NokvError, shardId, systemClock, systemRandom, type Clock, type Epoch } from '@nokv/types';
import { startBackground } from './background.js';
import { parseBindAddress } from './bind-address.js';
import { Closers } from './closers.js';
import { DeadBlockSweep } from './dead-block-sweep.js';
import { openDoors } from './doors.js';
import { failpointsFrom } from './failpoints.js';
import { openFoundations } from './foundations.js';
import { beginShardLife } from './incarnation.js';
import { makeLogger } from './logger.js';
import { makeMetrics } from './metrics.js';
import { ORPHAN_GRACE_MS_DEFAULT, startOrphanSweep } from './orphan-sweep.js';
import { addLogMetrics, addProcessMetrics, addShardMetrics } from './process-metrics.js';
import { addStoreMetrics, healthOf } from './store-health.js';
import type { RunningServer, ServerConfig, ServerPorts } from './server-config.js';
import { hostShard, type ShardHost } from './shard-host.js';
import type { HostedShard } from './shared-shard.js';

const SHARD = shardId(0);
/** How long `stop` waits for what is in flight when nobody says. */
const GRACE_MS_DEFAULT = 10_000;
/** Of what a store said last: room for it on the wire in any script. */
const FAILURE_CHARS_MAX = 1000;

/**
 * Resolves once the server serves. Errors: `bad-configuration`, `directory-in-use`, `unsupported-format`,
 * `store-unavailable`, `store-unfit`, `no-bucket`, `bad-credentials`, `control-unavailable`, `not-owner`; a start that
 * failed leaves nothing open.
 */
export async function startServer(config: ServerConfig, ports: ServerPorts = {}): Promise<RunningServer> {
  const closers = new Closers();
  try {
    return await start(config, ports, closers);
  } catch (error) {
    await closers.close().catch(() => undefined);
    throw error;
  }
}

async function start(config: ServerConfig, ports: ServerPorts, closers: Closers): Promise<RunningServer> {
  const { clock = systemClock, random = systemRandom, env = {}, signal } = ports;
  const startedAtMs = clock.monotonicMs();
  // Everything that can be wrong with the words is found before anything is written.
  parseBindAddress('--listen', config.listen);
  parseBindAddress('--http', config.http);
  const control = parseControlAddress(config.control);
  const failpoint = failpointsFrom(env, clock);
  const log = makeLogger(config.logLevel ?? 'info');
  const metrics = makeMetrics();
  const storeLatencies = metrics.addLatencies('nokv_store_request', 'Requests to the object store.', 'call');

  async function recoverShared(shard: HostedShard, epoch: Epoch, hasBeenServed: boolean): Promise<void> {
    const startMs = clock.monotonicMs();
    const { from, image, segments, position } = await shard.recover(epoch, hasBeenServed);
    // Whoever was shown something by an earlier ownership learns that this is another.
    life.renew();
    log.info({ epoch, from, image, segments, sequence: position.sequence, ms: Math.round(clock.monotonicMs() - startMs) }, 'recovered');
  }

  const owner: { host?: ShardHost } = {};
  const isServing = (): boolean => owner.host?.isServing() ?? false;
  const parts = { shard: SHARD, control, clock, random, env, storeLatencies, failpoint, isServing, log };
  const foundations = await openFoundations(config, parts, closers);
  const { data, opened, engine, coordinator, shared } = foundations;
  const node = config.nodeId ?? data.node;
  const life = beginShardLife(engine, random, shared !== undefined);

  // The doors are bound first, because the owner's record says where clients find it.
  const gate = { refusal: () => life.refusal() ?? (owner.host === undefined ? starting() : owner.host.gate.refusal()) };
  engine.setGate(gate);
  const info = () => ({
    node,
    uptimeMs: Math.round(clock.monotonicMs() - startedAtMs),
    shards: [{ shard: SHARD, epoch: engine.epoch, visible: engine.visibleVersion, durable: engine.durableVersion }],
    status: {
      isServing: isServing(),
      durability: config.durability,
      control: coordinator.description,
      pid: process.pid,
      runtime: `node/${process.versions.node}`,
      store: storeStatus(opened.store),
    },
  });
  const deadBlocks = new DeadBlockSweep({ engine, store: opened.store, clock, random, log, isServing });
  const doors = await openDoors(
    config,
    foundations,
    { gate, clock, random, env, log, metrics, failpoint, life, deadBlocks, info },
    closers,
  );

  const host = hostShard({
    shard: SHARD,
    node: { id: node, endpoint: doors.rpc.address, ...foundations.homes },
    coordinator,
    log,
    dataEpoch: () => shared?.epochSeen ?? engine.epoch,
    recover: async (epoch, hasBeenServed) => {
      if (shared !== undefined) await recoverShared(shared, epoch, hasBeenServed);
      else if (epoch > engine.epoch) await engine.adoptEpoch(epoch);
    },
    mayStandBy: shared !== undefined && control.kind === 'etcd',
  });
  shared?.onStepDown((reason, isDiskLost) => {
    // Without a coordinator that says who is next, two owners would take the shard from each other for ever.
    if (isDiskLost || (control.kind === 'embedded' && reason.kind === 'fenced')) host.giveUp(reason);
    else host.stepDown(reason);
  });
  owner.host = closers.add(host, (each) => each.stop(async () => {}));
  addProcessMetrics(metrics, clock, startedAtMs);
  addShardMetrics(metrics, { shard: SHARD, engine, host, rpc: doors.rpc, http: doors.http });
  addStoreMetrics(metrics, opened.store);
  if (shared !== undefined) addLogMetrics(metrics, shared);
  // A predecessor that crashed holds its lease for at most its term.
  await startUntil(signal, host, shared === undefined ? config.leaseTtlMs * 2 + 10_000 : Number.POSITIVE_INFINITY);

  const background = startBackground({ engine, store: opened.store, clock, log, isServing, failpoint, keepImages: shared?.keepImages });
  closers.add(background, (each) => each.stop());
  const orphans = startOrphanSweep({
    engine,
    store: opened.store,
    clock,
    random,
    log,
    isServing,
    graceMs: config.orphanGraceMs ?? ORPHAN_GRACE_MS_DEFAULT,
  });
  closers.add(orphans, (each) => each.stop());
  deadBlocks.start();
  closers.add(deadBlocks, (each) => each.stop());
  metrics.add('counter', 'nokv_dead_blocks_removed_total', 'Blocks that went before the rest of their upload.', () => deadBlocks.removed);
  metrics.add('counter', 'nokv_dead_bytes_removed_total', 'Bytes of these blocks.', () => deadBlocks.bytesRemoved);
  metrics.add('counter', 'nokv_bodies_moved_total', 'Bodies whose pieces were copied out of sparse uploads.', () => deadBlocks.bodiesMoved);
  metrics.add('counter', 'nokv_bytes_moved_total', 'Bytes that were copied for it.', () => deadBlocks.bytesMoved);
  metrics.add('counter', 'nokv_store_listed_total', 'Objects that were looked at for stray blocks.', () => orphans.listed);
  metrics.add('counter', 'nokv_stray_uploads_total', 'Uploads with blocks in the store that no row knew.', () => orphans.strays);
  metrics.add('gauge', 'nokv_foreign_objects', 'Objects among the blocks that are none, in the last pass.', () => orphans.foreign);
  metrics.add('counter', 'nokv_background_slices_total', 'Slices of background work.', () => background.slices);
  metrics.add('counter', 'nokv_blocks_swept_total', 'Blocks that were removed from the store.', () => background.blocksRemoved);
  metrics.add('counter', 'nokv_bytes_swept_total', 'Bytes of these blocks.', () => background.bytesRemoved);

  const addresses = { rpc: doors.rpc.address, http: doors.http.address, data: data.path };
  const stores = { objectStore: opened.store.description, control: coordinator.description };
  log.info(
    { ...addresses, ...stores, epoch: engine.epoch, ms: Math.round(clock.monotonicMs() - startedAtMs) },
    isServing() ? 'serving' : 'standing by',
  );

  async function stop(graceMs: number): Promise<void> {
    log.info({ graceMs }, 'draining');
    await Promise.all([background.stop(), orphans.stop(), deadBlocks.stop()]);
    await host.stop(async () => {
      await doors.drain(graceMs);
      await flushed(engine, clock, graceMs);
      if (shared !== undefined) await shipped(shared, clock, graceMs);
    });
    await closers.close();
    log.info({}, 'stopped');
  }
  let stopped: Promise<void> | undefined;
  return {
    ...addresses,
    ...stores,
    isServing,
    failed: Promise.race([host.failed, engine.failed, life.lost]),
    stop: (graceMs = GRACE_MS_DEFAULT) => (stopped ??= stop(graceMs)),
  };
}

function storeStatus(store: ObjectStore): StoreStatus {
  const { circuit, circuitMs, failure, retries, opened } = healthOf(store);
  return {
    description: store.description,
    circuit,
    circuitMs: Math.round(circuitMs),
    ...(failure === undefined ? {} : { failure: failure.slice(0, FAILURE_CHARS_MAX) }),
    retries,
    opened,
  };
}

function starting(): NokvError {
  return new NokvError('not-owner', 'this server is starting; try again shortly');
}

async function startUntil(signal: AbortSignal | undefined, host: ShardHost, timeoutMs: number): Promise<void> {
  const end = (): void => void host.stop(async () => {});
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted === true) end();
  try {
    await host.start(timeoutMs);
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

/** What was acknowledged from this disk alone comes to be in the log before another may take over. */
async function shipped(shared: HostedShard, clock: Clock, graceMs: number): Promise<void> {
  const enough = new AbortController();
  await Promise.race([shared.shipped(), clock.sleep(graceMs, enough.signal).catch(() => undefined)]);
  enough.abort();
}

/** What was acknowledged as visible becomes durable before the shard is given up. */
async function flushed(engine: ShardEngine, clock: Clock, graceMs: number): Promise<void> {
  const enough = new AbortController();
  const arrived = (): void => {
    if (engine.durableVersion >= engine.visibleVersion) enough.abort();
  };
  const stopListening = engine.onDurable(arrived);
  arrived();
  // A shard that has stopped for good makes nothing durable any more.
  void engine.failed.then(() => enough.abort());
  await clock.sleep(graceMs, enough.signal).catch(() => undefined);
  stopListening();
}
