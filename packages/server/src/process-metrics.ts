/** What `/metrics` says of the process and of its shard. */
import { SHIP_BOUND_DEFAULT, type ShardEngine } from '@nokv/meta';
import type { Clock, ShardId } from '@nokv/types';
import type { HttpListener } from './http/http-server.js';
import type { Metrics } from './metrics.js';
import type { RpcListener } from './rpc/rpc-listener.js';
import type { ShardHost } from './shard-host.js';
import type { HostedShard } from './shared-shard.js';

export function addProcessMetrics(metrics: Metrics, clock: Clock, startedAtMs: number): void {
  metrics.add('gauge', 'process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
  metrics.add('gauge', 'nokv_heap_used_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed);
  metrics.add('counter', 'process_cpu_seconds_total', 'CPU time, user and system.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.add('gauge', 'nokv_uptime_seconds', 'Time since the start.', () => (clock.monotonicMs() - startedAtMs) / 1000);
}

export interface ShardMetricParts {
  readonly shard: ShardId;
  readonly engine: ShardEngine;
  readonly host: ShardHost;
  readonly rpc: RpcListener;
  readonly http: HttpListener;
}

export function addShardMetrics(metrics: Metrics, { shard, engine, host, rpc, http }: ShardMetricParts): void {
  const ofShard = (read: () => number) => () => [[{ shard: String(shard) }, read()]] as const;
  metrics.add(
    'gauge',
    'nokv_shard_serving',
    '1 while this process owns the shard and serves it.',
    ofShard(() => (host.isServing() ? 1 : 0)),
  );
  metrics.add(
    'gauge',
    'nokv_shard_epoch',
    'Epoch of the last ownership.',
    ofShard(() => engine.epoch),
  );
  metrics.add(
    'gauge',
    'nokv_shard_visible_version',
    'Last version that readers can see.',
    ofShard(() => engine.visibleVersion),
  );
  metrics.add(
    'gauge',
    'nokv_shard_durable_version',
    'Last version that survives a power cut.',
    ofShard(() => engine.durableVersion),
  );
  metrics.add(
    'counter',
    'nokv_shard_commands_total',
    'Mutations that were evaluated.',
    ofShard(() => engine.stats.commands),
  );
  metrics.add(
    'counter',
    'nokv_shard_batches_total',
    'Commits, each of one or more mutations.',
    ofShard(() => engine.stats.batches),
  );
  metrics.add(
    'counter',
    'nokv_shard_fsyncs_total',
    'Flushes to disk, each of one or more commits.',
    ofShard(() => engine.stats.flushes),
  );
  metrics.add(
    'gauge',
    'nokv_shard_queued',
    'Mutations that wait for a batch.',
    ofShard(() => engine.stats.queued),
  );
  metrics.add(
    'counter',
    'nokv_shard_reads_total',
    'Reads that were answered.',
    ofShard(() => engine.stats.reads),
  );
  metrics.add(
    'counter',
    'nokv_shard_rows_read_total',
    'Rows that reads and mutations looked at.',
    ofShard(() => engine.stats.rowsRead),
  );
  metrics.add('gauge', 'nokv_rpc_connections', 'Open RPC connections.', () => rpc.stats.connections);
  metrics.add('counter', 'nokv_rpc_connections_refused_total', 'RPC connections that were refused.', () => rpc.stats.connectionsRefused);
  metrics.add('gauge', 'nokv_rpc_in_flight', 'Unanswered RPC requests.', () => rpc.stats.inFlight);
  metrics.add('gauge', 'nokv_rpc_streams', 'Open RPC streams.', () => rpc.stats.streams);
  metrics.add('counter', 'nokv_rpc_received_bytes_total', 'Bytes from RPC clients.', () => rpc.stats.bytesIn);
  metrics.add('counter', 'nokv_rpc_sent_bytes_total', 'Bytes to RPC clients.', () => rpc.stats.bytesOut);
  metrics.add('gauge', 'nokv_http_connections', 'Open HTTP connections.', () => http.connections);
}

/** Of a shard whose truth is the shared log; zero while this process has none open. */
export function addLogMetrics(metrics: Metrics, shared: HostedShard): void {
  metrics.add(
    'gauge',
    'nokv_log_sequence',
    'Last segment of the shared log that this node has applied.',
    () => shared.log?.position.sequence ?? 0,
  );
  metrics.add(
    'counter',
    'nokv_log_segments_total',
    'Appends to the shared log since the shard was opened.',
    () => shared.log?.segments ?? 0,
  );
  metrics.add(
    'counter',
    'nokv_log_bytes_total',
    'Bytes appended to the shared log since the shard was opened.',
    () => shared.log?.bytes ?? 0,
  );
  metrics.add(
    'gauge',
    'nokv_log_unshipped_batches',
    'Batches that are committed here and not in the log yet.',
    () => shared.log?.unshipped.batches ?? 0,
  );
  metrics.add(
    'gauge',
    'nokv_log_unshipped_bytes',
    'Their bytes; beyond the bound writes are refused.',
    () => shared.log?.unshipped.bytes ?? 0,
  );
  metrics.add(
    'gauge',
    'nokv_log_unshipped_age_seconds',
    'How long the oldest of them has waited; beyond the bound writes are refused.',
    () => (shared.log?.unshipped.ageMs ?? 0) / 1000,
  );
  metrics.add(
    'gauge',
    'nokv_log_ship_bound_seconds',
    'How long a batch may wait for the log in async durability.',
    () => SHIP_BOUND_DEFAULT.ms / 1000,
  );
  metrics.add('counter', 'nokv_log_images_total', 'Images that this process wrote.', () => shared.images);
}
