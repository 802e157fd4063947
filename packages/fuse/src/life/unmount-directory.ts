import { NokvError } from '@nokv/types';
import { mountedType, unmountDevice } from '../kernel/mount-device.js';
import { askMount } from './mount-control.js';
import { defaultRunDirectory, findMount, forgetMount, mountFileBase } from './mount-registry.js';

export interface UnmountOptions {
  readonly runDirectory?: string | undefined;
  /** Detach even when files are open or something could not be published. */
  readonly force?: boolean | undefined;
  /** Milliseconds to wait for the drain; default 60,000. */
  readonly timeoutMs?: number | undefined;
}

const TIMEOUT_MS = 60_000;

/** Drains and unmounts what lies on `directory`, whoever serves it; heals a dead mount. Errors: `not-found`, `directory-in-use`. */
export async function unmountDirectory(directory: string, options: UnmountOptions = {}): Promise<void> {
  const { runDirectory = defaultRunDirectory(), force = false, timeoutMs = TIMEOUT_MS } = options;
  const known = findMount(runDirectory, directory);
  const isMounted = mountedType(directory) !== undefined;
  if (!isMounted) {
    if (known !== undefined && !known.alive) forgetMount(runDirectory, directory, known.pid);
    throw new NokvError('not-found', `nothing is mounted on ${directory}; nokv mount list shows what is`);
  }
  if (known === undefined && mountedType(directory)?.startsWith('fuse.nokv') !== true) {
    throw new NokvError('invalid-argument', `${directory} is not a mount of nokv; use umount(8)`);
  }
  const isServed = await askMount(`${mountFileBase(runDirectory, directory)}.sock`, { operation: 'unmount', force }, timeoutMs);
  // Nobody serves it: what is open there is lost already, and the kernel only waits to be told.
  if (!isServed || (force && mountedType(directory) !== undefined)) await unmountDevice(directory, true);
  if (known !== undefined && !isServed) forgetMount(runDirectory, directory, known.pid);
}

/** Publishes what is dirty on a running mount and waits until it is durable. Errors: `not-found` when nobody serves it. */
export async function drainDirectory(directory: string, options: Omit<UnmountOptions, 'force'> = {}): Promise<void> {
  const { runDirectory = defaultRunDirectory(), timeoutMs = TIMEOUT_MS } = options;
  if (!(await askMount(`${mountFileBase(runDirectory, directory)}.sock`, { operation: 'drain' }, timeoutMs))) {
    throw new NokvError('not-found', `no running mount on ${directory}; nokv mount list shows what is`);
  }
}
