/** Chooses how a client reaches blocks: the first offered way that works here. */
import {
  NokvError,
  isNokvError,
  systemClock,
  type BlockAccess,
  type Clock,
  type PresignGetsArgs,
  type PresignPutsArgs,
  type PresignResult,
  type Random,
} from '@nokv/types';
import type { BlockStore } from './block-store.js';
import { openFileStore } from './file/file-object-store.js';
import { readNamespaceMarker } from './namespace-marker.js';
import type { ObjectStore } from './object-store.js';
import { presignedBlockStore, readSignedMarker } from './presigned-block-store.js';
import { proxiedBlockStore } from './proxied-block-store.js';
import type { RetryPolicy } from './retries.js';
import { trustedCertificates } from './s3/certificates.js';
import { hasOwnCredentials, type Env } from './s3/s3-credentials.js';
import { openS3Store } from './s3/s3-object-store.js';
import type { UrlSigner } from './signed-urls.js';
import { blocksOf } from './store-blocks.js';

export interface OpenBlockStoreOptions {
  /** Where `AWS_…` and `HOME` are looked up. */
  readonly env: Env;
  /** Asks the server for signed URLs; without it the presigned way is passed over. */
  readonly presign?: PresignCalls | undefined;
  /** Fresh ways, when the read token of the one in use is about to expire or was refused. */
  readonly renew?: (() => Promise<readonly BlockAccess[]>) | undefined;
  /** Ends the opening. */
  readonly signal?: AbortSignal | undefined;
  /** For the proxied way: reach the server through this unix socket. */
  readonly socketPath?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface PresignCalls {
  puts(args: PresignPutsArgs): Promise<PresignResult>;
  gets(args: PresignGetsArgs): Promise<PresignResult>;
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
      if (!isNokvError(error) || options.signal?.aborted === true) throw error;
      reasons.push(`${way.kind}: ${error.message}`);
    }
  }
  throw new NokvError('store-unavailable', `no way to reach blocks works here: ${reasons.join('; ') || 'the server offered none'}`);
}

async function open(way: BlockAccess, options: OpenBlockStoreOptions): Promise<BlockStore> {
  switch (way.kind) {
    case 'file':
      return {
        ...blocksOf(await withMarker(await openFileStore(way.directory, { create: false, ...options }), way.marker, options)),
        isLocal: true,
      };
    case 's3': {
      if (!hasOwnCredentials(options.env))
        throw new NokvError('bad-credentials', 'found no S3 credentials in the environment or a profile');
      const location = { ...way, caFile: options.env['AWS_CA_BUNDLE'] || undefined };
      // One quick look whether these keys open this bucket; the store in use then has its full patience.
      const probe = await openS3Store(location, { ...options, retry: DIRECT_RETRY, check: false });
      try {
        await withMarker(probe, way.marker, options);
      } finally {
        await probe.close();
      }
      return blocksOf(await openS3Store(location, { ...options, check: false }));
    }
    case 'presigned':
      return openPresigned(way, options);
    case 'proxied':
      return openProxied(way, options);
  }
}

async function withMarker(store: ObjectStore, expected: string, { signal }: OpenBlockStoreOptions): Promise<ObjectStore> {
  try {
    checkMarker(await readNamespaceMarker(store, { signal }), expected, store.description);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function checkMarker(found: string | undefined, expected: string, where: string): void {
  if (found === expected) return;
  throw new NokvError('bad-configuration', `${where} is not the server's store: expected marker ${expected}, found ${found ?? 'none'}`);
}

function openProxied(way: BlockAccess & { readonly kind: 'proxied' }, options: OpenBlockStoreOptions): BlockStore {
  const { clock, random, socketPath } = options;
  return proxiedBlockStore({ url: way.url, socketPath, readToken: readTokens(way, options), clock, random });
}

async function openPresigned(way: BlockAccess & { readonly kind: 'presigned' }, options: OpenBlockStoreOptions): Promise<BlockStore> {
  const { clock, random, presign, signal } = options;
  if (presign === undefined) throw new NokvError('unsupported', 'found nobody who asks for signed URLs');
  const certificates = await trustedCertificates(options.env['AWS_CA_BUNDLE'] || undefined);
  checkMarker(await readSignedMarker(way.markerUrl, way.description, { clock, random, certificates, signal }), way.marker, way.description);
  const readToken = readTokens(way, options);
  const signer: UrlSigner = {
    puts: (args) => presign.puts(args),
    async gets(blocks) {
      try {
        return await presign.gets({ readToken: await readToken(false), blocks });
      } catch (error) {
        if (!isNokvError(error, 'bad-token')) throw error;
        return presign.gets({ readToken: await readToken(true), blocks });
      }
    },
  };
  return presignedBlockStore({ description: way.description, signer, certificates, clock, random });
}

/** The current token of a way; a fresh one when little is left of it or it was refused, asked for once for all who wait. */
function readTokens(
  way: BlockAccess & { readonly kind: 'proxied' | 'presigned' },
  { clock = systemClock, renew }: OpenBlockStoreOptions,
): (refused: boolean) => Promise<string> {
  let current = way;
  let renewing: Promise<void> | undefined;
  const renewToken = (): Promise<void> => {
    renewing ??= (async () => {
      try {
        const fresh = (await renew?.())?.find((offer) => offer.kind === way.kind);
        if (fresh !== undefined && 'readToken' in fresh) current = fresh;
      } finally {
        renewing = undefined;
      }
    })();
    return renewing;
  };
  return async (refused) => {
    if (refused || current.expiresAtMs - clock.nowMs() < RENEW_BEFORE_MS) await renewToken();
    return current.readToken;
  };
}
