/**
 * What a server keeps of the blocks that clients read through it: on its disk, with a little in memory. Only where it is asked for, and
 * not for a store that lies on this machine's disk anyway.
 */
import { BodyReader, DiskCache, blocksOf } from '@nokv/object';
import type { Clock, Random } from '@nokv/types';
import type { Logger } from './logger.js';
import type { LabelledValue, Metrics } from './metrics.js';
import type { OpenedStore } from './open-store.js';
import type { ServerConfig } from './server-config.js';

export interface BlockCacheParts {
  readonly opened: OpenedStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface BlockCache {
  readonly reader: BodyReader;
  /** Waits for what is being written. */
  close(): Promise<void>;
}

/** The server's memory is for others, too. */
const MEMORY_BYTES = 16 * 1024 * 1024;

export function openBlockCache(
  config: ServerConfig['cache'],
  { opened, clock, random, log, metrics }: BlockCacheParts,
): BlockCache | undefined {
  if (config === undefined) return undefined;
  if (opened.direct.kind === 'file') {
    log.info({ directory: config.directory }, 'no cache: the bodies lie on this machine');
    return undefined;
  }
  const { memoryBytes = MEMORY_BYTES, ...limits } = config;
  const disk = new DiskCache({ ...limits, clock, random, note: (line) => log.warn({}, line) });
  const reader = new BodyReader({ store: blocksOf(opened.store), disk, cacheBytes: memoryBytes });
  addCacheMetrics(metrics, reader);
  return { reader, close: () => disk.settle() };
}

function addCacheMetrics(metrics: Metrics, reader: BodyReader): void {
  const byPlace =
    (memory: (figures: BodyReader['figures']['memory']) => number, disk: (figures: NonNullable<BodyReader['figures']['disk']>) => number) =>
    (): LabelledValue[] => {
      const { figures } = reader;
      const rows: LabelledValue[] = [[{ place: 'memory' }, memory(figures.memory)]];
      if (figures.disk !== undefined) rows.push([{ place: 'disk' }, disk(figures.disk)]);
      return rows;
    };
  metrics.add(
    'counter',
    'nokv_block_cache_hits_total',
    'Reads that the cache of blocks answered.',
    byPlace(
      (m) => m.hits,
      (d) => d.hits,
    ),
  );
  metrics.add(
    'counter',
    'nokv_block_cache_misses_total',
    'Reads that it could not answer.',
    byPlace(
      (m) => m.misses,
      (d) => d.misses,
    ),
  );
  metrics.add(
    'gauge',
    'nokv_block_cache_bytes',
    'What it holds, as far as this process knows.',
    byPlace(
      (m) => m.bytes,
      (d) => d.bytes,
    ),
  );
  metrics.add(
    'gauge',
    'nokv_block_cache_bytes_max',
    'What it may hold.',
    byPlace(
      (m) => m.bytesMax,
      (d) => d.bytesMax,
    ),
  );
  metrics.add(
    'counter',
    'nokv_block_cache_evictions_total',
    'Entries that made room.',
    byPlace(
      (m) => m.evictions,
      (d) => d.evictions,
    ),
  );
  const ofDisk = (read: (figures: NonNullable<BodyReader['figures']['disk']>) => number) => () =>
    reader.figures.disk === undefined ? 0 : read(reader.figures.disk);
  metrics.add(
    'counter',
    'nokv_block_cache_corrupt_total',
    'Entries on the disk whose bytes were wrong.',
    ofDisk(({ corrupt }) => corrupt),
  );
  metrics.add(
    'counter',
    'nokv_block_cache_refused_total',
    'Entries that could not be written to the disk.',
    ofDisk(({ refused }) => refused),
  );
  metrics.add('counter', 'nokv_block_cache_store_gets_total', 'Gets of the store that it caused.', () => reader.figures.store.gets);
}
