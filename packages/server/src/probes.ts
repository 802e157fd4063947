/** What `nokv doctor` asks before there is a server: what can this store do, does this coordinator answer? */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { etcdCoordinator, parseControlAddress } from '@nokv/control';
import { examineStore, openObjectStore, type CapabilityFinding } from '@nokv/object';
import { NokvError, systemClock, systemRandom } from '@nokv/types';
import type { ServerPorts } from './server-config.js';

const LEASE_TTL_MS = 3000;
/** A person waits for it. */
const PROBE_RETRY = { attemptsMax: 3, deadlineMs: 20_000 };

export interface StoreProbe extends AsyncDisposable {
  readonly description: string;
  /** Tries the store with small objects that it removes again. */
  readonly findings: AsyncIterable<CapabilityFinding>;
}

/**
 * Opens a store to look at it. Errors: `store-unavailable`, `no-bucket`, `bad-credentials`, `permission-denied`, `bad-configuration`;
 * a file store that is not there is not made.
 */
export async function probeStore(url: string, ports: ServerPorts = {}): Promise<StoreProbe> {
  const { clock = systemClock, random = systemRandom, env = {}, signal } = ports;
  if (url.startsWith('file:///') && !existsSync(fileURLToPath(url))) {
    throw new NokvError('bad-configuration', `expected an existing directory, found nothing at ${url}`);
  }
  const store = await openObjectStore(url, { clock, random, env, retry: PROBE_RETRY });
  return {
    description: store.description,
    findings: examineStore(store, { random, clock, signal }),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

/** Reads the shard map. Resolves with what answered. Errors: `control-unavailable`, `bad-configuration`. */
export async function probeControl(url: string, ports: ServerPorts = {}): Promise<string> {
  const { clock = systemClock } = ports;
  const address = parseControlAddress(url);
  if (address.kind === 'embedded') return 'in process';
  const coordinator = await etcdCoordinator({ hosts: address.hosts, prefix: address.prefix, leaseTtlMs: LEASE_TTL_MS, clock });
  try {
    const shards = await coordinator.shards();
    return `${coordinator.description} (${shards.length} shards)`;
  } finally {
    await coordinator.close();
  }
}
