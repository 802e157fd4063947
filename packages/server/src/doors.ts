/** The two ports of the process. They are bound before the shard is owned; the gate refuses every call until it is. */
import type { ServerInfo } from '@nokv/protocol';
import type { ShardGate } from '@nokv/meta';
import type { Clock, Random, UploadId } from '@nokv/types';
import { accessWays } from './access-ways.js';
import { openBlockCache } from './block-cache.js';
import type { Closers } from './closers.js';
import type { DeadBlockSweep } from './dead-block-sweep.js';
import type { HitFailpoint } from './failpoints.js';
import type { Foundations } from './foundations.js';
import { listenHttp, type HttpListener } from './http/http-server.js';
import { objectRoutes } from './http/object-routes.js';
import { statusRoutes } from './http/status-routes.js';
import type { ShardLife } from './incarnation.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';
import { makePresigning } from './presigning.js';
import { rpcHandlers } from './rpc-handlers.js';
import { listenRpc } from './rpc/listen-rpc.js';
import type { RpcListener } from './rpc/rpc-listener.js';
import type { ServerConfig } from './server-config.js';
import { makeService } from './service.js';
import { SOFTWARE } from './software.js';
import { makeTickets } from './tickets.js';
import { addWatchMetrics } from './watch/watch-metrics.js';

export interface Doors {
  readonly rpc: RpcListener;
  readonly http: HttpListener;
  /** No new work; what is under way is finished within `graceMs`. */
  drain(graceMs: number): Promise<void>;
}

export interface DoorParts {
  readonly gate: ShardGate;
  readonly clock: Clock;
  readonly random: Random;
  /** Where credentials of other stores are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly failpoint: HitFailpoint;
  readonly life: ShardLife;
  readonly deadBlocks: DeadBlockSweep;
  /** All that `server-info` tells but the HTTP address. */
  readonly info: () => Omit<ServerInfo, 'http' | 'software'>;
}

export async function openDoors(config: ServerConfig, foundations: Foundations, parts: DoorParts, closers: Closers): Promise<Doors> {
  const { gate, clock, log, metrics, failpoint, life } = parts;
  const { engine, opened, data } = foundations;
  const { store, direct, presigner, blockBytesMax } = opened;
  const tickets = makeTickets(data.ticketKey);
  const httpLatencies = metrics.addLatencies('nokv_http_request', 'Requests to the HTTP port.', 'route');
  const rpcLatencies = metrics.addLatencies('nokv_rpc_request', 'Operations over RPC.', 'operation');

  const carried = { in: 0, out: 0 };
  metrics.add('counter', 'nokv_proxied_body_bytes_total', 'Bytes of bodies that went through this process.', () => [
    [{ direction: 'in' }, carried.in],
    [{ direction: 'out' }, carried.out],
  ]);
  const cache = openBlockCache(config.cache, { opened, clock, random: parts.random, log, metrics });
  if (cache !== undefined) closers.add(cache, (each) => each.close());
  const http = closers.add(
    await listenHttp(config.http, {
      log,
      monotonicMs: () => clock.monotonicMs(),
      onAnswer: (route, elapsedMs, error) => httpLatencies.observe(route, elapsedMs, error),
      routes: [
        ...statusRoutes({ refusal: gate.refusal, metrics: metrics.render }),
        objectRoutes({
          store,
          tickets,
          clock,
          blockBytesMax,
          refusal: gate.refusal,
          hasUpload: (upload) => engine.hasUpload(upload),
          carried,
          cache: cache?.reader,
        }),
      ],
    }),
    (listener) => listener.close(0),
  );
  const access = accessWays({ direct, presigner, description: store.description, tickets, clock, http: () => http.address });
  const hasUpload = (upload: UploadId): boolean => engine.hasUpload(upload);
  const presigning = makePresigning({ presigner, tickets, clock, blockBytesMax, refusal: gate.refusal, hasUpload });
  const watchLag = metrics.addLatencies(
    'nokv_watch_event_lag',
    'From the time of a commit until watchers by path have its changes.',
    'shard',
  );
  const service = makeService({
    engine,
    store,
    readsBack: direct.kind === 'file',
    tickets,
    failpoint,
    access,
    presigning,
    backup: { engine, clock, random: parts.random, env: parts.env, namespace: opened.marker },
    clock,
    orphanGraceMs: config.orphanGraceMs,
    deadBlocks: parts.deadBlocks,
    onWatchLag: (elapsedMs) => watchLag.observe('0', elapsedMs),
  });
  addWatchMetrics(metrics, () => service.watchStats);
  metrics.add('gauge', 'nokv_lock_waiters', 'Calls that wait for a lock.', () => service.lockWaiters);
  const info = (): ServerInfo => ({ ...parts.info(), software: SOFTWARE, http: http.address });
  const rpc = closers.add(
    await listenRpc(config.listen, {
      handlers: rpcHandlers(service, clock, info),
      clock,
      software: SOFTWARE,
      get incarnation() {
        return life.incarnation;
      },
      admit: () => {
        const refusal = life.refusal();
        if (refusal !== undefined) throw refusal;
      },
      onAnswer: (operation, elapsedMs, error) => rpcLatencies.observe(operation, elapsedMs, error),
      onProblem: (error, client) => log.warn({ client: client?.name, peer: client?.peer, error: error.toRecord() }, 'rpc'),
    }),
    (listener) => listener.drain(0),
  );
  life.guard({ shownVersion: () => service.shownVersion, cut: () => rpc.cut() });
  return {
    rpc,
    http,
    drain: async (graceMs) => void (await Promise.all([rpc.drain(graceMs), http.close(graceMs)])),
  };
}
