/**
 * Makes a shard in an empty store from a backup, or from the image and the log that a fleet keeps, and proves it: the digest of what
 * is stored is that of what was written. The new shard is no part of any log.
 */
import { NokvError, assert, type Clock, type Random, type ShardId, type Version } from '@nokv/types';
import { SYSTEM_ITEM, systemKey } from '../key.js';
import type { OrderedKv } from '../ordered-kv.js';
import { decodeProgress } from '../value-log.js';
import { manifestKey, readManifest } from './image.js';
import { contentOf, loadImage } from './load-image.js';
import { originKey } from './log-key.js';
import type { LogStore } from './log-store.js';
import { readOrigin } from './origin.js';
import { recoverShard } from './recover-shard.js';
import { altered } from './segment.js';
import { stateDigest } from './state-digest.js';

export interface RestoreOptions {
  /** Empty. */
  readonly kv: OrderedKv;
  readonly store: LogStore;
  /** Where in the store a backup lies; a log lies where its shard puts it. */
  readonly prefix: string;
  readonly shard: ShardId;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Restored {
  readonly version: Version;
  /** Rows of the image; the log adds to them. */
  readonly rows: number;
  readonly segments: number;
  readonly digest: string;
  /** Of the store that the bodies are in; empty where the source does not say. */
  readonly namespace: string;
}

/** Errors: `no-object` (nothing there to restore), `corrupt` (a part is missing or altered, by its key), `unsupported-format`. */
export async function restoreShard(options: RestoreOptions): Promise<Restored> {
  const { kv, store, prefix, shard } = options;
  if (contentOf(kv) !== 'nothing') throw new NokvError('not-empty', 'expected an empty environment to restore into');
  const image = await readManifest(store, prefix);
  if (image === undefined) return restoreFromLog(options);
  await loadImage(kv, store, prefix, image, shard, false);
  const digest = await stateDigest(kv);
  if (digest !== image.stateDigest) throw altered(prefix, 'what was stored from it has another digest');
  return { version: versionOf(kv), rows: image.rows, segments: 0, digest, namespace: image.namespace };
}

async function restoreFromLog(options: RestoreOptions): Promise<Restored> {
  const { kv, store, prefix, shard } = options;
  if ((await readOrigin(store, shard)) === undefined) {
    throw new NokvError(
      'no-object',
      `expected a backup (${manifestKey(prefix)}) or the log of a shard (${originKey(shard)}) in ${store.description}, found neither; name the place that backup wrote to`,
      { details: { key: manifestKey(prefix) } },
    );
  }
  const bootstrap = (): Promise<void> => Promise.reject(new NokvError('internal', 'a log that has an origin is not begun anew'));
  const { image, segments } = await recoverShard({ ...options, hasBeenServed: true, bootstrap });
  await kv.commit([{ key: systemKey(SYSTEM_ITEM.log), value: undefined }]).flushed;
  const manifest = image === undefined ? undefined : await readManifest(store, image);
  return {
    version: versionOf(kv),
    rows: manifest?.rows ?? 0,
    segments,
    digest: await stateDigest(kv),
    namespace: manifest?.namespace ?? '',
  };
}

function versionOf(kv: OrderedKv): Version {
  const row = kv.get(systemKey(SYSTEM_ITEM.progress));
  assert(row !== undefined, 'a shard has a progress row');
  return decodeProgress(row).version;
}
