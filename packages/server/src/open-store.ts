/**
 * The object store of a process: opened by its URL, proven fit, and claimed for this namespace. The data directory notes
 * the claim, so that a store that was swapped or emptied later is refused instead of silently taken for ours.
 */
import { fileURLToPath } from 'node:url';
import {
  admissionProbe,
  claimNamespace,
  openFileStore,
  openS3Store,
  parseS3Url,
  type ObjectStore,
  type S3Location,
  type S3Presigner,
} from '@nokv/object';
import { BLOCK_BYTES_DEFAULT, NokvError, type BlockAccess, type Clock, type Random } from '@nokv/types';
import type { DataDirectory } from './data-directory.js';
import { measuredStore } from './measured-store.js';
import type { Latencies } from './metrics.js';

export interface OpenedStore {
  readonly store: ObjectStore;
  /** How clients reach it without us. */
  readonly direct: Extract<BlockAccess, { readonly kind: 'file' | 's3' }>;
  /** Signs URLs for clients without keys; undefined where the store knows none. */
  readonly presigner: S3Presigner | undefined;
  /** What one proxied put may bring. */
  readonly blockBytesMax: number;
  /** Names the namespace that the store was claimed for. */
  readonly marker: string;
}

export interface OpenStoreParts {
  readonly data: DataDirectory;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly latencies: Latencies;
  /** A directory that was never used takes the namespace of the store that it finds: several nodes share one. */
  readonly isShared: boolean;
}

/** @param url `file:///dir`, `s3://bucket/prefix?…`, or undefined for the data directory's own. */
export async function openStore(url: string | undefined, parts: OpenStoreParts): Promise<OpenedStore> {
  const { data } = parts;
  const { store, way, presigner } = await openByUrl(url, parts);
  try {
    // What a directory can do does not change; behind an endpoint there may be another server every day.
    if (way.kind === 's3' || (await data.readStoreClaim()) === undefined) await admissionProbe(store, { random: parts.random });
    const marker = await claim(store, data, parts);
    return {
      store: measuredStore(store, parts.latencies, parts.clock),
      direct: { ...way, marker },
      presigner,
      blockBytesMax: BLOCK_BYTES_DEFAULT,
      marker,
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

type Way = WithoutMarker<Extract<BlockAccess, { kind: 'file' | 's3' }>>;
type WithoutMarker<T> = T extends unknown ? Omit<T, 'marker'> : never;

async function openByUrl(
  url: string | undefined,
  parts: OpenStoreParts,
): Promise<{ store: ObjectStore; way: Way; presigner?: S3Presigner }> {
  if (url === undefined || url.startsWith('file:')) {
    const directory = url === undefined ? parts.data.objectsDirectory : directoryOf(url);
    const store = await openFileStore(directory, { clock: parts.clock, random: parts.random });
    return { store, way: { kind: 'file', directory } };
  }
  if (url.startsWith('s3:')) {
    const location = parseS3Url(url, parts.env);
    const store = await openS3Store(location, { env: parts.env, clock: parts.clock, random: parts.random });
    return { store, way: s3Way(store.location), presigner: store.presigner };
  }
  throw new NokvError('bad-configuration', `expected --object file:///dir or s3://bucket/prefix, found "${withoutSecrets(url)}"`);
}

/** What clients need of a location; files of this machine are no business of theirs. */
function s3Way({ endpoint, region, bucket, prefix, pathStyle, storageClass, encryption, kmsKeyId }: S3Location): Way {
  return { kind: 's3', endpoint, region, bucket, prefix, pathStyle, storageClass, encryption, kmsKeyId };
}

function directoryOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new NokvError('bad-configuration', `expected --object file:///dir with an absolute path, found "${url}"`, { cause: error });
  }
}

/** A URL that was meant for something else may carry a password. */
function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//…@').replace(/\?.*$/, '?…');
}

/** Ours by the marker in the store and the note in the data directory; the note is written last. */
async function claim(store: ObjectStore, data: DataDirectory, { random, isShared }: OpenStoreParts): Promise<string> {
  const noted = await data.readStoreClaim();
  if (noted !== undefined) return claimNamespace(store, { expected: noted });
  const drawn: Random = { ...random, bytes: () => Buffer.from(data.namespace, 'hex') };
  const marker = await claimNamespace(store, { random: drawn });
  if (marker !== data.namespace && !isShared) {
    throw new NokvError(
      'bad-configuration',
      `${store.description} belongs to namespace ${marker}, and ${data.path} to ${data.namespace}; give the data directory that this store was used with, or another directory or prefix`,
    );
  }
  await data.noteStoreClaim(marker);
  return marker;
}
