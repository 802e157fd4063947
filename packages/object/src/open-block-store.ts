/** Chooses how a client reaches blocks: the first offered way that works here. */
import { NokvError, isNokvError, systemClock, systemRandom, type BlockAccess, type Clock, type Random } from '@nokv/types';
import type { BlockStore } from './block-store.js';
import { openFileStore } from './file/file-object-store.js';
import { readNamespaceMarker } from './namespace-marker.js';
import type { ObjectStore } from './object-store.js';
import { proxiedBlockStore } from './proxied-block-store.js';
import type { RetryPolicy } from './retries.js';
import { hasOwnCredentials, type Env } from './s3/s3-credentials.js';
import { openS3Store } from './s3/s3-object-store.js';
import { blocksOf } from './store-blocks.js';

export interface OpenBlockStoreOptions {
  /** Where `AWS_…` and `HOME` are looked up. */
  readonly env: Env;
  /** Fresh ways, when the read token of the proxied one is about to expire or was refused. */
  readonly renew?: (() => Promise<readonly BlockAccess[]>) | undefined;
  /** For the proxied way: reach the server through this unix socket. */
  readonly socketPath?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** A read token is renewed when less than this is left of it. */
const RENEW_BEFORE_MS = 60_000;
/** A way that may not be meant for us must not hold a client up. */
const DIRECT_RETRY: Partial<RetryPolicy> = { attemptsMax: 2, deadlineMs: 5000 };

export async function openBlockStore(access: readonly BlockAccess[], options: OpenBlockStoreOptions): Promise<BlockStore> {
  const reasons: string[] = [];
  for (const way of access) {
    try {
      return await open(way, options);
    } catch (error) {
      if (!isNokvError(error)) throw error;
      reasons.push(`${way.kind}: ${error.message}`);
    }
  }
  throw new NokvError('store-unavailable', `no way to reach blocks works here: ${reasons.join('; ') || 'the server offered none'}`);
}

async function open(way: BlockAccess, options: OpenBlockStoreOptions): Promise<BlockStore> {
  switch (way.kind) {
    case 'file':
      return blocksOf(await withMarker(await openFileStore(way.directory, { create: false, ...options }), way.marker));
    case 's3': {
      if (!hasOwnCredentials(options.env))
        throw new NokvError('bad-credentials', 'found no S3 credentials in the environment or a profile');
      // One quick look whether these keys open this bucket; the store in use then has its full patience.
      const probe = await openS3Store(way, { ...options, retry: DIRECT_RETRY, check: false });
      try {
        await withMarker(probe, way.marker);
      } finally {
        await probe.close();
      }
      return blocksOf(await openS3Store(way, { ...options, check: false }));
    }
    case 'proxied':
      return openProxied(way, options);
  }
}

async function withMarker(store: ObjectStore, expected: string): Promise<ObjectStore> {
  try {
    const found = await readNamespaceMarker(store);
    if (found === expected) return store;
    throw new NokvError(
      'bad-configuration',
      `${store.description} is not the server's store: expected marker ${expected}, found ${found ?? 'none'}`,
    );
  } catch (error) {
    await store.close();
    throw error;
  }
}

function openProxied(way: BlockAccess & { readonly kind: 'proxied' }, options: OpenBlockStoreOptions): BlockStore {
  const { clock = systemClock, random = systemRandom, renew, socketPath } = options;
  let current = way;
  let renewing: Promise<void> | undefined;
  const renewToken = (): Promise<void> => {
    renewing ??= (async () => {
      try {
        const fresh = (await renew?.())?.find((offer) => offer.kind === 'proxied');
        if (fresh?.kind === 'proxied') current = fresh;
      } finally {
        renewing = undefined;
      }
    })();
    return renewing;
  };
  const readToken = async (refused: boolean): Promise<string> => {
    if (refused || current.expiresAtMs - clock.nowMs() < RENEW_BEFORE_MS) await renewToken();
    return current.readToken;
  };
  return proxiedBlockStore({ url: way.url, socketPath, readToken, clock, random });
}
