/**
 * `nokv restore`: makes a data directory from a backup, or from the image and log of a fleet, offline. The directory has to be empty; one
 * that could not be filled is empty again afterwards.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openLmdbKv, readManifest, restoreShard, type LogStore, type Restored } from '@nokv/meta';
import { openObjectStore, readNamespaceMarker } from '@nokv/object';
import { NokvError, shardId, systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { BACKUP_PREFIX } from './backup.js';
import { openDataDirectory } from './data-directory.js';
import { logStoreOf } from './log-store-of.js';
import type { ServerPorts } from './server-config.js';

export interface RestoreConfig {
  /** What `nokv backup` wrote to, or the object store of a fleet. */
  readonly source: string;
  /** Made when absent; refused with `not-empty` when anything is in it. */
  readonly data: string;
}

/** Errors: `not-empty`, `no-object` (nothing to restore there), `corrupt` (names the part), `unsupported-format`, and those of the store. */
export async function restoreDataDirectory(config: RestoreConfig, ports: ServerPorts = {}): Promise<Restored> {
  const { clock = systemClock, random = systemRandom, env = {} } = ports;
  await refuseContent(config.data);
  const objects = await openObjectStore(config.source, { clock, random, env });
  try {
    const store = logStoreOf(objects);
    // Looked at before anything is written: most mistakes are in the name of the source.
    const image = await readManifest(store, BACKUP_PREFIX);
    const namespace = image?.namespace ?? (await readNamespaceMarker(objects)) ?? '';
    const data = await openDataDirectory(config.data, random, namespace === '' ? undefined : namespace);
    let restored: Restored | undefined;
    try {
      restored = { ...(await fill(data.metaDirectory, store, clock, random)), namespace };
      return restored;
    } finally {
      await data.close();
      if (restored === undefined) await emptyDirectory(data.path);
    }
  } finally {
    await objects.close();
  }
}

async function fill(directory: string, store: LogStore, clock: Clock, random: Random): Promise<Restored> {
  const kv = await openLmdbKv({ directory });
  try {
    return await restoreShard({ kv, store, prefix: BACKUP_PREFIX, shard: shardId(0), clock, random });
  } finally {
    await kv.close();
  }
}

async function emptyDirectory(path: string): Promise<void> {
  await Promise.all((await readdir(path)).map((name) => rm(join(path, name), { recursive: true, force: true })));
}

async function refuseContent(path: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new NokvError('bad-configuration', `expected an empty directory at ${path} (${(error as Error).message}); give another --data`, {
      cause: error,
    });
  }
  if (names.length > 0) {
    throw new NokvError(
      'not-empty',
      `expected an empty directory at ${path}, found ${names.length} entries (${names[0]}); give another --data`,
      {
        details: { path },
      },
    );
  }
}
