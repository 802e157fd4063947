/**
 * One nokv process. What opens here closes here, in reverse order, whether the start failed half-way or the server is
 * stopped: data directory and its lock, object store, shard, doors, ownership, background work.
 */
import { embeddedCoordinator, etcdCoordinator, parseControlAddress, type Coordinator } from '@nokv/control';
import { openLmdbKv, openShard, type ShardEngine } from '@nokv/meta';
import type { ServerInfo } from '@nokv/protocol';
import { NokvError, shardId, systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { accessWays } from './access-ways.js';
import { startBackground } from './background.js';
import { parseBindAddress } from './bind-address.js';
import { openDataDirectory, type DataDirectory } from './data-directory.js';
import { failpointsFrom } from './failpoints.js';
import { listenHttp, type HttpListener } from './http/http-server.js';
import { objectRoutes } from './http/object-routes.js';
import { statusRoutes } from './http/status-routes.js';
import { makeLogger } from './logger.js';
import { makeMetrics } from './metrics.js';
import { openStore } from './open-store.js';
import { addProcessMetrics, addShardMetrics } from './process-metrics.js';
import { rpcHandlers } from './rpc-handlers.js';
import { listenRpc } from './rpc/listen-rpc.js';
import type { RpcListener } from './rpc/rpc-listener.js';
import type { RunningServer, ServerConfig, ServerPorts } from './server-config.js';
import { makeService, type Service } from './service.js';
import { hostShard, type ShardHost } from './shard-host.js';
import { SOFTWARE } from './software.js';
import { makeTickets } from './tickets.js';

const SHARD = shardId(0);
/**
 * Results of requests and changes are kept by age and by versions. Every start skips up to 2^20 versions, so that the
 * bound in versions has to be many starts wide: a repeat after a crash loop must still find its first result.
 */
const WINDOW = { requestVersionsMax: 32 * 2 ** 20, changeVersionsMax: 128 * 2 ** 20 };
/** How long `stop` waits for what is in flight when nobody says. */
const GRACE_MS_DEFAULT = 10_000;

/** Closes what was opened, last first; one that fails does not keep the others from closing. */
class Closers {
  readonly #closers: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    let failure: unknown;
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }
}

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
  const clock: Clock = ports.clock ?? systemClock;
  const random: Random = ports.random ?? systemRandom;
  const env = ports.env ?? {};
  const startedAtMs = clock.monotonicMs();
  // Everything that can be wrong with the words is found before anything is written.
  parseBindAddress('--listen', config.listen);
  parseBindAddress('--http', config.http);
  const control = parseControlAddress(config.control);
  const failpoint = failpointsFrom(env, clock);
  const log = makeLogger(config.logLevel ?? 'info');
  const metrics = makeMetrics();

  const data = await openDataDirectory(config.data, random);
  closers.add(() => data.close());

  const storeLatencies = metrics.addLatencies('nokv_store_request', 'Requests to the object store.', 'call');
  const opened = await openStore(config.object, { data, env, clock, random, latencies: storeLatencies });
  closers.add(() => opened.store.close());

  const kv = await openLmdbKv({ directory: data.metaDirectory });
  const retention = config.uploadGraceMs === undefined ? {} : { retention: { uploadMs: config.uploadGraceMs } };
  const engine = await openShard({ kv, shard: SHARD, clock, random, window: WINDOW, ...retention });
  closers.add(() => engine.close());

  const coordinator = control.kind === 'embedded' ? embedded(engine, data) : await etcdCoordinator({ ...control, leaseTtlMs: config.leaseTtlMs, clock });
  closers.add(() => coordinator.close());

  // The doors are bound first: the owner's record says where clients find it. Until then the gate refuses every call.
  let host: ShardHost | undefined;
  const gate = { refusal: () => (host === undefined ? new NokvError('not-owner', 'this server is starting; try again shortly') : host.gate.refusal()) };
  engine.setGate(gate);
  const tickets = makeTickets(data.ticketKey);
  let http: HttpListener | undefined;
  let rpc: RpcListener | undefined;
  const service: Service = makeService({
    engine,
    store: opened.store,
    tickets,
    failpoint,
    access: accessWays({ direct: opened.direct, tickets, clock, http: () => http?.address ?? '' }),
  });
  const httpLatencies = metrics.addLatencies('nokv_http_request', 'Requests to the HTTP port.', 'route');
  const rpcLatencies = metrics.addLatencies('nokv_rpc_request', 'Operations over RPC.', 'operation');

  const httpListener = await listenHttp(config.http, {
    log,
    monotonicMs: () => clock.monotonicMs(),
    onAnswer: (route, elapsedMs, error) => httpLatencies.observe(route, elapsedMs, error),
    routes: [
      ...statusRoutes({ refusal: gate.refusal, metrics: metrics.render }),
      objectRoutes({ store: opened.store, tickets, clock, blockBytesMax: opened.blockBytesMax, refusal: gate.refusal, hasUpload: (upload) => engine.hasUpload(upload) }),
    ],
  });
  http = httpListener;
  closers.add(() => httpListener.close(0));

  const info = (): ServerInfo => ({
    software: SOFTWARE,
    node: config.nodeId ?? data.node,
    uptimeMs: Math.round(clock.monotonicMs() - startedAtMs),
    http: httpListener.address,
    shards: [{ shard: SHARD, epoch: engine.epoch, visible: engine.visibleVersion, durable: engine.durableVersion }],
  });
  const rpcListener = await listenRpc(config.listen, {
    handlers: rpcHandlers(service, clock, info),
    clock,
    software: SOFTWARE,
    onAnswer: (operation, elapsedMs, error) => rpcLatencies.observe(operation, elapsedMs, error),
    onProblem: (error, client) => log.warn({ client: client?.name, peer: client?.peer, error: error.toRecord() }, 'rpc'),
  });
  rpc = rpcListener;
  closers.add(() => rpcListener.drain(0));

  const shardHost = hostShard({
    shard: SHARD,
    node: { id: config.nodeId ?? data.node, endpoint: rpc.address, home: data.home },
    coordinator,
    log,
    dataEpoch: () => engine.epoch,
    recover: async (epoch) => {
      if (epoch > engine.epoch) await engine.adoptEpoch(epoch);
    },
  });
  host = shardHost;
  closers.add(() => shardHost.stop(async () => {}));
  addProcessMetrics(metrics, clock, startedAtMs);
  addShardMetrics(metrics, { shard: SHARD, engine, host: shardHost, rpc: rpcListener, http: httpListener });

  const endStart = (): void => void shardHost.stop(async () => {});
  ports.signal?.addEventListener('abort', endStart, { once: true });
  if (ports.signal?.aborted === true) endStart();
  // A predecessor that crashed holds its lease for at most its term.
  await shardHost.start(config.leaseTtlMs * 2 + 10_000);
  ports.signal?.removeEventListener('abort', endStart);
  const background = startBackground({ engine, store: opened.store, clock, log, isServing: () => shardHost.isServing(), failpoint });
  metrics.add('counter', 'nokv_background_slices_total', 'Slices of background work.', () => background.slices);
  metrics.add('counter', 'nokv_blocks_swept_total', 'Blocks of expired uploads that were removed.', () => background.blocksRemoved);
  log.info({ data: data.path, rpc: rpc.address, http: http.address, store: opened.store.description, control: coordinator.description, epoch: engine.epoch, ms: Math.round(clock.monotonicMs() - startedAtMs) }, 'serving');

  // Whoever was told of versions that are lost now must hear of it: connections end, and clients that keep their own
  // promise to replay (mounts) send again what was not announced as durable.
  const lost = new Promise<Error>((resolve) => {
    engine.onLost((first, last) => {
      const error = new NokvError('unavailable', `versions ${first} to ${last} were shown and could not be made durable; see the log for why, then start again`);
      log.error({ first, last }, 'lost visible versions');
      resolve(error);
    });
  });

  let stopped: Promise<void> | undefined;
  async function stop(graceMs: number): Promise<void> {
    log.info({ graceMs }, 'draining');
    await background.stop();
    await shardHost.stop(async () => {
      await Promise.all([rpcListener.drain(graceMs), httpListener.close(graceMs)]);
      await flushed(engine, clock, graceMs);
    });
    await closers.close();
    log.info({}, 'stopped');
  }
  return {
    rpc: rpc.address,
    http: http.address,
    data: data.path,
    objectStore: opened.store.description,
    control: coordinator.description,
    failed: Promise.race([shardHost.failed, lost]),
    stop: (graceMs = GRACE_MS_DEFAULT) => (stopped ??= stop(graceMs)),
  };
}

/** The shard's own environment remembers its epoch: adopting it is what makes it durable. */
function embedded(engine: ShardEngine, data: DataDirectory): Coordinator {
  return embeddedCoordinator({
    load: async () => (engine.epoch > 0 ? { epoch: engine.epoch, home: data.home } : undefined),
    save: async (_shard, record) => engine.adoptEpoch(record.epoch),
  });
}

/** What was acknowledged as visible becomes durable before the shard is given up. */
async function flushed(engine: ShardEngine, clock: Clock, graceMs: number): Promise<void> {
  if (engine.durableVersion >= engine.visibleVersion) return;
  const patience = new AbortController();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      if (engine.durableVersion < engine.visibleVersion) return;
      stop();
      resolve();
    };
    const stop = engine.onDurable(done);
    void clock.sleep(graceMs, patience.signal).then(
      () => {
        stop();
        resolve();
      },
      () => undefined,
    );
    done();
  });
  patience.abort();
}
