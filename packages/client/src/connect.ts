/** The door of the SDK. */
import type { BlockAccess, Caller, Clock, Owner, Random } from '@nokv/types';
import { LOOPBACK, NokvError, RPC_PORT_DEFAULT, checkCaller, parseCaller, systemClock, systemRandom } from '@nokv/types';
import { parseAddress } from '@nokv/protocol';
import { BodyReader } from '@nokv/object';
import { openDiskCache, type CacheOptions } from './cache-options.js';
import { LazyBlocks } from './body/lazy-blocks.js';
import type { CallOptions } from './metadata-client.js';
import type { NokvClient } from './nokv-client.js';
import { PathClient } from './path/path-client.js';
import { pooledRandom } from './pooled-random.js';
import { RequestIds } from './request-ids.js';
import { Link, type Dial } from './session/link.js';
import { WireMetadataClient } from './session/wire-metadata-client.js';
import { transferSignal } from './transfer-signal.js';
import { openConnection } from './wire/open-connection.js';

export interface ConnectOptions {
  /** `host:port`, `unix:/path`, a comma-separated list or a list of them, tried in turn; default `127.0.0.1:7777`. */
  readonly address?: string | readonly string[] | undefined;
  readonly token?: string | undefined;
  /** Shown in change records; default `sdk`. */
  readonly actor?: string | undefined;
  /** Sent in the hello; default `nokv-client`. */
  readonly clientName?: string | undefined;
  /** Default deadline of every call with its retries, milliseconds; default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** How long the first connection may be tried again and again; default 0: each address once. */
  readonly patienceMs?: number | undefined;
  /** Aborts connecting; an open client is closed with `close`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whom every call acts for: the server then applies the permission rules of POSIX. Text is `UID[:GID[,GID…]]`. Absent: calls are
   * trusted. The ids are this client's word, not an authentication. What is not about single nodes (changes, history) is refused.
   */
  readonly as?: Caller | string | undefined;
  /** Who owns what is created; default: the caller of `as`, else user and group of this process. */
  readonly owner?: Owner | undefined;
  /** Where credentials of a bucket are looked up (AWS names); without them the server signs URLs for it. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Ways to the blocks that may be used (`file`, `s3`, `presigned`, `proxied`); default: the first that the server offers and that works. */
  readonly ways?: readonly BlockAccess['kind'][] | undefined;
  /** What is kept of the blocks that were read; default: 64 MiB in memory, nothing on a disk. */
  readonly cache?: CacheOptions | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** How connections are made; default: sockets. For tests over memory transports. */
  readonly dial?: Dial | undefined;
}

const TIMEOUT_MS_DEFAULT = 30_000;
const ADDRESSES_MAX = 64;
/** Eight blocks: hides 20 ms of a store, and a stream of any size that fills the disk cache meanwhile stays below 200 MB. */
const READ_AHEAD_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Connects and shakes hands. Errors: `unavailable` (nobody listens), `bad-token`, `unsupported-version`,
 * `deadline-exceeded`, `invalid-argument` (an address that is none).
 */
export async function connect(to: string | readonly string[] | ConnectOptions = {}): Promise<NokvClient> {
  const options: ConnectOptions = typeof to === 'string' || isList(to) ? { address: to } : to;
  const { clock = systemClock, timeoutMs = TIMEOUT_MS_DEFAULT, actor = 'sdk' } = options;
  if (!(timeoutMs > 0)) throw new NokvError('invalid-argument', `expected a timeout of more than 0 ms, found ${timeoutMs}`);
  const caller = typeof options.as === 'string' ? parseCaller(options.as) : options.as && checkCaller(options.as);
  const random = pooledRandom(options.random ?? systemRandom);
  const { cache = {} } = options;
  const disk = openDiskCache(cache, clock, random);
  const link = new Link({
    addresses: addressesOf(options.address),
    dial: options.dial ?? socketDial(options, clock, actor),
    clock,
    random,
  });
  const requestIds = new RequestIds(clock, random);
  const metadata = new WireMetadataClient({ link, actor, timeoutMs, clock, random, requestIds, caller });
  const blocks = new LazyBlocks({ metadata, clock, random, env: options.env, ways: options.ways });
  try {
    await firstConnection(link, options, clock);
  } catch (error) {
    await link.close();
    throw error;
  }
  const owner = options.owner ?? (caller === undefined ? ownerOfProcess() : { uid: caller.uid, gid: caller.gid });
  const context = {
    metadata,
    owner,
    clock,
    random,
    requestIds,
    store: blocks,
    disk,
    reader: new BodyReader({
      store: blocks,
      disk,
      skipLocal: cache.skipLocal,
      cacheBytes: cache.memoryBytes,
      readAheadBytesMax: cache.readAheadBytesMax ?? READ_AHEAD_BYTES_MAX,
    }),
    access: (call?: CallOptions) => blocks.access(call),
  };
  return new PathClient(context, async () => {
    await disk?.settle();
    await blocks.close();
    await metadata.close();
  });
}

async function firstConnection(link: Link, options: ConnectOptions, clock: Clock): Promise<void> {
  const { patienceMs = 0 } = options;
  const giveUpAt = clock.monotonicMs() + patienceMs;
  const { signal, stop } = transferSignal(
    clock,
    options.timeoutMs === undefined ? { signal: options.signal, timeoutMs: TIMEOUT_MS_DEFAULT } : options,
  );
  try {
    // Ends when connected, when patience has run out, or by the signal.
    for (;;) {
      try {
        await link.connection({ deadlineMs: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY, signal });
        return;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof NokvError) || error.kind !== 'unavailable' || clock.monotonicMs() >= giveUpAt) throw error;
      }
    }
  } finally {
    stop();
  }
}

function socketDial(options: ConnectOptions, clock: Clock, actor: string): Dial {
  return (address, { timeoutMs, signal }) =>
    openConnection(address, {
      clock,
      client: options.clientName ?? 'nokv-client',
      token: options.token,
      actor,
      connectTimeoutMs: timeoutMs,
      signal,
    });
}

/** Every address is checked before the first is dialled. */
function addressesOf(given: string | readonly string[] = `${LOOPBACK}:${RPC_PORT_DEFAULT}`): readonly string[] {
  const addresses = (isList(given) ? given : given.split(',')).map((address) => address.trim()).filter((address) => address.length > 0);
  if (addresses.length === 0) throw new NokvError('invalid-argument', 'expected at least one address such as 127.0.0.1:7777, found none');
  if (addresses.length > ADDRESSES_MAX)
    throw new NokvError('invalid-argument', `expected at most ${ADDRESSES_MAX} addresses, found ${addresses.length}`);
  for (const address of addresses) parseAddress(address);
  return addresses;
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}

function ownerOfProcess(): Owner {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}
