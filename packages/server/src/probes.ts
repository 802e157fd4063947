/** What `nokv doctor` asks before there is a server: does this store do what we need, does this coordinator answer? */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { etcdCoordinator, parseControlAddress } from '@nokv/control';
import { admissionProbe, openObjectStore } from '@nokv/object';
import { NokvError, systemClock, systemRandom } from '@nokv/types';
import type { ServerPorts } from './server-config.js';

const LEASE_TTL_MS = 3000;

/**
 * Tries a store with a few small objects that it removes again. Resolves with its description. Errors: `store-unfit`,
 * `store-unavailable`, `no-bucket`, `bad-credentials`, `bad-configuration`; a file store that is not there is not made.
 */
export async function probeStore(url: string, ports: ServerPorts = {}): Promise<string> {
  const { clock = systemClock, random = systemRandom, env = {} } = ports;
  if (url.startsWith('file:///') && !existsSync(fileURLToPath(url))) {
    throw new NokvError('bad-configuration', `expected an existing directory, found nothing at ${url}`);
  }
  const store = await openObjectStore(url, { clock, random, env });
  try {
    await admissionProbe(store, { random });
    return store.description;
  } finally {
    await store.close();
  }
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
